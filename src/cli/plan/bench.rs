//! Measures the levels of a search with a broker of our own.

use std::sync::Arc;
use std::time::Duration;

use super::args::PlanArgs;
use super::error::MeasureError;
use super::interim::InterimResults;
use super::level_count::LevelCount;
use super::scale::{HIT_IDENTITIES, Scale};
use super::watch::LevelWatch;
use crate::base::clock::Clock;
use crate::base::synthetic::WELL_KNOWN_RESOURCES;
use crate::cli::progress::{Progress, left};
use crate::harness::driver::load::LoadEvent;
use crate::harness::judge::failure::Failure;
use crate::harness::judge::outcome::Outcome;
use crate::harness::machine::stop::Stop;
use crate::harness::plan::core_use::CoreWatch;
use crate::harness::plan::level::Level;
use crate::harness::plan::search::{Found, search};
use crate::harness::scenario::run_plan::Pausing;
use crate::harness::scenario::spec::{
    ProcessLimits, Resolved, RunSpec, Scenario, SpecError, World,
};
use crate::harness::session::run::{Watcher, measure};
use crate::harness::session::subject::Subject;

/// Minimum number of user-assigned identities of each VM for mints, as in `run mint`. Some levels need
/// more keys.
const MINT_IDENTITIES: u32 = 20;
/// Connections of each VM. With only one, a popular VM would wait for its own answers long before the
/// broker is at its limit.
const CONNECTIONS_EACH: u32 = 4;
/// Timeout of a request, longer than any wait in a level at twice the broker's capacity. The broker
/// would mint also for requests that were given up. These mints would be missing from the pace, so the
/// cost of a mint would come out too high.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Pause between levels, in which queues drain and connections close.
const COOL_DOWN: Duration = Duration::from_millis(300);
/// Number of answers that are verified after each level.
const SAMPLES: usize = 100;

