//! `mintbench compare --target A --target B`: two endpoints under the same load, in turns.
//!
//! Short blocks alternate (A B B A), so that drift of the machine hits both endpoints alike. Both blocks
//! of a pair have the same schedule. The result is the ratio over the pairs; there is no verdict on it.

mod finding;
mod spoiled;
mod stored;

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use self::finding::{Block, Finding, Question};
use self::stored::{FolderArgs, Form};
use super::progress::{Progress, left};
use super::run::settings::{Settings, SettingsError};
use super::run::target::{SecretVariables, TargetArgs, TargetError, TargetUrl, hint};
use super::run::{RunArgs, Scenario};
use super::{Exit, refuse, signals};
use crate::base::clock::{Clock, SystemClock};
use crate::base::printable::json;
use crate::cli::terminal::{Stream, say};
use crate::harness::dialect::target::Target;
use crate::harness::machine::stop::Stop;
use crate::harness::record::collector::Discard;
use crate::harness::scenario::phases::Arrivals;
use crate::harness::session::error::SessionError;
use crate::harness::session::run;
use crate::harness::session::run::Watcher;
use crate::harness::session::subject::Subject;

/// Compare two token endpoints, measured in turns, or two stored results: the ratio with its interval.
///
/// Two endpoints (--target A --target B) get the same load in short blocks that alternate, so that drift of the
/// machine meets both. Two result folders (compare A B) were measured apart, and drift is part of their ratios.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 compared, whatever the ratio; 2 usage; 4 invalid (the generator or the host \
was the bottleneck, or too many requests failed), or with --strict an invalid result; 6 with --strict, results of \
unlike machines; 130 interrupted."
)]
pub struct VersusArgs {
    /// An endpoint, or a TOML file that describes one (docs/targets.md): twice, A and then B
    #[arg(
        long,
        value_name = "[PROTOCOL+]URL",
        env = "MINTBENCH_COMPARE_TARGET",
        hide_env_values = true,
        hide_default_value = true
    )]
    target: Vec<TargetUrl>,
    /// Pairs of blocks
    #[arg(long, value_name = "N", default_value_t = 20, env = "MINTBENCH_COMPARE_PAIRS")]
    pairs: u32,
    /// Length of the measured part of each block
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration, env = "MINTBENCH_COMPARE_BLOCK")]
    block: Duration,
    /// Load before the measured part of each block
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = humantime::parse_duration, env = "MINTBENCH_COMPARE_WARMUP")]
    warmup: Duration,
    /// Requests per second
    #[arg(long, value_name = "N", default_value_t = 1000.0, env = "MINTBENCH_COMPARE_RATE")]
    rate: f64,
    /// How requests are spaced [default: poisson]
    #[arg(long, value_enum, env = "MINTBENCH_COMPARE_ARRIVALS")]
    arrivals: Option<Arrivals>,
    /// Connections to each endpoint, made anew for each block [default: 64]
    #[arg(long, value_name = "N", env = "MINTBENCH_COMPARE_CONNECTIONS")]
    connections: Option<u32>,
    /// Generator threads [default: one per core but one]
    #[arg(long, value_name = "N", env = "MINTBENCH_COMPARE_THREADS")]
    threads: Option<usize>,
    /// Everything random is derived from this
    #[arg(long, value_name = "N", default_value_t = 1, env = "MINTBENCH_COMPARE_SEED")]
    seed: u64,
    /// Give a request up after this time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration, env = "MINTBENCH_COMPARE_TIMEOUT")]
    timeout: Duration,
    /// Share of the requests of a block that may fail [default: 0.01]
    #[arg(long, value_name = "SHARE", env = "MINTBENCH_COMPARE_MAX_ERRORS")]
    max_errors: Option<f64>,
    /// Print JSON instead of the table
    #[arg(long, env = "MINTBENCH_COMPARE_JSON")]
    json: bool,
    // These come last, because a help heading applies to all flags after it.
    #[command(flatten)]
    folders: FolderArgs,
    #[command(flatten)]
    access: TargetArgs,
}

