//! `mintbench run`: measures the latency of a token endpoint under open-loop load.

mod ending;
mod fill;
mod live;
mod outputs;
mod refusal;
pub(super) mod scenario;
mod scrape;
pub(super) mod settings;
pub(super) mod target;
mod view;
mod what;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rand::TryRng;
use rand::rngs::SysRng;

use self::live::{Live, Mode};
use self::outputs::BesideArgs;
pub(super) use self::scenario::Scenario;
use self::scenario::file::ScenarioError;
use self::scrape::Scrape;
use self::settings::{Settings, SettingsError};
use self::target::{RUN_VARIABLES, TargetArgs, TargetError, TargetUrl, hint};
use self::view::Header;
use self::what::What;
use super::report::WriteError;
use super::{Exit, complain, refuse, signals};
use crate::base::clock::{Clock, SystemClock, UnixSeconds};
use crate::base::printable;
use crate::cli::terminal::{Stream, say};
use crate::harness::dialect::url::HttpUrl;
use crate::harness::judge::outcome::Outcome;
use crate::harness::machine::host::is_in_memory;
use crate::harness::machine::stop::Stop;
use crate::harness::report::folder::{Folder, FolderError};
use crate::harness::report::notes;
use crate::harness::report::run_json;
use crate::harness::report::run_json::Identity;
use crate::harness::report::slo::{Objective, Verdict};
use crate::harness::report::table;
use crate::harness::report::table::Heading;
use crate::harness::scenario::phases::Arrivals;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::session::error::SessionError;
use crate::harness::session::progress::RunProgress;
use crate::harness::session::run;
use crate::harness::session::run::Watcher;
use crate::harness::session::subject::Subject;

