//! From levels to costs: what a hit and a mint take of a core, and what a token takes of memory.
//!
//! The time of a core is taken at high load. At low load the broker wakes for each request and the
//! time from the write to the answer is mostly waking; near saturation one wake-up serves many. Where
//! a level was measured at which the broker itself was the limit, its pace is the cost, to the last
//! interrupt; else the processor time of the busiest levels, those that are not the generator's first.

use hdrhistogram::Histogram;

use super::level::Cause;
use super::search::{Found, Probe, overrun};
use super::simulate::node::Costs;
use super::simulate::service::Service;
pub use crate::document::plan::calibration::{Basis, Cost, MemoryModel};
use crate::stats::isotonic;
use crate::stats::knee;
use crate::stats::median::median;
use crate::stats::scalability::{self, Fitted, ScalabilityError};

/// One side of the calibration: hits, or mints.
#[derive(Clone, Debug)]
pub struct Side {
    /// What the search found.
    pub found: Found,
    /// What each request takes.
    pub cost: Cost,
    /// The scalability law of the levels, if they determine one.
    pub law: Result<Fitted, ScalabilityError>,
    /// Where d ln p99 / d ln rate exceeds 1, in requests per second.
    pub knee_elastic: Option<f64>,
    /// Where Kneedle puts it.
    pub knee_kneedle: Option<f64>,
}

/// What the speed of a machine is told by, later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reference {
    /// Requests per second.
    pub rate: f64,
    /// What a request took of a core, in microseconds, the middle of all levels of that rate.
    pub core_us: f64,
}

/// Why a side has no cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// No level had a broker that counts.
    #[error("at no level did the broker count its processor time")]
    NoLevel,
}

/// Levels without fault of the generator are preferred down to this part of the busiest rate.
const CLEAN_MIN: f64 = 0.5;
/// Levels whose processor time is averaged: the busiest, where waking is rare.
const BUSIEST: usize = 3;

impl Side {
    /// Fits everything to what a search measured; `seed` is of the resampling.
    ///
    /// # Errors
    /// [`FitError`] when no level is of use.
    pub fn fit(found: Found, seed: u64) -> Result<Self, FitError> {
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
            .filter(|step| matches!(step.missed, None | Some(Cause::Slo)))
            .map(|step| knee::Point { rate: step.rate, latency: step.upper_ns })
            .collect();
        let (knee_elastic, knee_kneedle) = (knee::elastic(&curve), knee::kneedle(&curve));
        Ok(Self { found, cost, law, knee_elastic, knee_kneedle })
    }

    /// The highest rate that met the objective, if any did.
    pub fn rate(&self) -> Option<f64> {
        self.found.met.as_ref().map(|step| step.rate)
    }

    /// Whether it is the generator that the search ended at.
    pub fn is_generator_limited(&self) -> bool {
        let missed = self.found.missed.as_ref().and_then(|step| step.missed.as_ref());
        matches!(missed, Some(Cause::Generator(_)))
    }

    /// Answers per second of a broker that could do no more.
    pub fn pace(&self) -> Option<f64> {
        pace(&self.found.probes)
    }

    /// A rate that it met, and what a request took at it.
    pub fn reference(&self) -> Option<Reference> {
        let rate = self.rate()?;
        let at = self.found.probes.iter().filter(|probe| probe.rate.to_bits() == rate.to_bits());
        let taken: Vec<f64> = at.filter_map(|probe| probe.level.cpu_us).collect();
        (!taken.is_empty()).then(|| Reference { rate, core_us: median(&taken) })
    }

    /// The side as it is when a request takes so many times what it took.
    #[must_use]
    pub fn drifted(&self, times: f64) -> Self {
        let mut side = self.clone();
        for us in [&mut side.cost.core_us, &mut side.cost.low_us, &mut side.cost.high_us] {
            *us *= times;
        }
        for probe in &mut side.found.probes {
            probe.level.cpu_us = probe.level.cpu_us.map(|us| us * times);
        }
        side
    }

    /// What a request takes of a core that is busy for this share of its time, in microseconds: the
    /// less idle a broker, the more requests one waking serves. Between levels by the logarithm of
    /// the share, above them as at saturation.
    pub fn core_us_at(&self, busy: f64) -> f64 {
        interpolated(&self.core_us_by_share(), busy).unwrap_or(self.cost.core_us)
    }

    /// Shares of a core and what a request takes at them, which never rises.
    fn core_us_by_share(&self) -> Vec<(f64, f64)> {
        let probes = self.found.probes.iter().filter(|probe| !probe.level.is_left_over());
        let busy = |probe: &Probe| {
            let core_us = probe.level.cpu_us?;
            Some((probe.level.answered * core_us / 1e6, core_us))
        };
        let mut levels: Vec<(f64, f64)> = probes.filter_map(busy).collect();
        levels.retain(|(share, _)| *share > 0.0 && *share < 1.0);
        levels.sort_by(|a, b| a.0.total_cmp(&b.0));
        let falling = |(_, core_us): &(f64, f64)| isotonic::Point { value: -core_us, weight: 1.0 };
        let fitted = isotonic::non_decreasing(&levels.iter().map(falling).collect::<Vec<_>>());
        let shares = levels.iter().map(|(share, _)| *share);
        // Processor time is without the interrupts of a full core: nothing takes less than at saturation.
        let costs = fitted.into_iter().map(|core_us| self.cost.core_us.max(-core_us));
        shares.zip(costs).chain([(1.0, self.cost.core_us)]).collect()
    }
}

