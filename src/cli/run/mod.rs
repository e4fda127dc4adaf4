//! `mintbench run`: measures the latency of a token endpoint under open-loop load.

mod args;
mod files;
mod first_argument;
mod live_text;
mod live_view;
mod metrics_server;
mod requests;
mod result_paths;
mod spec;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rand::TryRng;
use rand::rngs::SysRng;

pub(super) use self::args::RunArgs;
use self::live_text::Header;
use self::live_view::{LiveView, Mode};
use self::metrics_server::MetricsServer;
use self::spec::FlagError;
use super::exit::{Exit, print_error, refuse};
use super::report::WriteError;
use super::signals;
use super::sources::variables::RUN_VARIABLES;
use super::target::{TargetError, TargetUrl, check_selectors, hints};
use super::terminal::{PrintError, print, say};
use crate::base::clock::{Clock, SystemClock, UnixSeconds};
use crate::base::printable;
use crate::harness::dialect::target::Target;
use crate::harness::document::run::Run;
use crate::harness::judge::notes;
use crate::harness::judge::objective::{Judgement, Verdict};
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::ruling::{Asked, Rule, Ruling};
use crate::harness::machine::host::is_in_memory;
use crate::harness::machine::stop::Stop;
use crate::harness::report::folder::{Folder, FolderError};
use crate::harness::report::run as document;
use crate::harness::report::run::Identity;
use crate::harness::report::text::table;
use crate::harness::report::text::table::Heading;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::scenario::spec::{
    ProcessLimits, Resolved, RunSpec, Scenario, ScenarioError, SpecError,
};
use crate::harness::session::error::SessionError;
use crate::harness::session::progress::RunProgress;
use crate::harness::session::run;
use crate::harness::session::run::Watcher;
use crate::harness::session::subject::Subject;

/// Failure of a run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("the run was cut short; the intervals until then are in `{path}`; draw them with `{command}`", path = path.display(), command = result_paths::report_command(path))]
    Cut { path: PathBuf, source: SessionError },
    #[error(transparent)]
    Files(WriteError),
    #[error(transparent)]
    Flags(#[from] FlagError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("cannot serve metrics at {address}; choose another with --metrics")]
    Metrics { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Print(#[from] PrintError),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("the result is stored, but not all that was asked for beside it")]
    Written(#[source] WriteError),
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
            print_error(self);
            return Exit::Interrupted;
        }
        signals::interrupted("no request of the measured part had ended, so nothing was measured")
    }
}

/// Runs the command.
pub(super) fn main(args: &RunArgs) -> Exit {
    let stop = Arc::new(Stop::default());
    signals::listen(Arc::clone(&stop));
    let result = match &args.print_scenario {
        Some(scenario) => print_scenario(scenario),
        None => run(args, &SystemClock, &stop),
    };
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

fn print_scenario(scenario: &Scenario) -> Result<Exit, RunError> {
    let text = scenario.source().map_err(ScenarioError::from)?;
    print(&text)?;
    Ok(Exit::Pass)
}

fn run(args: &RunArgs, clock: &dyn Clock, stop: &Arc<Stop>) -> Result<Exit, RunError> {
    let (scenario, target) = args.subject()?;
    let spec = args.spec(scenario, target.as_ref())?;
    let limits = ProcessLimits::of_process();
    let spec = args.until_requests(spec, &limits)?;
    let Resolved { plan, notes, shortfall } = spec.resolve(&limits)?;
    if let Some(shortfall) = shortfall {
        say(format_args!("warning: {shortfall}"));
    }
    let started_at = clock.now();
    let scenario = spec.scenario.as_str();
    let path = args.out.clone().unwrap_or_else(|| Folder::default_path(started_at, scenario));
    // If it is dropped empty, the folder is removed again.
    let folder = Folder::create(path)?;
    args.outputs.check().map_err(RunError::Files)?;
    let mut subject = start_subject(args, &spec, target.as_ref(), &plan, stop)?;
    let notes = [notes, notes_before(&subject)].concat();
    let displays = Displays::start(args, scenario, &plan, &subject)?;
    let (folder, outcome) = measure(&plan, &mut subject, clock, stop, folder, &displays.progress)?;
    drop(displays);
    let run = Finished { args, spec: &spec, plan: &plan, target: subject.target(), outcome, notes };
    run.publish(&folder, started_at)
}

/// Starts our own broker, or returns the foreign target.
fn start_subject(
    args: &RunArgs,
    spec: &RunSpec,
    target: Option<&TargetUrl>,
    plan: &RunPlan,
    stop: &Arc<Stop>,
) -> Result<Subject, RunError> {
    let Some(target) = target else {
        return Ok(Subject::start(plan, &spec.extra_serve_args, stop)?);
    };
    let jwks = args.jwks.as_ref();
    args.access.check(&[target], jwks)?;
    let target = args.access.resolve(target, jwks, &RUN_VARIABLES)?;
    check_selectors(target.dialect.protocol(), args.user_assigned)?;
    Ok(Subject::Foreign { target, jwks: args.jwks.clone() })
}

/// Returns the notes that are known before the load, and shows the hints among them.
fn notes_before(subject: &Subject) -> Vec<String> {
    let mut notes = Vec::new();
    if subject.data().is_some_and(is_in_memory) {
        notes.push("the broker kept its world in memory: acknowledgements of changes hold no wait for a disk; name a folder on one with TMPDIR".to_owned());
    }
    let hints = hints::before(&subject.target());
    for hint in &hints {
        say(format_args!("note      {hint}"));
    }
    notes.extend(hints);
    notes
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

/// Finished run before its result is written.
struct Finished<'a> {
    args: &'a RunArgs,
    spec: &'a RunSpec,
    plan: &'a RunPlan,
    target: Target,
    outcome: Outcome,
    notes: Vec<String>,
}

impl Finished<'_> {
    /// Writes the result folder and the other files, and prints the result.
    fn publish(mut self, folder: &Folder, started_at: UnixSeconds) -> Result<Exit, RunError> {
        self.notes.extend(notes::of(self.plan, &self.outcome));
        self.notes.extend(hints::after(&self.target, &self.outcome));
        let Self { args, plan, outcome, .. } = &self;
        let identity = self.identity(started_at);
        let asked = self.asked();
        let document = document::document(identity, plan, outcome, asked);
        let table = self.table(&document);
        folder.complete(outcome, &document)?;
        let written = args.outputs.write(folder.path());
        let text = if args.json {
            printable::json(&document).map_err(PrintError::from)?
        } else {
            let paths = result_paths::lines(folder.path(), outcome.measured.cut);
            result_paths::laid_out(&(table + &paths))
        };
        print(&text)?;
        let verdict = exit(outcome, asked);
        match written.map_err(RunError::Written) {
            // A problem of the run outranks a problem of a file beside it.
            Err(error) if verdict != Exit::Pass => {
                print_error(&error);
                Ok(verdict)
            }
            written => written.map(|()| verdict),
        }
    }

    fn table(&self, document: &Run) -> String {
        let scenario = self.spec.scenario.as_str();
        let heading = Heading { scenario, target: &self.target, plan: self.plan };
        table::render(&heading, document, &self.outcome, self.asked())
    }

    fn asked(&self) -> Asked<'_> {
        let rule = if self.args.strict { Rule::Strict } else { Rule::Bounds };
        Asked { rule, objectives: &self.spec.objectives }
    }

    fn identity(&self, started_at: UnixSeconds) -> Identity {
        let Self { spec, plan, .. } = self;
        let mut random = [0; 16];
        // Without randomness the start time still tells runs apart.
        if SysRng.try_fill_bytes(&mut random).is_err() {
            random = u128::from(started_at.0).to_be_bytes();
        }
        Identity {
            run_id: uuid::Builder::from_random_bytes(random).into_uuid().to_string(),
            started_at,
            scenario: spec.scenario.as_str().to_owned(),
            seed: spec.seed,
            target: self.target.clone(),
            scenario_file: spec.scenario.file_name(),
            serve_args: [plan.workload.serve_args(), &spec.extra_serve_args].concat(),
            notes: self.notes.clone(),
        }
    }
}

