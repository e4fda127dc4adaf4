//! `mintbench compare --target A --target B`: two endpoints under the same load, in turns.
//!
//! Short blocks alternate (A B B A), so that drift of the machine hits both endpoints alike. Both blocks
//! of a pair have the same schedule. The result is the ratio over the pairs; there is no verdict on it.

mod args;
mod comparison;
mod folders;
mod rejection;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::args::CompareArgs;
use self::comparison::{Block, Comparison, Question};
use self::folders::Form;
use super::exit::{Exit, refuse};
use super::progress::{Progress, left};
use super::signals;
use super::sources::variables::COMPARE_VARIABLES;
use super::target::{TargetError, TargetUrl, hints};
use super::terminal::{PrintError, print, say};
use crate::base::clock::{Clock, SystemClock};
use crate::base::printable::json;
use crate::harness::dialect::target::Target;
use crate::harness::machine::stop::Stop;
use crate::harness::record::collector::Discard;
use crate::harness::scenario::phases::Arrivals;
use crate::harness::scenario::spec::{ProcessLimits, RunSpec, Scenario, SpecError};
use crate::harness::session::error::SessionError;
use crate::harness::session::run;
use crate::harness::session::run::Watcher;
use crate::harness::session::subject::Subject;

/// Reason why there is no comparison.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(
        "a comparison takes two endpoints, not {0}; give --target twice, or name two result folders"
    )]
    Targets(usize),
    #[error("a comparison takes two result folders, not {0}; name A and B")]
    Folders(usize),
    #[error("--block {} is out of range; use 100ms to 24h", humantime::format_duration(*.0))]
    Block(Duration),
    #[error("--pairs {0} is out of range; use 2 to {PAIRS_MAX}: an interval needs two")]
    Pairs(u32),
    #[error(transparent)]
    Print(#[from] PrintError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Target(#[from] TargetError),
}

const PAIRS_MAX: u32 = 10_000;
/// Range of the length of a block, with the maximum of a run.
const BLOCKS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(24);

/// Runs the command.
pub(super) fn main(args: &CompareArgs) -> Exit {
    let folders = args.folders.dirs.len();
    if ![0, 2].contains(&folders) {
        return refuse(&CompareError::Folders(folders));
    }
    if folders > 0 {
        if let Err(error) = args.access.check_absent() {
            return refuse(&error);
        }
        let form = if args.json { Form::Json } else { Form::Text };
        return folders::main(&args.folders, form);
    }
    let stop = Arc::new(Stop::default());
    match run(args, &SystemClock, &stop) {
        Ok(_) if stop.is_requested() => Exit::Interrupted,
        Err(_) if stop.is_requested() => {
            signals::interrupted("nothing is compared; give fewer --pairs for a shorter comparison")
        }
        Ok(exit) => exit,
        Err(error) => refuse(&error),
    }
}

fn run(args: &CompareArgs, clock: &dyn Clock, stop: &Arc<Stop>) -> Result<Exit, CompareError> {
    let [a, b] = args.target.as_slice() else {
        return Err(CompareError::Targets(args.target.len()));
    };
    if !(2..=PAIRS_MAX).contains(&args.pairs) {
        return Err(CompareError::Pairs(args.pairs));
    }
    if !BLOCKS.contains(&args.block) {
        return Err(CompareError::Block(args.block));
    }
    args.access.check(&[a, b], None)?;
    let (a, b) = (&a.reached(), &b.reached());
    let resolve = |target| args.access.resolve(target, None, &COMPARE_VARIABLES);
    let [a, b] =
        [Side { written: a, target: resolve(a)? }, Side { written: b, target: resolve(b)? }];
    // Until here a signal ends the process at once. It may wait for a pipe, and nothing is started yet.
    signals::listen(Arc::clone(stop));
    for hint in [&a, &b].into_iter().flat_map(|side| hints::before(&side.target)) {
        say(format_args!("note      {hint}"));
    }
    let mut comparison = Comparison::new(args.question([&a, &b]));
    let progress = Progress::start();
    for pair in 0..args.pairs {
        let ahead = left((args.block * 2 * (args.pairs - pair)).as_secs_f64());
        progress.step(format!("pair {} of {}, {ahead}", pair + 1, args.pairs));
        match args.pair(pair, [&a, &b], clock, stop) {
            Ok([of_a, of_b]) => comparison.add(of_a, of_b),
            // The pairs measured before are whole.
            Err(_) if stop.is_requested() && !comparison.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    drop(progress);
    let text = if args.json {
        json(&comparison.document()).map_err(PrintError::from)?
    } else {
        comparison.text()
    };
    print(&text)?;
    Ok(if comparison.is_valid() { Exit::Pass } else { Exit::Invalid })
}

struct Side<'a> {
    written: &'a TargetUrl,
    target: Target,
}

impl CompareArgs {
    fn question(&self, sides: [&Side<'_>; 2]) -> Question {
        Question {
            targets: sides.map(|side| side.target.to_string()),
            pairs: self.pairs,
            block: self.block,
            rate: self.rate,
            arrivals: self.arrivals.unwrap_or(Arrivals::Poisson),
            seed: self.seed,
        }
    }

    /// Measures one block of each endpoint. The endpoint that goes first alternates.
    fn pair(
        &self,
        number: u32,
        [a, b]: [&Side<'_>; 2],
        clock: &dyn Clock,
        stop: &Stop,
    ) -> Result<[Block; 2], CompareError> {
        let seed = self.seed.wrapping_add(number.into());
        let measure = |side| self.block(side, seed, clock, stop);
        if number.is_multiple_of(2) {
            let first = measure(a)?;
            return Ok([first, measure(b)?]);
        }
        let first = measure(b)?;
        Ok([measure(a)?, first])
    }

    fn block(
        &self,
        side: &Side<'_>,
        seed: u64,
        clock: &dyn Clock,
        stop: &Stop,
    ) -> Result<Block, CompareError> {
        let plan = self.spec(side.written, seed)?.resolve(&ProcessLimits::of_process())?.plan;
        let mut subject = Subject::Foreign { target: side.target.clone(), jwks: None };
        let watcher = Watcher { sink: &mut Discard, observe: &mut |_| {} };
        let outcome = run::measure(&plan, &mut subject, clock, stop, watcher)?;
        Ok(Block::of(&outcome))
    }

    /// Returns the definition of one block.
    fn spec(&self, target: &TargetUrl, seed: u64) -> Result<RunSpec, SpecError> {
        let spec = RunSpec::read(Scenario::Steady)?.against(target.url.address);
        let spec = spec.at_rate(self.rate).lasting(self.block);
        let spec = match self.arrivals {
            Some(arrivals) => spec.spaced(arrivals),
            None => spec,
        };
        Ok(RunSpec {
            warmup: self.warmup,
            connections: self.connections,
            threads: self.threads,
            timeout: self.timeout,
            errors_max: self.max_errors.unwrap_or(spec.errors_max),
            // No answers are verified.
            samples: 1,
            seed,
            ..spec
        })
    }
}
