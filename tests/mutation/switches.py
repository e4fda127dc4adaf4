"""Rewrites Rust sources so that every mutant of cargo-mutants is in one program, behind a switch of its number."""

import re

import tree_sitter_rust
from tree_sitter import Language, Parser

ON = "crate::switch::on"
MARK = re.compile(r"switch::on\((\d+)\)")

SWITCH = '''//! Switches of mutants: `MUTANT` is the number of the one that is on; `MUTANT_REACHED` names a file for those that
//! are reached.

use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

static ON: LazyLock<Option<u32>> = LazyLock::new(|| std::env::var("MUTANT").ok()?.parse().ok());
static LOG: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("MUTANT_REACHED").ok());
static REACHED: [AtomicBool; 4096] = [const { AtomicBool::new(false) }; 4096];

pub fn on(number: u32) -> bool {
    if let Some(path) = &*LOG
        && REACHED.get(number as usize).is_none_or(|own| !own.swap(true, Ordering::Relaxed))
    {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{number}").unwrap();
    }
    *ON == Some(number)
}
'''


def rewrite(source, mutants):
    """Returns the source with a switch for each of `mutants`, and the numbers of those that have none."""
    writer = Writer(source, mutants)
    return writer.text(writer.tree.root_node), sorted(set(writer.numbers) - writer.done)


class Writer:
    def __init__(self, source, mutants):
        self.bytes = source.encode()
        self.tree = Parser(Language(tree_sitter_rust.language())).parse(self.bytes)
        lines = self.bytes.split(b"\n")
        self.starts = [0]
        for line in lines:
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.numbers = {mutant["number"] for mutant in mutants}
        self.done = set()
        self.at, self.guards = {}, {}
        for mutant in mutants:
            if mutant["genre"] == "Guard removed":
                self.guard(mutant)
                continue
            start = self.place(mutant["span"]["start"])
            self.at.setdefault((kind(mutant), start), []).append(mutant)

    def guard(self, mutant):
        """Finds the place of a guard, which must be there once, apart from tests."""
        text = self.bytes.split(b"#[cfg(test)]\nmod tests {")[0]
        wanted = mutant["guard"].encode()
        if text.count(wanted) != 1:
            raise SystemExit(f"{mutant['file']} has {text.count(wanted)} guards `{mutant['guard']}`, not one")
        start = text.index(wanted)
        self.guards.setdefault((start, start + len(wanted)), []).append(mutant)

    def place(self, position):
        line = position["line"] - 1
        text = self.bytes[self.starts[line]:self.starts[line + 1]].decode()
        return self.starts[line] + len(text[:position["column"] - 1].encode())

    def found(self, genre, start):
        mutants = self.at.get((genre, start), [])
        self.done.update(mutant["number"] for mutant in mutants)
        return mutants

    def text(self, node):
        """Returns the text of a node with the switches in it."""
        guards = self.guards.pop((node.start_byte, node.end_byte), [])
        if guards:
            text = self.text(node)
            for one in guards:
                self.done.add(one["number"])
                text = f"(if {ON}({one['number']}) {{ {one['removed']} }} else {{ {text} }})"
            return text
        special = getattr(self, "of_" + node.type, None)
        return special(node) if special else self.plain(node)

    def plain(self, node, replaced=None):
        """Returns the text of a node, whose children may be `replaced` by their start."""
        parts, end = [], node.start_byte
        for child in node.children:
            parts.append(self.bytes[end:child.start_byte].decode())
            text = (replaced or {}).get(child.start_byte)
            parts.append(self.text(child) if text is None else text)
            end = child.end_byte
        parts.append(self.bytes[end:node.end_byte].decode())
        return "".join(parts)

    def of_function_item(self, node):
        body = node.child_by_field_name("body")
        if body is None or re.search(rb"\bconst fn\b", self.bytes[node.start_byte:body.start_byte]):
            # A switch is no constant.
            return node.text.decode()
        named = [child for child in body.children if child.is_named and "comment" not in child.type]
        returned = node.child_by_field_name("return_type")
        # A function that returns `impl Trait` returns one type.
        has_switch = bool(named) and not (returned and b"impl " in returned.text)
        mutants = self.found("FnValue", named[0].start_byte) if has_switch else []
        before = self.bytes[node.start_byte:body.start_byte].decode()
        if not mutants:
            return before + self.text(body)
        switches = "".join(
            f"if {ON}({one['number']}) {{ return {one['replacement']}; }}\n" for one in mutants)
        return before + "{\n" + switches + self.text(body)[1:]

    def of_binary_expression(self, node):
        operator = node.child_by_field_name("operator")
        left = self.text(node.child_by_field_name("left"))
        right = self.text(node.child_by_field_name("right"))
        own = operator.text.decode()
        text = f"{left} {own} {right}"
        mutants = self.found("Operator", operator.start_byte)
        for one in mutants:
            text = f"if {ON}({one['number']}) {{ {left} {one['replacement']} {right} }} else {{ {text} }}"
        return f"({text})" if mutants else text

    of_compound_assignment_expr = of_binary_expression

    def of_unary_expression(self, node):
        mutants = self.found("Unary", node.start_byte)
        if not mutants:
            return self.plain(node)
        inner = self.text(node.children[-1])
        operator = node.children[0].text.decode()
        return f"(if {ON}({mutants[0]['number']}) {{ {inner} }} else {{ {operator}{inner} }})"

    def of_match_arm(self, node):
        pattern = node.child_by_field_name("pattern")
        # Without a last arm for the rest, an arm cannot be left out.
        rest = [other for other in node.parent.children if other.type == "match_arm"][-1]
        has_rest = rest.child_by_field_name("pattern").text == b"_"
        arm = self.found("MatchArm", node.start_byte) if has_rest else []
        condition = pattern.child_by_field_name("condition")
        if condition is None:
            if not arm:
                return self.plain(node)
            return self.plain(node, {pattern.start_byte: f"{self.plain(pattern)} if !{ON}({arm[0]['number']})"})
        mutants = self.found("Guard", condition.start_byte)
        guard = self.text(condition)
        for one in mutants:
            on = f"{ON}({one['number']})"
            guard = f"({on} || {guard})" if one["replacement"] == "true" else f"(!{on} && {guard})"
        if arm:
            guard = f"!{ON}({arm[0]['number']}) && {guard}"
        text = self.bytes[pattern.start_byte:condition.start_byte].decode() + guard
        return self.plain(node, {pattern.start_byte: text})


def kind(mutant):
    genres = {"BinaryOperator": "Operator", "UnaryOperator": "Unary", "MatchArmGuard": "Guard"}
    return genres.get(mutant["genre"], mutant["genre"])
