//! Selects the pairs that count as evidence for a metric, and counts the others by reason.

use std::fmt;

use super::leg::{Pair, Side, Unusable};
use super::metric::{Metric, Requirement};
use super::policy::{Design, Policy};

/// Counts of the pairs that made a metric impossible to judge, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NotJudged {
    /// Pairs with a leg that does not meet the requirement of the metric.
    pub(crate) invalid: usize,
    /// Other pairs with too few samples on both sides.
    pub(crate) missing: usize,
    /// Pairs with enough samples of the base but too few of the candidate.
    pub(crate) lost: usize,
    /// Pairs with enough samples of the candidate but too few of the base.
    pub(crate) gained: usize,
    /// Number of all pairs.
    pub(crate) pairs: usize,
}

impl NotJudged {
    pub(super) const fn is_absent(&self) -> bool {
        self.missing == self.pairs && self.pairs > 0
    }

    /// Returns true if the candidate lacks a value that the base has, so that no slow-down can be
    /// excluded.
    ///
    /// A sample count near the minimum falls on either side by chance, so most pairs must agree.
    pub(crate) const fn is_lost(&self) -> bool {
        self.lost > self.gained + self.pairs / 2
    }

    fn count(&mut self, unusable: Unusable, pair: &Pair, metric: Metric) {
        let has = |side| pair.leg(side).values.contains_key(&metric);
        let counter = match (has(Side::Base), has(Side::Candidate)) {
            (false, false) => &mut self.missing,
            (true, true) if unusable == Unusable::Missing => &mut self.missing,
            (true, true) => &mut self.invalid,
            // A leg off its rate has other sample counts for that reason alone.
            _ if !(pair.base.kept_rate && pair.candidate.kept_rate) => &mut self.invalid,
            (true, false) => &mut self.lost,
            (false, true) => &mut self.gained,
        };
        *counter += 1;
    }

    const fn unusable(&self) -> usize {
        self.invalid + self.missing + self.lost + self.gained
    }
}

impl fmt::Display for NotJudged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invalid, missing, lost, gained, pairs } = self;
        let parts = [
            (invalid, "an invalid leg"),
            (missing, "too few samples or no value"),
            (lost, "a value of the base and none of the candidate"),
            (gained, "a value of the candidate and none of the base"),
        ];
        let told = parts.into_iter().filter(|(count, _)| **count > 0);
        let told = told.map(|(count, what)| format!("{count} of {pairs} pairs have {what}"));
        f.write_str(&told.collect::<Vec<_>>().join(", "))
    }
}

/// Evidence of the pairs for one metric.
pub(super) enum Evidence {
    /// Enough pairs have legs that meet the requirement of the metric.
    Fit(Values),
    /// All pairs, including those that the host disturbed. They can show a large slow-down and nothing
    /// else.
    Disturbed(Values, NotJudged),
    /// There is no evidence.
    None(NotJudged),
}

impl Evidence {
    /// Collects the evidence of `pairs` on `metric`.
    pub(super) fn of(pairs: &[Pair], metric: Metric, policy: &Policy) -> Self {
        let not = match fit(pairs, metric) {
            Ok(values) => return Self::Fit(values),
            Err(not) => not,
        };
        match disturbed(pairs, metric, policy) {
            Some(values) => Self::Disturbed(values, not),
            None => Self::None(not),
        }
    }

    /// Returns true if neither build has values of the metric.
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::None(not) if not.is_absent())
    }

    /// Returns true if the metric is tested.
    pub(super) const fn is_tested(&self) -> bool {
        !matches!(self, Self::None(_))
    }
}

/// Values of a metric in the pairs that count.
#[derive(Default)]
pub(super) struct Values {
    pub(super) base: Vec<f64>,
    pub(super) candidate: Vec<f64>,
    pub(super) differences: Vec<f64>,
}

impl Values {
    fn push(&mut self, [base, candidate, difference]: [f64; 3]) {
        self.base.push(base);
        self.candidate.push(candidate);
        self.differences.push(difference);
    }
}

/// Maximum share of unusable pairs. Above it, the other pairs are not a fair sample.
const UNUSABLE_MAX: f64 = 0.25;

fn fit(pairs: &[Pair], metric: Metric) -> Result<Values, NotJudged> {
    let mut values = Values::default();
    let mut not = NotJudged { pairs: pairs.len(), ..NotJudged::default() };
    for pair in pairs {
        let required = pair.requirement(metric);
        let value = |side| pair.leg(side).value(metric, required);
        let both = value(Side::Base).and_then(|base| Ok((base, value(Side::Candidate)?)));
        let compared = both.and_then(|(base, candidate)| {
            let difference = pair.difference(metric, base, candidate);
            Ok([base, candidate, difference.ok_or(Unusable::Missing)?])
        });
        match compared {
            Ok(compared) => values.push(compared),
            Err(unusable) => not.count(unusable, pair, metric),
        }
    }
    if values.differences.is_empty() || share(not.unusable(), pairs.len()) > UNUSABLE_MAX {
        return Err(not);
    }
    Ok(values)
}

/// Returns the values of every pair, or none unless all pairs have them.
///
/// Equal builds take turns in mirrored order, so their differences are symmetric about zero whatever the
/// host did. All pairs must count, because a selection of them would not be symmetric. With too few
/// pairs for the level of the policy, equal builds would too often all differ in one direction by
/// chance.
fn disturbed(pairs: &[Pair], metric: Metric, policy: &Policy) -> Option<Values> {
    let one_sided = 0.5_f64.powi(i32::try_from(pairs.len()).unwrap_or(i32::MAX));
    if policy.design != Design::Pairs || one_sided > policy.level(pairs.len()) {
        return None;
    }
    let mut values = Values::default();
    for pair in pairs {
        // A base off its rate had another load, so its cost per request does not compare.
        if pair.requirement(metric) == Requirement::Rate && !pair.base.kept_rate {
            return None;
        }
        let base = *pair.base.values.get(&metric)?;
        let candidate = *pair.candidate.values.get(&metric)?;
        values.push([base, candidate, pair.difference(metric, base, candidate)?]);
    }
    Some(values)
}

#[expect(clippy::cast_precision_loss, reason = "pairs are few")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}
