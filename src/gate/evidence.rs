//! Which pairs are evidence for a metric, and why the others are not.

use super::leg::{Pair, Side, Useless};
use super::metric::{Demand, Metric};
use super::policy::{Design, Policy};

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
    pub(super) const fn is_absent(&self) -> bool {
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

/// What the pairs have on one metric.
pub(super) enum Evidence {
    /// Enough pairs whose legs are what the metric needs.
    Fit(Values),
    /// All pairs, whatever the host did to them: enough to show a large slow-down, and nothing else.
    Disturbed(Values, NotJudged),
    /// Nothing to judge by.
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

    /// Whether neither build has what the metric is about.
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self, Self::None(not) if not.is_absent())
    }

    /// Whether the metric is put to a test.
    pub(super) const fn is_tested(&self) -> bool {
        !matches!(self, Self::None(_))
    }
}

/// The values of a metric in the pairs that count.
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

/// Above this share of useless pairs the others are no fair sample.
const USELESS_MAX: f64 = 0.25;

fn fit(pairs: &[Pair], metric: Metric) -> Result<Values, NotJudged> {
    let mut values = Values::default();
    let mut not = NotJudged { pairs: pairs.len(), ..NotJudged::default() };
    for pair in pairs {
        let both =
            pair.base.value(metric).and_then(|base| Ok((base, pair.candidate.value(metric)?)));
        let compared = both.and_then(|(base, candidate)| {
            let difference = pair.difference(metric, base, candidate);
            Ok([base, candidate, difference.ok_or(Useless::Missing)?])
        });
        match compared {
            Ok(compared) => values.push(compared),
            Err(useless) => not.count(useless, pair, metric),
        }
    }
    if values.differences.is_empty() || share(not.useless(), pairs.len()) > USELESS_MAX {
        return Err(not);
    }
    Ok(values)
}

/// The values of every pair, if each has them.
///
/// Equal builds take turns in mirrored order, so their differences are symmetric about zero whatever
/// the host did. All pairs have to count for that: a choice among them would not be symmetric. With
/// fewer pairs than `level` allows, equal builds would differ in one direction too often by chance.
fn disturbed(pairs: &[Pair], metric: Metric, policy: &Policy) -> Option<Values> {
    let one_sided = 0.5_f64.powi(i32::try_from(pairs.len()).unwrap_or(i32::MAX));
    if policy.design != Design::Pairs || one_sided > policy.level() {
        return None;
    }
    let mut values = Values::default();
    for pair in pairs {
        // A base away from its rate had another load: what a request costs there is no measure.
        if metric.demand() == Demand::Rate && !pair.base.kept_rate {
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