/// Displays of a run in progress, which end when dropped.
struct Displays {
    progress: Arc<RunProgress>,
    _live: LiveView,
    _metrics: Option<MetricsServer>,
}

impl Displays {
    fn start(
        args: &RunArgs,
        scenario: &str,
        plan: &RunPlan,
        subject: &Subject,
    ) -> Result<Self, RunError> {
        let progress = Arc::new(RunProgress::of(&plan.workload));
        let header = Header {
            scenario: scenario.to_owned(),
            target: subject.target().to_string(),
            rate: plan.workload.level(),
            warmup: plan.warmup,
            length: plan.warmup + plan.duration,
        };
        let serve = |address| {
            let (progress, header) = (Arc::clone(&progress), header.clone());
            let server = MetricsServer::start(address, progress, header, plan.cores.clone());
            server.map_err(|source| RunError::Metrics { address, source })
        };
        let metrics = args.metrics.map(serve).transpose()?;
        if let Some(server) = &metrics {
            say(format_args!("metrics   http://{}/metrics", server.address()));
        }
        let mode = if args.quiet { Mode::Quiet } else { Mode::of_terminal() };
        let live = LiveView::start(mode, Arc::clone(&progress), header, plan.cores.clone());
        Ok(Self { progress, _live: live, _metrics: metrics })
    }
}

/// Returns the exit code.
///
/// The first that applies decides: a failed check, a run that says nothing, a missed objective, an
/// objective that nobody can tell.
fn exit(outcome: &Outcome, asked: Asked<'_>) -> Exit {
    let judged = |objective| Judgement::of_run(asked.rule, objective, outcome).verdict;
    let any = |verdict| asked.objectives.iter().any(|objective| judged(objective) == verdict);
    if !outcome.failures.is_empty() {
        Exit::Failed
    } else if !Ruling::of(asked.rule, outcome).reasons.is_empty() {
        Exit::Invalid
    } else if any(Verdict::Missed) {
        Exit::SloBreached
    } else if any(Verdict::Inconclusive) {
        Exit::Inconclusive
    } else {
        Exit::Pass
    }
}

#[cfg(test)]
mod tests;
