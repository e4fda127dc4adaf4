//! Writes a gate as a JUnit file: one test case for each metric, and one for the checks.
//!
//! JUnit has no standard. This file satisfies the strictest reader, Jenkins' xUnit plugin: its schema
//! (`junit-10.xsd`) refuses unknown attributes.

use std::fmt::Write;

use super::figures::{change, share};
use super::judge::Verdict;
use crate::base::printable::printable;
use crate::harness::document::gate::{Gate, Judged, MetricResult};

/// Returns the text of the file.
pub(crate) fn render(document: &Gate) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, document);
    text
}

/// Outcome of a test case. Each outcome but success has an XML element of its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Error,
    Failure,
    Skipped,
    Success,
}

struct Case {
    name: String,
    outcome: Outcome,
    said: String,
}

fn write(text: &mut String, document: &Gate) -> std::fmt::Result {
    let metrics = document.metrics.iter().map(|metric| case(metric, document.verdict));
    let cases: Vec<Case> = std::iter::once(checks(document)).chain(metrics).collect();
    let count = |outcome| cases.iter().filter(|case| case.outcome == outcome).count();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\"",
        cases.len(),
        count(Outcome::Failure),
        count(Outcome::Error)
    );
    let (suite, skipped) = (escaped(&document.scenario), count(Outcome::Skipped));
    writeln!(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(text, "<testsuites name=\"mintbench\" {counts}>")?;
    writeln!(
        text,
        "  <testsuite name=\"mintbench gate {suite}\" {counts} skipped=\"{skipped}\" timestamp=\"{}\">",
        document.started_at
    )?;
    properties(text, document)?;
    cases.iter().try_for_each(|case| element(text, case))?;
    writeln!(text, "  </testsuite>\n</testsuites>")
}

fn properties(text: &mut String, document: &Gate) -> std::fmt::Result {
    let (base, candidate) = (document.base.to_string(), document.candidate.to_string());
    let named = [
        ("verdict", document.verdict.as_str()),
        ("sentence", &document.sentence),
        ("base", &base),
        ("candidate", &candidate),
    ];
    writeln!(text, "    <properties>")?;
    for (name, value) in named {
        writeln!(text, "      <property name=\"{name}\" value=\"{}\"/>", escaped(value))?;
    }
    writeln!(text, "    </properties>")
}

fn element(text: &mut String, Case { name, outcome, said }: &Case) -> std::fmt::Result {
    let (start, said) =
        (format!("    <testcase name=\"{name}\" classname=\"mintbench.gate\""), escaped(said));
    let tag = match outcome {
        Outcome::Success if said.is_empty() => return writeln!(text, "{start}/>"),
        Outcome::Success => {
            return writeln!(text, "{start}><system-out>{said}</system-out></testcase>");
        }
        Outcome::Error => "error",
        Outcome::Failure => "failure",
        Outcome::Skipped => "skipped",
    };
    writeln!(text, "{start}><{tag} message=\"{said}\"/></testcase>")
}

fn checks(document: &Gate) -> Case {
    let (outcome, said) = if document.failures.is_empty() {
        (Outcome::Success, String::new())
    } else {
        (Outcome::Failure, format!("checks failed: {}", document.failures.join("\n")))
    };
    Case { name: "checks".to_owned(), outcome, said }
}

fn case(metric: &MetricResult, verdict: Verdict) -> Case {
    let name = metric.metric.to_string();
    let Some(judged) = &metric.judged else {
        // A gate without a verdict must not look like one that passed.
        let invalid = verdict == Verdict::Invalid;
        let outcome = if invalid { Outcome::Error } else { Outcome::Skipped };
        let said = metric.not_judged.as_deref().unwrap_or("-");
        return Case { name, outcome, said: format!("not judged: {said}") };
    };
    let outcome = match judged.verdict {
        Verdict::Pass => Outcome::Success,
        Verdict::Fail => Outcome::Failure,
        Verdict::Inconclusive | Verdict::Invalid => Outcome::Skipped,
    };
    Case { name, outcome, said: says(judged) }
}

fn says(judged: &Judged) -> String {
    let [low, high] = judged.bounds.map(change);
    format!(
        "{}: {}, between {low} and {high}; smallest effect {}, {} pairs",
        judged.verdict.as_str(),
        change(Some(judged.effect)),
        share(judged.smallest_effect),
        judged.pairs
    )
}

/// Escapes text for an element or an attribute.
fn escaped(text: &str) -> String {
    let text = printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\n', "&#10;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_ends_no_attribute_and_holds_no_control_character() {
        assert_eq!(escaped("a<b>&\"c\"\n\u{1b}"), "a&lt;b&gt;&amp;&quot;c&quot;&#10;\\u{1b}");
    }
}