/// Measure a token endpoint with open-loop load.
///
/// Without a URL and without --target, a broker with a synthetic world is started in a child process and measured.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit codes: 0 pass; 1 failed check; 2 usage; 3 cannot tell (too few answers for an \
objective); 4 invalid run (the generator or the host was the bottleneck); 5 SLO breached; 130 interrupted."
)]
pub struct RunArgs {
    /// What is sent: boot-storm, churn, herd, mint, outage, refresh-wave, rotate, steady, or a file
    /// of your own that ends in .toml (docs/scenarios.md); or a URL, which is asked by plain GETs
    /// [default: steady]
    #[arg(
        id = "scenario",
        value_name = "SCENARIO|URL",
        env = "MINTBENCH_RUN_SCENARIO",
        hide_env_values = true
    )]
    pub(super) what: Option<What>,
    /// The scenario that `what` comes to.
    #[arg(skip = Scenario::Steady)]
    pub(super) scenario: Scenario,
    /// Print the file of a scenario, to start one of your own from, and end
    #[arg(long, value_name = "SCENARIO", env = "MINTBENCH_RUN_PRINT_SCENARIO")]
    pub(super) print_scenario: Option<Scenario>,
    /// Measure this endpoint instead of a broker of our own [default path: that of the protocol]
    #[arg(long, value_name = "[PROTOCOL+]URL", env = "MINTBENCH_RUN_TARGET")]
    #[arg(hide_env_values = true, hide_default_value = true)]
    pub(super) target: Option<TargetUrl>,
    /// Where the keys of --target are published; answers are verified with them
    #[arg(long, value_name = "URL", env = "MINTBENCH_RUN_JWKS")]
    #[arg(hide_env_values = true, hide_default_value = true)]
    pub(super) jwks: Option<HttpUrl>,
    /// Requests per second, for a scenario of one phase with one rate: they are sent at this rate
    /// however slow the answers are (open loop) [default: the scenario's]
    #[arg(long, short, value_name = "N", env = "MINTBENCH_RUN_RATE")]
    pub(super) rate: Option<f64>,
    /// Length of the measured part, like 30s, for a scenario of one phase [default: the scenario's]
    #[arg(long, short, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_RUN_DURATION")]
    pub(super) duration: Option<Duration>,
    /// Load before the measured part [default: the scenario's]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_RUN_WARMUP")]
    pub(super) warmup: Option<Duration>,
    /// How requests are spaced, in all phases [default: the scenario's]
    #[arg(long, value_enum, env = "MINTBENCH_RUN_ARRIVALS")]
    pub(super) arrivals: Option<Arrivals>,
    /// How much faster than recorded a trace is replayed [default: the scenario's]
    #[arg(long, value_name = "FACTOR", env = "MINTBENCH_RUN_SPEED")]
    pub(super) speed: Option<f64>,
    /// VMs of the synthetic world [default: the scenario's; with --target: 1]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_VMS")]
    pub(super) vms: Option<u32>,
    /// User-assigned identities of each VM [default: the scenario's; with --target: 0]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_USER_ASSIGNED")]
    pub(super) user_assigned: Option<u32>,
    /// Connections, held open throughout [default: the scenario's, or one per VM, at most 1000; herd: one per caller]
    #[arg(long, short, value_name = "N", env = "MINTBENCH_RUN_CONNECTIONS")]
    pub(super) connections: Option<u32>,
    /// Generator threads [default: one per core that the broker does not use]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_THREADS")]
    pub(super) threads: Option<usize>,
    /// Processors that the generator's threads have to themselves, like 1 or 1,3: the target runs elsewhere
    #[arg(long, value_name = "N", value_delimiter = ',', env = "MINTBENCH_RUN_CORES")]
    pub(super) cores: Vec<usize>,
    /// Everything random is derived from this
    #[arg(long, value_name = "N", default_value_t = 1, env = "MINTBENCH_RUN_SEED")]
    pub(super) seed: u64,
    /// Bound of the response time, like 'p99<2ms' or 'hit.p99.9<500us'; a failed request is beyond every bound; may be repeated
    #[arg(long, value_name = "BOUND", value_delimiter = ',', env = "MINTBENCH_RUN_SLO")]
    pub(super) slo: Vec<Objective>,
    /// Give a request up after this time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration, env = "MINTBENCH_RUN_TIMEOUT")]
    pub(super) timeout: Duration,
    /// How long the pacing is tested before the load, without requests; 0s leaves it out
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration, env = "MINTBENCH_RUN_PACER_TEST")]
    pub(super) pacer_test: Duration,
    /// Answers to verify after the run
    #[arg(long, value_name = "N", default_value_t = 1000, env = "MINTBENCH_RUN_SAMPLES")]
    pub(super) samples: usize,
    /// herd: bursts, each on a cold key of its own [default: 5]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_HERDS")]
    pub(super) herds: Option<u32>,
    /// herd: callers of each burst [default: 10000]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_CALLERS")]
    pub(super) callers: Option<u32>,
    /// churn: changes per second, at most [default: 20]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_CHANGES")]
    pub(super) changes: Option<u32>,
    /// churn: the broker takes this long to go by a change, and must be found out: a test of the checks
    #[arg(long, value_name = "TIME", hide = true, env = "MINTBENCH_RUN_PROPAGATION_DELAY")]
    pub(super) propagation_delay: Option<String>,
    /// rotate: how often the signing keys rotate [default: every 2 s]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_ROTATIONS")]
    pub(super) rotations: Option<u32>,
    /// Share of the requests to --target that may fail; our own broker may fail none [default: 0.01]
    #[arg(long, value_name = "SHARE", env = "MINTBENCH_RUN_MAX_ERRORS")]
    pub(super) max_errors: Option<f64>,
    /// Signature algorithm of our broker: RS256, ES256 or `EdDSA` [default: the broker's]
    #[arg(long, value_name = "ALG", conflicts_with = "target", env = "MINTBENCH_RUN_ALG")]
    pub(super) alg: Option<String>,
    /// Folder of the results [default: results/TIME-SCENARIO, in UTC]
    #[arg(long, value_name = "DIR", env = "MINTBENCH_RUN_OUT")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) beside: BesideArgs,
    /// Print run.json instead of the table
    #[arg(long, env = "MINTBENCH_RUN_JSON")]
    pub(super) json: bool,
    /// Show nothing while the run goes on
    #[arg(long, short, env = "MINTBENCH_RUN_QUIET")]
    pub(super) quiet: bool,
    /// Serve the run in progress at `http://ADDR/metrics`, for Prometheus; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "MINTBENCH_RUN_METRICS")]
    pub(super) metrics: Option<SocketAddr>,
    // Last, because its heading applies to all items that follow.
    #[command(flatten)]
    pub(super) access: TargetArgs,
}

