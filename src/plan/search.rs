//! The highest rate that meets an objective.
//!
//! The rate doubles until a level fails, then the gap is halved on a logarithmic scale down to 3 %.
//! The last two levels are repeated in shuffled order, so that a slow drift of the machine does not
//! favour one of them (rpc-perf repeats so); before that the rate doubles on until more is asked for than
//! can be answered, if it was not yet, or until two levels were left over without a full core. The bounds of all levels are made monotone by isotonic
//! regression; the answer is the largest rate whose bound meets the objective, and the next rate that
//! does not is its bracket. A level whose queue grew tells the broker's own pace, which the next
//! probe takes for a hint.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::level::{Cause, Level, Verdict};
use crate::stats::isotonic::{Point, non_decreasing};
use crate::stats::median::median;

/// What is searched for, and how far.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The limit of the percentile in nanoseconds.
    pub limit_ns: f64,
    /// The first rate, in requests per second.
    pub start: f64,
    /// No rate above this is tried.
    pub rate_max: f64,
    /// The gap between the answer and the next failing rate, as a ratio above 1.
    pub resolution: f64,
    /// How often each of the last two levels is repeated.
    pub repeats: u32,
    /// Of the shuffled order.
    pub seed: u64,
}

/// A measured level and what it says.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The rate that was asked for.
    pub rate: f64,
    /// What came of it.
    pub level: Level,
    /// What that means.
    pub verdict: Verdict,
}

/// A rate of the monotone curve.
#[derive(Clone, Debug)]
pub struct Step {
    /// Requests per second.
    pub rate: f64,
    /// The bound after isotonic regression, in nanoseconds.
    pub upper_ns: f64,
    /// Why this rate does not count, if it does not.
    pub missed: Option<Cause>,
}

/// What a search came to.
#[derive(Clone, Debug)]
pub struct Found {
    /// Every level, in the order of measurement.
    pub probes: Vec<Probe>,
    /// The monotone curve, by rate.
    pub curve: Vec<Step>,
    /// The largest rate that meets the objective.
    pub met: Option<Step>,
    /// The next rate that does not; none where the largest allowed rate still did.
    pub missed: Option<Step>,
}

/// A search gives up this many times below its first rate: what fails there is not the load.
const FLOOR: f64 = 16.0;
/// The doublings, halvings and repeats of any sensible search are far fewer.
const PROBES_MAX: usize = 200;
/// A pace measured under overload is a hint, not a bound: look a little beyond it.
const PACE_MARGIN: f64 = 1.05;

/// Levels of more than can be answered: their middle is the pace.
const OVERRUN_LEVELS: usize = 3;

/// A level that asks for less than so many times what was answered at the most may be one that could have
/// been borne, on a machine that stood still.
const OVERRUN_MIN: f64 = 1.25;

/// The levels that were more than the broker can do.
pub fn overrun(probes: &[Probe]) -> impl Iterator<Item = &Probe> {
    left_over(probes).filter(|probe| probe.level.is_overrun())
}

/// The levels that asked for far more than was ever answered, and had it left over.
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
/// Those of `run`.
pub fn search<E>(terms: Terms, run: &mut dyn FnMut(f64) -> Result<Level, E>) -> Result<Found, E> {
    let mut search = Search { terms, run, probes: Vec::new() };
    let (low, high) = search.double()?;
    let (low, high) = search.bisect(low, high)?;
    search.overrun()?;
    // A rate beyond the bracket may do better than the machine did before: it needs a bracket as fine.
    let (low, high) = match search.beyond(high) {
        Some((better, failed)) => search.bisect(Some(better), failed)?,
        None => (low, high),
    };
    search.repeat(low, high)?;
    Ok(conclude(terms, search.probes))
}

/// Judges levels that were measured before, whoever chose their rates.
pub fn judge(terms: Terms, levels: Vec<Level>) -> Found {
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

    /// Whether a rate meets the objective. A level that misses it by its percentile alone may have met a
    /// stall of the machine: another one decides.
    fn holds(&mut self, rate: f64) -> Result<bool, E> {
        if self.probe(rate)? {
            return Ok(true);
        }
        let slow =
            self.probes.last().map(|probe| &probe.verdict) == Some(&Verdict::Missed(Cause::Slo));
        Ok(slow && self.probe(rate)?)
    }

    /// The last rate that met the objective and the first that did not, a factor of two apart.
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

    /// The logarithmic middle, or the middle up to the broker's own pace where that is known.
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

    /// Doubles on until a level is more than can be answered, whatever its percentile: the pace of a
    /// broker that can do no more is what work costs, also where the objective is out of reach. Then it
    /// repeats that: a stall of the machine is not to be taken for the pace.
    fn overrun(&mut self) -> Result<(), E> {
        let rates = self.probes.iter().map(|probe| probe.rate);
        let mut rate = rates.fold(self.terms.start, f64::max);
        while !self.is_overrun() && rate < self.terms.rate_max && self.probes.len() < PROBES_MAX {
            rate = (rate * 2.0).min(self.terms.rate_max);
            self.probe(rate)?;
        }
        let rates: Vec<f64> = overrun(&self.probes).map(|probe| probe.rate).collect();
        // Without one the core was not full, and the pace is not the broker's.
        let Some(rate) = rates.iter().copied().reduce(f64::max) else { return Ok(()) };
        for _ in rates.len()..OVERRUN_LEVELS {
            self.probe(rate)?;
        }
        Ok(())
    }

    /// Whether a level was too much for the broker, or two were for whatever is in its way, generator
    /// or connections, which no higher rate will change: one alone may be a stall of the machine. Of a
    /// level that was given up it is not known whether the core was full.
    fn is_overrun(&self) -> bool {
        let told = |probe: &Probe| !probe.level.is_given_up() || probe.level.generator.is_some();
        overrun(&self.probes).next().is_some()
            || left_over(&self.probes).count() > 1 && left_over(&self.probes).any(told)
    }

    /// The largest rate above `high` that met the objective, and the next that did not.
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
            // The logarithm and back costs the last bits.
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
    /// The median bound, on a logarithmic scale: delays multiply.
    fn point(&self, limit_ns: f64) -> Point {
        // A level without a percentile is beyond any limit, but a mean needs a number.
        let beyond = limit_ns * 1000.0;
        let bound = |probe: &&Probe| probe.level.upper_ns.unwrap_or(beyond).clamp(1.0, beyond);
        let bounds: Vec<f64> = self.probes.iter().map(bound).map(f64::ln).collect();
        #[expect(clippy::cast_precision_loss, reason = "a handful")]
        let weight = self.probes.len() as f64;
        Point { value: median(&bounds), weight }
    }

    /// What more than half of the probes suffered from, other than a slow percentile.
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

    /// The p99 of the time in M/M/1: exponential with rate mu - lambda.
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

    /// The highest rate that is tried with a server of 10,000/s that counts so much of its processor's
    /// time, in microseconds for each request; without, levels beyond it are given up.
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
        // A stall of the generator at one rate, far below what the broker can do.
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
