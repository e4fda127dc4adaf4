//! The search for the highest rate that meets an objective.
//!
//! The rate doubles until a level fails. Then the gap is halved on a logarithmic scale down to the
//! resolution. A rate at which nobody can tell counts neither as met nor as missed: the gaps above the
//! highest rate that met the objective and below the lowest that missed it are halved each. Next, the
//! rate doubles on until the broker is saturated, or until two levels left requests over without a full
//! core. Last, the two levels around the answer are repeated in shuffled order, so that a slow drift of
//! the machine favours neither (rpc-perf does the same).
//!
//! Isotonic regression makes the bounds of all levels monotone. The answer is the largest rate whose
//! upper bound meets the objective. Its bracket is the next rate whose lower bound misses it. A level
//! whose queue grew shows the broker's own pace, which guides the next probe.

mod found;
#[cfg(test)]
mod tests;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

pub(crate) use self::found::{Found, Probe, Step, Terms, judge, overrun};
use self::found::{conclude, left_over};
use super::level::{Cause, Level, Verdict};

/// Divisor of the first rate at which a search gives up. A failure at such a low rate is not caused by
/// load.
const FLOOR: f64 = 16.0;
/// Maximum number of probes. Any sensible search needs far fewer.
const PROBES_MAX: usize = 200;
/// Margin above a pace measured under overload, which is a hint and not a bound.
const PACE_MARGIN: f64 = 1.05;
/// Number of overloaded levels whose median is the pace.
const OVERRUN_LEVELS: usize = 3;
/// Share of the core that the next rate may take by the costs of the last level. Costs fall as the rate
/// rises, so the next level takes less.
const NEXT_BUSY: f64 = 0.5;
/// Smallest and largest step from one rate to the next.
const STEPS: (f64, f64) = (2.0, 8.0);

struct Search<'a, E> {
    terms: Terms,
    run: &'a mut dyn FnMut(f64) -> Result<Level, E>,
    probes: Vec<Probe>,
}

/// Searches with levels that `run` measures at the rate it is given. Also measures the pace of a
/// saturated broker.
///
/// # Errors
/// Returns the errors of `run`.
pub(crate) fn search<E>(
    terms: Terms,
    run: &mut dyn FnMut(f64) -> Result<Level, E>,
) -> Result<Found, E> {
    let mut search = Search::bracketing(terms, run)?;
    search.overrun()?;
    // A rate beyond the bracket may have passed since. It then needs an equally fine bracket.
    search.narrow()?;
    search.repeat()?;
    Ok(conclude(terms, search.probes))
}

/// Searches like [`search`], but without measuring the pace.
///
/// # Errors
/// Returns the errors of `run`.
pub(crate) fn bracket<E>(
    terms: Terms,
    run: &mut dyn FnMut(f64) -> Result<Level, E>,
) -> Result<Found, E> {
    let mut search = Search::bracketing(terms, run)?;
    search.repeat()?;
    Ok(conclude(terms, search.probes))
}

impl<'a, E> Search<'a, E> {
    /// Returns a search that has a bracket of the limit.
    fn bracketing(
        terms: Terms,
        run: &'a mut dyn FnMut(f64) -> Result<Level, E>,
    ) -> Result<Self, E> {
        let mut search = Self { terms, run, probes: Vec::new() };
        search.double()?;
        search.narrow()?;
        Ok(search)
    }

    fn probe(&mut self, rate: f64) -> Result<Verdict, E> {
        let level = (self.run)(rate)?;
        let verdict = level.verdict(self.terms.limit_ns);
        self.probes.push(Probe { rate, level, verdict: verdict.clone() });
        Ok(verdict)
    }

    /// Returns the verdict on a rate. A level that does not meet the objective only by its percentile is
    /// run again, because a stall of the machine may have caused it.
    fn settle(&mut self, rate: f64) -> Result<Verdict, E> {
        match self.probe(rate)? {
            Verdict::Undecided | Verdict::Missed(Cause::Slo) => self.probe(rate),
            verdict => Ok(verdict),
        }
    }

