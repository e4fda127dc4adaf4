//! The verdict of a gate as a sentence.

use super::evidence::NotJudged;
use super::figures::percent;
use super::judge::{Finding, Judged, Verdict, judged, lacking, lacks_latency};
use super::leg::Pair;
use super::metric::Metric;
use super::policy::Policy;

/// Facts that the sentence of a verdict tells.
#[derive(Clone, Copy)]
pub(super) struct Story<'a> {
    pub(super) pairs: &'a [Pair],
    pub(super) findings: &'a [Finding],
    /// Checks that failed.
    pub(super) failures: &'a [String],
    pub(super) policy: &'a Policy,
}

/// Returns the verdict as text: first the metrics that it covers or concerns, then those that were not
/// judged.
pub(super) fn sentence(verdict: Verdict, story: &Story<'_>) -> String {
    let Story { findings, failures, policy, .. } = *story;
    let parts = match verdict {
        Verdict::Fail | Verdict::Invalid if !failures.is_empty() => {
            let failures = failures.join("; ");
            return format!("checks failed, so that speed does not matter: {failures}");
        }
        Verdict::Inconclusive => {
            [lacks(story), open(findings, policy), unjudged(findings)].concat()
        }
        Verdict::Fail => [worse(findings), unjudged(findings)].concat(),
        Verdict::Invalid => {
            [vec!["the legs are no evidence".to_owned()], unjudged(findings)].concat()
        }
        Verdict::Pass => [passed(findings, policy), unjudged(findings)].concat(),
    };
    parts.join("; ")
}

/// Returns the names of the judged metrics for which `holds` is true.
fn names(findings: &[Finding], holds: impl Fn(&Judged) -> bool) -> String {
    let named = judged(findings).filter(|judged| holds(judged));
    named.map(|judged| judged.metric.to_string()).collect::<Vec<_>>().join(", ")
}

fn passed(findings: &[Finding], policy: &Policy) -> Vec<String> {
    let latency = judged(findings).any(|judged| judged.metric.is_latency());
    let without = if latency { "" } else { ", no latency" };
    let (covered, power) = (names(findings, |_| true), percent(policy.power));
    vec![format!("covers {covered}{without}: each is within its limit, with {power} confidence")]
}

fn worse(findings: &[Finding]) -> Vec<String> {
    let fails = |judged: &Judged| judged.verdict == Verdict::Fail;
    let said = [
        ("worse than tolerated, beyond doubt", names(findings, |j| fails(j) && !j.disturbed)),
        ("beyond the limit in every pair, whatever the host did", names(findings, |j| j.disturbed)),
    ];
    let said = said.into_iter().filter(|(_, metrics)| !metrics.is_empty());
    said.map(|(what, metrics)| format!("{what}: {metrics}")).collect()
}

/// Names the required metrics that were not judged, each with its reason.
fn lacks(story: &Story<'_>) -> Vec<String> {
    let lacking = lacking(story.pairs, story.findings, story.policy);
    if lacking.is_empty() {
        return Vec::new();
    }
    let told = lacking.iter().map(|(metric, not)| format!("{metric} ({})", lack(*metric, not)));
    vec![format!("required, and could not be judged: {}", told.collect::<Vec<_>>().join("; "))]
}

fn lack(metric: Metric, not: &NotJudged) -> String {
    let remedy = if not.invalid > 0 || !metric.is_latency() {
        "use a calmer machine"
    } else {
        "use longer legs (--duration) or a higher --rate"
    };
    format!("{not}; {remedy}")
}

fn open(findings: &[Finding], policy: &Policy) -> Vec<String> {
    let mut said = Vec::new();
    let open = names(findings, |judged| judged.verdict == Verdict::Inconclusive);
    if !open.is_empty() {
        said.push(format!(
            "a slow-down of {} can be neither shown nor excluded in: {open}; make more pairs (--pairs-max), longer legs (--duration), or a calmer machine",
            percent(policy.limit)
        ));
    }
    let lost = findings.iter().filter(|(_, f)| f.as_ref().is_err_and(NotJudged::is_lost));
    let lost: Vec<String> = lost.map(|(metric, _)| metric.to_string()).collect();
    if !lost.is_empty() {
        said.push(format!("the candidate no longer has what the base has: {}", lost.join(", ")));
    }
    if lacks_latency(findings, policy) {
        let covered = names(findings, |_| true).replace(", ", ",");
        said.push(format!(
            "no latency could be judged; use a calmer machine, or `--metrics {covered}` for a gate without latency"
        ));
    }
    said
}

/// Returns the metrics that the verdict does not cover.
fn unjudged(findings: &[Finding]) -> Vec<String> {
    let unjudged = findings.iter().filter(|(_, finding)| finding.is_err());
    let unjudged: Vec<String> = unjudged.map(|(metric, _)| metric.to_string()).collect();
    if unjudged.is_empty() {
        Vec::new()
    } else {
        vec![format!("not judged: {}", unjudged.join(", "))]
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::harness::gate::judge::judge;
    use crate::harness::gate::leg::{Leg, Pair, Side};
    use crate::harness::gate::policy::MetricChoice;
    use crate::harness::gate::policy::tests::policy as of_metrics;

    fn policy(metrics: &[&str], metric_choice: MetricChoice) -> Policy {
        Policy { metric_choice, looks: vec![10], ..of_metrics(metrics) }
    }

    /// Returns the sentence of a verdict on equal builds whose legs are invalid for these reasons.
    fn said(verdict: Verdict, policy: &Policy, reasons: &[&str]) -> String {
        let values = policy.metrics.iter().map(|metric| (*metric, 1.0)).collect();
        let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        let leg = Leg { values, reasons, kept_rate: true, ..Leg::default() };
        let (base, candidate) = (leg.clone(), leg);
        let pair = Pair::apart(1, Side::Base, base, candidate);
        let pairs = vec![pair; 10];
        let findings = judge(&pairs, policy);
        sentence(verdict, &Story { pairs: &pairs, findings: &findings, failures: &[], policy })
    }

    #[test]
    fn a_required_metric_that_was_not_judged_is_told_with_its_reason() {
        let required = vec!["p99".parse().unwrap()];
        let metrics = ["cpu", "hit.p50", "hit.p99", "miss.p99"];
        let policy = Policy { required, ..policy(&metrics, MetricChoice::Default) };
        let text = said(Verdict::Inconclusive, &policy, &["late"]);
        let told = "required, and could not be judged: hit.p99 (10 of 10 pairs have an invalid leg; use a calmer machine)";
        assert!(text.starts_with(told), "{text}");
    }

    #[test]
    fn a_pass_says_first_what_it_covers_and_whether_that_is_latency() {
        let costs = policy(&["cpu", "memory"], MetricChoice::Named);
        let text = said(Verdict::Pass, &costs, &[]);
        assert!(text.starts_with("covers cpu, memory, no latency: each is within"), "{text}");
        let all = policy(&["cpu", "hit.p50"], MetricChoice::Default);
        let text = said(Verdict::Pass, &all, &[]);
        assert!(text.starts_with("covers cpu, hit.p50: each is within"), "{text}");
    }

    #[test]
    fn a_gate_that_could_judge_no_latency_names_the_metrics_that_it_could() {
        let all = policy(&["cpu", "memory", "hit.p50"], MetricChoice::Default);
        let text = said(Verdict::Inconclusive, &all, &["late"]);
        assert!(text.contains("`--metrics cpu,memory` for a gate without latency"), "{text}");
        assert!(text.ends_with("; not judged: hit.p50"), "{text}");
    }
}
