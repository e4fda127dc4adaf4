//! Turns levels into costs: core time for each hit and each mint, and memory for each token.
//!
//! Core time is taken at high load. At low load the broker wakes up for each request, and waking takes
//! most of the time from the write to the answer. Near saturation, one wake-up serves many requests. If
//! the broker itself was the limit at some levels, its pace there is the cost and includes interrupts.
//! Time that other programs had its core meanwhile is taken off. Otherwise the cost is the processor time of the
//! busiest levels, preferably those where the generator was not the limit.

use hdrhistogram::Histogram;

use super::level::Cause;
use super::search::{Found, Probe, overrun};
use super::simulate::node::Costs;
use super::simulate::service::Service;
pub(crate) use crate::harness::document::plan::calibration::{Basis, Cost, MemoryModel};
use crate::harness::stats::isotonic;
use crate::harness::stats::knee;
use crate::harness::stats::median::median;
use crate::harness::stats::scalability;
use crate::harness::stats::scalability::{Fitted, ScalabilityError};

/// Side of the calibration: hits or mints.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// Result of the search.
    pub(crate) found: Found,
    /// Core time of each request.
    pub(crate) cost: Cost,
    /// Scalability law of the levels, if they determine one.
    pub(crate) law: Result<Fitted, ScalabilityError>,
    /// Rate from which d ln p99 / d ln rate exceeds 1, in requests per second.
    pub(crate) knee_elastic: Option<f64>,
    /// Knee by Kneedle, in requests per second.
    pub(crate) knee_kneedle: Option<f64>,
}

/// Reference point for measuring the machine's speed again later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reference {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Core time of a request in microseconds: the median of all levels at that rate.
    pub(crate) core_us: f64,
}

/// Reason why a side has no cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FitError {
    /// The broker counted no processor time at any level.
    #[error("at no level did the broker count its processor time")]
    NoLevel,
}

/// Minimum rate of the levels without generator limit, as a share of the busiest rate. Below it, all
/// levels are used.
const CLEAN_MIN: f64 = 0.5;
/// Number of busiest levels whose processor time is used. There, waking up is rare.
const BUSIEST: usize = 3;

impl Side {
    /// Fits cost, law and knees to the result of a search. `seed` seeds the resampling.
    ///
    /// # Errors
    /// Returns [`FitError`] when no level is usable.
    pub(crate) fn fit(found: Found, seed: u64) -> Result<Self, FitError> {
        let cost = cost(&found.probes).ok_or(FitError::NoLevel)?;
        let points: Vec<scalability::Level> = usable(&found.probes)
            .map(|probe| scalability::Level {
                concurrency: probe.level.concurrency(),
                throughput: probe.level.answered,
            })
            .collect();
        let law = scalability::fit(&points, seed);
        let curve: Vec<knee::Point> = found
            .curve
            .iter()
            .filter(|step| matches!(step.missed, None | Some(Cause::Slo | Cause::Undecided)))
            .map(|step| knee::Point { rate: step.rate, latency: step.upper_ns })
            .collect();
        let (knee_elastic, knee_kneedle) = (knee::elastic(&curve), knee::kneedle(&curve));
        Ok(Self { found, cost, law, knee_elastic, knee_kneedle })
    }

    /// Returns the highest rate that met the objective, if any did.
    pub(crate) fn rate(&self) -> Option<f64> {
        self.found.met.as_ref().map(|step| step.rate)
    }

    /// Returns true if the generator was the limit at the rate where the search ended.
    pub(crate) fn is_generator_limited(&self) -> bool {
        let missed = self.found.missed.as_ref().and_then(|step| step.missed.as_ref());
        matches!(missed, Some(Cause::Generator(_)))
    }

    /// Returns the answers per second of a saturated broker that has its core for itself.
    pub(crate) fn pace(&self) -> Option<f64> {
        pace(&self.found.probes)
    }

