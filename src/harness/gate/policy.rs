//! The rules of a gate: tolerated slow-down, limit, and error rates.

use super::metric::{Metric, Scale};
pub(crate) use crate::harness::document::gate::{Design, MetricChoice};
use crate::harness::stats::paired::Rates;

/// Rules of one gate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    /// Design of the comparison: pairs of legs, or legs against a stored baseline.
    pub(crate) design: Design,
    /// Maximum probability that a candidate within the tolerance fails, over all metrics and looks
    /// together.
    pub(crate) alpha: f64,
    /// Minimum probability that a candidate slower by the limit does not pass, and that one slower by
    /// the smallest effect fails.
    pub(crate) power: f64,
    /// Tolerated slow-down, as a share.
    pub(crate) tolerance: f64,
    /// Slow-down that must not pass, as a share.
    pub(crate) limit: f64,
    /// Compared metrics.
    pub(crate) metrics: Vec<Metric>,
    /// Tells if each metric must be judged, or only those that the machine allows.
    pub(crate) metric_choice: MetricChoice,
    /// Numbers of pairs after which the gate looks for a verdict, ascending.
    pub(crate) looks: Vec<usize>,
}

/// Weight of a share of lookups relative to the same share of time. A loss of 1 % of the hits doubles
/// the misses of a cache that hits 99 % of the time.
const LOSS_WEIGHT: f64 = 5.0;

impl Policy {
    /// Returns the looks from `first` to `last` pairs, with twice as many pairs each time.
    pub(crate) fn doubling(first: usize, last: usize) -> Vec<usize> {
        let doubled = std::iter::successors(Some(first), |pairs| pairs.checked_mul(2));
        doubled.take_while(|pairs| *pairs < last).chain([last.max(first)]).collect()
    }

    /// Returns the tolerated difference of this metric.
    pub(crate) fn tolerated(&self, metric: Metric) -> f64 {
        metric.difference_of(weighed(metric, self.tolerance))
    }

    /// Returns the difference of this metric that must not pass.
    pub(crate) fn limit_of(&self, metric: Metric) -> f64 {
        metric.difference_of(weighed(metric, self.limit))
    }

    /// Returns the error rate of one look, for all metrics together: the looks share `alpha` evenly.
    pub(crate) fn level(&self) -> f64 {
        shared(self.alpha, self.looks.len())
    }

    /// Returns the error rates of the bounds of one metric among `tested` (Bonferroni).
    pub(crate) fn rates(&self, tested: usize) -> Rates {
        // All metrics must pass for a pass, so the rate of the upper bound is not divided among them.
        let silent = shared(1.0 - self.power, self.looks.len());
        Rates { low: shared(self.level(), tested), high: silent }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of looks and metrics")]
fn shared(chance: f64, parts: usize) -> f64 {
    chance / parts.max(1) as f64
}

fn weighed(metric: Metric, share: f64) -> f64 {
    match metric.scale() {
        Scale::Loss => share / LOSS_WEIGHT,
        Scale::Ratio => share,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a policy of these metrics.
    pub(crate) fn policy(metrics: &[&str]) -> Policy {
        Policy {
            design: Design::Pairs,
            alpha: 0.05,
            power: 0.99,
            tolerance: 0.01,
            limit: 0.05,
            metrics: metrics.iter().map(|metric| metric.parse().unwrap()).collect(),
            metric_choice: MetricChoice::Default,
            looks: Policy::doubling(10, 20),
        }
    }

    #[test]
    fn looks_double_up_to_the_last() {
        assert_eq!(Policy::doubling(10, 20), [10, 20]);
        assert_eq!(Policy::doubling(8, 8), [8]);
        assert_eq!(Policy::doubling(5, 30), [5, 10, 20, 30]);
        assert_eq!(Policy::doubling(9, 3), [9]);
    }
}
