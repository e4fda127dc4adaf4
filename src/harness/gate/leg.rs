//! One short run of one build, reduced to the values that the gate needs.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;

use super::metric::{Compared, Metric, Percentile, Requirement};
use crate::harness::class::Class;
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::validity::Reason;
use crate::harness::record::intervals::{Latencies, histogram};
use crate::harness::stats::median::median;
use crate::harness::stats::paired::signed_rank::hodges_lehmann;

/// Results of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leg {
    /// Measured values. Metrics with too few samples are missing.
    pub(crate) values: BTreeMap<Metric, f64>,
    /// Response times by class, in nanoseconds; empty for a stored run.
    pub(crate) responses: BTreeMap<Class, Histogram<u64>>,
    /// True if the requests were sent at their rate.
    pub(crate) kept_rate: bool,
    /// Classes whose median is for more than a quarter lateness of the generator.
    pub(crate) late_medians: BTreeSet<Class>,
    /// Reasons why the run is invalid; empty if it is valid.
    pub(crate) reasons: Vec<String>,
    /// Failed checks.
    pub(crate) failures: Vec<String>,
    /// Share of the machine's time that the hypervisor took.
    pub(crate) steal_share: f64,
}

/// Build that a leg measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The build that is compared with.
    Base,
    /// The build that is judged.
    Candidate,
}

impl Side {
    /// Returns the side that goes first in pair `number`. The sides alternate.
    pub(crate) const fn first_of(number: usize) -> Self {
        if number.is_multiple_of(2) { Self::Base } else { Self::Candidate }
    }

    /// Returns the name in reports and messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Candidate => "candidate",
        }
    }
}

/// Two legs in turns, with the same seed.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    /// Seed of schedule, workload and world.
    pub(crate) seed: u64,
    /// Side that went first.
    pub(crate) first: Side,
    /// Leg of the base.
    pub(crate) base: Leg,
    /// Leg of the candidate.
    pub(crate) candidate: Leg,
    /// Differences of each metric that is compared turn by turn, one for each pair of turns. Empty if the
    /// two did not take turns.
    pub(crate) by_turn: BTreeMap<Metric, Vec<f64>>,
    /// Differences of the metrics that are compared request by request: the median over the requests of both legs.
    /// Empty if the two did not take turns.
    pub(crate) by_request: BTreeMap<Metric, f64>,
}

/// Minimum number of turns. Fewer say less than the whole legs.
const TURNS_MIN: usize = 8;
/// Minimum number of requests that are compared one by one.
const REQUESTS_MIN: usize = 40;

/// Returns the median of the differences of single requests, if there are enough of them.
pub(crate) fn middle(requests: &[f64]) -> Option<f64> {
    (requests.len() >= REQUESTS_MIN).then(|| median(requests))
}

impl Pair {
    /// Creates a pair of legs that did not take turns.
    pub(crate) fn apart(seed: u64, first: Side, base: Leg, candidate: Leg) -> Self {
        let (by_turn, by_request) = (BTreeMap::new(), BTreeMap::new());
        Self { seed, first, base, candidate, by_turn, by_request }
    }

    /// Returns the difference of a metric with these values in the two legs; above zero the candidate is
    /// worse. Returns none if it is not finite, as with zeros.
    ///
    /// With enough requests of a median, or turns of processor time, this is their robust middle. A short
    /// disturbance of the machine hits a turn of one side only and hardly moves that middle.
    pub(crate) fn difference(&self, metric: Metric, base: f64, candidate: f64) -> Option<f64> {
        let requests = self.by_request.get(&metric).copied();
        let turns = || self.turns(metric).and_then(hodges_lehmann);
        requests.or_else(turns).or_else(|| metric.difference(base, candidate))
    }

    /// Returns the condition that both legs must meet for a metric.
    pub(crate) fn requirement(&self, metric: Metric) -> Requirement {
        let in_turns = self.by_request.contains_key(&metric) || self.turns(metric).is_some();
        metric.requirement(if in_turns { Compared::InTurns } else { Compared::Whole })
    }