    /// Returns a rate that met the objective, and the core time of a request at that rate.
    pub(crate) fn reference(&self) -> Option<Reference> {
        let rate = self.rate()?;
        let at = self.found.probes.iter().filter(|probe| probe.rate.to_bits() == rate.to_bits());
        let taken: Vec<f64> = at.filter_map(|probe| probe.level.cpu_us).collect();
        (!taken.is_empty()).then(|| Reference { rate, core_us: median(&taken) })
    }

    /// Returns the side with all core times multiplied by `times`.
    #[must_use]
    pub(crate) fn drifted(&self, times: f64) -> Self {
        let mut side = self.clone();
        side.cost = self.cost.times(times);
        for probe in &mut side.found.probes {
            probe.level.cpu_us = probe.level.cpu_us.map(|us| us * times);
        }
        side
    }

    /// Returns the core time of a request in microseconds, for a core that is busy for this share of its
    /// time. The busier the broker, the more requests one wake-up serves. Values between levels are
    /// interpolated by the logarithm of the share. Above the levels, the cost at saturation applies.
    pub(crate) fn core_us_at(&self, busy: f64) -> f64 {
        interpolated(&self.core_us_by_share(), busy).unwrap_or(self.cost.core_us)
    }

    /// Returns shares of a core and the core time of a request at each. The core time never rises with
    /// the share.
    fn core_us_by_share(&self) -> Vec<(f64, f64)> {
        let probes = self.found.probes.iter().filter(|probe| !probe.level.is_left_over());
        let busy = |probe: &Probe| Some((probe.level.busy()?, probe.level.cpu_us?));
        let mut levels: Vec<(f64, f64)> = probes.filter_map(busy).collect();
        levels.retain(|(share, _)| *share > 0.0 && *share < 1.0);
        levels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let falling = |(_, core_us): &(f64, f64)| isotonic::Point { value: -core_us, weight: 1.0 };
        let fitted = isotonic::non_decreasing(&levels.iter().map(falling).collect::<Vec<_>>());
        let shares = levels.iter().map(|(share, _)| *share);
        // Processor time excludes the interrupts of a full core, so no cost may be below that at
        // saturation.
        let costs = fitted.into_iter().map(|core_us| self.cost.core_us.max(-core_us));
        shares.zip(costs).chain([(1.0, self.cost.core_us)]).collect()
    }
}

impl Cost {
    /// Returns the cost multiplied by `times`.
    #[must_use]
    pub(crate) fn times(self, times: f64) -> Self {
        let Self { core_us, low_us, high_us, basis } = self;
        Self { core_us: core_us * times, low_us: low_us * times, high_us: high_us * times, basis }
    }
}

/// Interpolates between the two points around `x` on a logarithmic scale. Beyond the ends, returns the
/// end value.
fn interpolated(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let above = points.partition_point(|(at, _)| *at <= x);
    let Some((low, low_value)) = above.checked_sub(1).and_then(|index| points.get(index)) else {
        return points.first().map(|(_, value)| *value);
    };
    let Some((high, high_value)) = points.get(above) else { return Some(*low_value) };
    let share = (x / low).ln() / (high / low).ln();
    Some(low_value + share * (high_value - low_value))
}

/// Returns the levels where the generator was not the limit.
fn usable(probes: &[Probe]) -> impl Iterator<Item = &Probe> {
    probes.iter().filter(|probe| probe.level.generator.is_none())
}

/// Returns the answers per second of a saturated broker that has its core for itself, as the median of
/// such levels. It is the inverse of the cost, so that measured pace and predicted pace agree.
pub(crate) fn pace(probes: &[Probe]) -> Option<f64> {
    saturated(probes).map(|cost| 1e6 / cost.core_us)
}

fn saturated(probes: &[Probe]) -> Option<Cost> {
    let cost = |probe: &Probe| probe.level.left() * 1e6 / probe.level.answered;
    middle(overrun(probes).map(cost).collect(), Basis::Saturation)
}

