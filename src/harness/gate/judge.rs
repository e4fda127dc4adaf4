//! Turns pairs into verdicts.

use super::evidence::{Evidence, NotJudged, Values};
use super::leg::{Leg, Pair};
use super::metric::Metric;
use super::policy::{Bars, Design, MetricChoice, Policy};
pub(crate) use crate::harness::document::gate::Verdict;
use crate::harness::stats::median::median;
use crate::harness::stats::paired::{Bounds, Method, Rates, Summary};

/// Verdict on one metric, with its figures.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    /// The metric.
    pub(crate) metric: Metric,
    /// Differences of the pairs that count.
    pub(crate) differences: Vec<f64>,
    /// Median of the base's values, in the metric's unit.
    pub(crate) base: f64,
    /// Median of the candidate's values, in the metric's unit.
    pub(crate) candidate: f64,
    /// Middle of the differences, by the method of the bounds. It lies between them.
    pub(crate) effect: f64,
    /// Mean and spread of the differences.
    pub(crate) summary: Summary,
    /// 95 % confidence interval of the middle, by the method of the bounds.
    pub(crate) interval: Bounds,
    /// Bounds of the middle at the error rates of this look. The verdict depends on them.
    pub(crate) bounds: Bounds,
    /// Method that found the bounds.
    pub(crate) method: Method,
    /// Smallest difference that would have failed, with the power of the policy.
    pub(crate) smallest: f64,
    /// P-value of the hypothesis that the candidate is not slower than tolerated. Before the last look,
    /// and if the host disturbed the legs, the hypothesis is that it is not slower than the limit.
    pub(crate) p: f64,
    /// Verdict on this metric.
    pub(crate) verdict: Verdict,
    /// True if it fails although the host disturbed the legs, because every pair is beyond the limit.
    pub(crate) disturbed: bool,
}

/// Confidence of the interval that is stored beside the bounds.
const CONFIDENCE: f64 = 0.95;

/// Metric with its result, or the reason why it was not judged.
pub(crate) type Finding = (Metric, Result<Judged, NotJudged>);

/// Judges every metric of the policy at one look.
pub(crate) fn judge(pairs: &[Pair], policy: &Policy) -> Vec<Finding> {
    let found = policy.metrics.iter().map(|metric| (*metric, Evidence::of(pairs, *metric, policy)));
    // A class that this load does not have is reported only if it was asked for.
    let found: Vec<(Metric, Evidence)> = found
        .filter(|(metric, evidence)| {
            !evidence.is_absent() || policy.names(*metric) || policy.requires(*metric, pairs)
        })
        .collect();
    let tested = found.iter().filter(|(_, evidence)| evidence.is_tested());
    let tested: Vec<Metric> = tested.map(|(metric, _)| *metric).collect();
    let judged = |(metric, evidence)| {
        let rates = policy.rates(metric, &tested, pairs.len());
        (metric, decide(metric, evidence, policy, (pairs.len(), rates)))
    };
    found.into_iter().map(judged).collect()
}

fn decide(
    metric: Metric,
    evidence: Evidence,
    policy: &Policy,
    (pairs, rates): (usize, Rates),
) -> Result<Judged, NotJudged> {
    let limit = policy.limit_of(metric);
    match evidence {
        Evidence::None(not) => Err(not),
        Evidence::Fit(values) => {
            let Bars { fail, pass } = policy.bars(metric, pairs);
            let mut judged = weigh(metric, values, policy.design, fail, rates);
            judged.verdict = if judged.bounds.low > fail {
                Verdict::Fail
            } else if judged.bounds.high < pass {
                Verdict::Pass
            } else {
                Verdict::Inconclusive
            };
            Ok(judged)
        }
        Evidence::Disturbed(values, not) => {
            let judged = weigh(metric, values, policy.design, limit, rates);
            let beyond = judged.differences.iter().all(|difference| *difference > limit);
            let shown = beyond && judged.bounds.low > limit;
            let failed = Judged { verdict: Verdict::Fail, disturbed: true, ..judged };
            shown.then_some(failed).ok_or(not)
        }
    }
}

/// Returns the findings that were judged.
pub(crate) fn judged(findings: &[Finding]) -> impl Iterator<Item = &Judged> {
    findings.iter().filter_map(|(_, finding)| finding.as_ref().ok())
}

/// Returns the verdict of the whole gate, from the findings and the checks.
pub(crate) fn overall(pairs: &[Pair], findings: &[Finding], policy: &Policy) -> Verdict {
    let any = |verdict| judged(findings).any(|judged| judged.verdict == verdict);
    let broken = |leg: fn(&Pair) -> &Leg| pairs.iter().any(|pair| !leg(pair).failures.is_empty());
    let unjudged = findings.iter().any(|(_, finding)| finding.is_err());
    let lost = findings.iter().any(|(_, finding)| finding.as_ref().is_err_and(NotJudged::is_lost));
    if broken(|pair| &pair.candidate) {
        Verdict::Fail
    } else if broken(|pair| &pair.base) {
        // A comparison with a broken base says nothing.
        Verdict::Invalid
    } else if any(Verdict::Fail) {
        Verdict::Fail
    } else if !lacking(pairs, findings, policy).is_empty() {
        Verdict::Inconclusive
    } else if judged(findings).next().is_none()
        || (unjudged && policy.metric_choice == MetricChoice::Named)
    {
        Verdict::Invalid
    } else if any(Verdict::Inconclusive) || lost || lacks_latency(findings, policy) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    }
}

/// Returns the metrics that the gate has to judge and could not, with the reasons.
pub(crate) fn lacking<'a>(
    pairs: &[Pair],
    findings: &'a [Finding],
    policy: &Policy,
) -> Vec<(Metric, &'a NotJudged)> {
    let unjudged = findings.iter().filter_map(|(metric, f)| Some((*metric, f.as_ref().err()?)));
    unjudged.filter(|(metric, _)| policy.requires(*metric, pairs)).collect()
}

/// Returns true if the gate compares latency but could not judge any latency.
pub(crate) fn lacks_latency(findings: &[Finding], policy: &Policy) -> bool {
    policy.metrics.iter().any(|metric| metric.is_latency())
        && !judged(findings).any(|judged| judged.metric.is_latency())
}

/// Compares the values with `null`, the difference that must be exceeded.
fn weigh(metric: Metric, values: Values, design: Design, null: f64, rates: Rates) -> Judged {
    let Values { base, candidate, differences } = values;
    let summary = Summary::of(&differences);
    let (method, summary) = match design {
        Design::Baseline => (Method::Student, summary.against_one_draw()),
        Design::Pairs => (Method::for_pairs(differences.len(), rates), summary),
    };
    let bounds = |rates| match method {
        Method::Student => summary.bounds(rates),
        Method::SignedRank => method.bounds(&differences, rates),
    };
    let p = match method {
        Method::Student => summary.p_above(null),
        Method::SignedRank => method.p_above(&differences, null),
    };
    let (interval, bounds) = (bounds(Rates::two_sided(CONFIDENCE)), bounds(rates));
    Judged {
        metric,
        base: median(&base),
        candidate: median(&candidate),
        effect: method.middle(&differences),
        summary,
        interval,
        bounds,
        method,
        smallest: null + bounds.width(),
        p,
        verdict: Verdict::Inconclusive,
        disturbed: false,
        differences,
    }
}
