//! Rules of one file: its length, its names, what it may call, and its notes for later.

use proc_macro2::LineColumn;

use crate::source::Source;
use crate::table::{FILE_LINES_MAX, FUNCTION_LINES_MAX, RESERVED, VAGUE};
use crate::tokens::{Token, below_attribute, find};

/// Returns one sentence for every violation in the file at `path`, which is relative to the repository.
pub(crate) fn check(path: &str, text: &str, source: &Source) -> Vec<String> {
    let mut wrong = vague(path, source);
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        let advice = "split it by what its parts own";
        wrong.push(format!("{path}: {lines} lines, more than {FILE_LINES_MAX}; {advice}"));
    }
    wrong.extend(unfiled(path, text, &source.tokens));
    if path.starts_with("src/") {
        wrong.extend(functions(path, source));
        wrong.extend(reserved(path, &source.tokens));
        wrong.extend(globs(path, source));
    }
    if ["src/", "loadtests/", "examples/"].iter().any(|root| path.starts_with(root)) {
        wrong.extend(panics(path, source));
    }
    wrong
}

fn functions(path: &str, source: &Source) -> Vec<String> {
    let long = source.functions.iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX);
    let told = |(name, line, lines): &(String, usize, usize)| {
        format!("{path}:{line}: `{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}")
    };
    long.map(told).collect()
}

fn vague(path: &str, source: &Source) -> Vec<String> {
    let inline = source.modules.iter().skip(1).filter_map(|module| module.rsplit("::").next());
    let names = path.trim_end_matches(".rs").split('/').chain(inline);
    let vague = names.filter(|name| VAGUE.contains(name));
    let told = |name| format!("{path}: the name `{name}` says nothing; name what the module owns");
    vague.map(told).collect()
}

/// Returns the notes for later work that do not name an issue.
fn unfiled(path: &str, text: &str, tokens: &[Token]) -> Vec<String> {
    // Doc comments are literals for Rust, too: `#[doc = "text"]`.
    let literal = |at: &usize| tokens[at - 2].text != "doc" && tokens[*at].text.contains('"');
    let literals: Vec<usize> = (2..tokens.len()).filter(literal).collect();
    let filed = |rest: &str| {
        let number = rest.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
        number.is_some_and(|(digits, _)| digits.parse::<u32>().is_ok())
    };
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for (at, mark) in ["TODO", "FIXME"].iter().flat_map(|mark| line.match_indices(mark)) {
            let place = LineColumn { line: number, column: line[..at].chars().count() };
            let quoted = literals.iter().any(|at| tokens[*at].place.contains(&place));
            if !quoted && !filed(&line[at + mark.len()..]) {
                let advice = "a note for later names its issue, as in `TODO(#12)`";
                wrong.push(format!("{path}:{number}: {advice}"));
            }
        }
    }
    wrong
}

/// Returns the code that is reserved for another place of `src/`.
fn reserved(path: &str, tokens: &[Token]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (pattern, place, advice) in RESERVED {
        for at in find(tokens, pattern).into_iter().filter(|_| !path.starts_with(place)) {
            let mut next = tokens[at..].iter().take(7);
            // CPU time counts as a resource, not as time.
            if *pattern != "clock_gettime (" || !next.any(|token| token.text.ends_with("CPUTime")) {
                wrong.push(format!("{path}:{}: {advice}", tokens[at].place.start.line));
            }
        }
    }
    wrong
}

/// Returns the imports that hide what they name from the rules of arrows.
fn globs(path: &str, source: &Source) -> Vec<String> {
    let ours = |path: &[String]| {
        path.first().is_some_and(|first| matches!(first.as_str(), "crate" | "self" | "super"))
    };
    let hiding = source.mentions.iter().filter(|mention| {
        mention.name.as_deref() == Some("*") && !mention.in_test && ours(&mention.path)
    });
    let advice = "imports all names of a module; list those that are meant";
    let hiding = hiding.filter(|_| !is_test_file(path));
    hiding.map(|mention| format!("{path}:{}: {advice}", mention.line)).collect()
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Returns the calls that stop the process instead of returning an error.
fn panics(path: &str, source: &Source) -> Vec<String> {
    if is_test_file(path) {
        return Vec::new();
    }
    let mut excused = source.tests.clone();
    for lint in ["expect_used", "unwrap_used"] {
        excused.extend(below_attribute(&source.tokens, &format!("expect ( clippy :: {lint}")));
    }
    let calls = [". unwrap (", ":: unwrap (", ". expect (", ":: expect ("];
    let calls = calls.iter().flat_map(|call| find(&source.tokens, call));
    let calls = calls.map(|at| &source.tokens[at + 1]);
    let wrong = calls.filter(|token| !excused.iter().any(|item| item.contains(&token.place.start)));
    let told = |Token { text, place }: &Token| {
        let line = place.start.line;
        let advice = format!("put `#[expect(clippy::{text}_used, reason = ..)]` directly above");
        format!("{path}:{line}: `{text}` outside tests; return an error, or {advice}")
    };
    wrong.map(told).collect()
}
