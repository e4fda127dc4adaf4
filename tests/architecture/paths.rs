//! Top-level modules that a source text names.

use crate::lexer::Source;

/// A top-level name reached through `crate::` or `super::`; `*` is the crate root as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) module: String,
    pub(crate) line: usize,
}

/// Returns every top-level name that `source`, `level` modules below the root, reaches.
pub(crate) fn named(source: &Source, level: usize) -> Vec<Named> {
    let (mut found, mut inline, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for index in 0..source.tokens.len() {
        match source.text(index) {
            "{" => {
                if index >= 2 && source.text(index - 2) == "mod" {
                    inline.push(depth);
                }
                depth += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|opened| *opened == depth);
            }
            _ if starts_path(source, index) => {
                walk(source, index, level + inline.len(), &mut found);
            }
            _ => {}
        }
    }
    found
}

fn starts_path(source: &Source, index: usize) -> bool {
    let follows = index.checked_sub(1).is_some_and(|before| source.text(before) == "::");
    let leads = source.text(index + 1) == "::";
    match source.text(index) {
        // `pub(crate)` is a visibility, the only bare `crate` that reaches no name.
        "crate" => !follows && source.text(index + 1) != ")",
        "mintbench" | "self" | "super" => !follows && leads,
        _ => false,
    }
}

/// Reads one tree of a path, whose names are looked up `level` modules below the root.
fn walk(source: &Source, index: usize, level: usize, found: &mut Vec<Named>) {
    let (level, step) = match source.text(index) {
        "crate" | "mintbench" if source.text(index + 1) == "::" => (0, true),
        "crate" => return root(source, index, found),
        "super" => (level.saturating_sub(1), true),
        "self" => (level, true),
        _ => (level, false),
    };
    let leads = source.text(index + 1) == "::";
    match source.text(index) {
        "{" => branches(source, index + 1, level, found),
        _ if step && leads => walk(source, index + 2, level, found),
        _ if level > 0 => {}
        _ if step => root(source, index, found),
        "*" => root(source, index, found),
        module => found.push(Named { module: module.to_owned(), line: source.line(index) }),
    }
}

/// Reads the trees from `index`, just after an opening brace, to the brace that closes it.
fn branches(source: &Source, mut index: usize, level: usize, found: &mut Vec<Named>) {
    let (mut depth, mut fresh) = (1_usize, true);
    while depth > 0 && index < source.tokens.len() {
        match source.text(index) {
            "}" => depth -= 1,
            "," => fresh = depth == 1,
            _ => {
                if std::mem::take(&mut fresh) {
                    walk(source, index, level, found);
                }
                depth += usize::from(source.text(index) == "{");
            }
        }
        index += 1;
    }
}

fn root(source: &Source, index: usize, found: &mut Vec<Named>) {
    found.push(Named { module: "*".to_owned(), line: source.line(index) });
}
