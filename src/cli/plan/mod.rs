//! `mintbench plan`: how many cores a fleet needs, from measured costs.

mod course;
mod execute;
mod known;
mod stored;
mod watch;

use std::cell::Cell;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use self::execute::{Bench, MeasureError};
use self::known::Known;
use super::progress::Progress;
use super::{Exit, complain, refuse, signals};
use crate::base::clock::{Clock, SystemClock};
use crate::base::files;
use crate::base::printable;
use crate::cli::terminal::Stream;
use crate::harness::document::plan::held_out::HeldOut;
use crate::harness::document::plan::{Plan, SCHEMA};
use crate::harness::machine::stop::Stop;
use crate::harness::plan::answer;
use crate::harness::plan::answer::Answer;
use crate::harness::plan::fit;
use crate::harness::plan::fit::{FitError, Quiet, Side};
use crate::harness::plan::fleet_file::{Fleet, FleetError};
use crate::harness::plan::forecast::{Forecast, Interrupted, Question, Watch, forecast};
use crate::harness::plan::plan_json;
use crate::harness::plan::search::{Found, Terms};
use crate::harness::plan::sentences;
use crate::harness::report::out_folder::{OutFolder, OutFolderError};
use crate::harness::report::run_json::rfc3339;
use crate::harness::report::slo::Objective;
use crate::harness::report::stored::StoredError;

/// Say how many cores a fleet needs, and what a boot storm does to it
///
/// Measures a broker of its own, first hits, then mints, each up to the highest rate within the
/// objective; simulates the fleet with the costs found; then measures a mix and a storm, which the
/// model has not seen, and says how far off it was. Takes about half an hour. See docs/planning.md.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the nodes are enough; 1 the broker gave wrong answers or ended; 2 usage; 4 the calibration allows no plan (the generator was the \
limit throughout); 5 no number of nodes is enough, nodes.count is not, or no measured rate meets the objective; 130 interrupted."
)]
pub struct PlanArgs {
    /// The fleet (TOML): who asks, how often, on how many nodes
    #[arg(long, value_name = "FILE", env = "MINTBENCH_PLAN_FLEET")]
    fleet: PathBuf,
    /// Bound of the response time of hits and of mints
    #[arg(long, value_name = "BOUND", default_value = "p99<2ms", env = "MINTBENCH_PLAN_SLO")]
    slo: Objective,
    /// Share of the cores' time that may be used, also with nodes lost
    #[arg(long, value_name = "SHARE", default_value = "0.6", value_parser = target, env = "MINTBENCH_PLAN_TARGET")]
    target: f64,
    /// Result folders of `run steady` and `run mint` to take the calibration from, instead of measuring
    #[arg(long, value_name = "DIR", num_args = 1.., env = "MINTBENCH_PLAN_FROM", value_delimiter = ',')]
    from: Vec<PathBuf>,
    /// Length of each level [default: 10s; with --quick: 1s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_PLAN_LEVELS_DURATION")]
    levels_duration: Option<Duration>,
    /// Few, short and coarse levels up to low rates: to try a fleet file, not to plan by
    #[arg(long, env = "MINTBENCH_PLAN_QUICK")]
    quick: bool,
    /// Do not measure what the model is checked by
    #[arg(long, env = "MINTBENCH_PLAN_NO_HELD_OUT")]
    no_held_out: bool,
    /// How often each situation of the fleet is simulated
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1000), env = "MINTBENCH_PLAN_REPLICATIONS")]
    replications: u32,
    /// Signature algorithm: RS256, ES256 or `EdDSA` [default: the broker's, RS256]
    #[arg(long, value_name = "ALG", env = "MINTBENCH_PLAN_ALG")]
    alg: Option<String>,
    /// Everything random is derived from this
    #[arg(long, value_name = "N", default_value_t = 1, env = "MINTBENCH_PLAN_SEED")]
    seed: u64,
    /// Folder for plan.json and plan.txt [default: none]
    #[arg(long, value_name = "DIR", env = "MINTBENCH_PLAN_OUT")]
    out: Option<PathBuf>,
    /// Print plan.json instead of sentences
    #[arg(long, env = "MINTBENCH_PLAN_JSON")]
    json: bool,
}

fn target(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "not a number; use 0.05 to 0.95".to_owned())?;
    let allowed = (0.05..=0.95).contains(&share);
    allowed.then_some(share).ok_or_else(|| "use 0.05 to 0.95".to_owned())
}