fn cost(probes: &[Probe]) -> Option<Cost> {
    if let Some(cost) = saturated(probes) {
        return Some(cost);
    }
    let with_cpu = |probe: &Probe| Some((probe.level.answered, probe.level.cpu_us?));
    let sorted = |mut levels: Vec<(f64, f64)>| {
        levels.sort_by(|a, b| b.0.total_cmp(&a.0));
        levels
    };
    let all = sorted(probes.iter().filter_map(with_cpu).collect());
    let clean = sorted(usable(probes).filter_map(with_cpu).collect());
    let top = |levels: &[(f64, f64)]| levels.first().map_or(0.0, |level| level.0);
    // Behind a late generator, requests come in bunches, which cost less. Far below saturation they come
    // one by one, which costs far more. Percentiles do not matter here.
    let levels = if top(&clean) >= CLEAN_MIN * top(&all) { clean } else { all };
    let busiest = levels.into_iter().take(BUSIEST).map(|(_, cpu_us)| cpu_us);
    middle(busiest.collect(), Basis::Processor)
}

fn middle(mut values: Vec<f64>, basis: Basis) -> Option<Cost> {
    values.retain(|value| value.is_finite() && *value > 0.0);
    values.sort_by(f64::total_cmp);
    let (low_us, high_us) = (*values.first()?, *values.last()?);
    Some(Cost { core_us: median(&values), low_us, high_us, basis })
}

/// Fits a line to memory against tokens. Returns none if all levels hold the same number of tokens.
pub(crate) fn memory(probes: &[Probe]) -> Option<MemoryModel> {
    let points: Vec<(f64, f64)> = probes
        .iter()
        .filter_map(|probe| probe.level.memory)
        .map(|memory| (memory.tokens, memory.bytes))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "dozens")]
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (tokens, bytes) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|point| (point.0 - tokens).powi(2)).sum();
    if spread.is_nan() || spread <= 0.0 {
        return None;
    }
    let together: f64 = points.iter().map(|point| (point.0 - tokens) * (point.1 - bytes)).sum();
    let token_bytes = (together / spread).max(0.0);
    Some(MemoryModel { base_bytes: (bytes - token_bytes * tokens).max(0.0), token_bytes })
}

/// Returns the costs of a node: the shapes are measured at low load, the means at high load.
///
/// The cost of a mint is the core time of a minted request minus that of a hit.
pub(crate) fn costs(hit: &Cost, mint: &Cost, quiet: &Quiet, efficiency: f64) -> Costs {
    let hit_ns = hit.core_us * 1e3;
    let mint_ns = ((mint.core_us - hit.core_us) * 1e3).max(0.0);
    Costs {
        // Handling a request takes a short and even time. Its spread at low load comes from waking up.
        hit: Service::Constant(hit_ns / efficiency),
        mint: Service::shaped(&quiet.mint, mint_ns / efficiency),
        way: Service::beyond(&quiet.hit, hit_ns),
    }
}

/// Load of one core with hits and mints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mixed {
    /// Requests per second.
    pub(crate) rate: f64,
    /// Share of them that is minted.
    pub(crate) misses: f64,
    /// Share of the core that other programs leave.
    pub(crate) left: f64,
}

/// Returns the costs of a core under a load.
pub(crate) fn costs_at(hit: &Side, mint: &Side, quiet: &Quiet, load: Mixed) -> Costs {
    let Mixed { rate, misses, left } = load;
    let busy = busy(|busy| {
        let mean_us = (1.0 - misses) * hit.core_us_at(busy) + misses * mint.core_us_at(busy);
        rate * mean_us / 1e6 / left
    });
    let of = |side: &Side| Cost { core_us: side.core_us_at(busy), ..side.cost };
    costs(&of(hit), &of(mint), quiet, left)
}

/// Number of halvings that give the share of a core to a millionth.
const HALVINGS: u32 = 20;

/// Returns the share of time that a core is busy, by bisection. `asked` is the share that the work needs
/// at a given share; it falls as the core gets busier. Returns 1 if a full core is not enough.
fn busy(asked: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if asked(middle) > middle { low = middle } else { high = middle }
    }
    high
}

