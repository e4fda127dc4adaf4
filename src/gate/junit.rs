//! A gate as a JUnit file: one test case for each metric, and one for the checks.

use quick_junit::{NonSuccessKind, Report, SerializeError, TestCase, TestCaseStatus, TestSuite};

use super::document::{Document, JudgedJson, MetricJson};
use super::judge::Verdict;
use super::text::share;

/// The file's text.
///
/// # Errors
/// When it cannot be put into XML.
pub fn render(document: &Document) -> Result<String, SerializeError> {
    let mut suite = TestSuite::new(format!("mintbench gate {}", document.scenario));
    suite.add_property(("verdict", document.verdict.as_str()));
    suite.add_property(("base", document.base.to_string().as_str()));
    suite.add_property(("candidate", document.candidate.to_string().as_str()));
    suite.add_test_case(checks(document));
    suite.add_test_cases(document.metrics.iter().map(|metric| case(metric, document)));
    let mut report = Report::new("mintbench");
    report.add_test_suite(suite);
    report.to_string()
}

fn checks(document: &Document) -> TestCase {
    let mut status = TestCaseStatus::success();
    if !document.failures.is_empty() {
        status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status.set_message("checks failed").set_description(document.failures.join("\n"));
    }
    TestCase::new("checks", status)
}

fn case(metric: &MetricJson, document: &Document) -> TestCase {
    let (status, said) = match &metric.judged {
        Some(judged) => (status(judged), says(judged)),
        None => (TestCaseStatus::skipped(), metric.not_judged.clone().unwrap_or_default()),
    };
    let mut status = status;
    // A gate that says nothing must not look like one that passed.
    if metric.judged.is_none() && document.verdict == Verdict::Invalid {
        status = TestCaseStatus::non_success(NonSuccessKind::Error);
    }
    status.set_message(said.as_str());
    let mut case = TestCase::new(metric.metric.to_string(), status);
    case.set_system_out(said);
    case
}

fn status(judged: &JudgedJson) -> TestCaseStatus {
    match judged.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Verdict::CannotTell | Verdict::Invalid => TestCaseStatus::skipped(),
    }
}

fn says(judged: &JudgedJson) -> String {
    let [low, high] = judged.bounds.map(share);
    format!(
        "{}: {} worse, between {low} and {high}; smallest effect {}, {} pairs",
        judged.verdict.as_str(),
        share(Some(judged.effect)),
        share(judged.smallest_effect),
        judged.pairs
    )
}