impl RunArgs {
    /// Returns the arguments of a run of `scenario` without flags, as a base for other commands.
    pub(super) fn of(scenario: Scenario) -> Self {
        Self {
            what: None,
            scenario,
            print_scenario: None,
            target: None,
            jwks: None,
            access: TargetArgs::default(),
            rate: None,
            duration: None,
            warmup: None,
            arrivals: None,
            speed: None,
            vms: None,
            user_assigned: None,
            connections: None,
            threads: None,
            cores: Vec::new(),
            seed: 1,
            slo: Vec::new(),
            timeout: Duration::from_secs(10),
            pacer_test: Duration::ZERO,
            samples: 1000,
            herds: None,
            callers: None,
            changes: None,
            propagation_delay: None,
            rotations: None,
            max_errors: None,
            alg: None,
            out: None,
            beside: BesideArgs::default(),
            json: false,
            quiet: true,
            metrics: None,
        }
    }

    /// Returns the arguments with the first one as a scenario or a target. The target gets an
    /// address that takes connections.
    fn settled(&self) -> Result<Self, RunError> {
        let mut args = self.clone();
        match (&self.what, &self.target) {
            (Some(What::Target(_)), Some(_)) => return Err(RunError::Targets),
            (Some(What::Target(_)), None) if self.alg.is_some() => return Err(RunError::Alg),
            (Some(What::Target(target)), None) => args.target = Some(target.clone()),
            (Some(What::Scenario(scenario)), _) => args.scenario = scenario.clone(),
            (None, _) => {}
        }
        match &args.target {
            Some(target) => args.target = Some(target.reached()),
            None => self.check_no_target()?,
        }
        Ok(args)
    }

    /// Refuses flags about a target if there is none, because they would have no effect.
    fn check_no_target(&self) -> Result<(), TargetError> {
        self.access.check_absent()?;
        let flags = [
            ("cores", !self.cores.is_empty()),
            ("jwks", self.jwks.is_some()),
            ("max-errors", self.max_errors.is_some()),
        ];
        match flags.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(TargetError::NoTarget(flag)),
            None => Ok(()),
        }
    }
}

