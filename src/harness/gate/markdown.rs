//! Writes a gate as a comment on a pull request.

use std::fmt::Write;

use comfy_table::presets;

use super::figures::percent;
use super::text::{made, table};
use crate::base::printable;
use crate::harness::document::gate::Gate;

/// Returns a heading, the verdict sentence, the table, the builds, the load and the host.
pub(crate) fn render(document: &Gate) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, document);
    text
}

fn write(text: &mut String, document: &Gate) -> std::fmt::Result {
    let verdict = document.verdict.as_str();
    writeln!(text, "### mintbench gate: {verdict}\n")?;
    writeln!(text, "{}.\n", escaped(&document.sentence))?;
    writeln!(text, "{}\n", table(document, presets::ASCII_MARKDOWN))?;
    let policy = &document.policy;
    writeln!(
        text,
        "*effect*: above zero is worse; it lies *between* the two bounds that decide. With {} confidence a slow-down of at least \
the *smallest* fails. A candidate that is at most {} slower fails by chance in at most {} of gates.\n",
        percent(policy.power),
        percent(policy.tolerance),
        percent(policy.alpha)
    )?;
    for metric in &document.metrics {
        if let Some(why) = &metric.not_judged {
            writeln!(text, "- {} is not judged: {}", metric.metric, escaped(why))?;
        }
    }
    for note in &document.notes {
        writeln!(text, "- note: {}", escaped(note))?;
    }
    writeln!(text, "- base: {}", escaped(&document.base.to_string()))?;
    writeln!(text, "- candidate: {}", escaped(&document.candidate.to_string()))?;
    writeln!(text, "- {}", made(document))?;
    writeln!(text, "- host: {}; {}", escaped(&document.host.to_string()), document.started_at)
}

/// Escapes names, which come from outside: they must not start a tag or a mention, or be invisible.
pub(super) fn escaped(text: &str) -> String {
    printable::name(text).replace('&', "&amp;").replace('<', "&lt;").replace('@', "&#64;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_outside_start_no_tag_mention_nobody_and_hide_nothing() {
        assert_eq!(escaped("a<b>&@c\nd\u{1b}[31m"), "a&lt;b>&amp;&#64;c\\nd\\u{1b}[31m");
    }
}
