//! The load of a run and of the legs of a gate.

use std::time::Duration;

use crate::base::clock::us;
use crate::harness::dialect::target::Target;
use crate::harness::document::extra::Extra;
use crate::harness::document::gate;
use crate::harness::document::run::load::Load;
use crate::harness::judge::outcome::Outcome;
use crate::harness::scenario::phases::{Phase, Phases};
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::scenario::workload::Workload;
use crate::harness::schedule::layout::Layout;

/// Returns the load of a run, without the name of a scenario file and the arguments of `serve`.
pub(super) fn load(plan: &RunPlan, outcome: &Outcome, target: &Target) -> Load {
    let (arrivals, rate_target) = arrivals(&plan.workload);
    let layout = Layout::of(plan);
    let filled = plan.workload.filled(&plan.world);
    let others = target.url.others.iter();
    Load {
        arrivals: arrivals.to_owned(),
        rate_target,
        rate_achieved: outcome.rate_achieved,
        rate_answered: outcome.rate_answered,
        paused_s: Some(us(outcome.measured.paused.as_u64()) / 1e6),
        scheduled: outcome.measured.tally.scheduled,
        duration_s: us(outcome.duration.as_u64()) / 1e6,
        warmup_s: us(plan.warmup.as_u64()) / 1e6,
        connections: layout.connections().into(),
        vms: plan.world.vms.into(),
        user_assigned: plan.world.user_assigned.into(),
        threads: layout.threads() as u64,
        reconnects: outcome.measured.tally.reconnects,
        keys: filled.map(|(_, keys)| keys),
        keys_filled: filled.map(|(filled, _)| filled),
        scenario_file: None,
        serve_args: None,
        target_address: Some(target.url.address.to_string()),
        target_other_addresses: Some(others.map(ToString::to_string).collect()),
        insecure: Some(target.is_unchecked()),
        extra: Extra::new(),
    }
}

/// Returns the load of each leg of a gate.
pub(crate) fn of_leg(plan: &RunPlan) -> gate::Load {
    let (arrivals, rate) = arrivals(&plan.workload);
    let seconds = |span| Duration::from(span).as_secs_f64();
    let layout = Layout::of(plan);
    gate::Load {
        arrivals: arrivals.to_owned(),
        rate,
        duration_s: seconds(plan.duration),
        warmup_s: seconds(plan.warmup),
        connections: layout.connections().into(),
        vms: plan.world.vms.into(),
        user_assigned: plan.world.user_assigned.into(),
        threads: layout.threads() as u64,
    }
}

/// Returns the spacing of the requests of a workload, and the rate per second if there is a single one.
pub(crate) fn arrivals(workload: &Workload) -> (&'static str, Option<f64>) {
    match workload.phases() {
        None => ("burst", None),
        Some(phases) => (spacing(phases), level(phases)),
    }
}

/// Returns the spacing of the phases, or `mixed` if they differ.
fn spacing(phases: &Phases) -> &'static str {
    let mut all = phases.phases.iter().map(Phase::spacing);
    let first = all.next().unwrap_or("mixed");
    if all.all(|spacing| spacing == first) { first } else { "mixed" }
}

/// Returns the rate of a run with a single constant rate.
fn level(phases: &Phases) -> Option<f64> {
    let [phase] = phases.phases.as_slice() else { return None };
    phase.level()
}
