//! The pairs of legs: both builds run at once and are loaded in turns. The side that goes first
//! alternates.
//!
//! Drift (temperature, neighbours) hits both builds alike, and each build is first or second equally
//! often.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use super::builds::{Base, Candidate, Source};
use super::error::LegError;
use crate::base::clock::{Clock, Monotonic};
use crate::cli::progress::{Progress, left};
use crate::harness::gate::judge::{Finding, Verdict, judge, overall};
use crate::harness::gate::leg::{Leg, Pair, Side, middle};
use crate::harness::gate::metric::{Metric, Percentile};
use crate::harness::gate::policy::Policy;
use crate::harness::machine::stop::Stop;
use crate::harness::record::collector::Discard;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::scenario::spec::{ProcessLimits, Resolved, RunSpec};
use crate::harness::session::interleaved;
use crate::harness::session::interleaved::Interleaved;
use crate::harness::session::run;
use crate::harness::session::run::Watcher;
use crate::harness::session::subject::Subject;

/// Context for running any leg.
pub(super) struct Legs<'a> {
    /// Definition of each leg's run, except for its seed.
    pub(super) spec: &'a RunSpec,
    pub(super) base: &'a Base,
    pub(super) candidate: &'a Candidate,
    pub(super) clock: &'a dyn Clock,
    pub(super) stop: &'a Arc<Stop>,
}

/// Pairs of a gate, and the findings on them.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) pairs: Vec<Pair>,
    pub(super) findings: Vec<Finding>,
}

/// Shows the progress of the pairs, between legs.
struct PairProgress<'a> {
    progress: Progress,
    clock: Monotonic,
    policy: &'a Policy,
}

impl PairProgress<'_> {
    fn show(&self, done: usize) {
        let most = self.policy.looks.last().copied().unwrap_or_default();
        self.progress.step(next_pair(done, most, self.clock.now_ns()));
    }
}

