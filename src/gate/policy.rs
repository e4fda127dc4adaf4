//! What a gate tolerates, what it must find, and how often it may be wrong.

use super::metric::{Metric, Scale};
pub use crate::document::gate::{Design, Wanted};
use crate::stats::paired::Rates;

/// The rules of one gate.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How the base is measured.
    pub design: Design,
    /// How often a candidate that is not slower than tolerated may fail, all metrics and looks together.
    pub alpha: f64,
    /// How often a candidate that is slower by the limit must not pass, and one that is slower by the
    /// smallest effect must fail.
    pub power: f64,
    /// The slow-down that nobody minds, as a share.
    pub tolerance: f64,
    /// The slow-down that must not pass, as a share.
    pub limit: f64,
    /// What is compared.
    pub metrics: Vec<Metric>,
    /// Whether each of them must be judged, or only those that the machine allows.
    pub wanted: Wanted,
    /// After how many pairs it is looked whether there is a verdict, ascending.
    pub looks: Vec<usize>,
}

/// A share of lookups is worth more than the same share of time: a loss of one hit in a hundred
/// doubles the misses of a cache that hits 99 % of the time.
const LOSS_WEIGHT: f64 = 5.0;

impl Policy {
    /// After these many pairs it is looked: twice as many each time.
    pub fn doubling(first: usize, last: usize) -> Vec<usize> {
        let doubled = std::iter::successors(Some(first), |pairs| pairs.checked_mul(2));
        doubled.take_while(|pairs| *pairs < last).chain([last.max(first)]).collect()
    }

    /// The difference of this metric that nobody minds.
    pub fn tolerated(&self, metric: Metric) -> f64 {
        metric.difference_of(weighed(metric, self.tolerance))
    }

    /// The difference of this metric that must not pass.
    pub fn limit_of(&self, metric: Metric) -> f64 {
        metric.difference_of(weighed(metric, self.limit))
    }

    /// The level of one look, for all metrics together: the whole is shared evenly.
    pub fn level(&self) -> f64 {
        shared(self.alpha, self.looks.len())
    }

    /// The error rates of the bounds of one metric among `tested` (Bonferroni).
    pub fn rates(&self, tested: usize) -> Rates {
        // To pass, every metric must: no share is needed between metrics for the upper bound.
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
mod tests {
    use super::*;

    #[test]
    fn looks_double_up_to_the_last() {
        assert_eq!(Policy::doubling(10, 20), [10, 20]);
        assert_eq!(Policy::doubling(8, 8), [8]);
        assert_eq!(Policy::doubling(5, 30), [5, 10, 20, 30]);
        assert_eq!(Policy::doubling(9, 3), [9]);
    }
}