/// Service times at low load.
#[derive(Clone, Debug)]
pub(crate) struct Quiet {
    /// Service times of hits, in nanoseconds.
    pub(crate) hit: Histogram<u64>,
    /// Service times of mints, in nanoseconds.
    pub(crate) mint: Histogram<u64>,
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact by construction")]
mod tests {
    use super::super::level::tests::level;
    use super::super::level::{Level, Memory};
    use super::super::search::Step;
    use super::*;

    fn probe(level: Level) -> Probe {
        Probe { rate: level.offered, verdict: level.verdict(2e6), level }
    }

    fn with_cpu(rate: f64, cpu_us: f64) -> Probe {
        probe(Level { cpu_us: Some(cpu_us), ..level(rate, 1e5) })
    }

    #[test]
    fn the_cost_is_taken_near_saturation_and_from_a_late_generator_only_far_from_it() {
        let mut probes: Vec<Probe> =
            [(1000.0, 40.0), (2000.0, 30.0), (4000.0, 20.0), (8000.0, 12.0), (9000.0, 11.0)]
                .map(|(rate, cpu)| with_cpu(rate, cpu))
                .into();
        let cost = super::cost(&probes).unwrap();
        assert_eq!((cost.core_us, cost.low_us, cost.high_us), (12.0, 11.0, 20.0));
        assert_eq!(cost.basis, Basis::Processor);

        let limited = Some("busy".to_owned());
        let late = Level { generator: limited, cpu_us: Some(5.0), ..level(1.7e4, 1e5) };
        probes.push(probe(late.clone()));
        assert_eq!(super::cost(&probes).unwrap(), cost);
        // Even if all other levels are far from saturation, this level is the better guide.
        probes.push(probe(Level { answered: 1e5, ..late }));
        assert_eq!(super::cost(&probes).unwrap().core_us, 5.0);
        probes.pop();

        // A broker with a full core was the limit, however late the generator was.
        let late = Some("late".to_owned());
        let full =
            Level { generator: late, cpu_us: Some(12.0), answered: 75_000.0, ..level(1e5, 1e8) };
        probes.push(probe(full));
        assert_eq!(super::cost(&probes).unwrap().basis, Basis::Saturation);
        probes.pop();

        let overrun = Level { growing: true, answered: 80_000.0, ..level(1e5, 1e8) };
        probes.push(probe(Level { cpu_us: Some(12.0), ..overrun.clone() }));
        let cost = super::cost(&probes).unwrap();
        assert_eq!((cost.core_us, cost.basis), (12.5, Basis::Saturation));

        // A broker that was idle for half of the time was not the limit.
        probes.pop();
        probes.push(probe(Level { cpu_us: Some(6.0), ..overrun }));
        assert_eq!(super::cost(&probes).unwrap().basis, Basis::Processor);
    }

    fn side(probes: Vec<Probe>) -> Side {
        Side::fit(Found { probes, curve: Vec::new(), met: None, missed: None }, 1).unwrap()
    }

    #[test]
    fn a_request_costs_less_the_busier_the_core_and_never_less_than_at_saturation() {
        let overrun = Level { growing: true, answered: 50_000.0, ..level(1e5, 1e8) };
        // Busy for 0.06, 0.24, 0.544 and 0.72. The third level was disturbed and is pooled with the
        // second.
        let levels = [(1000.0, 60.0), (8000.0, 30.0), (16_000.0, 34.0), (40_000.0, 18.0)];
        let mut probes: Vec<Probe> = levels.map(|(rate, cpu)| with_cpu(rate, cpu)).into();
        probes.push(probe(overrun));
        let side = side(probes);
        assert_eq!((side.core_us_at(0.01), side.core_us_at(0.06)), (60.0, 60.0));
        assert_eq!((side.core_us_at(0.24), side.core_us_at(0.544)), (32.0, 32.0));
        assert!((side.core_us_at(0.12) - 46.0).abs() < 1e-9);
        assert_eq!((side.core_us_at(0.72), side.core_us_at(1.0)), (20.0, 20.0));
    }

