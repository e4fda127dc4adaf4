//! The search for the highest rate that meets an objective.
//!
//! The rate doubles until a level fails. Then the gap is halved on a logarithmic scale down to the
//! resolution. Next, the rate doubles on until the broker is saturated, or until two levels left
//! requests over without a full core. Last, the two levels around the answer are repeated in shuffled
//! order, so that a slow drift of the machine favours neither (rpc-perf does the same).
//!
//! Isotonic regression makes the bounds of all levels monotone. The answer is the largest rate whose
//! bound meets the objective. Its bracket is the next rate, which does not. A level whose queue grew
//! shows the broker's own pace, which guides the next probe.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::level::{Cause, Level, Verdict};
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
    /// Bound after isotonic regression, in nanoseconds.
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
    /// Next rate, which does not meet it; none if the largest allowed rate still did.
    pub(crate) missed: Option<Step>,
}

/// Divisor of the first rate at which a search gives up. A failure at such a low rate is not caused by
/// load.
const FLOOR: f64 = 16.0;
/// Maximum number of probes. Any sensible search needs far fewer.
const PROBES_MAX: usize = 200;
/// Margin above a pace measured under overload, which is a hint and not a bound.
const PACE_MARGIN: f64 = 1.05;

/// Number of overloaded levels whose median is the pace.
const OVERRUN_LEVELS: usize = 3;

/// Minimum ratio of the rate of an overloaded level to the highest answered rate. Below it, the broker
/// might have kept up but for a stall of the machine.
const OVERRUN_MIN: f64 = 1.25;

/// Returns the levels that exceeded the capacity of the broker.
pub(crate) fn overrun(probes: &[Probe]) -> impl Iterator<Item = &Probe> {
    left_over(probes).filter(|probe| probe.level.is_overrun())
}

/// Returns the levels with a rate far above any answered rate, which left requests over.
fn left_over(probes: &[Probe]) -> impl Iterator<Item = &Probe> {
    let most = probes.iter().map(|probe| probe.level.answered).fold(0.0, f64::max);
    let beyond = move |probe: &&Probe| probe.level.offered >= OVERRUN_MIN * most;
    probes.iter().filter(|probe| probe.level.is_left_over()).filter(beyond)
}

struct Search<'a, E> {
    terms: Terms,
    run: &'a mut dyn FnMut(f64) -> Result<Level, E>,
    probes: Vec<Probe>,
}

/// Searches with levels that `run` measures at the rate it is given.
///
/// # Errors
/// Returns the errors of `run`.
pub(crate) fn search<E>(
    terms: Terms,
    run: &mut dyn FnMut(f64) -> Result<Level, E>,
) -> Result<Found, E> {
    let mut search = Search { terms, run, probes: Vec::new() };
    let (low, high) = search.double()?;
    let (low, high) = search.bisect(low, high)?;
    search.overrun()?;
    // A rate beyond the bracket may have passed since. It then needs an equally fine bracket.
    let (low, high) = match search.beyond(high) {
        Some((better, failed)) => search.bisect(Some(better), failed)?,
        None => (low, high),
    };
    search.repeat(low, high)?;
    Ok(conclude(terms, search.probes))
}

/// Judges levels that were measured before, at any rates.
pub(crate) fn judge(terms: Terms, levels: Vec<Level>) -> Found {
    let probe =
        |level: Level| Probe { rate: level.offered, verdict: level.verdict(terms.limit_ns), level };
    conclude(terms, levels.into_iter().map(probe).collect())
}

