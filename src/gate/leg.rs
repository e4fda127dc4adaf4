//! One short run of one build, as far as the gate looks at it.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::metric::{Demand, Metric, Percentile};
use crate::load::class::Class;
use crate::load::metrics::Counters;
use crate::load::recorder;
use crate::load::session::Outcome;
use crate::load::validity::Reason;
use crate::stats::paired::signed_rank::hodges_lehmann;

/// What one run came to.
#[derive(Clone, Debug, Default)]
pub struct Leg {
    /// What was measured; what has too few samples is missing.
    pub values: BTreeMap<Metric, f64>,
    /// The response times by class, in nanoseconds; none of a stored run.
    pub responses: BTreeMap<Class, Histogram<u64>>,
    /// Whether the requests were sent at their rate.
    pub kept_rate: bool,
    /// Why the run is invalid, if it is.
    pub reasons: Vec<String>,
    /// Checks that failed.
    pub failures: Vec<String>,
    /// The share of the machine's time that the hypervisor took.
    pub steal_share: f64,
}

/// Which build a leg is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is compared with.
    Base,
    /// What is judged.
    Candidate,
}

impl Side {
    /// Which has the first turn in pair `number`: they alternate.
    pub const fn first_of(number: usize) -> Self {
        if number.is_multiple_of(2) { Self::Base } else { Self::Candidate }
    }

    /// The name in reports and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Candidate => "candidate",
        }
    }
}

/// Two legs in turns, under the same seed.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Of schedule, workload and world.
    pub seed: u64,
    /// Which of the two came first.
    pub first: Side,
    /// The leg of the base.
    pub base: Leg,
    /// The leg of the candidate.
    pub candidate: Leg,
    /// By which factor a turn of the candidate took more processor time than that of the base beside
    /// it, as logarithms; none where the two did not take turns.
    pub cpu_by_turn: Vec<f64>,
}

/// Fewer turns than this say less than the whole legs.
const TURNS_MIN: usize = 8;

impl Pair {
    /// The difference of a metric; above zero is worse for the candidate.
    ///
    /// That of the processor time is the robust middle of the turns, where there are some: whatever
    /// disturbs the machine for a moment hits a turn of one side, and moves the middle of all little.
    ///
    /// # Errors
    /// When one of the legs has no value that counts.
    pub fn difference(&self, metric: Metric) -> Result<f64, Useless> {
        let (base, candidate) = (self.base.value(metric)?, self.candidate.value(metric)?);
        let whole = || metric.difference(base, candidate).ok_or(Useless::Missing);
        if metric == Metric::Cpu && self.cpu_by_turn.len() >= TURNS_MIN {
            return hodges_lehmann(&self.cpu_by_turn).map_or_else(whole, Ok);
        }
        whole()
    }

    /// The leg of one side.
    pub const fn leg(&self, side: Side) -> &Leg {
        match side {
            Side::Base => &self.base,
            Side::Candidate => &self.candidate,
        }
    }
}

/// The response times of all legs of one side, by class, in nanoseconds.
pub fn merged(pairs: &[Pair], side: Side) -> BTreeMap<Class, Histogram<u64>> {
    let mut all: BTreeMap<Class, Histogram<u64>> = BTreeMap::new();
    for (class, histogram) in pairs.iter().flat_map(|pair| &pair.leg(side).responses) {
        let sum = all.entry(*class).or_insert_with(recorder::histogram);
        // Equal bounds everywhere: adding cannot fail.
        let _ = sum.add(histogram);
    }
    all
}

/// Why a leg says nothing about a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Useless {
    /// The run was not what the metric needs.
    Invalid,
    /// There were too few samples.
    Missing,
}

impl Leg {
    /// Of a run.
    pub fn of(outcome: &Outcome) -> Self {
        let values = Metric::ALL.into_iter();
        Self {
            values: values.filter_map(|metric| Some((metric, value(metric, outcome)?))).collect(),
            responses: responses(outcome),
            kept_rate: !outcome.reasons.iter().any(spoils_rate),
            reasons: outcome.reasons.iter().map(ToString::to_string).collect(),
            failures: outcome.failures.iter().map(ToString::to_string).collect(),
            steal_share: outcome.conditions.strain.steal_share,
        }
    }

    /// The value of a metric.
    ///
    /// # Errors
    /// When this leg has none that counts.
    pub fn value(&self, metric: Metric) -> Result<f64, Useless> {
        let value = self.values.get(&metric).copied().ok_or(Useless::Missing)?;
        let fit = match metric.demand() {
            Demand::Rate => self.kept_rate,
            Demand::Valid => self.reasons.is_empty(),
        };
        if fit { Ok(value) } else { Err(Useless::Invalid) }
    }
}

fn responses(outcome: &Outcome) -> BTreeMap<Class, Histogram<u64>> {
    let seen = outcome.measured.totals.whole.seen();
    seen.map(|(class, latencies)| (class, latencies.response.clone())).collect()
}

/// Whether a run was so far from its rate that it is another load.
///
/// A run itself is stricter, since its latencies depend on the rate: the cost of a request hardly does.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn spoils_rate(reason: &Reason) -> bool {
    match reason {
        Reason::Impeded { .. } | Reason::NoRequests | Reason::Unsent { .. } => true,
        Reason::Rate { scheduled, acted } => !keeps_rate(*acted as f64, *scheduled as f64),
        _ => false,
    }
}

/// Whether so many requests acted on in time are the load that was meant.
pub(super) fn keeps_rate(acted: f64, scheduled: f64) -> bool {
    const TOLERANCE: f64 = 0.1;
    (acted - scheduled).abs() <= (TOLERANCE * scheduled).max(1.0)
}

fn value(metric: Metric, outcome: &Outcome) -> Option<f64> {
    let counters = outcome.broker.as_ref().and_then(|counted| counted.measured);
    match metric {
        Metric::Cpu => counters.as_ref().and_then(Counters::cpu_us_per_request),
        Metric::HitRatio => counters.as_ref().and_then(Counters::hit_ratio),
        Metric::Memory => counters.map(|counters| counters.rss_bytes).filter(|rss| *rss > 0.0),
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

    fn pair(cpu: [f64; 2], cpu_by_turn: Vec<f64>) -> Pair {
        let [base, candidate] = cpu.map(|cpu| Leg {
            values: BTreeMap::from([(Metric::Cpu, cpu), (Metric::Memory, cpu)]),
            kept_rate: true,
            ..Leg::default()
        });
        Pair { seed: 1, first: Side::Base, base, candidate, cpu_by_turn }
    }

    #[test]
    fn a_disturbed_turn_moves_the_processor_time_little_and_other_metrics_have_no_turns() {
        // One turn of nine took ten times as long, which makes the whole leg twice as dear.
        let mut turns = vec![0.02; 8];
        turns.push(10.0_f64.ln());
        let pair = pair([10.0, 20.0], turns);
        assert!((pair.difference(Metric::Cpu).unwrap() - 0.02).abs() < 1e-9);
        assert!((pair.difference(Metric::Memory).unwrap() - 2.0_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn too_few_turns_leave_the_word_to_the_whole_legs() {
        let pair = pair([10.0, 20.0], vec![0.0; TURNS_MIN - 1]);
        assert!((pair.difference(Metric::Cpu).unwrap() - 2.0_f64.ln()).abs() < 1e-9);
        assert_eq!(pair.difference(Metric::HitRatio), Err(Useless::Missing));
    }
}