/// Failure of a run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("--alg is for our own broker, and the URL names another target; leave one out")]
    Alg,
    #[error("the run was cut short; the intervals until then are in `{path}`; draw them with `{command}`", path = path.display(), command = ending::again(path))]
    Cut { path: PathBuf, source: SessionError },
    #[error(transparent)]
    Beside(WriteError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("cannot serve metrics at {address}; choose another with --metrics")]
    Metrics { address: SocketAddr, source: io::Error },
    #[error("cannot write the result to standard output")]
    Print(#[source] io::Error),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the result is stored, but not all that was asked for beside it")]
    Written(#[source] WriteError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("--target and the URL as the first argument are two targets; leave one out")]
    Targets,
}

impl RunError {
    /// Returns true if the target failed, and not the attempt to measure it.
    const fn blames_target(&self) -> bool {
        matches!(
            self,
            Self::Cut { source: SessionError::Counters(_) | SessionError::Died(_), .. }
                | Self::Session(SessionError::Counters(_) | SessionError::Died(_))
        )
    }

    /// Ends an interrupted run. Most failures at this point come from the interrupt.
    fn interrupted(&self) -> Exit {
        if let Self::Cut { .. } | Self::Folder(_) | Self::Print(_) | Self::Written(_) = self {
            complain(self);
            return Exit::Interrupted;
        }
        signals::interrupted("no request of the measured part had ended, so nothing was measured")
    }
}

/// Runs the command.
pub fn main(args: &RunArgs) -> Exit {
    let stop = Arc::new(Stop::default());
    signals::listen(Arc::clone(&stop));
    let result = run(args, &SystemClock, &stop);
    match result {
        Err(error) if stop.is_requested() => error.interrupted(),
        Ok(_) if stop.is_requested() => Exit::Interrupted,
        Err(error) if error.blames_target() => {
            refuse(&error);
            Exit::Failed
        }
        Err(error) => refuse(&error),
        Ok(exit) => exit,
    }
}

fn run(args: &RunArgs, clock: &dyn Clock, stop: &Arc<Stop>) -> Result<Exit, RunError> {
    if let Some(scenario) = &args.print_scenario {
        let text = scenario.source()?;
        Stream::Output.write(&text).map_err(RunError::Print)?;
        return Ok(Exit::Pass);
    }
    let args = &args.settled()?;
    let definition = args.scenario.read()?;
    let slo = [args.slo.clone(), definition.objectives()].concat();
    let Settings { plan, mut notes } = Settings::of(args, &definition)?;
    if let Some(shortfall) = Settings::shortfall(args, &definition, &plan) {
        say(format_args!("warning: {shortfall}"));
    }
    let started_at = clock.now();
    let scenario = args.scenario.as_str();
    let path = args.out.clone().unwrap_or_else(|| Folder::default_path(started_at, scenario));
    // If it is dropped empty, the folder is removed again.
    let folder = Folder::create(path)?;
    args.beside.check().map_err(RunError::Beside)?;
    let mut subject = subject(args, &plan, stop)?;
    if subject.data().is_some_and(is_in_memory) {
        notes.push("the broker kept its world in memory: acknowledgements of changes hold no wait for a disk; name a folder on one with TMPDIR".to_owned());
    }
    let known = hint::before(&subject.target());
    for hint in &known {
        say(format_args!("note      {hint}"));
    }
    notes.extend(known);
    let shown = Shown::start(args, &plan, &subject)?;
    let (folder, outcome) = measure(&plan, &mut subject, clock, stop, folder, &shown.progress)?;
    drop(shown);
    notes.extend(notes::of(&plan, &outcome));
    notes.extend(hint::after(&subject.target(), &outcome));
    let heading = Heading { scenario, target: &subject.target(), plan: &plan };
    let table = table::render(&heading, &outcome, &slo, &notes);
    let identity = identity(args, &plan, &subject, started_at, notes);
    let json = run_json::document(identity, &plan, &outcome, &slo);
    folder.complete(&outcome, &json)?;
    let written = args.beside.write(folder.path());
    let text = if args.json {
        printable::json(&json).map_err(|error| RunError::Print(error.into()))?
    } else {
        ending::laid_out(&(table + &ending::places(folder.path(), outcome.measured.cut)))
    };
    Stream::Output.write(&text).map_err(RunError::Print)?;
    let verdict = exit(&outcome, &slo);
    match written.map_err(RunError::Written) {
        // A problem of the run outranks a problem of a file beside it.
        Err(error) if verdict != Exit::Pass => {
            complain(&error);
            Ok(verdict)
        }
        written => written.map(|()| verdict),
    }
}

fn subject(args: &RunArgs, plan: &RunPlan, stop: &Arc<Stop>) -> Result<Subject, RunError> {
    if let Some(target) = &args.target {
        let jwks = args.jwks.as_ref();
        args.access.check(&[target], jwks)?;
        let target = args.access.resolve(target, jwks, &RUN_VARIABLES)?;
        target::check_selectors(target.dialect.protocol(), args.user_assigned)?;
        return Ok(Subject::Foreign { target, jwks: args.jwks.clone() });
    }
    Ok(Subject::start(plan, &broker_flags(args), stop)?)
}

/// Returns the flags for our broker.
fn broker_flags(args: &RunArgs) -> Vec<String> {
    let flags = [("--alg", &args.alg), ("--propagation-delay", &args.propagation_delay)];
    let given = flags.iter().filter_map(|(flag, value)| Some([*flag, value.as_deref()?]));
    given.flatten().map(str::to_owned).collect()
}

fn measure(
    plan: &RunPlan,
    subject: &mut Subject,
    clock: &dyn Clock,
    stop: &Stop,
    folder: Folder,
    progress: &RunProgress,
) -> Result<(Folder, Outcome), RunError> {
    let mut logs = folder.logs();
    let mut observe = |event| progress.observe(event);
    let watcher = Watcher { sink: &mut progress.watching(&mut logs), observe: &mut observe };
    let outcome = run::measure_until_stopped(plan, subject, clock, stop, watcher);
    match outcome {
        Ok(outcome) => Ok((folder, outcome)),
        Err(source) if logs.is_empty() => {
            folder.discard();
            Err(RunError::Session(source))
        }
        // The measured part is kept: a long run may have died near its end.
        Err(source) => Err(RunError::Cut { path: folder.path().to_owned(), source }),
    }
}

/// Displays of a run in progress, which end when dropped.
struct Shown {
    progress: Arc<RunProgress>,
    _live: Live,
    _scrape: Option<Scrape>,
}

impl Shown {
    fn start(args: &RunArgs, plan: &RunPlan, subject: &Subject) -> Result<Self, RunError> {
        let progress = Arc::new(RunProgress::of(&plan.workload));
        let header = Header {
            scenario: args.scenario.as_str().to_owned(),
            target: subject.target().to_string(),
            rate: plan.workload.level(),
            warmup_ns: plan.warmup_ns,
            length_ns: plan.warmup_ns + plan.duration_ns,
        };
        let serve = |address| {
            let (progress, header) = (Arc::clone(&progress), header.clone());
            let scrape = Scrape::start(address, progress, header, plan.cores.clone());
            scrape.map_err(|source| RunError::Metrics { address, source })
        };
        let scrape = args.metrics.map(serve).transpose()?;
        if let Some(scrape) = &scrape {
            say(format_args!("metrics   http://{}/metrics", scrape.address()));
        }
        let mode = Mode::choose(args);
        let live = Live::start(mode, Arc::clone(&progress), header, plan.cores.clone());
        Ok(Self { progress, _live: live, _scrape: scrape })
    }
}

fn identity(
    args: &RunArgs,
    plan: &RunPlan,
    subject: &Subject,
    started_at: UnixSeconds,
    notes: Vec<String>,
) -> Identity {
    let mut random = [0; 16];
    // Without randomness the start time still tells runs apart.
    if SysRng.try_fill_bytes(&mut random).is_err() {
        random = u128::from(started_at.0).to_be_bytes();
    }
    Identity {
        run_id: uuid::Builder::from_random_bytes(random).into_uuid().to_string(),
        started_at,
        scenario: args.scenario.as_str().to_owned(),
        seed: args.seed,
        target: subject.target(),
        scenario_file: args.scenario.file_name(),
        serve_args: [plan.workload.serve_args(), &broker_flags(args)].concat(),
        notes,
    }
}

/// Returns the exit code.
///
/// The first that applies decides: a failed check, an invalid run, a missed objective, an objective
/// that nobody can tell.
fn exit(outcome: &Outcome, slo: &[Objective]) -> Exit {
    let any = |verdict| slo.iter().any(|objective| objective.judge(outcome).verdict == verdict);
    if !outcome.failures.is_empty() {
        Exit::Failed
    } else if !outcome.reasons.is_empty() {
        Exit::Invalid
    } else if any(Verdict::Missed) {
        Exit::SloBreached
    } else if any(Verdict::CannotTell) {
        Exit::Inconclusive
    } else {
        Exit::Pass
    }
}

#[cfg(test)]
mod tests;
