//! `mintbench run --find-max`: searches the highest rate at which a target meets its objectives.

mod publish;

use std::sync::Arc;
use std::time::Duration;

use self::publish::{Found, Place};
use super::args::RunArgs;
use super::error::RunError;
use super::prepared::{Prepared, notes_before};
use crate::base::clock::Clock;
use crate::cli::exit::Exit;
use crate::cli::progress::{Progress, left};
use crate::cli::signals;
use crate::cli::terminal::{Stream, say};
use crate::harness::document::find_max::Level;
use crate::harness::find_max::bracket::{Bracket, Terms, Told, search};
use crate::harness::find_max::level::{level, told};
use crate::harness::find_max::text::table;
use crate::harness::judge::failure::Failure;
use crate::harness::judge::objective::answers_min;
use crate::harness::judge::outcome::Outcome;
use crate::harness::machine::host::strain::{Strain, StrainCounters};
use crate::harness::machine::stop::Stop;
use crate::harness::nanos::Nanos;
use crate::harness::record::collector::Discard;
use crate::harness::scenario::spec::{Resolved, RunSpec};
use crate::harness::session::run::{Watcher, measure};
use crate::harness::session::subject::Subject;

/// Pause between levels, in which queues drain and connections close.
const COOL_DOWN: Duration = Duration::from_millis(300);
/// Number of measurements of a rate that stays open, without `--attempts`.
const TRIES: u32 = 3;
/// Length of a level, without `--duration`. From ten seconds on, bursts are told from independent answers.
const LEVEL: Duration = Duration::from_secs(10);
/// Length up to which a level grows at a low rate, to have enough answers for a verdict.
const LEVEL_MAX: Duration = Duration::from_mins(1);
/// Answers of a level as a multiple of the least number for a verdict.
const ANSWERS: f64 = 1.2;
/// Largest rate at which the cache of our own broker is filled. Its lanes follow it.
const FILL_RATE: f64 = 1000.0;
/// Measured part after the cache is filled, which nobody looks at.
const FILL: Duration = Duration::from_millis(200);

/// Searches, and publishes the answer.
pub(super) fn run(
    prepared: &Prepared<'_>,
    clock: &dyn Clock,
    stop: &Arc<Stop>,
) -> Result<Exit, RunError> {
    let args = prepared.args;
    let started_at = clock.now();
    let place = Place::claim(args, started_at)?;
    let (_, Resolved { plan, mut notes, .. }) = prepared.attempt(0)?;
    let mut subject = prepared.start(&plan, stop)?;
    notes.extend(notes_before(&subject));
    let progress = (!args.quiet).then(Progress::start);
    let mut levels =
        Levels { prepared, clock, stop, progress, terms: args.terms(), all: Vec::new() };
    levels.announce();
    let strain = StrainCounters::read();
    let found = levels.search(&mut subject);
    let elapsed = Nanos::from_secs(clock.now().0.saturating_sub(started_at.0));
    let Strain { steal_share, .. } = StrainCounters::read().since(&strain, elapsed);
    let Levels { all, terms, progress, .. } = levels;
    drop(progress);
    match found {
        Ok(bracket) => {
            let target = subject.target();
            let found = Found { prepared, plan: &plan, target, started_at, terms, steal_share };
            found.publish(&place, &bracket, all, notes)
        }
        Err(_) if stop.is_requested() => {
            // Standard output gets whole JSON or nothing.
            let out = if args.json { Stream::Error } else { Stream::Output };
            Ok(signals::interrupted_after(&table(&all), out, "the search did not end"))
        }
        Err(error) => {
            Stream::Error.show(&table(&all));
            Err(error)
        }
    }
}

impl RunArgs {
    fn terms(&self) -> Terms {
        Terms {
            start: self.first_rate().unwrap_or_default(),
            rate_max: self.search.rate_max,
            resolution: 1.0 + self.search.within.0,
            tries: self.attempts.unwrap_or(TRIES),
        }
    }
}

/// Measures the levels of a search.
struct Levels<'a> {
    prepared: &'a Prepared<'a>,
    clock: &'a dyn Clock,
    stop: &'a Arc<Stop>,
    /// Display; none if it is not wanted.
    progress: Option<Progress>,
    terms: Terms,
    /// Levels so far.
    all: Vec<Level>,
}