/// Measures levels with a broker of our own.
pub(super) struct Bench<'a> {
    pub(super) args: &'a PlanArgs,
    clock: &'a dyn Clock,
    pub(super) stop: &'a Arc<Stop>,
    pub(super) scale: Scale,
    progress: &'a Progress,
    pub(super) count: LevelCount,
    interim: &'a mut InterimResults,
    levels: u64,
    notes: Vec<String>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        args: &'a PlanArgs,
        clock: &'a dyn Clock,
        stop: &'a Arc<Stop>,
        (progress, interim): (&'a Progress, &'a mut InterimResults),
    ) -> Self {
        let scale = Scale::of(args);
        let count = LevelCount::new(&scale.stages(args));
        Self { args, clock, stop, scale, progress, count, interim, levels: 0, notes: Vec::new() }
    }

    /// Returns the notes of the first level's plan, which hold for all levels.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// Searches for the highest rate of hits.
    pub(super) fn hits(&mut self) -> Result<Found, MeasureError> {
        self.count.next_stage();
        let mut subject = self.filled("hits", &[])?;
        let (start, rate_max) = self.scale.hits;
        let terms = self.args.terms(start, rate_max);
        search(terms, &mut |rate| {
            let spec = self.steady_at(rate)?;
            self.searched(&spec, &mut subject, "hits")
        })
    }

    /// Starts a broker and asks it for every key once, at a rate that its lanes can follow.
    pub(super) fn filled(&mut self, name: &str, extra: &[String]) -> Result<Subject, MeasureError> {
        let keys = self.scale.keys();
        let rate = (keys / 2.0).min(1000.0);
        let fill = RunSpec {
            // Each key is requested within the first half of the warm-up.
            warmup: Duration::from_secs_f64(keys * 2.0 / rate),
            ..self.steady_spec()?.at_rate(rate).lasting(Duration::from_millis(200))
        };
        let Resolved { plan, notes, .. } = self.resolve(&fill)?;
        if self.notes.is_empty() {
            self.notes = notes;
        }
        let mut subject = Subject::start(&plan, &[self.alg(), extra.to_vec()].concat(), self.stop)?;
        self.level(&fill, &mut subject, name)?;
        Ok(subject)
    }

    /// Searches for the highest rate of mints. Each level has a new broker, because a key is cold only
    /// once.
    pub(super) fn mints(&mut self) -> Result<Found, MeasureError> {
        self.count.next_stage();
        let (start, rate_max) = self.scale.mints;
        let terms = self.args.terms(start, rate_max);
        search(terms, &mut |rate| {
            let (spec, mut subject) = self.cold(rate)?;
            self.searched(&spec, &mut subject, "mints")
        })
    }

    /// Starts a broker without tokens. Returns it with the definition of a run that asks only for new
    /// tokens.
    pub(super) fn cold(&self, rate: f64) -> Result<(RunSpec, Subject), MeasureError> {
        let mut spec = warmed(self.spec(Scenario::Mint)?, rate);
        spec.world.user_assigned = Some(self.mint_identities(&spec, rate));
        let subject = Subject::start(&self.resolve(&spec)?.plan, &self.alg(), self.stop)?;
        Ok((spec, subject))
    }

    /// Returns the definition of a level that asks for the same keys again and again.
    pub(super) fn steady_at(&self, rate: f64) -> Result<RunSpec, SpecError> {
        Ok(warmed(self.steady_spec()?, rate))
    }

    /// Returns the definition of a run that asks for the same keys again and again.
    fn steady_spec(&self) -> Result<RunSpec, SpecError> {
        let connections = Some(self.scale.vms * CONNECTIONS_EACH);
        Ok(RunSpec { connections, ..self.spec(Scenario::Steady)? })
    }

    /// Returns the definition of a level of this scenario.
    pub(super) fn spec(&self, scenario: Scenario) -> Result<RunSpec, SpecError> {
        let world = World { vms: Some(self.scale.vms), user_assigned: Some(HIT_IDENTITIES) };
        Ok(RunSpec {
            warmup: self.scale.warmup,
            world,
            timeout: TIMEOUT,
            samples: SAMPLES,
            // A burst after each gap of the generator would widen the bounds.
            pausing: Pausing::Witnessed,
            // Levels are independent: no level repeats the arrivals of another.
            seed: self.args.seed.wrapping_add(self.levels),
            ..RunSpec::read(scenario)?.lasting(self.scale.duration)
        })
    }

    /// Returns the plan of a level. Levels differ in the seed of their arrivals, but share the seed of
    /// the broker's world.
    pub(super) fn resolve(&self, spec: &RunSpec) -> Result<Resolved, SpecError> {
        let mut resolved = spec.resolve(&ProcessLimits::of_process())?;
        resolved.plan.world.seed = self.args.seed;
        Ok(resolved)
    }

    pub(super) fn alg(&self) -> Vec<String> {
        self.args.alg.iter().flat_map(|alg| ["--alg".to_owned(), alg.clone()]).collect()
    }

    /// Measures a level of a search. It is reported if the user interrupts.
    pub(super) fn searched(
        &mut self,
        spec: &RunSpec,
        subject: &mut Subject,
        name: &str,
    ) -> Result<Level, MeasureError> {
        let level = self.level(spec, subject, name)?;
        self.interim.add(name, &level, self.args.slo.limit_ns());
        Ok(level)
    }

    fn level(
        &mut self,
        spec: &RunSpec,
        subject: &mut Subject,
        name: &str,
    ) -> Result<Level, MeasureError> {
        let offered = spec.constant_rate().unwrap_or_default();
        let mut watch = LevelWatch::new(Some(&self.args.slo));
        match self.measured(spec, subject, name, &mut watch) {
            Ok(outcome) => Ok(self.level_of(&outcome, offered, &watch)),
            Err(_) if watch.saturated => Ok(watch.level(offered)),
            Err(error) => Err(error),
        }
    }

    /// Returns the results of a level that was measured to its end.
    pub(super) fn level_of(&self, outcome: &Outcome, offered: f64, watch: &LevelWatch) -> Level {
        Level::of(outcome, offered, &self.args.slo).with_core(watch.core.as_ref())
    }

    pub(super) fn measured(
        &mut self,
        spec: &RunSpec,
        subject: &mut Subject,
        name: &str,
        watch: &mut LevelWatch,
    ) -> Result<Outcome, MeasureError> {
        let plan = self.resolve(spec)?.plan;
        self.levels += 1;
        let step = self.next_step(name, spec.constant_rate().unwrap_or_default());
        self.progress.step(step);
        std::thread::sleep(COOL_DOWN);
        let (pid, mut core) = (subject.pid(), None);
        let mut observe = |event| {
            if matches!(event, LoadEvent::Measuring) {
                core = pid.map(CoreWatch::begin);
            }
            self.progress.tick();
        };
        let watcher = Watcher { sink: watch, observe: &mut observe };
        let measured = measure(&plan, subject, self.clock, self.stop, watcher);
        watch.core = core.and_then(|core| core.used());
        let outcome = measured?;
        // Errors are normal for a level beyond the capacity; wrong answers are not.
        let wrong = |failure: &&Failure| matches!(failure, Failure::Answers(_));
        match outcome.failures.iter().find(wrong) {
            Some(failure) => Err(MeasureError::Wrong(failure.clone())),
            None => Ok(outcome),
        }
    }
}

/// Returns a level at this rate, after a warm-up at half of it.
fn warmed(spec: RunSpec, rate: f64) -> RunSpec {
    RunSpec { warmup_rate: Some(rate / 2.0), ..spec.at_rate(rate) }
}

impl Bench<'_> {
    /// Describes the next level and the progress.
    fn next_step(&mut self, name: &str, rate: f64) -> String {
        let (number, all, ahead) = self.count.next_level();
        let each = self.scale.warmup + self.scale.duration + COOL_DOWN;
        #[expect(clippy::cast_precision_loss, reason = "dozens")]
        let ahead = left(each.as_secs_f64() * ahead as f64);
        format!("level {number} of about {all}: {name} at {rate:.0}/s, {ahead}")
    }

    /// Returns the identities of each VM that a level of mints needs: six standard deviations above the
    /// mean.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a few hundred thousand keys"
    )]
    fn mint_identities(&self, spec: &RunSpec, rate: f64) -> u32 {
        let mean = rate * (spec.warmup + spec.duration()).as_secs_f64();
        let keys = mean + 6.0 * mean.sqrt() + 1.0;
        let of_one = f64::from(self.scale.vms) * WELL_KNOWN_RESOURCES.len() as f64;
        ((keys / of_one).ceil() as u32).max(MINT_IDENTITIES)
    }
}
