//! Builds the `run.json` of a run from its outcome.

mod broker;
mod changes;
pub(crate) mod load;
mod phases;
mod undisturbed;
mod validity;

use std::collections::BTreeMap;

use crate::base::clock::{UnixSeconds, us};
use crate::harness::class::Class;
use crate::harness::dialect::target::Target;
use crate::harness::document::extra::Extra;
use crate::harness::document::run::attempts::Attempts;
use crate::harness::document::run::classes::{ClassResult, Whole};
use crate::harness::document::run::load::Load;
use crate::harness::document::run::slo::Slo;
use crate::harness::document::run::{Checks, Interrupted, Run, SCHEMA};
use crate::harness::judge::advice::Controls;
use crate::harness::judge::objective::{self, Judgement};
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::ruling::Asked;
use crate::harness::record::measured::Cut;
use crate::harness::report::host::{build, host};
use crate::harness::report::quantiles::{bounded, percentiles, tail};
use crate::harness::scenario::objective::Objective;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::stats::intervals::quantile_interval;

/// Identity of a run: its id, time, scenario, seed and target.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Random GUID.
    pub(crate) run_id: String,
    /// Time at which the run began.
    pub(crate) started_at: UnixSeconds,
    /// Name of the scenario.
    pub(crate) scenario: String,
    /// Seed of the schedule, the workload and the world.
    pub(crate) seed: u64,
    /// Target of the requests.
    pub(crate) target: Target,
    /// Name of the scenario's file, if it is not built in.
    pub(crate) scenario_file: Option<String>,
    /// Arguments of `serve`, beyond those of the world, that our broker was started with.
    pub(crate) serve_args: Vec<String>,
    /// Notes for the reader of the numbers.
    pub(crate) notes: Vec<String>,
    /// Attempts of the command; none if only one was allowed.
    pub(crate) attempts: Option<Attempts>,
}

/// Builds the document of a run.
pub(crate) fn document(
    identity: Identity,
    plan: &RunPlan,
    outcome: &Outcome,
    asked: Asked<'_>,
) -> Run {
    let load = Load {
        scenario_file: identity.scenario_file,
        serve_args: Some(identity.serve_args),
        ..load::load(plan, outcome, &identity.target)
    };
    let report = outcome.changes.as_ref();
    Run {
        schema: SCHEMA.to_owned(),
        run_id: identity.run_id,
        started_at: identity.started_at.rfc3339(),
        scenario: identity.scenario,
        seed: identity.seed,
        target: identity.target.to_string(),
        interrupted: outcome.measured.cut.map(interrupted),
        build: build(),
        host: host(outcome.conditions.strain.steal_share),
        load,
        validity: validity::validity(outcome, asked.rule, Controls::of(plan)),
        classes: classes(outcome),
        whole: Some(whole(outcome)),
        undisturbed: undisturbed::of(&outcome.undisturbed),
        phases: phases::of(plan, outcome),
        statuses: named(&outcome.measured.tally.statuses),
        causes: Some(named(&outcome.measured.tally.causes)),
        broker: broker::broker(outcome),
        verified: broker::verified(outcome),
        changes: report.map(changes::writes),
        churn: report.and_then(changes::churn),
        rotation: report.and_then(changes::rotation),
        outage: report.and_then(|report| changes::outage(report, outcome)),
        checks: Checks {
            passed: outcome.failures.is_empty(),
            failures: outcome.failures.iter().map(ToString::to_string).collect(),
            extra: Extra::new(),
        },
        slo: judged(asked, outcome),
        notes: identity.notes,
        attempts: identity.attempts,
        merged: None,
        parts: None,
        extra: Extra::new(),
    }
}

fn interrupted(cut: Cut) -> Interrupted {
    let planned_s = us(cut.planned.as_u64()) / 1e6;
    Interrupted { planned_s, unfinished: cut.unfinished, extra: Extra::new() }
}

/// Converts the keys of counts to their names.
fn named<T: ToString>(counts: &BTreeMap<T, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(what, count)| (what.to_string(), *count)).collect()
}

fn classes(outcome: &Outcome) -> BTreeMap<Class, ClassResult> {
    let seen = outcome.measured.totals.whole.seen().map(|(class, latencies)| {
        let interval = quantile_interval(outcome.measured.totals.responses.of(class), 0.99);
        let result = ClassResult {
            count: latencies.response.len(),
            errors: if class.is_failure() { latencies.response.len() } else { 0 },
            response_us: bounded(&outcome.bounds_of(class, latencies)),
            service_us: percentiles(&latencies.service),
            queue_us: tail(&latencies.queue),
            p99_interval_note: interval.as_ref().err().map(ToString::to_string),
            p99_interval_us: interval.ok().map(|(low, high)| [low, high].map(us)),
            extra: Extra::new(),
        };
        (class, result)
    });
    seen.collect()
}

/// Returns the bounds of the percentiles over all good answers.
pub(crate) fn whole(outcome: &Outcome) -> Whole {
    Whole { count: outcome.judged().response.len(), response_us: bounded(&outcome.bounds()) }
}

/// Returns the verdicts on the objectives of a run.
pub(crate) fn judged(asked: Asked<'_>, outcome: &Outcome) -> Vec<Slo> {
    let one = |(objective, judgement): (&Objective, Judgement)| Slo {
        objective: objective.to_string(),
        phase: objective.phase().map(str::to_owned),
        measured_us: judgement.measured_ns.map(us),
        lower_us: judgement.lower_ns.map(us),
        met: judgement.verdict.met(),
        extra: Extra::new(),
    };
    objective::judged(asked, outcome).map(one).collect()
}
