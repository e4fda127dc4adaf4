//! `mintbench plan`: how many cores a fleet needs, from measured costs.

mod args;
mod bench;
mod calibration;
mod error;
mod from_folders;
mod held_out;
mod interim;
mod level_count;
mod prediction;
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
use crate::harness::document::plan::calibration::MemoryModel;
use crate::harness::document::plan::held_out::HeldOut;
use crate::harness::document::plan::{NodesRange, Plan, SCHEMA};
use crate::harness::machine::stop::Stop;
use crate::harness::plan::answer;
use crate::harness::plan::answer::{Answer, Simulated};
use crate::harness::plan::cost_interval::CostInterval;
use crate::harness::plan::fit;
use crate::harness::plan::fit::{Cost, Side};
use crate::harness::plan::fleet_file::Fleet;
use crate::harness::plan::forecast::{
    Forecast, Interrupted, Question, Watch, forecast, nodes_needed,
};
use crate::harness::plan::plan_json;
use crate::harness::plan::sentences;
use crate::harness::plan::simulate::node::Costs;
use crate::harness::plan::throttle::of_throttle;
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
            Some(bench.held_out(hit, mint)?)
        }
        _ => None,
    };
    drop(bench);
    let simulated = Cell::new(None);
    let fleet_at_costs = simulate(args, &fleet, &calibration, held_out.as_ref(), &|nodes| {
        if simulated.replace(Some(nodes)) != Some(nodes) {
            progress.step(format!("simulating {nodes} nodes"));
        }
        progress.tick();
        if stop.is_requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    drop(progress);
    let plan = assemble(args, &fleet, started_at, &calibration, (fleet_at_costs, held_out));
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

/// Forecast for the likely costs, and the numbers of nodes at both ends of their interval.
struct FleetAtCosts {
    costs: CostInterval,
    forecast: Forecast,
    range: NodesRange,
}

/// Forecasts the fleet, if the calibration allows it.
fn simulate(
    args: &PlanArgs,
    fleet: &Fleet,
    calibration: &Calibration,
    held_out: Option<&HeldOut>,
    watch: Watch<'_>,
) -> Result<Option<FleetAtCosts>, Interrupted> {
    let Some((hit, mint)) = calibration.sides() else { return Ok(None) };
    let costs = CostInterval::of(held_out.map_or(&[], |held_out| &held_out.costs_again));
    let at = |times: f64| CostsOfFleet::of(fleet, (hit, mint), times);
    let (low, likely, high) = (at(costs.low), at(costs.likely), at(costs.high));
    let forecast = forecast(&likely.question(args, fleet), watch)?;
    // The ends hold the likely number, also where a percentile is mostly chance.
    let likely = forecast.nodes_needed;
    let at_least = nodes_needed(&low.question(args, fleet), watch)?;
    let at_most = nodes_needed(&high.question(args, fleet), watch)?;
    let range = NodesRange {
        at_least: [at_least, likely].into_iter().flatten().min(),
        at_most: at_most.zip(likely).map(|(most, likely)| most.max(likely)),
    };
    Ok(Some(FleetAtCosts { costs, forecast, range }))
}

/// Costs of a fleet's nodes at one end of the interval.
struct CostsOfFleet {
    costs: Costs,
    hit: Cost,
    mint: Cost,
    memory: Option<MemoryModel>,
}

impl CostsOfFleet {
    fn of(fleet: &Fleet, (hit, mint): (&Side, &Side), times: f64) -> Self {
        let quiet = quiet(hit, mint);
        let memory = fit::memory(&mint.found.probes);
        let (hit, mint) = (hit.cost.times(times), mint.cost.times(times));
        let costs = fit::costs(&hit, &mint, &quiet, fleet.nodes.efficiency);
        Self { costs, hit, mint, memory }
    }

    fn question<'a>(&'a self, args: &PlanArgs, fleet: &'a Fleet) -> Question<'a> {
        Question {
            fleet,
            costs: &self.costs,
            hit: self.hit,
            mint: self.mint,
            memory: self.memory,
            limit_ns: args.slo.limit_ns(),
            quantile: args.slo.quantile(),
            target: args.target,
            replications: args.replications,
            seed: args.seed,
        }
    }
}

fn assemble(
    args: &PlanArgs,
    fleet: &Fleet,
    started_at: String,
    calibration: &Calibration,
    (simulated, held_out): (Option<FleetAtCosts>, Option<HeldOut>),
) -> Plan {
    let (alg, slo) = (args.alg.clone().unwrap_or_else(|| ALG.to_owned()), args.slo.to_string());
    let memory = calibration.mint.as_ref().ok().and_then(|side| fit::memory(&side.found.probes));
    let (answer, sentences) =
        said(args, fleet, calibration, (simulated.as_ref(), held_out.as_ref()));
    let range = simulated.as_ref().map(|simulated| simulated.range);
    let costs = simulated.as_ref().map(|simulated| simulated.costs);
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
        costs,
        forecast: simulated.map(|simulated| simulated.forecast),
        nodes: range,
        held_out: held_out.unwrap_or_else(nothing_held_out),
        notes: notes(args, fleet, calibration),
        sentences,
    }
}

fn nothing_held_out() -> HeldOut {
    let note = "no run was held out of the fit, so that nobody knows how far the model is off";
    HeldOut { notes: vec![note.to_owned()], ..HeldOut::default() }
}

/// Returns the answer, and the plan in words.
fn said(
    args: &PlanArgs,
    fleet: &Fleet,
    calibration: &Calibration,
    (simulated, held_out): (Option<&FleetAtCosts>, Option<&HeldOut>),
) -> (Answer, Vec<String>) {
    let (alg, slo) = (args.alg.as_deref().unwrap_or(ALG), args.slo.to_string());
    let fitted = [&calibration.hit, &calibration.mint].map(|side| side.as_ref().map_err(|e| *e));
    let doubts = held_out.map(HeldOut::doubts).unwrap_or_default();
    let count = fleet.nodes.count.map(|count| count.get() as u64);
    let of_fleet = simulated.map(|of| Simulated {
        forecast: &of.forecast,
        range: of.range,
        count,
        doubts: &doubts,
    });
    let terms = answer::Terms { slo: &slo, target: args.target };
    let (answer, mut sentences) = Answer::of(fitted, of_fleet, terms);
    for (name, side) in ["hit", "mint"].into_iter().zip(fitted) {
        sentences.extend(side.iter().flat_map(|side| sentences::of_side(name, alg, &slo, side)));
    }
    if let Some(simulated) = simulated {
        sentences.push(sentences::of_costs(simulated.costs));
        sentences.extend(sentences::of_forecast(&simulated.forecast, args.target));
    }
    sentences.extend(of_throttle(fleet));
    let nothing = nothing_held_out();
    sentences.extend(sentences::of_held_out(held_out.unwrap_or(&nothing)));
    (answer, sentences)
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
        Answer::Undecided => Exit::Inconclusive,
        Answer::Unknown => Exit::Invalid,
    }
}