    /// Returns the differences of the turns, if there are enough of them.
    fn turns(&self, metric: Metric) -> Option<&[f64]> {
        let turns = self.by_turn.get(&metric)?;
        (turns.len() >= TURNS_MIN).then_some(turns)
    }

    /// Returns the leg of one side.
    pub(crate) const fn leg(&self, side: Side) -> &Leg {
        match side {
            Side::Base => &self.base,
            Side::Candidate => &self.candidate,
        }
    }
}

/// Returns the response times of all legs of one side, by class, in nanoseconds.
pub(crate) fn merged(pairs: &[Pair], side: Side) -> BTreeMap<Class, Histogram<u64>> {
    let mut all: BTreeMap<Class, Histogram<u64>> = BTreeMap::new();
    for (class, responses) in pairs.iter().flat_map(|pair| &pair.leg(side).responses) {
        let sum = all.entry(*class).or_insert_with(histogram);
        // All histograms have equal bounds, so adding cannot fail.
        let _ = sum.add(responses);
    }
    all
}

/// Reasons why a leg says nothing about a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The run did not meet the requirement of the metric.
    Invalid,
    /// There were too few samples.
    Missing,
}

impl Leg {
    /// Extracts the leg from the outcome of a run.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let values = Metric::ALL.into_iter();
        Self {
            values: values.filter_map(|metric| Some((metric, value(metric, outcome)?))).collect(),
            responses: responses(outcome),
            kept_rate: !outcome.reasons.iter().any(is_off_rate),
            late_medians: late_medians(outcome),
            reasons: outcome.reasons.iter().map(ToString::to_string).collect(),
            failures: outcome.failures.iter().map(ToString::to_string).collect(),
            steal_share: outcome.conditions.strain.steal_share,
        }
    }

    /// Returns the value of a metric.
    ///
    /// # Errors
    /// Returns [`Unusable`] when this leg has no value of the metric, or does not meet the requirement.
    pub(crate) fn value(&self, metric: Metric, required: Requirement) -> Result<f64, Unusable> {
        let value = self.values.get(&metric).copied().ok_or(Unusable::Missing)?;
        if self.meets(required) { Ok(value) } else { Err(Unusable::Invalid) }
    }

    fn meets(&self, required: Requirement) -> bool {
        let valid = self.reasons.is_empty();
        match required {
            Requirement::Median(class) => {
                valid || (self.kept_rate && !self.late_medians.contains(&class))
            }
            Requirement::Rate => self.kept_rate,
            Requirement::Valid => valid,
        }
    }
}

/// Returns the classes whose median lag is more than a quarter of the median response time.
fn late_medians(outcome: &Outcome) -> BTreeSet<Class> {
    let late = |latencies: &Latencies| {
        let [response, lag] =
            [&latencies.response, &latencies.lag].map(|times| times.value_at_quantile(0.5));
        lag > response / 4
    };
    let seen = outcome.measured.totals.whole.seen();
    seen.filter(|(_, latencies)| late(latencies)).map(|(class, _)| class).collect()
}

fn responses(outcome: &Outcome) -> BTreeMap<Class, Histogram<u64>> {
    let seen = outcome.measured.totals.whole.seen();
    seen.map(|(class, latencies)| (class, latencies.response.clone())).collect()
}

/// Returns true if a run was so far from its rate that it had another load.
///
/// The validity of a run is stricter, because its latencies depend on the rate. The cost of a request
/// hardly does.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn is_off_rate(reason: &Reason) -> bool {
    match reason {
        Reason::Impeded { .. }
        | Reason::Median { .. }
        | Reason::NoRequests
        | Reason::Unsent { .. } => true,
        Reason::Rate { scheduled, acted } => !keeps_rate(*acted as f64, *scheduled as f64),
        Reason::Burst { .. }
        | Reason::Busy { .. }
        | Reason::Gaps(_)
        | Reason::HitRatio(_)
        | Reason::Hiccup { .. }
        | Reason::Interrupted(_)
        | Reason::Lag { .. }
        | Reason::LagTail { .. }
        | Reason::Notice { .. }
        | Reason::NoticeTail { .. }
        | Reason::Paging { .. }
        | Reason::Steal { .. }
        | Reason::Throttled { .. }
        | Reason::Unsteady(_) => false,
    }
}

