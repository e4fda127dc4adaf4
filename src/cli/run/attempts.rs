//! Attempts of a run: it is repeated until it decides what was asked.
//!
//! The first attempt that decides is reported, never the best one. Its verdicts are made with a share of the usual
//! chance of an error, so that the chances of all attempts together are the usual one.

use std::sync::Arc;
use std::time::Duration;

use super::args::RunArgs;
use super::error::RunError;
use super::finished::Finished;
use super::live::Displays;
use super::prepared::{Prepared, notes_before};
use crate::base::clock::Clock;
use crate::cli::exit::Exit;
use crate::cli::terminal::say;
use crate::harness::document::run::attempts::{Attempt, Attempts};
use crate::harness::machine::stop::Stop;
use crate::harness::report::folder::Folder;
use crate::harness::scenario::spec::Resolved;
use crate::harness::session::progress::RunProgress;
use crate::harness::session::run::{Watcher, measure_until_stopped};
use crate::harness::stats::intervals::Chance;

/// Pause between attempts, in which connections close and queues drain.
const COOL_DOWN: Duration = Duration::from_millis(300);

/// Runs until an attempt decides what was asked, and publishes it; the last one if none does.
pub(super) fn run(
    prepared: &Prepared<'_>,
    clock: &dyn Clock,
    stop: &Arc<Stop>,
) -> Result<Exit, RunError> {
    let args = prepared.args;
    let scenario = prepared.spec.scenario.as_str();
    let path = args.out.clone().unwrap_or_else(|| Folder::default_path(clock.now(), scenario));
    // If it is dropped empty, the folder is removed again.
    let folder = Folder::create(path)?;
    args.outputs.check().map_err(RunError::Files)?;
    let runs = Runs { prepared, clock, stop };
    let mut finished = match runs.attempt(0, &folder) {
        Ok(finished) => finished,
        Err(error) => {
            if let RunError::Session(_) = error {
                folder.discard();
            }
            return Err(error);
        }
    };
    let mut list = vec![finished.attempt(1)];
    let mut failed = None;
    while let Some(number) = runs.next(&list) {
        match runs.again(number, &folder) {
            Ok(another) => finished = another,
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        list.push(finished.attempt(number + 1));
    }
    let exit = finished.publish(&folder, attempts(args, list))?;
    // An interrupt ends all attempts, and leaves the last whole one as the result.
    failed.filter(|_| !stop.is_requested()).map_or(Ok(exit), Err)
}

/// Returns the list of the attempts, if more than one was allowed.
fn attempts(args: &RunArgs, list: Vec<Attempt>) -> Option<Attempts> {
    let max = args.attempts();
    let decided = list.last().is_some_and(|last| last.left_open.is_none());
    let chance = Chance::USUAL.of_one_in(max).probability();
    (max > 1).then_some(Attempts { max, decided, chance, list })
}

/// Maker of the attempts of a run.
struct Runs<'a> {
    prepared: &'a Prepared<'a>,
    clock: &'a dyn Clock,
    stop: &'a Arc<Stop>,
}

impl<'a> Runs<'a> {
    /// Returns the number of the next attempt, counted from 0, if the last one left something open.
    fn next(&self, list: &[Attempt]) -> Option<u32> {
        let Attempt { number, left_open, .. } = list.last()?;
        let (args, open) = (self.prepared.args, left_open.as_ref()?);
        if *number >= args.attempts() || self.stop.is_requested() {
            return None;
        }
        if !args.quiet {
            say(format_args!("attempt   {number} of {} left open: {open}", args.attempts()));
        }
        Some(*number)
    }

    /// Makes another attempt. Its files replace those of the one before only when it has ended.
    fn again(&self, number: u32, folder: &Folder) -> Result<Finished<'a>, RunError> {
        std::thread::sleep(COOL_DOWN);
        let files = folder.next_attempt()?;
        match self.attempt(number, &files) {
            Ok(finished) => {
                folder.take_over(files)?;
                Ok(finished)
            }
            Err(error) => {
                files.discard();
                Err(match error {
                    RunError::Cut { source, .. } => RunError::Session(source),
                    error => error,
                })
            }
        }
    }

    /// Makes an attempt, numbered from 0, and writes its intervals to the folder.
    fn attempt(&self, number: u32, folder: &Folder) -> Result<Finished<'a>, RunError> {
        let Self { prepared, clock, stop } = self;
        let (spec, Resolved { plan, mut notes, shortfall }) = prepared.attempt(number)?;
        if let Some(shortfall) = shortfall.filter(|_| number == 0) {
            say(format_args!("warning: {shortfall}"));
        }
        let started_at = clock.now();
        let mut subject = prepared.start(&plan, stop)?;
        notes.extend(notes_before(&subject));
        let displays = Displays::start(prepared.args, spec.scenario.as_str(), &plan, &subject)?;
        let progress: &RunProgress = &displays.progress;
        let mut logs = folder.logs();
        let mut observe = |event| progress.observe(event);
        let watcher = Watcher { sink: &mut progress.watching(&mut logs), observe: &mut observe };
        let outcome = measure_until_stopped(&plan, &mut subject, *clock, stop, watcher);
        drop(displays);
        let target = subject.target();
        match outcome {
            Ok(outcome) => {
                Ok(Finished { args: prepared.args, spec, plan, target, started_at, outcome, notes })
            }
            Err(source) if logs.is_empty() => Err(RunError::Session(source)),
            // The measured part is kept: a long run may have died near its end.
            Err(source) => Err(RunError::Cut { path: folder.path().to_owned(), source }),
        }
    }
}