impl<E> Search<'_, E> {
    fn probe(&mut self, rate: f64) -> Result<bool, E> {
        let level = (self.run)(rate)?;
        let verdict = level.verdict(self.terms.limit_ns);
        let met = verdict == Verdict::Met;
        self.probes.push(Probe { rate, level, verdict });
        Ok(met)
    }

    /// Returns true if a rate meets the objective. A level that misses it only by its percentile is run
    /// again, because a stall of the machine may have caused it.
    fn holds(&mut self, rate: f64) -> Result<bool, E> {
        if self.probe(rate)? {
            return Ok(true);
        }
        let slow =
            self.probes.last().map(|probe| &probe.verdict) == Some(&Verdict::Missed(Cause::Slo));
        Ok(slow && self.probe(rate)?)
    }

    /// Returns the last rate that met the objective and the first that did not, at most a factor of two
    /// apart.
    fn double(&mut self) -> Result<(Option<f64>, Option<f64>), E> {
        let mut rate = self.terms.start.min(self.terms.rate_max);
        if !self.holds(rate)? {
            return self.halve(rate);
        }
        while rate < self.terms.rate_max {
            let next = (rate * 2.0).min(self.terms.rate_max);
            if !self.holds(next)? {
                return Ok((Some(rate), Some(next)));
            }
            rate = next;
        }
        Ok((Some(rate), None))
    }

    fn halve(&mut self, mut high: f64) -> Result<(Option<f64>, Option<f64>), E> {
        while high > self.terms.start / FLOOR && high >= 2.0 {
            let rate = high / 2.0;
            if self.holds(rate)? {
                return Ok((Some(rate), Some(high)));
            }
            high = rate;
        }
        Ok((None, Some(high)))
    }

    fn bisect(
        &mut self,
        low: Option<f64>,
        high: Option<f64>,
    ) -> Result<(Option<f64>, Option<f64>), E> {
        let (Some(mut low), Some(mut high)) = (low, high) else { return Ok((low, high)) };
        while high / low > self.terms.resolution && self.probes.len() < PROBES_MAX {
            let rate = self.between(low, high);
            if self.holds(rate)? { low = rate } else { high = rate }
        }
        Ok((Some(low), Some(high)))
    }

    /// Returns the logarithmic middle of the gap. If the broker's own pace is known, the pace is the top
    /// of the gap.
    fn between(&self, low: f64, high: f64) -> f64 {
        let pace = |probe: &Probe| match probe.verdict {
            Verdict::Missed(Cause::Growing | Cause::Errors(_)) => {
                probe.level.answered * PACE_MARGIN
            }
            _ => f64::INFINITY,
        };
        let pace = self.probes.iter().map(pace).fold(high, f64::min);
        let top = if pace > low * self.terms.resolution { pace } else { high };
        (low * top).sqrt()
    }

    /// Doubles the rate until a level exceeds the capacity of the broker, whatever its percentile. The
    /// pace of a saturated broker is the cost of its work, even if no rate meets the objective. Then
    /// repeats that level, so that a stall of the machine is not taken for the pace.
    fn overrun(&mut self) -> Result<(), E> {
        let rates = self.probes.iter().map(|probe| probe.rate);
        let mut rate = rates.fold(self.terms.start, f64::max);
        while !self.is_overrun() && rate < self.terms.rate_max && self.probes.len() < PROBES_MAX {
            rate = (rate * 2.0).min(self.terms.rate_max);
            self.probe(rate)?;
        }
        let rates: Vec<f64> = overrun(&self.probes).map(|probe| probe.rate).collect();
        // Without such a level the core was never full, and the pace is not the broker's.
        let Some(rate) = rates.iter().copied().reduce(f64::max) else { return Ok(()) };
        for _ in rates.len()..OVERRUN_LEVELS {
            self.probe(rate)?;
        }
        Ok(())
    }

    /// Returns true if one level exceeded the capacity of the broker. Also returns true if two levels
    /// left requests over because of the generator or the connections, which no higher rate changes. One
    /// such level is not enough, because a stall of the machine may have caused it. For a level that was
    /// given up, it is unknown if the core was full.
    fn is_overrun(&self) -> bool {
        let told = |probe: &Probe| !probe.level.is_given_up() || probe.level.generator.is_some();
        overrun(&self.probes).next().is_some()
            || left_over(&self.probes).count() > 1 && left_over(&self.probes).any(told)
    }

    /// Returns the largest rate above `high` that met the objective, and the next rate, which did not.
    fn beyond(&self, high: Option<f64>) -> Option<(f64, Option<f64>)> {
        let met =
            |probe: &&Probe| probe.verdict == Verdict::Met && probe.rate > high.unwrap_or(f64::MAX);
        let better = self.probes.iter().filter(met).map(|probe| probe.rate).reduce(f64::max)?;
        let above = self.probes.iter().map(|probe| probe.rate).filter(|rate| *rate > better);
        Some((better, above.reduce(f64::min)))
    }

    fn repeat(&mut self, low: Option<f64>, high: Option<f64>) -> Result<(), E> {
        let times = self.terms.repeats as usize;
        let pair = low.into_iter().chain(high);
        let mut rates: Vec<f64> = pair.flat_map(|rate| std::iter::repeat_n(rate, times)).collect();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.terms.seed);
        for last in (1..rates.len()).rev() {
            rates.swap(last, rng.random_range(0..=last));
        }
        rates.into_iter().try_for_each(|rate| self.probe(rate).map(drop))
    }
}