    /// Doubles the rate until a level misses the objective. If none met it, halves the first rate until
    /// one does.
    fn double(&mut self) -> Result<(), E> {
        let mut rate = self.terms.start.min(self.terms.rate_max);
        while !self.settle(rate)?.is_missed() && rate < self.terms.rate_max {
            rate = self.next(rate);
        }
        let (mut rate, least) =
            (self.terms.start.min(self.terms.rate_max), self.terms.start / FLOOR);
        while self.met().is_none() && rate > least && rate >= 2.0 {
            rate /= 2.0;
            self.settle(rate)?;
        }
        Ok(())
    }

    /// Returns the rate after this one: twice as high, or more while the core is nearly idle.
    fn next(&self, rate: f64) -> f64 {
        let (least, most) = STEPS;
        let busy = self.probes.last().and_then(|probe| probe.level.busy());
        let step = busy.map_or(least, |busy| (NEXT_BUSY / busy).clamp(least, most));
        (rate * step).min(self.terms.rate_max)
    }

    /// Returns the highest rate that met the objective.
    fn met(&self) -> Option<f64> {
        let met = self.probes.iter().filter(|probe| probe.verdict.is_met());
        met.map(|probe| probe.rate).reduce(f64::max)
    }

    /// Returns the lowest rate above `met` that missed the objective.
    fn missed(&self, met: f64) -> Option<f64> {
        let missed = self.probes.iter().filter(|probe| probe.verdict.is_missed());
        missed.map(|probe| probe.rate).filter(|rate| *rate > met).reduce(f64::min)
    }

    /// Returns the rate that was tried next above `rate`.
    fn next_above(&self, rate: f64) -> Option<f64> {
        let rates = self.probes.iter().map(|probe| probe.rate);
        rates.filter(|tried| *tried > rate).reduce(f64::min)
    }

    /// Returns the rate that was tried next below `rate`.
    fn next_below(&self, rate: f64) -> Option<f64> {
        let rates = self.probes.iter().map(|probe| probe.rate);
        rates.filter(|tried| *tried < rate).reduce(f64::max)
    }

    /// Halves the gap above the highest rate that met the objective, and the gap below the lowest rate
    /// that missed it. Without undecided rates, both gaps are one.
    fn narrow(&mut self) -> Result<(), E> {
        let Some(met) = self.met() else { return Ok(()) };
        if let Some(above) = self.next_above(met) {
            self.halve(met, above, Verdict::is_met)?;
        }
        let met = self.met().unwrap_or(met);
        let Some(missed) = self.missed(met) else { return Ok(()) };
        match self.next_below(missed) {
            Some(below) => self.halve(below, missed, |verdict| !verdict.is_missed()),
            None => Ok(()),
        }
    }

    /// Halves a gap down to the resolution. `is_low` tells on which side of the gap a rate belongs.
    fn halve(
        &mut self,
        mut low: f64,
        mut high: f64,
        is_low: fn(&Verdict) -> bool,
    ) -> Result<(), E> {
        while high / low > self.terms.resolution && self.probes.len() < PROBES_MAX {
            let rate = self.between(low, high);
            if is_low(&self.settle(rate)?) { low = rate } else { high = rate }
        }
        Ok(())
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

    fn repeat(&mut self) -> Result<(), E> {
        let met = self.met();
        let above = self.next_above(met.unwrap_or(0.0));
        let times = self.terms.repeats as usize;
        let pair = met.into_iter().chain(above);
        let mut rates: Vec<f64> = pair.flat_map(|rate| std::iter::repeat_n(rate, times)).collect();
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(self.terms.seed);
        for last in (1..rates.len()).rev() {
            rates.swap(last, rng.random_range(0..=last));
        }
        rates.into_iter().try_for_each(|rate| self.probe(rate).map(drop))
    }
}
