//! From pairs to verdicts.

use super::leg::{Leg, Pair, Side, Useless};
use super::metric::Metric;
use super::policy::{Design, Policy, Wanted};
use crate::stats::holm;
use crate::stats::median::median;
use crate::stats::paired::{Bounds, Method, Rates, Summary};

/// What is said of the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A slow-down of the limit can be neither shown nor excluded.
    CannotTell,
    /// Slower than tolerated, beyond doubt.
    Fail,
    /// The machine or the generator was the bottleneck: nothing is known.
    Invalid,
    /// A slow-down of the limit is excluded.
    Pass,
}

impl Verdict {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CannotTell => "cannot tell",
            Self::Fail => "fail",
            Self::Invalid => "invalid",
            Self::Pass => "pass",
        }
    }
}

/// Why a metric is not judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotJudged {
    /// How many pairs had a leg that was not what the metric needs.
    pub invalid: usize,
    /// How many others had too few samples on both sides.
    pub missing: usize,
    /// How many had enough of the base, and too few of the candidate.
    pub lost: usize,
    /// How many had enough of the candidate, and too few of the base.
    pub gained: usize,
    /// Of how many pairs.
    pub pairs: usize,
}

impl NotJudged {
    const fn is_absent(&self) -> bool {
        self.missing == self.pairs && self.pairs > 0
    }

    /// Whether the candidate no longer has what the base has: no slow-down of it can be excluded.
    ///
    /// A count of samples near the least one falls on either side by chance: most pairs have to say so.
    pub const fn is_lost(&self) -> bool {
        self.lost > self.gained + self.pairs / 2
    }

    fn count(&mut self, useless: Useless, pair: &Pair, metric: Metric) {
        let has = |side| pair.leg(side).values.contains_key(&metric);
        let counter = match (has(Side::Base), has(Side::Candidate)) {
            (false, false) => &mut self.missing,
            (true, true) if useless == Useless::Missing => &mut self.missing,
            (true, true) => &mut self.invalid,
            // Away from its rate a leg has other counts for that reason alone.
            _ if !(pair.base.kept_rate && pair.candidate.kept_rate) => &mut self.invalid,
            (true, false) => &mut self.lost,
            (false, true) => &mut self.gained,
        };
        *counter += 1;
    }

    const fn useless(&self) -> usize {
        self.invalid + self.missing + self.lost + self.gained
    }
}

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
    /// Mean and spread of the differences.
    pub summary: Summary,
    /// Where the difference lies, at the rates of this look.
    pub bounds: Bounds,
    /// How the bounds were found.
    pub method: Method,
    /// The smallest difference that this gate could not have missed.
    pub smallest: f64,
    /// How likely such differences are if the candidate is no slower than tolerated.
    pub p: f64,
    /// What follows.
    pub verdict: Verdict,
}

/// One metric: judged, or not.
pub type Finding = (Metric, Result<Judged, NotJudged>);

/// Above this share of useless pairs the others are no fair sample.
const USELESS_MAX: f64 = 0.25;

/// Judges every metric of the policy at one look.
pub fn judge(pairs: &[Pair], policy: &Policy) -> Vec<Finding> {
    let sorted: Vec<(Metric, Result<Usable, NotJudged>)> =
        policy.metrics.iter().map(|metric| (*metric, usable(pairs, *metric))).collect();
    // A class that this load does not have is worth a word only where it was asked for.
    let sorted: Vec<_> = sorted
        .into_iter()
        .filter(|(_, usable)| {
            policy.wanted == Wanted::Named || !usable.as_ref().is_err_and(NotJudged::is_absent)
        })
        .collect();
    let rates = policy.rates(sorted.iter().filter(|(_, usable)| usable.is_ok()).count());
    let mut findings: Vec<Finding> = sorted
        .into_iter()
        .map(|(metric, usable)| (metric, usable.map(|usable| weigh(metric, usable, policy, rates))))
        .collect();
    let p: Vec<f64> = judged(&findings).map(|judged| judged.p).collect();
    let rejected = holm::rejected(&p, policy.level());
    let open = findings.iter_mut().filter_map(|(_, finding)| finding.as_mut().ok());
    for (judged, slower) in open.zip(rejected) {
        judged.verdict = if slower {
            Verdict::Fail
        } else if judged.bounds.high < policy.limit_of(judged.metric) {
            Verdict::Pass
        } else {
            Verdict::CannotTell
        };
    }
    findings
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
    } else if any(Verdict::CannotTell) || lost {
        Verdict::CannotTell
    } else {
        Verdict::Pass
    }
}

/// The values of the pairs that count.
struct Usable {
    base: Vec<f64>,
    candidate: Vec<f64>,
    differences: Vec<f64>,
}

fn usable(pairs: &[Pair], metric: Metric) -> Result<Usable, NotJudged> {
    let mut usable = Usable { base: Vec::new(), candidate: Vec::new(), differences: Vec::new() };
    let mut not = NotJudged { pairs: pairs.len(), ..NotJudged::default() };
    for pair in pairs {
        let values =
            pair.base.value(metric).and_then(|base| Ok((base, pair.candidate.value(metric)?)));
        let differing =
            values.and_then(|(base, candidate)| Ok((base, candidate, pair.difference(metric)?)));
        match differing {
            Ok((base, candidate, difference)) => {
                usable.base.push(base);
                usable.candidate.push(candidate);
                usable.differences.push(difference);
            }
            Err(useless) => not.count(useless, pair, metric),
        }
    }
    if usable.differences.is_empty() || share(not.useless(), pairs.len()) > USELESS_MAX {
        return Err(not);
    }
    Ok(usable)
}

fn weigh(metric: Metric, usable: Usable, policy: &Policy, rates: Rates) -> Judged {
    let Usable { base, candidate, differences } = usable;
    let (tolerated, summary) = (policy.tolerated(metric), Summary::of(&differences));
    let method = match policy.design {
        Design::Baseline => Method::Student,
        Design::Pairs => Method::for_pairs(differences.len(), rates),
    };
    let (summary, bounds, p) = match policy.design {
        Design::Baseline => {
            let summary = summary.against_one_draw();
            (summary, summary.bounds(rates), summary.p_above(tolerated))
        }
        Design::Pairs => {
            (summary, method.bounds(&differences, rates), method.p_above(&differences, tolerated))
        }
    };
    Judged {
        metric,
        base: median(&base),
        candidate: median(&candidate),
        differences,
        summary,
        bounds,
        method,
        smallest: tolerated + bounds.width(),
        p,
        verdict: Verdict::CannotTell,
    }
}

#[expect(clippy::cast_precision_loss, reason = "pairs are few")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