impl Legs<'_> {
    /// Measures pairs until there is a verdict, no look is left, or the user interrupts.
    pub(super) fn measure(&self, policy: &Policy) -> Result<Measured, LegError> {
        let mut measured = Measured { pairs: Vec::new(), findings: judge(&[], policy) };
        let progress =
            PairProgress { progress: Progress::start(), clock: Monotonic::start(), policy };
        for look in &policy.looks {
            let go_on = match self.until(*look, &mut measured, &progress) {
                Err(_) if self.stop.is_requested() => ControlFlow::Break(()),
                go_on => go_on?,
            };
            measured.findings = judge(&measured.pairs, policy);
            let verdict = overall(&measured.pairs, &measured.findings, policy);
            if go_on.is_break() || verdict != Verdict::Inconclusive {
                break;
            }
        }
        Ok(measured)
    }

    /// Measures pairs up to the next look, or to the first pair with a failed check. Measuring a build that
    /// answers wrongly is a waste of time.
    fn until(
        &self,
        look: usize,
        measured: &mut Measured,
        progress: &PairProgress<'_>,
    ) -> Result<ControlFlow<()>, LegError> {
        while measured.pairs.len() < look {
            let number = measured.pairs.len();
            progress.show(number);
            let pair = match self.pair(number) {
                // Failures after a request to stop are caused by that request.
                Err(error) if error.blames_candidate() && !self.stop.is_requested() => {
                    error.evidence(self.plan(number)?.seed, number)
                }
                pair => pair?,
            };
            let broken = !(pair.base.failures.is_empty() && pair.candidate.failures.is_empty());
            measured.pairs.push(pair);
            if broken {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Returns the plan of both legs of pair `number`.
    fn plan(&self, number: usize) -> Result<RunPlan, LegError> {
        // A stored run has one seed, so the runs that are compared with it use the same one.
        let seeds = if matches!(self.base.source, Source::Stored(_)) { 0 } else { number };
        Ok(resolve(self.spec, seeds)?.plan)
    }

    fn pair(&self, number: usize) -> Result<Pair, LegError> {
        let plan = self.plan(number)?;
        let first = Side::first_of(number);
        match &self.base.source {
            Source::Program(base) => self.interleaved(base, &plan, number, first),
            Source::Stored(base) => {
                let candidate = self.alone(&plan, number)?;
                let base = Leg::clone(base);
                Ok(Pair::apart(plan.seed, first, base, candidate))
            }
        }
    }

    /// Measures both builds at once in turns, each with fresh processes.
    fn interleaved(
        &self,
        base: &Path,
        plan: &RunPlan,
        number: usize,
        first: Side,
    ) -> Result<Pair, LegError> {
        let failed = |side| move |source| LegError::Session { side, pair: number + 1, source };
        let start = |(side, program): (Side, &Path)| {
            Subject::start_program(program, plan, &[], self.stop).map_err(failed(side))
        };
        // A process that runs longer may hold more memory, so the order of starting alternates, too.
        let programs = in_order(
            first,
            (Side::Base, base),
            (Side::Candidate, self.candidate.program.as_path()),
        );
        let [one, other] = programs.map(start);
        let (mut one, mut other) = (one?, other?);
        let in_turn = [&mut one, &mut other];
        let measured = interleaved::measure(plan, in_turn, self.clock, self.stop);
        let by_turn = [(Metric::Cpu, differences(first, Metric::Cpu, &measured.costs))].into();
        let by_request = by_request(first, &measured);
        let [one, other] = measured.outcomes;
        let [base, candidate] = in_order(first, one, other);
        // If both failed, report the failure of the candidate, which is the side that is judged.
        let candidate = candidate.map_err(failed(Side::Candidate))?;
        let base = base.map_err(failed(Side::Base))?;
        let (base, candidate) = (Leg::of(&base), Leg::of(&candidate));
        Ok(Pair { seed: plan.seed, first, base, candidate, by_turn, by_request })
    }

    /// Measures a leg of the candidate, for comparison with a stored run.
    fn alone(&self, plan: &RunPlan, number: usize) -> Result<Leg, LegError> {
        let failed = |source| LegError::Session { side: Side::Candidate, pair: number + 1, source };
        let program = &self.candidate.program;
        let mut subject = Subject::start_program(program, plan, &[], self.stop).map_err(failed)?;
        let watcher = Watcher { sink: &mut Discard, observe: &mut |_| {} };
        let outcome = run::measure(plan, &mut subject, self.clock, self.stop, watcher);
        outcome.map(|outcome| Leg::of(&outcome)).map_err(failed)
    }
}

/// Converts between (base, candidate) and the order of the turns.
const fn in_order<T>(first: Side, one: T, other: T) -> [T; 2] {
    match first {
        Side::Base => [one, other],
        Side::Candidate => [other, one],
    }
}

/// Returns the differences of the median response times, by the requests that both builds answered.
fn by_request(first: Side, measured: &Interleaved) -> BTreeMap<Metric, f64> {
    let medians = measured.responses.iter().map(|(class, requests)| {
        let median = Metric::Response(*class, Percentile::P50);
        Some((median, middle(&differences(first, median, requests))?))
    });
    medians.flatten().filter(|(metric, _)| Metric::ALL.contains(metric)).collect()
}

/// Returns the difference of a metric in each pair of values, which are in the order of the turns.
fn differences(first: Side, metric: Metric, values: &[[u64; 2]]) -> Vec<f64> {
    let difference = |[one, other]: &[u64; 2]| {
        let [base, candidate] = in_order(first, *one, *other).map(float);
        metric.difference(base, candidate)
    };
    values.iter().filter_map(difference).collect()
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a turn are far below 2^53")]
const fn float(nanos: u64) -> f64 {
    nanos as f64
}

/// Returns the plan of the runs of pair number `pair`. Each pair has its own seed.
pub(super) fn resolve(spec: &RunSpec, pair: usize) -> Result<Resolved, LegError> {
    let seed = spec.seed.wrapping_add(pair as u64);
    Ok(RunSpec { seed, ..spec.clone() }.resolve(&ProcessLimits::of_process())?)
}

/// Describes the next pair, and the time left for all pairs at the pace so far.
#[expect(clippy::cast_precision_loss, reason = "dozens of pairs, minutes of nanoseconds")]
fn next_pair(done: usize, most: usize, elapsed_ns: u64) -> String {
    let pair = format!("pair {} of at most {most}", done + 1);
    if done == 0 {
        return pair;
    }
    let each_s = elapsed_ns as f64 / 1e9 / done as f64;
    format!("{pair}, {}", left(each_s * most.saturating_sub(done) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_the_pace_of_the_pairs_that_are_done() {
        assert_eq!(next_pair(0, 20, 0), "pair 1 of at most 20");
        assert_eq!(next_pair(5, 20, 20_000_000_000), "pair 6 of at most 20, about 60 s left");
    }
}
