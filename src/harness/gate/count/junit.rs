//! Writes a gate that counted as a JUnit file: one test case for each metric, and one for the checks.

use super::figures::{change, name, signed};
use crate::harness::document::count::{Count, CountedMetric};
use crate::harness::gate::junit::{Case, Outcome, Suite, checks, properties};

/// Returns the text of the file.
pub(crate) fn render(document: &Count) -> String {
    let builds = [&document.base, &document.candidate];
    let suite = Suite {
        name: "--count",
        started_at: &document.started_at,
        properties: properties(document.verdict, &document.sentence, builds),
        cases: std::iter::once(checks(&document.failures))
            .chain(document.metrics.iter().map(case))
            .collect(),
    };
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = suite.write(&mut text);
    text
}

fn case(metric: &CountedMetric) -> Case {
    let said = match &metric.not_counted {
        Some(reason) => format!("not counted: {reason}"),
        None => format!(
            "{}: {} for each request; fails from {} on",
            metric.verdict.as_str(),
            change(metric),
            signed(metric.allowed)
        ),
    };
    Case { name: name(metric), outcome: Outcome::of(metric.verdict), said }
}
