//! Measures the levels of a search with a broker of our own.

mod held_out;

use std::sync::Arc;
use std::time::Duration;

use super::super::progress::{Progress, left};
use super::super::run::settings::{Settings, SettingsError};
use super::super::run::{RunArgs, Scenario};
use super::course::{Course, levels};
use super::known::Known;
use super::watch::Watch;
use super::{PlanArgs, terms};
use crate::base::clock::Clock;
use crate::base::synthetic::WELL_KNOWN_RESOURCES;
use crate::harness::judge::failure::Failure;
use crate::harness::judge::outcome::Outcome;
use crate::harness::machine::stop::Stop;
use crate::harness::plan::level::Level;
use crate::harness::plan::search::{Found, search};
use crate::harness::session::error::SessionError;
use crate::harness::session::run::{Watcher, measure};
use crate::harness::session::subject::Subject;

/// Reasons why a level was not measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeasureError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the broker gives wrong answers: {0}")]
    Wrong(Failure),
}

impl MeasureError {
    /// Returns true if the broker failed, and not the attempt to measure it.
    pub(super) const fn blames_broker(&self) -> bool {
        matches!(
            self,
            Self::Wrong(_) | Self::Session(SessionError::Counters(_) | SessionError::Died(_))
        )
    }
}

/// Size of the measurement.
#[derive(Clone, Copy, Debug)]
struct Scale {
    duration: Duration,
    /// Warm-up, in which thousands of connections open. Near saturation, the backlog of that takes two
    /// seconds to drain.
    warmup: Duration,
    vms: u32,
    /// First and largest rate for hits; `mints` is the same for mints.
    hits: (f64, f64),
    mints: (f64, f64),
    /// Maximum number of machines that boot.
    storm: f64,
}

impl Scale {
    fn of(args: &PlanArgs) -> Self {
        let scale = if args.quick { Self::QUICK } else { Self::WHOLE };
        Self { duration: args.levels_duration.unwrap_or(scale.duration), ..scale }
    }

    /// Returns the approximate number of levels of each stage: hits, mints and, if they are measured,
    /// storms and the mix.
    fn stages(&self, args: &PlanArgs) -> Vec<u64> {
        let search = |(start, rate_max)| levels(&terms(args, start, rate_max));
        let mut stages = vec![FILL + search(self.hits), search(self.mints)];
        if !args.no_held_out {
            stages.extend(held_out::levels(search(self.mix())));
        }
        stages
    }

    /// Returns the number of keys that hits ask for.
    fn keys(&self) -> f64 {
        f64::from(self.vms) * f64::from(HIT_IDENTITIES + 1)
    }

    /// Returns the first and the largest rate of a mix of hits and mints.
    const fn mix(&self) -> (f64, f64) {
        (self.mints.0 * 4.0, self.hits.1)
    }

    const WHOLE: Self = Self {
        duration: Duration::from_secs(10),
        warmup: Duration::from_secs(4),
        vms: 1000,
        hits: (1000.0, 1e6),
        mints: (50.0, 1e5),
        // They must fit into the broker's mint queue.
        storm: 8000.0,
    };

    const QUICK: Self = Self {
        duration: Duration::from_secs(1),
        warmup: Duration::from_millis(200),
        vms: 50,
        hits: (400.0, 3200.0),
        mints: (50.0, 400.0),
        storm: 500.0,
    };
}

/// Number of levels that fill a cache.
const FILL: u64 = 1;
/// User-assigned identities of each VM for hits. With the VM's own identity this makes three keys, as in
/// `run steady`.
const HIT_IDENTITIES: u32 = 2;
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
    args: &'a PlanArgs,
    clock: &'a dyn Clock,
    stop: &'a Arc<Stop>,
    scale: Scale,
    progress: &'a Progress,
    course: Course,
    known: &'a mut Known,
    levels: u64,
    notes: Vec<String>,
}

impl<'a> Bench<'a> {
    pub(super) fn new(
        args: &'a PlanArgs,
        clock: &'a dyn Clock,
        stop: &'a Arc<Stop>,
        (progress, known): (&'a Progress, &'a mut Known),
    ) -> Self {
        let scale = Scale::of(args);
        let course = Course::new(&scale.stages(args));
        Self { args, clock, stop, scale, progress, course, known, levels: 0, notes: Vec::new() }
    }

    /// Returns the notes of the levels' settings, which are taken once, from the first level.
    pub(super) fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// Searches for the highest rate of hits.
    pub(super) fn hits(&mut self) -> Result<Found, MeasureError> {
        self.course.next_stage();
        self.steady("hits", self.scale.hits, &[], &mut |_| Ok(()))
    }

    /// Searches with `steady` on one broker, whose cache is filled first. Calls `between` before each
    /// level.
    fn steady(
        &mut self,
        name: &str,
        (start, rate_max): (f64, f64),
        extra: &[String],
        between: &mut dyn FnMut(&mut Self) -> Result<(), MeasureError>,
    ) -> Result<Found, MeasureError> {
        let mut subject = self.filled(name, extra)?;
        let terms = terms(self.args, start, rate_max);
        search(terms, &mut |rate| {
            between(self)?;
            let args = RunArgs { rate: Some(rate), ..self.steady_args() };
            self.searched(&args, &mut subject, name)
        })
    }

