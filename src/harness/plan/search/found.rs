//! Result of a search: the monotone curve of all levels, and the rates around its answer.

use super::super::level::{Cause, Level, Verdict};
use crate::harness::stats::isotonic::{Point, non_decreasing};
use crate::harness::stats::median::median;

/// Settings of a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Limit of the percentile, in nanoseconds.
    pub(crate) limit_ns: f64,
    /// First rate, in requests per second.
    pub(crate) start: f64,
    /// Maximum rate that is tried, in requests per second.
    pub(crate) rate_max: f64,
    /// Maximum gap between the answer and the next failing rate, as a ratio above 1.
    pub(crate) resolution: f64,
    /// Number of repeats of each of the last two levels.
    pub(crate) repeats: u32,
    /// Seed of the shuffled order.
    pub(crate) seed: u64,
}

/// Measured level with its verdict.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// Requested rate.
    pub(crate) rate: f64,
    /// Results of the level.
    pub(crate) level: Level,
    /// Verdict of the level.
    pub(crate) verdict: Verdict,
}

/// Rate on the monotone curve.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Upper bound after isotonic regression, in nanoseconds.
    pub(crate) upper_ns: f64,
    /// Reason why this rate does not count, if there is one.
    pub(crate) missed: Option<Cause>,
}

/// Result of a search.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// All levels, in the order of measurement.
    pub(crate) probes: Vec<Probe>,
    /// Monotone curve, ascending by rate.
    pub(crate) curve: Vec<Step>,
    /// Largest rate that meets the objective, if any does.
    pub(crate) met: Option<Step>,
    /// Next rate that misses it; none if no higher rate does.
    pub(crate) missed: Option<Step>,
}

impl Found {
    /// Returns the rates above the answer and below the first that missed, at which nobody can tell.
    pub(crate) fn undecided(&self) -> impl Iterator<Item = f64> {
        let met = self.met.as_ref().map_or(0.0, |step| step.rate);
        let missed = self.missed.as_ref().map_or(f64::INFINITY, |step| step.rate);
        let between = move |step: &&Step| step.rate > met && step.rate < missed;
        self.curve.iter().filter(between).map(|step| step.rate)
    }
}

/// Minimum ratio of the rate of an overloaded level to the highest answered rate. Below it, the broker
/// might have kept up but for a stall of the machine.
const OVERRUN_MIN: f64 = 1.25;

/// Returns the levels that exceeded the capacity of the broker.
pub(crate) fn overrun(probes: &[Probe]) -> impl Iterator<Item = &Probe> {
    left_over(probes).filter(|probe| probe.level.is_overrun())
}

/// Returns the levels with a rate far above any answered rate, which left requests over.
pub(super) fn left_over(probes: &[Probe]) -> impl Iterator<Item = &Probe> {
    let most = probes.iter().map(|probe| probe.level.answered).fold(0.0, f64::max);
    let beyond = move |probe: &&Probe| probe.level.offered >= OVERRUN_MIN * most;
    probes.iter().filter(|probe| probe.level.is_left_over()).filter(beyond)
}

/// Judges levels that were measured before, at any rates.
pub(crate) fn judge(terms: Terms, levels: Vec<Level>) -> Found {
    let probe =
        |level: Level| Probe { rate: level.offered, verdict: level.verdict(terms.limit_ns), level };
    conclude(terms, levels.into_iter().map(probe).collect())
}

/// All probes of one rate.
struct Rate<'a> {
    rate: f64,
    probes: Vec<&'a Probe>,
}

pub(super) fn conclude(terms: Terms, probes: Vec<Probe>) -> Found {
    let rates = by_rate(&probes);
    let fitted = |of: fn(&Level) -> Option<f64>| {
        let points: Vec<Point> = rates.iter().map(|rate| rate.point(of, terms.limit_ns)).collect();
        non_decreasing(&points).into_iter().map(f64::exp).collect::<Vec<f64>>()
    };
    let (uppers, lowers) = (fitted(|level: &Level| level.upper_ns), fitted(Level::least_ns));
    let steps = rates.iter().zip(uppers.into_iter().zip(lowers));
    let curve: Vec<Step> = steps
        .map(|(rate, (upper_ns, lower_ns))| {
            let missed = rate.fault().or_else(|| beyond(terms.limit_ns, upper_ns, lower_ns));
            Step { rate: rate.rate, upper_ns, missed }
        })
        .collect();
    let met = curve.iter().rev().find(|step| step.missed.is_none()).cloned();
    let above = met.as_ref().map_or(0.0, |step| step.rate);
    let is_missed = |step: &&Step| step.rate > above && step.missed != Some(Cause::Undecided);
    let missed = curve.iter().find(is_missed).cloned();
    Found { probes, curve, met, missed }
}

/// Compares both bounds with the limit.
fn beyond(limit_ns: f64, upper_ns: f64, lower_ns: f64) -> Option<Cause> {
    // Converting to the logarithm and back loses the last bits.
    let limit_ns = limit_ns * (1.0 + 1e-9);
    match (upper_ns > limit_ns, lower_ns > limit_ns) {
        (false, _) => None,
        (true, false) => Some(Cause::Undecided),
        (true, true) => Some(Cause::Slo),
    }
}

/// Sorts the probes by their rates.
fn by_rate(probes: &[Probe]) -> Vec<Rate<'_>> {
    let mut by_rate: Vec<&Probe> = probes.iter().collect();
    by_rate.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let mut rates: Vec<Rate<'_>> = Vec::new();
    for probe in by_rate {
        match rates.last_mut() {
            Some(last) if last.rate.to_bits() == probe.rate.to_bits() => last.probes.push(probe),
            _ => rates.push(Rate { rate: probe.rate, probes: vec![probe] }),
        }
    }
    rates
}

impl Rate<'_> {
    /// Returns the median of a bound on a logarithmic scale, because delays multiply.
    fn point(&self, of: fn(&Level) -> Option<f64>, limit_ns: f64) -> Point {
        // A level without a percentile is beyond any limit, but the regression needs a number.
        let beyond = limit_ns * 1000.0;
        let bound = |probe: &&Probe| of(&probe.level).unwrap_or(beyond).clamp(1.0, beyond);
        let bounds: Vec<f64> = self.probes.iter().map(bound).map(f64::ln).collect();
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let weight = self.probes.len() as f64;
        Point { value: median(&bounds), weight }
    }

    /// Returns the fault of more than half of the probes, other than a slow percentile.
    fn fault(&self) -> Option<Cause> {
        let faults = self.probes.iter().filter_map(|probe| match &probe.verdict {
            Verdict::Missed(cause) if *cause != Cause::Slo => Some(cause),
            _ => None,
        });
        let faults: Vec<&Cause> = faults.collect();
        if 2 * faults.len() > self.probes.len() { faults.first().copied().cloned() } else { None }
    }
}
