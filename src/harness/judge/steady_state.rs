//! Checks that latency and cache hit ratio did not drift during the run.
//!
//! Sits between the collector and the interval sink, and keeps the p95 and the hits of each second.

use std::io;

use crate::base::clock::UnixSeconds;
use crate::harness::class::Class;
use crate::harness::record::collector::{IntervalSink, Totals};
use crate::harness::record::intervals::{INTERVAL, IntervalSet, Latencies, Rest, Window};
use crate::harness::scenario::changes::Changes;
use crate::harness::scenario::mix::Kind;
use crate::harness::scenario::phases::{Expectation, Phases};
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::stats::intervals::{Counts, quantile_interval};
use crate::harness::stats::stationarity;
use crate::harness::stats::stationarity::{Drift, Steadiness};

/// Sink that passes intervals on and keeps the data for the checks.
pub(crate) struct SteadyStateSink<'a> {
    sink: &'a mut dyn IntervalSink,
    window: Option<Window>,
    seconds: Seconds,
}

/// Data of each whole second, in order.
#[derive(Debug, Default)]
pub struct Seconds {
    /// p95 response time of the class with the most answers, in nanoseconds.
    p95_ns: Vec<f64>,
    /// Cache hits, and all answers for which the broker reports their origin.
    lookups: Vec<[u64; 2]>,
}

/// Result of the steady-state check.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum SteadyState {
    /// No steady state is expected: the scenario changes its load or the broker.
    #[default]
    NotExpected,
    /// The run was too short to tell.
    TooShort {
        /// Number of its whole seconds.
        seconds: usize,
    },
    /// The run had a steady state.
    Steady {
        /// Seconds of the measured part that look like warm-up.
        warm_up_s: usize,
    },
    /// The latency rose or fell throughout.
    Drifting {
        /// Median p95 of a second, in the first and in the second half.
        drift: Drift,
        /// True if the drift makes the run invalid. The run must be long enough, and the intervals
        /// of its halves must not overlap.
        decided: bool,
    },
}

/// Cache hit ratios of the two halves of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HitRatios {
    /// Hit ratio of the first half.
    pub first: f64,
    /// Hit ratio of the second half.
    pub second: f64,
    /// Distance of the two in standard errors, as if answers were independent.
    pub apart: f64,
}

/// Seconds from which on a drift makes a run invalid. On a shorter run it is only a note, because
/// latency on shared machines wanders within a minute.
const DECIDED_SECONDS: usize = 60;
/// Largest difference that counts as the same hit ratio: one answer in a hundred.
const HIT_RATIO_TOLERANCE: f64 = 0.01;
/// Standard errors that count as a difference: twice the usual two, because popularity makes
/// answers less than independent.
const APART_MIN: f64 = 4.0;

impl<'a> SteadyStateSink<'a> {
    pub(crate) fn passing_to(sink: &'a mut dyn IntervalSink) -> Self {
        Self { sink, window: None, seconds: Seconds::default() }
    }

    pub(crate) fn into_seconds(self) -> Seconds {
        self.seconds
    }
}

impl IntervalSink for SteadyStateSink<'_> {
    fn begin(&mut self, window: Window, start: UnixSeconds) -> io::Result<()> {
        self.window = Some(window);
        self.sink.begin(window, start)
    }

    fn interval(&mut self, set: &IntervalSet, rest: Rest<'_>) -> io::Result<()> {
        // The quantile of a part of a second does not compare with the others.
        if self.window.is_some_and(|window| window.interval(set.index) == INTERVAL) {
            self.seconds.take(set);
        }
        self.sink.interval(set, rest)
    }
}

impl Seconds {
    #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ns")]
    fn take(&mut self, set: &IntervalSet) {
        let most = set.good().max_by_key(|(_, latencies)| latencies.response.len());
        let Some((_, Latencies { response, .. })) = most else { return };
        self.p95_ns.push(response.value_at_quantile(0.95) as f64);
        let count = |wanted: &[Class]| {
            let seen = set.seen().filter(|(class, _)| wanted.contains(class));
            seen.map(|(_, latencies)| latencies.response.len()).sum::<u64>()
        };
        let all = count(&[Class::Hit, Class::Miss, Class::Coalesced]);
        self.lookups.push([count(&[Class::Hit]), all]);
    }