/// Returns true if the requests sent in time are within a tenth of the scheduled ones.
pub(super) fn keeps_rate(acted: f64, scheduled: f64) -> bool {
    const TOLERANCE: f64 = 0.1;
    (acted - scheduled).abs() <= (TOLERANCE * scheduled).max(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
fn value(metric: Metric, outcome: &Outcome) -> Option<f64> {
    let counters = || outcome.broker.as_ref()?.measured.as_ref();
    match metric {
        Metric::Cpu => counters()?.cpu_us_per_request(),
        Metric::HitRatio => counters()?.hit_ratio(),
        Metric::Memory => outcome.broker.as_ref()?.anonymous_bytes.map(|bytes| bytes as f64),
        Metric::Response(class, percentile) => percentile_us(outcome, class, percentile),
    }
}

#[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ns")]
fn percentile_us(outcome: &Outcome, class: Class, percentile: Percentile) -> Option<f64> {
    let mut seen = outcome.measured.totals.whole.seen();
    let (_, latencies) = seen.find(|(other, _)| *other == class)?;
    let response = &latencies.response;
    (response.len() >= percentile.samples_min())
        .then(|| response.value_at_quantile(percentile.share()) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(cpu_by_turn: Vec<f64>) -> Pair {
        let (base, candidate) = (Leg::default(), Leg::default());
        let by_turn = [(Metric::Cpu, cpu_by_turn)].into();
        Pair { by_turn, ..Pair::apart(1, Side::Base, base, candidate) }
    }

    #[test]
    fn a_disturbed_turn_moves_the_processor_time_little_and_other_metrics_have_no_turns() {
        // One turn of nine took ten times as long, which doubles the cost of the whole leg.
        let mut turns = vec![0.02; 8];
        turns.push(10.0_f64.ln());
        let pair = pair(turns);
        let of = |metric| pair.difference(metric, 10.0, 20.0).unwrap();
        assert!((of(Metric::Cpu) - 0.02).abs() < 1e-9);
        assert!((of(Metric::Memory) - 2.0_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn a_median_by_turns_needs_no_valid_legs_but_a_generator_that_is_mostly_in_time() {
        let hit = Metric::Response(Class::Hit, Percentile::P50);
        let values = [(hit, 50.0)].into();
        let late = Leg { values, reasons: vec!["late".to_owned()], ..Leg::default() };
        let kept = Leg { kept_rate: true, ..late.clone() };
        let blurred = Leg { late_medians: [Class::Hit].into(), ..kept.clone() };
        let turns = Pair { by_request: [(hit, 0.0)].into(), ..pair(Vec::new()) };
        let in_turns = turns.requirement(hit);
        let fit = [&late, &kept, &blurred].map(|leg| leg.value(hit, in_turns).is_ok());
        assert_eq!(fit, [false, true, false]);
        let valid = Leg { reasons: Vec::new(), ..blurred };
        assert_eq!(valid.value(hit, in_turns), Ok(50.0));
        assert_eq!(turns.difference(hit, 50.0, 70.0), Some(0.0));
        // Whole legs, and a p99, need more.
        let whole = pair(Vec::new()).requirement(hit);
        assert_eq!(kept.value(hit, whole), Err(Unusable::Invalid));
        let p99 = turns.requirement(Metric::Response(Class::Hit, Percentile::P99));
        assert_eq!((whole, p99), (Requirement::Valid, Requirement::Valid));
    }

    #[test]
    fn the_middle_of_requests_needs_enough_of_them() {
        let requests = |count: u32| (0..count).map(f64::from).collect::<Vec<f64>>();
        assert_eq!(middle(&requests(39)), None);
        assert_eq!(middle(&requests(41)), Some(20.0));
    }

    #[test]
    fn too_few_turns_leave_the_word_to_the_whole_legs() {
        let pair = pair(vec![0.0; TURNS_MIN - 1]);
        let whole = pair.difference(Metric::Cpu, 10.0, 20.0).unwrap();
        assert!((whole - 2.0_f64.ln()).abs() < 1e-9);
        assert_eq!(pair.difference(Metric::Cpu, 0.0, 20.0), None);
    }
}
