//! `mintbench run`: drives a token endpoint with open-loop load and says what its latency is.

mod settings;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rand::TryRng;
use rand::rngs::SysRng;

use self::settings::{Settings, SettingsError};
use super::{Exit, refuse};
use crate::clock::{Clock, Seconds, SystemClock, UnixSeconds};
use crate::load::fleet::{LoadError, Progress};
use crate::load::generator::Plan;
use crate::load::schedule::Arrivals;
use crate::load::session::{self, Outcome, SessionError, Subject};
use crate::load::target::HttpUrl;
use crate::report::folder::{Folder, FolderError};
use crate::report::run_json::{Identity, RunJson};
use crate::report::slo::Objective;
use crate::report::table;

/// Measure a token endpoint with open-loop load.
///
/// Without --target, a broker with a synthetic world is started in a child process and measured.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 pass; 1 failed check; 2 usage; 4 invalid run (the generator or the \
host was the bottleneck); 5 SLO breached; 130 interrupted."
)]
pub struct RunArgs {
    /// What is sent
    #[arg(value_enum, default_value_t = Scenario::Steady, env = "MINTBENCH_RUN_SCENARIO")]
    scenario: Scenario,
    /// Measure this endpoint instead of a broker of our own [default path: the IMDS token path]
    #[arg(long, value_name = "URL", env = "MINTBENCH_RUN_TARGET")]
    target: Option<HttpUrl>,
    /// Where the keys of --target are published; answers are verified with them
    #[arg(long, value_name = "URL", requires = "target", env = "MINTBENCH_RUN_JWKS")]
    jwks: Option<HttpUrl>,
    /// Requests per second [default: 5000; mint: 200]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_RATE")]
    rate: Option<f64>,
    /// Length of the measured part, like 30s [default: 30s; mint: 20s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_RUN_DURATION")]
    duration: Option<Duration>,
    /// Load before the measured part [default: 5s; mint: 2s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_RUN_WARMUP")]
    warmup: Option<Duration>,
    /// How requests are spaced
    #[arg(long, value_enum, default_value_t = Arrivals::Poisson, env = "MINTBENCH_RUN_ARRIVALS")]
    arrivals: Arrivals,
    /// VMs of the synthetic world [default: 1000; with --target: 1]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_VMS")]
    vms: Option<u32>,
    /// User-assigned identities of each VM [default: 2; mint: 20; herd: one per herd; with --target: 0]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_USER_ASSIGNED")]
    user_assigned: Option<u32>,
    /// Connections, held open throughout [default: one per VM, at most 1000; herd: one per caller]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_CONNECTIONS")]
    connections: Option<u32>,
    /// Generator threads [default: one per core that the broker does not use]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_THREADS")]
    threads: Option<usize>,
    /// Everything random is derived from this
    #[arg(long, value_name = "N", default_value_t = 1, env = "MINTBENCH_RUN_SEED")]
    seed: u64,
    /// Bound of the response time, like 'p99<2ms' or 'hit.p99.9<500us'; may be repeated
    #[arg(long, value_name = "BOUND", value_delimiter = ',', env = "MINTBENCH_RUN_SLO")]
    slo: Vec<Objective>,
    /// Give a request up after this time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration, env = "MINTBENCH_RUN_TIMEOUT")]
    timeout: Duration,
    /// Answers to verify after the run
    #[arg(long, value_name = "N", default_value_t = 1000, env = "MINTBENCH_RUN_SAMPLES")]
    samples: usize,
    /// herd: bursts, each on a cold key of its own
    #[arg(long, value_name = "N", default_value_t = 5, env = "MINTBENCH_RUN_HERDS")]
    herds: u32,
    /// herd: callers of each burst
    #[arg(long, value_name = "N", default_value_t = 10_000, env = "MINTBENCH_RUN_CALLERS")]
    callers: u32,
    /// Signature algorithm of our broker: RS256, ES256 or `EdDSA` [default: the broker's]
    #[arg(long, value_name = "ALG", conflicts_with = "target", env = "MINTBENCH_RUN_ALG")]
    alg: Option<String>,
    /// Folder of the results [default: results/<UTC time>-<scenario>]
    #[arg(long, value_name = "DIR", env = "MINTBENCH_RUN_OUT")]
    out: Option<PathBuf>,
    /// Print run.json instead of the table
    #[arg(long, env = "MINTBENCH_RUN_JSON")]
    json: bool,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Many callers of one cold key at one instant: one mint each time
    Herd,
    /// Every request asks for a new key: one mint each
    Mint,
    /// Cache hits: some VMs are popular, most are not
    Steady,
}