/// Reasons why there is no comparison.
#[derive(Debug, thiserror::Error)]
enum VersusError {
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
    #[error("cannot write the result to standard output")]
    Print(#[source] io::Error),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Target(#[from] TargetError),
}

const PAIRS_MAX: u32 = 10_000;
/// Range of the length of a block, with the maximum of a run.
const BLOCKS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_hours(24);

/// Secret variables of `mintbench compare`.
pub(super) const VARIABLES: SecretVariables = SecretVariables {
    client_secret: "MINTBENCH_COMPARE_CLIENT_SECRET",
    identity_header: "MINTBENCH_COMPARE_IDENTITY_HEADER",
};

/// Runs the command.
pub fn main(args: &VersusArgs) -> Exit {
    let folders = args.folders.dirs.len();
    if ![0, 2].contains(&folders) {
        return refuse(&VersusError::Folders(folders));
    }
    if folders > 0 {
        if let Err(error) = args.access.check_absent() {
            return refuse(&error);
        }
        let form = if args.json { Form::Json } else { Form::Text };
        return stored::main(&args.folders, form);
    }
    let stop = Arc::new(Stop::default());
    signals::listen(Arc::clone(&stop));
    match run(args, &SystemClock, &stop) {
        Ok(_) if stop.is_requested() => Exit::Interrupted,
        Err(_) if stop.is_requested() => {
            signals::interrupted("nothing is compared; give fewer --pairs for a shorter comparison")
        }
        Ok(exit) => exit,
        Err(error) => refuse(&error),
    }
}

fn run(args: &VersusArgs, clock: &dyn Clock, stop: &Stop) -> Result<Exit, VersusError> {
    let [a, b] = args.target.as_slice() else {
        return Err(VersusError::Targets(args.target.len()));
    };
    if !(2..=PAIRS_MAX).contains(&args.pairs) {
        return Err(VersusError::Pairs(args.pairs));
    }
    if !BLOCKS.contains(&args.block) {
        return Err(VersusError::Block(args.block));
    }
    args.access.check(&[a, b], None)?;
    let (a, b) = (&a.reached(), &b.reached());
    let resolve = |target| args.access.resolve(target, None, &VARIABLES);
    let [a, b] =
        [Side { written: a, target: resolve(a)? }, Side { written: b, target: resolve(b)? }];
    for hint in [&a, &b].into_iter().flat_map(|side| hint::before(&side.target)) {
        say(format_args!("note      {hint}"));
    }
    let mut finding = Finding::new(args.question([&a, &b]));
    let progress = Progress::start();
    for pair in 0..args.pairs {
        let ahead = left((args.block * 2 * (args.pairs - pair)).as_secs_f64());
        progress.step(format!("pair {} of {}, {ahead}", pair + 1, args.pairs));
        match args.pair(pair, [&a, &b], clock, stop) {
            Ok([of_a, of_b]) => finding.add(of_a, of_b),
            // The pairs measured before are whole.
            Err(_) if stop.is_requested() && !finding.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    drop(progress);
    let text = if args.json {
        json(&finding.document()).map_err(|error| VersusError::Print(error.into()))?
    } else {
        finding.text()
    };
    Stream::Output.write(&text).map_err(VersusError::Print)?;
    Ok(if finding.is_valid() { Exit::Pass } else { Exit::Invalid })
}

struct Side<'a> {
    written: &'a TargetUrl,
    target: Target,
}

impl VersusArgs {
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
    ) -> Result<[Block; 2], VersusError> {
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
    ) -> Result<Block, VersusError> {
        let args = RunArgs {
            target: Some(side.written.clone()),
            rate: Some(self.rate),
            duration: Some(self.block),
            warmup: Some(self.warmup),
            arrivals: self.arrivals,
            connections: self.connections,
            threads: self.threads,
            timeout: self.timeout,
            max_errors: self.max_errors,
            // No answers are verified.
            samples: 1,
            seed,
            ..RunArgs::of(Scenario::Steady)
        };
        let Settings { plan, .. } = Settings::resolve(&args)?;
        let mut subject = Subject::Foreign { target: side.target.clone(), jwks: None };
        let watcher = Watcher { sink: &mut Discard, observe: &mut |_| {} };
        let outcome = run::measure(&plan, &mut subject, clock, stop, watcher)?;
        Ok(Block::of(&outcome))
    }
}
