//! From pairs to verdicts.

use super::evidence::{Evidence, NotJudged, Values};
use super::leg::{Leg, Pair};
use super::metric::Metric;
use super::policy::{Design, Policy, Wanted};
pub use crate::document::gate::Verdict;
use crate::stats::median::median;
use crate::stats::paired::{Bounds, Method, Rates, Summary};

/// What the pairs say about one metric.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Which.
    pub metric: Metric,
    /// The differences of the pairs that count.
    pub differences: Vec<f64>,
    /// The median of the base's values, in the metric's unit.
    pub base: f64,
    /// The median of the candidate's.
    pub candidate: f64,
    /// The middle of the differences, by the method of the bounds: it lies between them.
    pub effect: f64,
    /// Mean and spread of the differences.
    pub summary: Summary,
    /// Where the middle lies with 95 % confidence, by the same method.
    pub interval: Bounds,
    /// Where the middle lies, at the rates of this look: the verdict is made of these.
    pub bounds: Bounds,
    /// How the bounds were found.
    pub method: Method,
    /// A difference of this size would have failed, with the power of the policy.
    pub smallest: f64,
    /// How likely such differences are if the candidate is no slower than tolerated; where the host
    /// disturbed the legs, than the limit.
    pub p: f64,
    /// What follows.
    pub verdict: Verdict,
    /// Whether it fails in spite of legs that the host disturbed: by every pair being beyond the limit.
    pub disturbed: bool,
}

/// Of the interval that is stored beside the bounds.
const CONFIDENCE: f64 = 0.95;

/// One metric: judged, or not.
pub type Finding = (Metric, Result<Judged, NotJudged>);

/// Judges every metric of the policy at one look.
pub fn judge(pairs: &[Pair], policy: &Policy) -> Vec<Finding> {
    let found = policy.metrics.iter().map(|metric| (*metric, Evidence::of(pairs, *metric, policy)));
    // A class that this load does not have is worth a word only where it was asked for.
    let found: Vec<(Metric, Evidence)> = found
        .filter(|(_, evidence)| policy.wanted == Wanted::Named || !evidence.is_absent())
        .collect();
    let rates = policy.rates(found.iter().filter(|(_, evidence)| evidence.is_tested()).count());
    let judged = |(metric, evidence)| (metric, decide(metric, evidence, policy, rates));
    found.into_iter().map(judged).collect()
}

fn decide(
    metric: Metric,
    evidence: Evidence,
    policy: &Policy,
    rates: Rates,
) -> Result<Judged, NotJudged> {
    let (tolerated, limit) = (policy.tolerated(metric), policy.limit_of(metric));
    match evidence {
        Evidence::None(not) => Err(not),
        Evidence::Fit(values) => {
            let mut judged = weigh(metric, values, policy.design, tolerated, rates);
            judged.verdict = if judged.bounds.low > tolerated {
                Verdict::Fail
            } else if judged.bounds.high < limit {
                Verdict::Pass
            } else {
                Verdict::CannotTell
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

/// The findings that are judged.
pub fn judged(findings: &[Finding]) -> impl Iterator<Item = &Judged> {
    findings.iter().filter_map(|(_, finding)| finding.as_ref().ok())
}

/// What the findings and the checks come to.
pub fn overall(pairs: &[Pair], findings: &[Finding], policy: &Policy) -> Verdict {
    let any = |verdict| judged(findings).any(|judged| judged.verdict == verdict);
    let broken = |leg: fn(&Pair) -> &Leg| pairs.iter().any(|pair| !leg(pair).failures.is_empty());
    let unjudged = findings.iter().any(|(_, finding)| finding.is_err());
    let lost = findings.iter().any(|(_, finding)| finding.as_ref().is_err_and(NotJudged::is_lost));
    if broken(|pair| &pair.candidate) {
        Verdict::Fail
    } else if broken(|pair| &pair.base) {
        // Whatever is compared with it says nothing.
        Verdict::Invalid
    } else if any(Verdict::Fail) {
        Verdict::Fail
    } else if judged(findings).next().is_none() || (unjudged && policy.wanted == Wanted::Named) {
        Verdict::Invalid
    } else if any(Verdict::CannotTell) || lost || lacks_latency(findings, policy) {
        Verdict::CannotTell
    } else {
        Verdict::Pass
    }
}

/// Whether a gate that compares latency could judge none of it.
pub fn lacks_latency(findings: &[Finding], policy: &Policy) -> bool {
    policy.metrics.iter().any(|metric| metric.is_latency())
        && !judged(findings).any(|judged| judged.metric.is_latency())
}

/// Sets the values against `null`, the difference that is to be exceeded.
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
        verdict: Verdict::CannotTell,
        disturbed: false,
        differences,
    }
}
