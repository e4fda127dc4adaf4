//! The legs, in turns: A B, B A, A B and so on.
//!
//! What drifts (temperature, neighbours) hits both builds alike, and being first or second hits each
//! as often.

use std::ops::ControlFlow;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::builds::{Base, Candidate, Source};
use super::died;
use crate::cli::run::RunArgs;
use crate::cli::run::settings::{Settings, SettingsError};
use crate::clock::{Clock, UnixSeconds};
use crate::gate::judge::{Finding, Verdict, judge, overall};
use crate::gate::leg::{Leg, Pair, Side};
use crate::gate::policy::{Design, Policy};
use crate::load::generator::Plan;
use crate::load::recorder::{IntervalSet, IntervalSink, Window};
use crate::load::session::{self, SessionError, Subject, Watcher};
use crate::load::stop::Stop;

/// Why a leg came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LegError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("pair {pair}: the {} could not be measured", side.as_str())]
    Session { side: Side, pair: usize, source: SessionError },
}

impl LegError {
    /// Whether the candidate died under load, which is a failed check and no mistake of the user's.
    pub(super) const fn blames_candidate(&self) -> bool {
        matches!(
            self,
            Self::Session {
                side: Side::Candidate,
                source: SessionError::Counters(_) | SessionError::Died(_),
                ..
            }
        )
    }
}

/// What is needed to run any leg.
pub(super) struct Legs<'a> {
    pub(super) run: &'a RunArgs,
    pub(super) base: &'a Base,
    pub(super) candidate: &'a Candidate,
    pub(super) clock: &'a dyn Clock,
    pub(super) stop: &'a Arc<Stop>,
}

/// The pairs of a gate, and what they say.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) pairs: Vec<Pair>,
    pub(super) findings: Vec<Finding>,
}

impl Legs<'_> {
    /// Makes pairs until there is a verdict or no look is left.
    pub(super) fn make(&self, policy: &Policy) -> Result<Made, LegError> {
        let mut made = Made { pairs: Vec::new(), findings: judge(&[], policy) };
        let bar = progress_bar(policy);
        for look in &policy.looks {
            let go_on = self.until(*look, policy, &mut made, &bar)?;
            made.findings = judge(&made.pairs, policy);
            let verdict = overall(&made.pairs, &made.findings, policy);
            bar.set_message(verdict.as_str());
            if go_on.is_break() || verdict != Verdict::CannotTell {
                break;
            }
        }
        bar.finish_and_clear();
        Ok(made)
    }

    /// Makes pairs up to the next look, or to the first whose checks fail: what answers wrongly is not
    /// worth the time.
    fn until(
        &self,
        look: usize,
        policy: &Policy,
        made: &mut Made,
        bar: &ProgressBar,
    ) -> Result<ControlFlow<()>, LegError> {
        while made.pairs.len() < look {
            let number = made.pairs.len();
            let pair = self.pair(number, policy.design);
            let pair = pair.or_else(|error| died::pair(error, self, number))?;
            let broken = !(pair.base.failures.is_empty() && pair.candidate.failures.is_empty());
            made.pairs.push(pair);
            bar.inc(1);
            if broken {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn pair(&self, number: usize, design: Design) -> Result<Pair, LegError> {
        // A stored run has one seed, and so have the runs that are compared with it.
        let seeds = if design == Design::Pairs { number } else { 0 };
        let Settings { plan, .. } = settings(self.run, seeds)?;
        let first = if number.is_multiple_of(2) { Side::Base } else { Side::Candidate };
        let leg = |side| self.leg(side, &plan, number);
        let (base, candidate) = match first {
            Side::Base => {
                let base = leg(Side::Base)?;
                (base, leg(Side::Candidate)?)
            }
            Side::Candidate => {
                let candidate = leg(Side::Candidate)?;
                (leg(Side::Base)?, candidate)
            }
        };
        Ok(Pair { seed: plan.seed, first, base, candidate })
    }

    fn leg(&self, side: Side, plan: &Plan, pair: usize) -> Result<Leg, LegError> {
        let program = match (side, &self.base.source) {
            (Side::Candidate, _) => &self.candidate.program,
            (Side::Base, Source::Program(program)) => program,
            (Side::Base, Source::Stored(leg)) => return Ok(Leg::clone(leg)),
        };
        let failed = |source| LegError::Session { side, pair: pair + 1, source };
        let mut subject = Subject::start_program(program, plan, &[], self.stop).map_err(failed)?;
        let watcher = Watcher { sink: &mut Unlogged, observe: &mut |_| {} };
        let outcome = session::measure(plan, &mut subject, self.clock, self.stop, watcher);
        outcome.map(|outcome| Leg::of(&outcome)).map_err(failed)
    }
}

/// The runs of pair number `pair`: each pair has a seed of its own.
pub(super) fn settings(run: &RunArgs, pair: usize) -> Result<Settings, LegError> {
    let seed = run.seed.wrapping_add(pair as u64);
    Ok(Settings::resolve(&RunArgs { seed, ..run.clone() })?)
}

/// Legs leave no logs.
struct Unlogged;

impl IntervalSink for Unlogged {
    fn begin(&mut self, _: Window, _: UnixSeconds) -> std::io::Result<()> {
        Ok(())
    }

    fn interval(&mut self, _: &IntervalSet) -> std::io::Result<()> {
        Ok(())
    }
}

/// Drawn on a terminal only, between legs.
fn progress_bar(policy: &Policy) -> ProgressBar {
    const DRAWS_PER_SECOND: u8 = 2;
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
    let pairs = policy.looks.last().copied().unwrap_or_default() as u64;
    let bar = ProgressBar::with_draw_target(Some(pairs), target).with_message("measuring");
    match ProgressStyle::with_template("{bar:40} {pos}/{len} pairs at most, {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