impl Scenario {
    /// The name in folders and files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Herd => "herd",
            Self::Mint => "mint",
            Self::Steady => "steady",
        }
    }
}

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("cannot write the result to standard output")]
    Print(#[source] io::Error),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Runs the command.
pub fn main(args: &RunArgs) -> Exit {
    match run(args, &SystemClock) {
        Ok(exit) => exit,
        Err(RunError::Session(SessionError::Load(LoadError::Interrupted))) => Exit::Interrupted,
        Err(error) => refuse(&error),
    }
}

fn run(args: &RunArgs, clock: &dyn Clock) -> Result<Exit, RunError> {
    let settings = Settings::resolve(args)?;
    let stop = stop_on_ctrl_c();
    let subject = subject(args, &settings)?;
    let plan = settings.plan(subject.target());
    let started_at = clock.now();
    let scenario = args.scenario.as_str();
    let path = args.out.clone().unwrap_or_else(|| Folder::default_path(started_at, scenario));
    let folder = Folder::create(path)?;
    let outcome = match measure(&plan, &subject, clock, &stop, &folder) {
        Ok(outcome) => outcome,
        Err(error) => {
            folder.discard();
            return Err(error);
        }
    };
    drop(subject);
    let identity = identity(args, started_at, settings.notes);
    let notes = identity.notes.clone();
    let json = RunJson::new(identity, &plan, &outcome, &args.slo);
    folder.complete(&outcome, &json)?;
    let text = if args.json {
        // The very bytes of the file: two renderings could differ.
        std::fs::read_to_string(folder.path().join("run.json")).map_err(RunError::Print)?
    } else {
        let table = table::render(&outcome, &args.slo, &notes);
        format!("{table}results   {}\n", folder.path().display())
    };
    io::stdout().lock().write_all(text.as_bytes()).map_err(RunError::Print)?;
    Ok(exit(&outcome, &args.slo))
}

fn subject(args: &RunArgs, settings: &Settings) -> Result<Subject, SessionError> {
    if let Some(target) = &args.target {
        return Ok(Subject::Foreign { target: target.clone(), jwks: args.jwks.clone() });
    }
    let extra: Vec<String> =
        args.alg.iter().flat_map(|alg| ["--alg".to_owned(), alg.clone()]).collect();
    Subject::start(&settings.world, settings.cores.broker, &extra)
}

fn measure(
    plan: &Plan,
    subject: &Subject,
    clock: &dyn Clock,
    stop: &AtomicBool,
    folder: &Folder,
) -> Result<Outcome, RunError> {
    let warmup = Seconds::from(Duration::from_nanos(plan.warmup_ns));
    let mut logs = folder.logs(clock.now() + warmup)?;
    let bar = progress_bar(plan.warmup_ns + plan.duration_ns);
    let mut observe = |progress| match progress {
        Progress::Measuring => bar.set_message("measuring"),
        Progress::Elapsed(ns) => bar.set_position(ns),
    };
    let outcome = session::measure(plan, subject, clock, stop, (&mut logs, &mut observe));
    bar.finish_and_clear();
    Ok(outcome?)
}

/// Drawn on a terminal only, and seldom: drawing takes time from a core that is measured on.
fn progress_bar(length_ns: u64) -> ProgressBar {
    const DRAWS_PER_SECOND: u8 = 2;
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
    let bar = ProgressBar::with_draw_target(Some(length_ns), target).with_message("warming up");
    match ProgressStyle::with_template("{bar:40} {percent:>3} % {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The first Ctrl-C ends the load in order, the second the process.
fn stop_on_ctrl_c() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        // Without a runtime Ctrl-C ends the process at once, as it does by default.
        let Ok(runtime) = runtime else { return };
        while runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            if seen.swap(true, Ordering::Relaxed) {
                std::process::exit(Exit::Interrupted as i32);
            }
        }
    });
    stop
}

fn identity(args: &RunArgs, started_at: UnixSeconds, notes: Vec<String>) -> Identity {
    let mut random = [0; 16];
    // Without randomness runs can still be told apart by their time.
    if SysRng.try_fill_bytes(&mut random).is_err() {
        random = u128::from(started_at.0).to_be_bytes();
    }
    Identity {
        run_id: uuid::Builder::from_random_bytes(random).into_uuid().to_string(),
        started_at,
        scenario: args.scenario.as_str().to_owned(),
        seed: args.seed,
        notes,
    }
}

/// A failed check wins over an invalid run, and that over a missed objective.
fn exit(outcome: &Outcome, slo: &[Objective]) -> Exit {
    if !outcome.failures.is_empty() {
        Exit::Failed
    } else if !outcome.reasons.is_empty() {
        Exit::Invalid
    } else if slo.iter().all(|objective| objective.is_met(outcome)) {
        Exit::Pass
    } else {
        Exit::SloBreached
    }
}