    /// Judges the steady state of the whole run. `totals` must come from the same run.
    pub(super) fn steady_state(&self, plan: &RunPlan, totals: &Totals) -> SteadyState {
        if !expects_steady_state(plan) {
            return SteadyState::NotExpected;
        }
        match stationarity::judge(&self.p95_ns) {
            Steadiness::TooShort => SteadyState::TooShort { seconds: self.p95_ns.len() },
            Steadiness::Steady { warm_up } => SteadyState::Steady { warm_up_s: warm_up },
            Steadiness::Drifting(drift) => {
                let long = self.p95_ns.len() >= DECIDED_SECONDS;
                SteadyState::Drifting { drift, decided: long && halves_differ(totals) }
            }
        }
    }

    /// Compares the hit ratios of the halves. Returns `None` if no steady state is expected, or if
    /// a half has no answers with a known origin.
    pub(super) fn hit_ratios(&self, plan: &RunPlan) -> Option<HitRatios> {
        if !expects_steady_state(plan) {
            return None;
        }
        let (first, second) = self.lookups.split_at(self.lookups.len() / 2);
        HitRatios::of(total(first), total(second))
    }
}

impl HitRatios {
    /// Computes the ratios from the hits and lookups of each half.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn of([hits, all]: [u64; 2], [later_hits, later_all]: [u64; 2]) -> Option<Self> {
        if all == 0 || later_all == 0 {
            return None;
        }
        let share = |part: u64, whole: u64| part as f64 / whole as f64;
        let (first, second) = (share(hits, all), share(later_hits, later_all));
        // Test of two proportions, with a pooled proportion.
        let pooled = share(hits + later_hits, all + later_all);
        let error = (pooled * (1.0 - pooled) * (1.0 / all as f64 + 1.0 / later_all as f64)).sqrt();
        let apart = if error > 0.0 { (first - second).abs() / error } else { 0.0 };
        Some(Self { first, second, apart })
    }

    /// Returns true if the cache was still filling or emptying.
    pub fn is_unstable(&self) -> bool {
        (self.first - self.second).abs() > HIT_RATIO_TOLERANCE && self.apart > APART_MIN
    }
}

fn total(seconds: &[[u64; 2]]) -> [u64; 2] {
    seconds.iter().fold([0, 0], |[hits, all], [more_hits, more]| [hits + more_hits, all + more])
}

/// Returns true if a steady state is expected.
///
/// Bursts, several phases, changing rates and changes under load have none, and that is no fault.
fn expects_steady_state(plan: &RunPlan) -> bool {
    let Some(Phases { phases, expect, .. }) = plan.workload.phases() else { return false };
    // Keys that are cold on purpose, and tokens that are renewed together, come in waves.
    let mut shares = phases.iter().flat_map(|phase| &phase.mix);
    let cold = shares.any(|share| matches!(share.kind, Kind::Turn { .. }));
    let waves = cold || expect.contains(&Expectation::Refreshes);
    matches!(plan.changes, Changes::None) && plan.workload.level().is_some() && !waves
}

/// Returns true if the 95 % intervals of the p99 of both halves do not overlap. Returns false if
/// there are no intervals.
fn halves_differ(totals: &Totals) -> bool {
    let most = totals.whole.good().max_by_key(|(_, latencies)| latencies.response.len());
    let blocks = most.map_or(&[][..], |(class, _)| totals.responses.of(class));
    differ(blocks)
}

fn differ(blocks: &[Counts]) -> bool {
    let (first, second) = blocks.split_at(blocks.len() / 2);
    match (quantile_interval(first, 0.99), quantile_interval(second, 0.99)) {
        (Ok((low, high)), Ok((later_low, later_high))) => high < later_low || later_high < low,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_ratio_that_moves_by_more_than_chance_and_one_in_a_hundred_is_unstable() {
        let unstable = |first, second| HitRatios::of(first, second).unwrap().is_unstable();
        assert!(!unstable([990, 1000], [985, 1000]));
        assert!(unstable([9000, 10_000], [9900, 10_000]));
        // Far apart, but only a few answers.
        assert!(!unstable([9, 10], [10, 10]));
        // Certainly different, but too little to matter.
        assert!(!unstable([990_000, 1_000_000], [995_000, 1_000_000]));
        assert!(!unstable([0, 1000], [0, 1000]));
        assert_eq!(HitRatios::of([0, 0], [1, 1]), None);
    }

    #[test]
    fn halves_differ_when_their_intervals_have_nothing_in_common() {
        let blocks = |second: u64| -> Vec<Counts> {
            let value = |index: u64| if index < 30 { 100 + index % 3 } else { second + index % 3 };
            let tail = |index: u64| 5 + index * 7 % 11;
            let block = |index| vec![(value(index), 990), (value(index) * 2, tail(index))];
            (0..60).map(block).collect()
        };
        assert!(differ(&blocks(300)));
        assert!(!differ(&blocks(100)));
        assert!(!differ(&blocks(300)[20..40]));
    }
}
