//! Writes a gate that counted as a comment on a pull request.

use std::fmt::Write;

use comfy_table::presets;

use super::figures::line;
use super::text::{counted, table};
use crate::harness::document::count::Count;
use crate::harness::gate::markdown::escaped;

/// Returns a heading, the verdict sentence, the table, the functions that grew, and the builds.
pub(crate) fn render(document: &Count) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, document);
    text
}

fn write(text: &mut String, document: &Count) -> std::fmt::Result {
    writeln!(text, "### mintbench gate --count: {}\n", document.verdict.as_str())?;
    writeln!(text, "{}.\n", escaped(&document.sentence))?;
    writeln!(text, "{}\n", table(document, presets::ASCII_MARKDOWN))?;
    for function in &document.grown {
        writeln!(text, "- {}: `{}`", function.class, code(&line(function)))?;
    }
    for note in &document.notes {
        writeln!(text, "- note: {}", escaped(note))?;
    }
    writeln!(text, "- base: {}", escaped(&document.base.to_string()))?;
    writeln!(text, "- candidate: {}", escaped(&document.candidate.to_string()))?;
    writeln!(text, "- counted {}", escaped(&counted(document)))?;
    writeln!(text, "- host: {}; {}", escaped(&document.host.to_string()), document.started_at)
}

/// Returns text for within backquotes. Names of functions hold `<` and `&`, which stay as they are there.
fn code(text: &str) -> String {
    crate::base::printable::name(text).replace('`', "'")
}