    #[test]
    fn a_mix_that_fills_the_core_costs_what_both_cost_on_a_full_core() {
        let full = |answered| Level { growing: true, answered, ..level(10.0 * answered, 1e8) };
        let hit = side(vec![with_cpu(1000.0, 60.0), probe(full(50_000.0))]);
        let mint = side(vec![with_cpu(100.0, 600.0), probe(full(2500.0))]);
        let quiet = Quiet { hit: histogram_of(1000), mint: histogram_of(1000) };
        let at = |rate| costs_at(&hit, &mint, &quiet, Mixed { rate, misses: 0.1, left: 1.0 });
        let hit_ns = |costs: Costs| match costs.hit {
            Service::Constant(ns) => ns,
            other => panic!("{other:?}"),
        };
        // A tenth of 400 us and nine tenths of 20 us: a full core serves 17,241 per second.
        assert_eq!(hit_ns(at(17_300.0)), 20_000.0);
        // 1,000 of 60 or 600 us keep the core busy for about a tenth of the time, where each hit takes
        // less.
        let few = hit_ns(at(1000.0));
        assert!((50_000.0..60_000.0).contains(&few), "{few}");
        // On half of the core each takes twice as long.
        let half = Mixed { rate: 8_700.0, misses: 0.1, left: 0.5 };
        assert_eq!(hit_ns(costs_at(&hit, &mint, &quiet, half)), 40_000.0);
    }

    #[test]
    fn a_pace_beside_others_is_that_of_the_time_which_they_left() {
        let beside = |taken: f64| {
            let answered = 80_000.0 * (1.0 - taken);
            let level = Level { growing: true, answered, cpu_us: Some(12.0), ..level(1e5, 1e8) };
            probe(Level { taken: Some(taken), ..level })
        };
        let cost = super::cost(&[beside(0.0), beside(0.25), beside(0.3)]).unwrap();
        assert_eq!(cost.basis, Basis::Saturation);
        assert!((cost.core_us - 12.5).abs() < 1e-9, "{cost:?}");
        assert!((cost.high_us - cost.low_us).abs() < 1e-9, "{cost:?}");
    }

    #[test]
    fn a_side_that_drifted_costs_as_many_times_more_at_every_rate() {
        let levels = [(1000.0, 60.0), (2000.0, 40.0), (2000.0, 44.0), (2000.0, 42.0)];
        let mut side = side(levels.map(|(rate, cpu)| with_cpu(rate, cpu)).into());
        assert_eq!(side.reference(), None);
        side.found.met = Some(Step { rate: 2000.0, upper_ns: 1e5, missed: None });
        assert_eq!(side.reference(), Some(Reference { rate: 2000.0, core_us: 42.0 }));
        let slower = side.drifted(1.5);
        assert_eq!(slower.reference(), Some(Reference { rate: 2000.0, core_us: 63.0 }));
        assert_eq!(slower.cost.core_us, 1.5 * side.cost.core_us);
        assert_eq!(slower.core_us_at(0.01), 90.0);
    }

    fn histogram_of(value_ns: u64) -> Histogram<u64> {
        let mut histogram = crate::harness::record::intervals::histogram();
        histogram.record(value_ns).unwrap();
        histogram
    }

    #[test]
    fn a_level_that_was_given_up_is_no_pace() {
        let given_up =
            Level { growing: true, quantile_ns: None, answered: 500.0, ..level(5e5, 1e8) };
        let probes = vec![with_cpu(9000.0, 11.0), probe(given_up)];
        let cost = super::cost(&probes).unwrap();
        assert_eq!((cost.core_us, cost.basis), (11.0, Basis::Processor));
    }

    #[test]
    fn memory_is_a_base_and_a_part_for_each_token() {
        let at = |tokens: f64| {
            let memory = Some(Memory { bytes: 1e7 + 2000.0 * tokens, tokens });
            probe(Level { memory, ..level(100.0, 1e5) })
        };
        let model = memory(&[at(100.0), at(5000.0), at(20_000.0)]).unwrap();
        assert!((model.token_bytes - 2000.0).abs() < 1e-6 && (model.base_bytes - 1e7).abs() < 1.0);
        assert_eq!(memory(&[at(5.0), at(5.0)]), None);
        assert_eq!(memory(&[]), None);
    }
}