/// All probes of one rate.
struct Rate<'a> {
    rate: f64,
    probes: Vec<&'a Probe>,
}

fn conclude(terms: Terms, probes: Vec<Probe>) -> Found {
    let mut by_rate: Vec<&Probe> = probes.iter().collect();
    by_rate.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let mut rates: Vec<Rate<'_>> = Vec::new();
    for probe in by_rate {
        match rates.last_mut() {
            Some(last) if last.rate.to_bits() == probe.rate.to_bits() => last.probes.push(probe),
            _ => rates.push(Rate { rate: probe.rate, probes: vec![probe] }),
        }
    }
    let points: Vec<Point> = rates.iter().map(|rate| rate.point(terms.limit_ns)).collect();
    let fitted = non_decreasing(&points);
    let steps = rates.iter().zip(fitted);
    let curve: Vec<Step> = steps
        .map(|(rate, log)| {
            let upper_ns = log.exp();
            // Converting to the logarithm and back loses the last bits.
            let slo = (upper_ns > terms.limit_ns * (1.0 + 1e-9)).then_some(Cause::Slo);
            Step { rate: rate.rate, upper_ns, missed: rate.fault().or(slo) }
        })
        .collect();
    let met = curve.iter().rev().find(|step| step.missed.is_none()).cloned();
    let above = met.as_ref().map_or(0.0, |step| step.rate);
    let missed = curve.iter().find(|step| step.rate > above).cloned();
    Found { probes, curve, met, missed }
}