impl Levels<'_> {
    /// Says how long the search takes.
    fn announce(&self) {
        let Terms { start, rate_max, tries, .. } = self.terms;
        if self.progress.is_some() {
            say(format_args!(
                "find-max  from {start}/s up to at most {rate_max}/s, about {:.0} levels: {}; each is tried up to {tries} times while nobody can tell",
                self.terms.rates(),
                left(self.ahead(start))
            ));
        }
    }

    /// Returns the approximate time of the levels that are left, in seconds.
    fn ahead(&self, rate: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "dozens")]
        let ahead = (self.terms.rates() - self.all.len() as f64).max(1.0);
        let each = self.prepared.spec.warmup + self.length(rate) + COOL_DOWN;
        each.as_secs_f64() * ahead
    }

    fn search(&mut self, subject: &mut Subject) -> Result<Bracket, RunError> {
        if let Subject::Broker { .. } = subject {
            self.fill(subject)?;
        }
        search(self.terms, &mut |rate| self.tell(rate, subject))
    }

    /// Asks our broker for every key, so that all levels find them in its cache.
    fn fill(&self, subject: &mut Subject) -> Result<(), RunError> {
        let spec = &self.prepared.spec;
        let plan = self.prepared.resolve(spec)?.plan;
        #[expect(clippy::cast_precision_loss, reason = "keys are far below 2^53")]
        let keys = plan.workload.filled(&plan.world).map_or(0.0, |(_, keys)| keys as f64);
        let rate = (keys / 2.0).clamp(1.0, FILL_RATE);
        // Keys are requested within the first half of the warm-up.
        let warmup = Duration::from_secs_f64(keys * 2.0 / rate);
        let spec = RunSpec { warmup, ..spec.clone().at_rate(rate).lasting(FILL) };
        self.step("filling the cache".to_owned());
        self.measured(&spec, subject).map(drop)
    }

    /// Measures a level, and returns what it tells.
    fn tell(&mut self, rate: f64, subject: &mut Subject) -> Result<Told, RunError> {
        let (args, spec) = (self.prepared.args, &self.prepared.spec);
        let number = self.all.len() as u64 + 1;
        let spec = RunSpec {
            // Levels are independent: no level repeats the arrivals of another.
            seed: args.seed.wrapping_add(number),
            ..spec.clone().at_rate(rate).lasting(self.length(rate))
        };
        self.step(format!("level {number}: {rate:.0}/s, {}", left(self.ahead(rate))));
        std::thread::sleep(COOL_DOWN);
        let outcome = self.measured(&spec, subject)?;
        let asked = args.asked(&spec.objectives, self.terms.deciding());
        let level = level(rate, asked, &outcome);
        let told = told(&level);
        self.all.push(level);
        Ok(told)
    }

    /// Returns the length of a level: that of the user, or long enough for a verdict.
    fn length(&self, rate: f64) -> Duration {
        if let Some(length) = self.prepared.args.duration {
            return length;
        }
        let objectives = self.prepared.spec.objectives.iter();
        let answers = objectives.map(|objective| answers_min(objective.quantile())).max();
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let seconds = answers.unwrap_or_default() as f64 * ANSWERS / rate;
        Duration::try_from_secs_f64(seconds).unwrap_or(LEVEL_MAX).clamp(LEVEL, LEVEL_MAX)
    }

    fn measured(&self, spec: &RunSpec, subject: &mut Subject) -> Result<Outcome, RunError> {
        let plan = self.prepared.resolve(spec)?.plan;
        let mut tick = |_| {
            if let Some(progress) = &self.progress {
                progress.tick();
            }
        };
        let watcher = Watcher { sink: &mut Discard, observe: &mut tick };
        let outcome = measure(&plan, subject, self.clock, self.stop, watcher)?;
        // Errors are normal for a level beyond the capacity; wrong answers are not.
        let wrong = |failure: &&Failure| matches!(failure, Failure::Answers(_));
        match outcome.failures.iter().find(wrong) {
            Some(failure) => Err(RunError::Wrong(failure.clone())),
            None => Ok(outcome),
        }
    }

    fn step(&self, what: String) {
        if let Some(progress) = &self.progress {
            progress.step(what);
        }
    }
}
