//! The rules. Each takes the path and the text of a file, and returns its violations, one sentence
//! each.

use std::ops::Range;

use crate::lexer::{Source, lex};
use crate::{paths, table};

/// The most lines of a file that can be read in one go. A longer file should be two.
const LINES_MAX: usize = 500;

/// Files that may be longer, with their length limit. The list may only shrink.
const LONGER: &[(&str, usize)] = &[];

/// Names that do not say what a module owns.
const VAGUE: &[&str] = &["utils", "util", "helpers", "common", "misc", "types", "manager"];

/// Returns every violation in the file at `path`, which is relative to the repository.
pub(crate) fn check(path: &str, text: &str) -> Vec<String> {
    let source = lex(text);
    let mut wrong = [length(path, text), vague(path, &source), unfiled(path, &source)].concat();
    if let Some(inner) = path.strip_prefix("src/") {
        wrong.extend(arrows(inner, &source));
        wrong.extend(clocks(path, &source));
        wrong.extend(streams(path, &source));
    }
    if ["src/", "loadtests/", "examples/"].iter().any(|root| path.starts_with(root)) {
        wrong.extend(panics(path, &source));
    }
    wrong
}

fn arrows(inner: &str, source: &Source) -> Vec<String> {
    if inner == "lib.rs" {
        return Vec::new();
    }
    let own = inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs");
    let Some((row, allowed)) = table::row(inner) else {
        return vec![format!(
            "src/{inner}: the module `{own}` has no row in the arrow table; give it one in \
             tests/architecture/table.rs, above all that it names and below all that name it"
        )];
    };
    let level = match inner.trim_end_matches(".rs") {
        "main" => 0,
        stem => stem.split('/').filter(|part| *part != "mod").count(),
    };
    let judge = |named: paths::Named| {
        let paths::Named { module, line } = named;
        if module == "*" {
            return Some(format!(
                "src/{inner}:{line}: names the crate root as a whole; name the module that is meant"
            ));
        }
        let fine = module == own || table::holds(allowed, &module);
        (!fine).then(|| format!(
            "src/{inner}:{line}: `{row}` may not name `{module}`; move what is shared down, pass \
             it in, or argue for the arrow in tests/architecture/table.rs"
        ))
    };
    paths::named(source, level).into_iter().filter_map(judge).collect()
}

fn length(path: &str, text: &str) -> Vec<String> {
    let max = LONGER.iter().find(|(name, _)| *name == path).map_or(LINES_MAX, |(_, max)| *max);
    let lines = text.lines().count();
    let long = lines > max;
    long.then(|| format!("{path}: {lines} lines, more than {max}; split it by what its parts own"))
        .into_iter()
        .collect()
}

fn vague(path: &str, source: &Source) -> Vec<String> {
    let parts = path.trim_end_matches(".rs").split('/').map(str::to_owned);
    let inline = (1..source.tokens.len())
        .filter(|index| source.text(index - 1) == "mod")
        .map(|index| source.text(index).to_owned());
    parts
        .chain(inline)
        .filter(|name| VAGUE.contains(&name.as_str()))
        .map(|name| format!("{path}: the name `{name}` says nothing; name what the module owns"))
        .collect()
}

/// Returns the notes for later work that do not name an issue.
fn unfiled(path: &str, source: &Source) -> Vec<String> {
    let marks = |text: &str| {
        ["TODO", "FIXME"].iter().any(|mark| {
            text.split(mark).skip(1).any(|rest| {
                let number = rest.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
                number.is_none_or(|(digits, _)| digits.parse::<u32>().is_err())
            })
        })
    };
    let open = source.comments.iter().filter(|comment| marks(&comment.text));
    open.map(|comment| {
        let line = comment.line;
        format!("{path}:{line}: a note for later names its issue, as in `TODO(#12)`")
    })
    .collect()
}

/// Returns the calls that stop the process instead of returning an error.
fn panics(path: &str, source: &Source) -> Vec<String> {
    if is_test_file(path) {
        return Vec::new();
    }
    let excused: Vec<Range<usize>> = (0..source.tokens.len())
        .filter(|index| {
            source.reads(*index, &["#", "[", "cfg", "(", "test", ")"])
                || source.reads(*index, &["#", "[", "cfg", "(", "all", "(", "test", ","])
                || source.reads(*index, &["#", "[", "expect", "(", "clippy", "::", "expect_used"])
                || source.reads(*index, &["#", "[", "expect", "(", "clippy", "::", "unwrap_used"])
        })
        .map(|index| index..after_item(source, index))
        .collect();
    (1..source.tokens.len())
        .filter(|index| {
            matches!(source.text(index - 1), "." | "::")
                && matches!(source.text(*index), "unwrap" | "expect")
                && source.text(index + 1) == "("
        })
        .filter(|index| !excused.iter().any(|range| range.contains(index)))
        .map(|index| {
            let (line, name) = (source.line(index), source.text(index));
            format!(
                "{path}:{line}: `{name}` outside tests; return an error, or put \
                 `#[expect(clippy::{name}_used, reason = ..)]` directly above"
            )
        })
        .collect()
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Returns the end of the item or statement below the attribute at `index`.
fn after_item(source: &Source, mut index: usize) -> usize {
    let mut depth = 0_usize;
    while index < source.tokens.len() {
        match source.text(index) {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(source.text(index), "}" | ";") {
            break;
        }
        index += 1;
    }
    index
}

/// Returns the reads of a clock outside the file that owns time. CPU time counts as a resource, not
/// as time.
fn clocks(path: &str, source: &Source) -> Vec<String> {
    if path == "src/clock.rs" {
        return Vec::new();
    }
    (0..source.tokens.len())
        .filter(|index| {
            source.reads(*index, &["Instant", "::", "now"])
                || source.reads(*index, &["SystemTime", "::", "now"])
                || source.reads(*index, &["clock_gettime", "("])
                    && !(2..7).any(|ahead| source.text(index + ahead).ends_with("CPUTime"))
        })
        .map(|index| {
            let line = source.line(index);
            format!("{path}:{line}: only src/clock.rs reads time; take a clock or `now`")
        })
        .collect()
}

/// Returns the writes to standard output and standard error outside the file that makes text from
/// outside harmless for a terminal.
fn streams(path: &str, source: &Source) -> Vec<String> {
    const MACROS: [&str; 4] = ["print", "println", "eprint", "eprintln"];
    if path == "src/cli/terminal.rs" {
        return Vec::new();
    }
    (0..source.tokens.len())
        .filter(|index| {
            source.reads(*index, &["stdout", "(", ")"])
                || source.reads(*index, &["stderr", "(", ")"])
                || (MACROS.contains(&source.text(*index)) && source.text(index + 1) == "!")
        })
        .map(|index| {
            let line = source.line(index);
            format!(
                "{path}:{line}: only src/cli/terminal.rs writes to a terminal; use its `Stream`"
            )
        })
        .collect()
}