    /// Starts a broker and asks it for every key once, at a rate that its lanes can follow.
    fn filled(&mut self, name: &str, extra: &[String]) -> Result<Subject, MeasureError> {
        let keys = self.scale.keys();
        let rate = (keys / 2.0).min(1000.0);
        let fill = RunArgs {
            rate: Some(rate),
            // Each key is requested within the first half of the warm-up.
            warmup: Some(Duration::from_secs_f64(keys * 2.0 / rate)),
            duration: Some(Duration::from_millis(200)),
            ..self.steady_args()
        };
        let Settings { plan, notes } = self.settings(&fill)?;
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
        self.course.next_stage();
        let (start, rate_max) = self.scale.mints;
        let terms = terms(self.args, start, rate_max);
        search(terms, &mut |rate| {
            let (args, mut subject) = self.cold(rate)?;
            self.searched(&args, &mut subject, "mints")
        })
    }

    /// Starts a broker without tokens. Returns it with the arguments of a run that asks only for new
    /// tokens.
    fn cold(&self, rate: f64) -> Result<(RunArgs, Subject), MeasureError> {
        let args = RunArgs { rate: Some(rate), ..self.run_args(Scenario::Mint) };
        let args = RunArgs { user_assigned: Some(identities(&args)), ..args };
        let subject = Subject::start(&self.settings(&args)?.plan, &self.alg(), self.stop)?;
        Ok((args, subject))
    }

    fn steady_args(&self) -> RunArgs {
        let connections = Some(self.scale.vms * CONNECTIONS_EACH);
        RunArgs { connections, ..self.run_args(Scenario::Steady) }
    }

    fn run_args(&self, scenario: Scenario) -> RunArgs {
        RunArgs {
            warmup: Some(self.scale.warmup),
            duration: Some(self.scale.duration),
            vms: Some(self.scale.vms),
            user_assigned: Some(HIT_IDENTITIES),
            timeout: TIMEOUT,
            samples: SAMPLES,
            // Levels are independent: no level repeats the arrivals of another.
            seed: self.args.seed.wrapping_add(self.levels),
            ..RunArgs::of(scenario)
        }
    }

    /// Resolves the settings. Levels differ in the seed of their arrivals, but share the seed of the
    /// broker's world.
    fn settings(&self, args: &RunArgs) -> Result<Settings, SettingsError> {
        let mut settings = Settings::resolve(args)?;
        settings.plan.world.seed = self.args.seed;
        Ok(settings)
    }

    fn alg(&self) -> Vec<String> {
        self.args.alg.iter().flat_map(|alg| ["--alg".to_owned(), alg.clone()]).collect()
    }

    /// Measures a level of a search. It counts as known if the user interrupts.
    fn searched(
        &mut self,
        args: &RunArgs,
        subject: &mut Subject,
        name: &str,
    ) -> Result<Level, MeasureError> {
        let level = self.level(args, subject, name)?;
        self.known.add(name, &level, self.args.slo.limit_ns());
        Ok(level)
    }

    fn level(
        &mut self,
        args: &RunArgs,
        subject: &mut Subject,
        name: &str,
    ) -> Result<Level, MeasureError> {
        let offered = args.rate.unwrap_or_default();
        let mut watch = Watch::new(Some(&self.args.slo));
        match self.measured(args, subject, name, &mut watch) {
            Ok(outcome) => Ok(Level::of(&outcome, offered, &self.args.slo)),
            Err(_) if watch.hopeless => Ok(watch.level(offered)),
            Err(error) => Err(error),
        }
    }

    fn measured(
        &mut self,
        args: &RunArgs,
        subject: &mut Subject,
        name: &str,
        watch: &mut Watch,
    ) -> Result<Outcome, MeasureError> {
        let plan = self.settings(args)?.plan;
        self.levels += 1;
        let step = self.next_step(name, args.rate.unwrap_or_default());
        self.progress.step(step);
        std::thread::sleep(COOL_DOWN);
        let watcher = Watcher { sink: watch, observe: &mut |_| self.progress.tick() };
        let outcome = measure(&plan, subject, self.clock, self.stop, watcher)?;
        // Errors are normal for a level beyond the capacity; wrong answers are not.
        let wrong = |failure: &&Failure| matches!(failure, Failure::Answers(_));
        match outcome.failures.iter().find(wrong) {
            Some(failure) => Err(MeasureError::Wrong(failure.clone())),
            None => Ok(outcome),
        }
    }
}

impl Bench<'_> {
    /// Describes the next level and the progress.
    fn next_step(&mut self, name: &str, rate: f64) -> String {
        let (number, all, ahead) = self.course.next_level();
        let each = self.scale.warmup + self.scale.duration + COOL_DOWN;
        #[expect(clippy::cast_precision_loss, reason = "dozens")]
        let ahead = left(each.as_secs_f64() * ahead as f64);
        format!("level {number} of about {all}: {name} at {rate:.0}/s, {ahead}")
    }
}

/// Returns the identities of each VM that a level of mints needs: six standard deviations above the
/// mean.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a few hundred thousand keys"
)]
fn identities(args: &RunArgs) -> u32 {
    let seconds = args.warmup.unwrap_or_default() + args.duration.unwrap_or_default();
    let mean = args.rate.unwrap_or_default() * seconds.as_secs_f64();
    let keys = mean + 6.0 * mean.sqrt() + 1.0;
    let of_one = f64::from(args.vms.unwrap_or(1)) * WELL_KNOWN_RESOURCES.len() as f64;
    ((keys / of_one).ceil() as u32).max(MINT_IDENTITIES)
}
