//! `mintbench plan`: how many cores a fleet needs, from measured costs.

mod args;
mod bench;
mod calibration;
mod error;
mod from_folders;
mod held_out;
mod interim;
mod level_count;
mod scale;
mod watch;

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::args::ALG;
pub(super) use self::args::PlanArgs;
use self::bench::Bench;
use self::calibration::{Calibration, quiet};
use self::error::PlanError;
use self::interim::InterimResults;
use super::exit::{Exit, print_error, refuse};
use super::progress::Progress;
use super::signals;
use super::terminal::{PrintError, Stream, print};
use crate::base::clock::{Clock, SystemClock};
use crate::base::files;
use crate::base::printable;
use crate::harness::document::plan::held_out::HeldOut;
use crate::harness::document::plan::{Plan, SCHEMA};
use crate::harness::machine::stop::Stop;
use crate::harness::plan::answer;
use crate::harness::plan::answer::Answer;
use crate::harness::plan::fit;
use crate::harness::plan::fleet_file::Fleet;
use crate::harness::plan::forecast::{Forecast, Interrupted, Question, Watch, forecast};
use crate::harness::plan::plan_json;
use crate::harness::plan::sentences;
use crate::harness::report::folder::out_folder::OutFolder;

/// Names of the files of a plan.
const JSON: &str = "plan.json";
const TEXT: &str = "plan.txt";
/// Runs the command.
pub(super) fn main(args: &PlanArgs) -> Exit {
    let stop = Arc::new(Stop::default());
    signals::listen(Arc::clone(&stop));
    let mut interim = InterimResults::default();
    match plan(args, &SystemClock, &stop, &mut interim) {
        Ok(exit) => exit,
        // Failures after the interruption are caused by it.
        Err(_) if stop.is_requested() => {
            let known = interim.text(&args.slo.to_string());
            // Standard output gets whole JSON or nothing.
            let out = if args.json { Stream::Error } else { Stream::Output };
            signals::interrupted_after(&known, out, "no plan was made")
        }
        Err(PlanError::Measure(error)) if error.blames_broker() => {
            print_error(&error);
            Exit::Failed
        }
        Err(error) => refuse(&error),
    }
}

fn plan(
    args: &PlanArgs,
    clock: &dyn Clock,
    stop: &Arc<Stop>,
    interim: &mut InterimResults,
) -> Result<Exit, PlanError> {
    let fleet = Fleet::read(&args.fleet)?;
    let started_at = clock.now().rfc3339();
    let lengths = Duration::from_millis(100)..=Duration::from_hours(1);
    if let Some(length) = args.levels_duration.filter(|length| !lengths.contains(length)) {
        return Err(PlanError::LevelsDuration(length));
    }
    let claim = |out| OutFolder::claim(out, |name| [JSON, TEXT].contains(&name));
    let _folder = args.out.clone().map(claim).transpose()?;
    let progress = Progress::start();
    let mut bench = Bench::new(args, clock, stop, (&progress, interim));
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
        return from_folders::calibration(args);
    }
    let hit = bench.hits()?;
    let mint = bench.mints()?;
    Ok(Calibration::new(hit, mint, args.seed, bench.notes()))
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
        forecast,
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
    let json = printable::json(plan).map_err(PrintError::from)?;
    let text = sentences::render(plan);
    if let Some(out) = &args.out {
        store(&out.join(JSON), &json)?;
        store(&out.join(TEXT), &printable::printable(&text))?;
    }
    let shown = if args.json { &json } else { &text };
    Ok(print(shown)?)
}

fn store(path: &Path, text: &str) -> Result<(), PlanError> {
    let written = files::replace(path, files::PLAIN, text.as_bytes());
    written.map_err(|source| PlanError::Write { path: path.to_owned(), source })
}

const fn exit(answer: Answer) -> Exit {
    match answer {
        Answer::Sufficient => Exit::Pass,
        Answer::Insufficient | Answer::Impossible | Answer::Unreachable => Exit::SloBreached,
        Answer::Unknown => Exit::Invalid,
    }
}
