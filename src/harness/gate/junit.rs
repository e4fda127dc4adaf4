//! Writes a gate as a JUnit file: one test case for each metric, and one for the checks.
//!
//! JUnit has no standard. This file satisfies the strictest reader, Jenkins' xUnit plugin: its schema
//! (`junit-10.xsd`) refuses unknown attributes.

use std::fmt::Write;

use super::figures::{change, share};
use super::judge::Verdict;
use crate::base::printable::printable;
use crate::harness::document::gate::{BuildName, Gate, Judged, MetricResult};

/// Returns the text of the file.
pub(crate) fn render(document: &Gate) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut text, document);
    text
}

/// Outcome of a test case. Each outcome but success has an XML element of its name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Error,
    Failure,
    Skipped,
    Success,
}

/// Test case of a suite.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) outcome: Outcome,
    /// Text of the case; empty if there is nothing to say.
    pub(super) said: String,
}

/// Test cases of one gate.
pub(super) struct Suite<'a> {
    /// Name of the suite, after `mintbench gate`.
    pub(super) name: &'a str,
    /// Time at which the gate began.
    pub(super) started_at: &'a str,
    pub(super) properties: [(&'static str, String); 4],
    pub(super) cases: Vec<Case>,
}

impl Outcome {
    /// Returns the outcome of a metric with this verdict.
    pub(super) const fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Success,
            Verdict::Fail => Self::Failure,
            Verdict::Inconclusive | Verdict::Invalid => Self::Skipped,
        }
    }
}

fn write(text: &mut String, document: &Gate) -> std::fmt::Result {
    let metrics = document.metrics.iter().map(|metric| case(metric, document.verdict));
    let suite = Suite {
        name: &document.scenario,
        started_at: &document.started_at,
        properties: properties(
            document.verdict,
            &document.sentence,
            [&document.base, &document.candidate],
        ),
        cases: std::iter::once(checks(&document.failures)).chain(metrics).collect(),
    };
    suite.write(text)
}

/// Returns the properties of a gate: its verdict, and its two builds.
pub(super) fn properties(
    verdict: Verdict,
    sentence: &str,
    [base, candidate]: [&BuildName; 2],
) -> [(&'static str, String); 4] {
    [
        ("verdict", verdict.as_str().to_owned()),
        ("sentence", sentence.to_owned()),
        ("base", base.to_string()),
        ("candidate", candidate.to_string()),
    ]
}

impl Suite<'_> {
    /// Writes the whole file.
    pub(super) fn write(&self, text: &mut String) -> std::fmt::Result {
        let count = |outcome| self.cases.iter().filter(|case| case.outcome == outcome).count();
        let counts = format!(
            "tests=\"{}\" failures=\"{}\" errors=\"{}\"",
            self.cases.len(),
            count(Outcome::Failure),
            count(Outcome::Error)
        );
        let (suite, skipped) = (escaped(self.name), count(Outcome::Skipped));
        writeln!(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
        writeln!(text, "<testsuites name=\"mintbench\" {counts}>")?;
        writeln!(
            text,
            "  <testsuite name=\"mintbench gate {suite}\" {counts} skipped=\"{skipped}\" timestamp=\"{}\">",
            self.started_at
        )?;
        writeln!(text, "    <properties>")?;
        for (name, value) in &self.properties {
            writeln!(text, "      <property name=\"{name}\" value=\"{}\"/>", escaped(value))?;
        }
        writeln!(text, "    </properties>")?;
        self.cases.iter().try_for_each(|case| element(text, case))?;
        writeln!(text, "  </testsuite>\n</testsuites>")
    }
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

/// Returns the case of the checks.
pub(super) fn checks(failures: &[String]) -> Case {
    let (outcome, said) = if failures.is_empty() {
        (Outcome::Success, String::new())
    } else {
        (Outcome::Failure, format!("checks failed: {}", failures.join("\n")))
    };
    Case { name: "checks".to_owned(), outcome, said }
}

fn case(metric: &MetricResult, verdict: Verdict) -> Case {
    let name = metric.metric.to_string();
    let Some(judged) = &metric.judged else {
        // A gate without a verdict must not look like one that passed.
        let missed = verdict == Verdict::Invalid || metric.required;
        let outcome = if missed { Outcome::Error } else { Outcome::Skipped };
        let said = metric.not_judged.as_deref().unwrap_or("-");
        return Case { name, outcome, said: format!("not judged: {said}") };
    };
    Case { name, outcome: Outcome::of(judged.verdict), said: says(judged) }
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