/// Reasons why there is no plan.
#[derive(Debug, thiserror::Error)]
enum PlanError {
    #[error(transparent)]
    Fleet(#[from] FleetError),
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    #[error(transparent)]
    Measure(#[from] MeasureError),
    #[error(transparent)]
    Out(#[from] OutFolderError),
    #[error("cannot write the plan to standard output")]
    Print(#[source] io::Error),
    #[error("cannot write `{path}`; choose another folder with --out", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Stored(#[from] StoredError),
    #[error("`{path}` is a result of `{scenario}`; name folders of `run steady` and `run mint`", path = path.display())]
    Scenario { path: PathBuf, scenario: String },
    #[error("`{path}` is of the scenario file `{file}`; name folders of `run steady` and `run mint`", path = path.display())]
    ScenarioFile { path: PathBuf, file: String },
    #[error("`{path}` is of a broker that was started with `{args}`; a plan is of a broker with no more than --alg: give the --alg of the runs, or measure again", path = path.display())]
    Started { path: PathBuf, args: String },
    #[error("`{path}` is of a run that did not end; measure again", path = path.display())]
    Unfinished { path: PathBuf },
    #[error(
        "no folder of --from is a result of `run {0}`; name one, or leave out --from to measure"
    )]
    Missing(&'static str),
    #[error("`{}` and `{}` are of unlike machines; name folders of one", .0.display(), .1.display())]
    Unlike(PathBuf, PathBuf),
    #[error("--levels-duration is {}; use 100ms to 1h", humantime::format_duration(*.0))]
    LevelsDuration(Duration),
}

/// Names of the files of a plan.
const JSON: &str = "plan.json";
const TEXT: &str = "plan.txt";
/// Default signature algorithm of the broker.
const ALG: &str = "RS256";

/// Runs the command.
pub fn main(args: &PlanArgs) -> Exit {
    let stop = Arc::new(Stop::default());
    signals::listen(Arc::clone(&stop));
    let mut known = Known::default();
    match plan(args, &SystemClock, &stop, &mut known) {
        Ok(exit) => exit,
        // Failures after the interruption are caused by it.
        Err(_) if stop.is_requested() => {
            let known = known.text(&args.slo.to_string());
            // Standard output gets whole JSON or nothing.
            let out = if args.json { Stream::Error } else { Stream::Output };
            signals::interrupted_after(&known, out, "no plan was made")
        }
        Err(PlanError::Measure(error)) if error.blames_broker() => {
            complain(&error);
            Exit::Failed
        }
        Err(error) => refuse(&error),
    }
}

/// Measured or stored calibration.
#[derive(Debug)]
struct Calibration {
    hit: Result<Side, FitError>,
    mint: Result<Side, FitError>,
    notes: Vec<String>,
}

impl Calibration {
    fn new(hit: Found, mint: Found, seed: u64, mut notes: Vec<String>) -> Self {
        for (name, found) in [("hits", &hit), ("mints", &mint)] {
            notes.extend(disturbed(name, found));
        }
        Self { hit: Side::fit(hit, seed), mint: Side::fit(mint, seed), notes }
    }

    fn sides(&self) -> Option<(&Side, &Side)> {
        self.hit.as_ref().ok().zip(self.mint.as_ref().ok())
    }
}

/// Returns a note if the host disturbed levels of a search. A shared machine disturbs nearly every tail,
/// so such levels are kept. Their bounds are wider, and the answer is lower than on a quiet machine.
fn disturbed(name: &str, found: &Found) -> Option<String> {
    let mut noisy = found.probes.iter().filter(|probe| !probe.level.noise.is_empty());
    let count = noisy.clone().count();
    let example = noisy.next_back()?.level.noise.first()?;
    Some(format!(
        "{count} of {} levels of {name} were disturbed by the host, so that their percentiles are too high and the rates found too low, if anything; for instance: {example}",
        found.probes.len()
    ))
}

fn plan(
    args: &PlanArgs,
    clock: &dyn Clock,
    stop: &Arc<Stop>,
    known: &mut Known,
) -> Result<Exit, PlanError> {
    let fleet = Fleet::read(&args.fleet)?;
    let started_at = rfc3339(clock.now());
    let lengths = Duration::from_millis(100)..=Duration::from_hours(1);
    if let Some(length) = args.levels_duration.filter(|length| !lengths.contains(length)) {
        return Err(PlanError::LevelsDuration(length));
    }
    let claim = |out| OutFolder::claim(out, |name| [JSON, TEXT].contains(&name));
    let _folder = args.out.clone().map(claim).transpose()?;
    let progress = Progress::start();
    let mut bench = Bench::new(args, clock, stop, (&progress, known));
    let calibration = calibrate(args, &mut bench)?;
    let held_out = match calibration.sides() {
        Some((hit, mint)) if args.from.is_empty() && !args.no_held_out => {
            bench.held_out(hit, mint)?
        }
        _ => HeldOut {
            notes: vec![
                "no run was held out of the fit, so that nobody knows how far the model is off"
                    .to_owned(),
            ],
            ..HeldOut::default()
        },
    };
    drop(bench);
    let simulated = Cell::new(None);
    let forecast = forecast_of(args, &fleet, &calibration, &|nodes| {
        if simulated.replace(Some(nodes)) != Some(nodes) {
            progress.step(format!("simulating {nodes} nodes"));
        }
        progress.tick();
        if stop.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    drop(progress);
    let plan = assemble(args, &fleet, started_at, &calibration, (forecast, held_out));
    write(args, &plan)?;
    Ok(exit(plan.answer))
}

fn calibrate(args: &PlanArgs, bench: &mut Bench<'_>) -> Result<Calibration, PlanError> {
    if !args.from.is_empty() {
        return stored::calibration(args);
    }
    let hit = bench.hits()?;
    let mint = bench.mints()?;
    Ok(Calibration::new(hit, mint, args.seed, bench.notes()))
}

/// Returns the range and the resolution of a search.
fn terms(args: &PlanArgs, start: f64, rate_max: f64) -> Terms {
    let (resolution, repeats) = if args.quick { (1.5, 1) } else { (1.03, 3) };
    let (limit_ns, seed) = (args.slo.limit_ns(), args.seed);
    Terms { limit_ns, start, rate_max, resolution, repeats, seed }
}

/// Returns the service times at the lowest rate where the generator was not the limit.
fn quiet(hit: &Side, mint: &Side) -> Quiet {
    let lowest = |side: &Side| {
        let usable = side.found.probes.iter().filter(|probe| probe.level.generator.is_none());
        let lowest = usable.min_by(|a, b| a.rate.total_cmp(&b.rate));
        lowest.map_or_else(crate::harness::record::intervals::histogram, |probe| {
            probe.level.service.clone()
        })
    };
    Quiet { hit: lowest(hit), mint: lowest(mint) }
}

/// Forecasts the fleet, if the calibration allows it.
fn forecast_of(
    args: &PlanArgs,
    fleet: &Fleet,
    calibration: &Calibration,
    watch: Watch<'_>,
) -> Result<Option<Forecast>, Interrupted> {
    let Some((hit, mint)) = calibration.sides() else { return Ok(None) };
    let costs = fit::costs(&hit.cost, &mint.cost, &quiet(hit, mint), fleet.nodes.efficiency);
    let question = Question {
        fleet,
        costs: &costs,
        hit: hit.cost,
        mint: mint.cost,
        memory: fit::memory(&mint.found.probes),
        limit_ns: args.slo.limit_ns(),
        quantile: args.slo.quantile(),
        target: args.target,
        replications: args.replications,
        seed: args.seed,
    };
    forecast(&question, watch).map(Some)
}

fn assemble(
    args: &PlanArgs,
    fleet: &Fleet,
    started_at: String,
    calibration: &Calibration,
    (forecast, held_out): (Option<Forecast>, HeldOut),
) -> Plan {
    let (alg, slo) = (args.alg.clone().unwrap_or_else(|| ALG.to_owned()), args.slo.to_string());
    let memory = calibration.mint.as_ref().ok().and_then(|side| fit::memory(&side.found.probes));
    let sides = [&calibration.hit, &calibration.mint];
    let fitted = sides.map(|side| side.as_ref().map_err(|error| *error));
    let terms = answer::Terms { slo: &slo, target: args.target };
    let (answer, mut sentences) = Answer::of(fitted, forecast.as_ref(), terms);
    for (name, side) in ["hit", "mint"].into_iter().zip(fitted) {
        sentences.extend(side.iter().flat_map(|side| sentences::of_side(name, &alg, &slo, side)));
    }
    if let Some(forecast) = &forecast {
        sentences.extend(sentences::of_forecast(forecast, args.target));
    }
    sentences.extend(sentences::of_held_out(&held_out));
    Plan {
        schema: SCHEMA.to_owned(),
        answer,
        started_at,
        seed: args.seed,
        alg,
        slo,
        target: args.target,
        measured_cores: 1,
        hit: calibration.hit.as_ref().ok().map(plan_json::side),
        mint: calibration.mint.as_ref().ok().map(plan_json::side),
        memory,
        forecast: forecast.as_ref().map(plan_json::forecast),
        held_out,
        notes: notes(args, fleet, calibration),
        sentences,
    }
}

fn notes(args: &PlanArgs, fleet: &Fleet, calibration: &Calibration) -> Vec<String> {
    let mut notes = calibration.notes.clone();
    if args.quick {
        notes.push("--quick measures too little and too coarsely to plan by".to_owned());
    }
    let cores = fleet.nodes.cores;
    if cores.get() > 1 {
        notes.push(format!(
            "measured is a broker on one core; that {cores} cores do {cores} times as much (times nodes.efficiency = {}) is an assumption: nothing that they share was measured",
            fleet.nodes.efficiency
        ));
    }
    notes
}

fn write(args: &PlanArgs, plan: &Plan) -> Result<(), PlanError> {
    let json = printable::json(plan).map_err(|error| PlanError::Print(error.into()))?;
    let text = sentences::render(plan);
    if let Some(out) = &args.out {
        store(&out.join(JSON), &json)?;
        store(&out.join(TEXT), &printable::printable(&text))?;
    }
    let shown = if args.json { &json } else { &text };
    Stream::Output.write(shown).map_err(PlanError::Print)
}

fn store(path: &Path, text: &str) -> Result<(), PlanError> {
    let written = files::replace(path, files::PLAIN, text.as_bytes());
    written.map_err(|source| PlanError::Write { path: path.to_owned(), source })
}

const fn exit(answer: Answer) -> Exit {
    match answer {
        Answer::Enough => Exit::Pass,
        Answer::NotEnough | Answer::Never | Answer::OutOfReach => Exit::SloBreached,
        Answer::Unknown => Exit::Invalid,
    }
}