/// On the line between the two points around `x`, on a logarithmic scale; beyond the ends as there.
fn interpolated(points: &[(f64, f64)], x: f64) -> Option<f64> {
    let above = points.partition_point(|(at, _)| *at <= x);
    let Some((low, low_value)) = above.checked_sub(1).and_then(|index| points.get(index)) else {
        return points.first().map(|(_, value)| *value);
    };
    let Some((high, high_value)) = points.get(above) else { return Some(*low_value) };
    let share = (x / low).ln() / (high / low).ln();
    Some(low_value + share * (high_value - low_value))
}

/// Levels that tell of the broker and not of the generator.
fn usable(probes: &[Probe]) -> impl Iterator<Item = &Probe> {
    probes.iter().filter(|probe| probe.level.generator.is_none())
}

/// Answers per second of a broker that was asked for more, the middle of such levels: the measure of a
/// cost, so that a pace and what costs predict of it are the same thing.
pub fn pace(probes: &[Probe]) -> Option<f64> {
    saturated(probes).map(|cost| 1e6 / cost.core_us)
}

fn saturated(probes: &[Probe]) -> Option<Cost> {
    middle(overrun(probes).map(|probe| 1e6 / probe.level.answered).collect(), Basis::Saturation)
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
    // Behind a late generator requests come in bunches, which are cheaper; far below saturation they
    // come one by one, which is dearer by far. Percentiles play no part in either.
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

/// A line through memory against tokens; none where the levels hold alike many.
pub fn memory(probes: &[Probe]) -> Option<MemoryModel> {
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

/// The costs of a node: measured shapes at low load, measured costs at high load.
///
/// A mint's own part is what a request that is minted takes beyond one that is not.
pub fn costs(hit: &Cost, mint: &Cost, quiet: &Quiet, efficiency: f64) -> Costs {
    let hit_ns = hit.core_us * 1e3;
    let mint_ns = ((mint.core_us - hit.core_us) * 1e3).max(0.0);
    Costs {
        // Handling a request is short and even; its spread at low load is that of waking.
        hit: Service::Constant(hit_ns / efficiency),
        mint: Service::shaped(&quiet.mint, mint_ns / efficiency),
        way: Service::beyond(&quiet.hit, hit_ns),
    }
}

/// The costs of a node at so many requests per second, of which a share is minted.
pub fn costs_at(hit: &Side, mint: &Side, quiet: &Quiet, rate: f64, misses: f64) -> Costs {
    let busy = busy(|busy| {
        let mean_us = (1.0 - misses) * hit.core_us_at(busy) + misses * mint.core_us_at(busy);
        rate * mean_us / 1e6
    });
    let of = |side: &Side| Cost { core_us: side.core_us_at(busy), ..side.cost };
    costs(&of(hit), &of(mint), quiet, 1.0)
}

/// Halvings after which a share of a core is known to a millionth.
const HALVINGS: u32 = 20;

/// The share of its time that a core is busy, where `asked` is what its work takes at each share, which
/// falls the busier it is; all of it where that is not enough.
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
pub struct Quiet {
    /// Of hits, in nanoseconds.
    pub hit: Histogram<u64>,
    /// Of mints, in nanoseconds.
    pub mint: Histogram<u64>,
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
        // Where all else is far from saturation, it is still the better guide.
        probes.push(probe(Level { answered: 1e5, ..late }));
        assert_eq!(super::cost(&probes).unwrap().core_us, 5.0);
        probes.pop();

        // A broker whose core was full was the limit, however late the generator.
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

        // A broker that was idle half of the time was not the limit.
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
        // Busy for 0.06, 0.24, 0.544 and 0.72. The third was disturbed: it is evened out with the second.
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
        let at = |rate| costs_at(&hit, &mint, &quiet, rate, 0.1);
        let hit_ns = |costs: Costs| match costs.hit {
            Service::Constant(ns) => ns,
            other => panic!("{other:?}"),
        };
        // A tenth of 400 us and nine tenths of 20 us: a full core does 17,241 of them.
        assert_eq!(hit_ns(at(17_300.0)), 20_000.0);
        // 1,000 of 60 or 600 us keep it busy for a tenth of the time, where each is cheaper.
        let few = hit_ns(at(1000.0));
        assert!((50_000.0..60_000.0).contains(&few), "{few}");
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
        let mut histogram = crate::load::recorder::histogram();
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
