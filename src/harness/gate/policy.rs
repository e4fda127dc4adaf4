//! The rules of a gate: tolerated slow-down, limit, and error rates.

use super::leg::Pair;
use super::metric::{Metric, Percentile, Scale};
use super::required::Required;
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
    /// Metrics that only a required percentile added to a choice by name. The load need not have them.
    pub(crate) added: Vec<Metric>,
    /// Metrics without which the gate cannot tell.
    pub(crate) required: Vec<Required>,
    /// Numbers of pairs after which the gate looks for a verdict, ascending.
    pub(crate) looks: Vec<usize>,
}

/// Differences that the bounds of a metric are compared with at a look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bars {
    /// The metric fails if its lower bound is above this difference.
    pub(crate) fail: f64,
    /// The metric passes if its upper bound is below this difference.
    pub(crate) pass: f64,
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

    /// Returns the bars of a metric after this many pairs.
    ///
    /// Before the last look the gate ends only with an answer beyond doubt: worse than the limit, or not
    /// worse than tolerated. All else is worth the remaining pairs.
    pub(crate) fn bars(&self, metric: Metric, pairs: usize) -> Bars {
        let (tolerated, limit) = (self.tolerated(metric), self.limit_of(metric));
        let is_last = self.looks.last().is_none_or(|last| pairs >= *last);
        let (fail, pass) = if is_last { (tolerated, limit) } else { (limit, tolerated) };
        Bars { fail, pass }
    }

    /// Returns the error rate of the look after this many pairs, for all metrics together.
    pub(crate) fn level(&self, pairs: usize) -> f64 {
        self.alpha * self.spent_at(pairs)
    }

    /// Returns the error rates of the bounds of one metric after this many pairs (Bonferroni). The
    /// `tested` metrics share the level by their weights.
    pub(crate) fn rates(&self, metric: Metric, tested: &[Metric], pairs: usize) -> Rates {
        let all: f64 = tested.iter().copied().map(weight).sum();
        let low = self.level(pairs) * weight(metric) / all.max(weight(metric));
        // All metrics must pass for a pass, so the rate of the upper bound is not divided among them.
        Rates { low, high: (1.0 - self.power) * self.spent_at(pairs) }
    }

    /// Returns the share of the error rates that belongs to the look after this many pairs. The shares
    /// of all looks have the sum 1.
    ///
    /// After a share `t` of the pairs, `t^3` is spent ("Design and analysis of group sequential tests
    /// based on the type I error spending rate function", Biometrika 74, 1987). That leaves most for the
    /// last look, which sees the most.
    fn spent_at(&self, pairs: usize) -> f64 {
        let last = self.looks.last().copied().unwrap_or(1);
        let spent = |look: usize| share(look, last).powi(3);
        let next = self.looks.partition_point(|look| *look < pairs);
        let look = self.looks.get(next).copied().unwrap_or(last);
        let before = self.looks.iter().copied().take_while(|other| *other < look).last();
        spent(look) - before.map_or(0.0, spent)
    }

    /// Returns true if a gate with these pairs has to judge the metric.
    pub(super) fn requires(&self, metric: Metric, pairs: &[Pair]) -> bool {
        self.required.iter().any(|required| required.applies(metric, pairs))
    }

    /// Returns true if the metric was asked for by its name, so that it is reported even if neither
    /// build has it.
    pub(super) fn names(&self, metric: Metric) -> bool {
        self.metric_choice == MetricChoice::Named && !self.added.contains(&metric)
    }
}

/// Returns the part of the error rate that a metric gets, relative to others. Processor time and medians
/// scatter more than memory and hit ratio, and need more to see as little.
const fn weight(metric: Metric) -> f64 {
    match metric {
        Metric::Cpu | Metric::Response(_, Percentile::P50) => 3.0,
        Metric::HitRatio | Metric::Memory | Metric::Response(_, Percentile::P99) => 1.0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most a thousand pairs")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
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
            added: Vec::new(),
            required: Vec::new(),
            looks: Policy::doubling(10, 20),
        }
    }

    /// Returns a policy of these metrics with the settings of a gate without flags.
    pub(crate) fn default_policy(metrics: &[&str]) -> Policy {
        let (power, tolerance, limit) = (0.9, 0.005, 0.03);
        Policy { power, tolerance, limit, looks: Policy::doubling(6, 24), ..policy(metrics) }
    }

    #[test]
    fn looks_double_up_to_the_last() {
        assert_eq!(Policy::doubling(10, 20), [10, 20]);
        assert_eq!(Policy::doubling(8, 8), [8]);
        assert_eq!(Policy::doubling(5, 30), [5, 10, 20, 30]);
        assert_eq!(Policy::doubling(9, 3), [9]);
    }

    #[test]
    fn looks_and_metrics_together_spend_the_error_rates_and_no_more() {
        let metrics = ["cpu", "memory", "hit.p50", "hit.p99"];
        for looks in [vec![8], vec![10, 20], vec![6, 12, 24], vec![5, 30, 31]] {
            let policy = Policy { looks, ..policy(&metrics) };
            let rates = |look: usize| {
                let of = |metric: &Metric| policy.rates(*metric, &policy.metrics, look);
                policy.metrics.iter().map(of).collect::<Vec<Rates>>()
            };
            let all: Vec<Vec<Rates>> = policy.looks.iter().map(|look| rates(*look)).collect();
            let low: f64 = all.iter().flatten().map(|rates| rates.low).sum();
            let high: f64 = all.iter().filter_map(|look| look.first()).map(|r| r.high).sum();
            assert!((low - policy.alpha).abs() < 1e-12, "{low}");
            assert!((high - (1.0 - policy.power)).abs() < 1e-12, "{high}");
        }
    }

    #[test]
    fn only_an_answer_beyond_doubt_ends_a_gate_early() {
        let policy = policy(&["cpu"]);
        let (tolerated, limit) = (policy.tolerated(Metric::Cpu), policy.limit_of(Metric::Cpu));
        assert_eq!(policy.bars(Metric::Cpu, 10), Bars { fail: limit, pass: tolerated });
        assert_eq!(policy.bars(Metric::Cpu, 20), Bars { fail: tolerated, pass: limit });
    }
}