impl Rate<'_> {
    /// Returns the median bound on a logarithmic scale, because delays multiply.
    fn point(&self, limit_ns: f64) -> Point {
        // A level without a percentile is beyond any limit, but the regression needs a number.
        let beyond = limit_ns * 1000.0;
        let bound = |probe: &&Probe| probe.level.upper_ns.unwrap_or(beyond).clamp(1.0, beyond);
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

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact by construction")]
mod tests {
    use super::super::level::tests::level;
    use super::*;
    use std::convert::Infallible;

    const LIMIT_NS: f64 = 2e6;

    fn terms() -> Terms {
        Terms {
            limit_ns: LIMIT_NS,
            start: 100.0,
            rate_max: 1e6,
            resolution: 1.03,
            repeats: 3,
            seed: 1,
        }
    }

    fn found(terms: Terms, mut run: impl FnMut(f64) -> Level) -> Found {
        let Ok(found) = search(terms, &mut |rate| Ok::<_, Infallible>(run(rate)));
        found
    }

    fn check(found: &Found, truth: f64) {
        let (met, missed) = (found.met.as_ref().unwrap(), found.missed.as_ref().unwrap());
        assert!(met.rate <= truth && truth <= missed.rate, "{} {}", met.rate, missed.rate);
        assert!(missed.rate / met.rate <= 1.0301, "{} {}", met.rate, missed.rate);
    }

    /// Returns the p99 of the time in M/M/1, which is exponential with rate mu - lambda.
    fn memoryless(rate: f64, service_ns: f64) -> Level {
        let left = 1e9 / service_ns - rate;
        if left <= 0.0 {
            let answered = 1e9 / service_ns;
            return Level { answered, growing: true, upper_ns: None, ..level(rate, 1.0) };
        }
        level(rate, 100_f64.ln() / left * 1e9)
    }

    #[test]
    fn the_rate_of_a_memoryless_server_is_found() {
        let truth = 10_000.0 - 100_f64.ln() / LIMIT_NS * 1e9;
        let found = found(terms(), |rate| memoryless(rate, 100_000.0));
        check(&found, truth);
        assert!(found.probes.len() < 35, "{}", found.probes.len());
        assert!(found.curve.is_sorted_by(|a, b| a.upper_ns <= b.upper_ns * (1.0 + 1e-9)));
    }

    #[test]
    fn the_last_two_levels_are_repeated_in_shuffled_order() {
        let found = found(terms(), |rate| memoryless(rate, 100_000.0));
        let rates: Vec<f64> = found.probes.iter().map(|probe| probe.rate).collect();
        let last = &rates[rates.len() - 6..];
        let low = last.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(last.iter().filter(|rate| **rate == low).count(), 3);
        assert!(last.windows(2).filter(|pair| pair[0] != pair[1]).count() > 1, "{last:?}");
    }

    #[test]
    fn a_stall_during_one_level_is_not_the_limit() {
        let mut stalls = 1;
        let found = found(terms(), |rate| {
            let stalled = rate > 1000.0 && stalls > 0;
            stalls -= u32::from(stalled);
            if stalled { level(rate, 10.0 * LIMIT_NS) } else { memoryless(rate, 100_000.0) }
        });
        check(&found, 10_000.0 - 2302.585);
    }

    #[test]
    fn a_first_rate_that_is_too_high_is_halved() {
        let start = Terms { start: 100_000.0, ..terms() };
        check(&found(start, |rate| memoryless(rate, 100_000.0)), 10_000.0 - 2302.585);
    }

    #[test]
    fn a_server_that_never_meets_it_has_no_rate() {
        let found = found(terms(), |rate| {
            let answered = rate.min(2000.0);
            Level { answered, ..level(rate, 2.0 * LIMIT_NS) }
        });
        assert!(found.probes.iter().any(|probe| probe.level.is_overrun()));
        assert!(found.met.is_none());
        assert_eq!(found.missed.unwrap().missed, Some(Cause::Slo));
    }

    #[test]
    fn a_generator_at_its_limit_is_never_capacity() {
        let found = found(terms(), |rate| {
            let generator = (rate > 5000.0).then(|| "busy".to_owned());
            Level { generator, ..memoryless(rate, 10_000.0) }
        });
        assert!(found.met.unwrap().rate <= 5000.0);
        let missed = found.missed.unwrap();
        assert_eq!(missed.missed, Some(Cause::Generator("busy".to_owned())));
    }

    /// Returns the highest rate that is tried with a server of 10,000/s. `cpu_us` is the counted
    /// processor time for each request in microseconds; without it, levels beyond the capacity are given
    /// up.
    fn highest_tried(cpu_us: Option<f64>) -> f64 {
        let found = found(terms(), |rate| {
            let level = memoryless(rate, 100_000.0);
            if !level.growing {
                return level;
            }
            Level { quantile_ns: cpu_us.and(level.quantile_ns), cpu_us, ..level }
        });
        found.probes.iter().map(|probe| probe.rate).fold(0.0, f64::max)
    }

    #[test]
    fn levels_that_were_left_over_end_the_doubling_whether_the_core_was_full_or_not() {
        for cpu_us in [100.0, 70.0] {
            let highest = highest_tried(Some(cpu_us));
            assert!((12_800.0..60_000.0).contains(&highest), "{highest}");
        }
    }

    #[test]
    fn levels_that_were_given_up_do_not_tell_whether_the_core_was_full() {
        assert_eq!(highest_tried(None), terms().rate_max);
    }

    #[test]
    fn a_rate_that_is_met_beyond_the_bracket_gets_a_bracket_as_fine() {
        // A stall of the generator at one rate, far below the capacity of the broker.
        let mut stalls = 2;
        let found = found(terms(), |rate| {
            let stalled = rate > 300.0 && rate <= 400.0 && stalls > 0;
            stalls -= u32::from(stalled);
            let generator = stalled.then(|| "late".to_owned());
            Level { generator, ..memoryless(rate, 100_000.0) }
        });
        check(&found, 10_000.0 - 2302.585);
    }

    #[test]
    fn one_lucky_level_beyond_the_limit_is_smoothed_away() {
        let mut beyond = 0;
        let found = found(terms(), |rate| {
            beyond += u32::from(rate > 12_000.0);
            let lucky = rate > 12_000.0 && beyond == 2;
            if lucky { level(rate, LIMIT_NS / 10.0) } else { memoryless(rate, 100_000.0) }
        });
        assert!(beyond > 2);
        assert!(found.met.unwrap().rate < 9_000.0);
    }

    #[test]
    fn the_largest_rate_allowed_has_no_bracket() {
        let bounded = Terms { rate_max: 5000.0, ..terms() };
        let found = found(bounded, |rate| level(rate, 1000.0));
        assert_eq!(found.met.unwrap().rate, 5000.0);
        assert!(found.missed.is_none());
    }
}
