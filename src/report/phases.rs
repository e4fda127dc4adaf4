//! The phases of a run, as `run.json` has them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::run_json::Percentiles;
use crate::clock::us;
use crate::load::class::Class;
use crate::load::fleet::Measured;
use crate::load::phases::{Phase, Phases, Timing};
use crate::load::plan::Plan;
use crate::load::recorder::Latencies;
use crate::load::session::Outcome;
use crate::load::workload::Workload;

#[derive(Debug, Serialize)]
pub(super) struct PhaseJson {
    name: String,
    start_s: f64,
    duration_s: f64,
    arrivals: &'static str,
    rate_target: f64,
    classes: BTreeMap<Class, PhaseClassJson>,
}

#[derive(Debug, Serialize)]
struct PhaseClassJson {
    count: u64,
    errors: u64,
    response_us: Percentiles,
    service_us: Percentiles,
}

/// How the requests of a workload are spaced, and how many there are per second where that is one number.
pub(crate) fn arrivals(workload: &Workload) -> (&'static str, Option<f64>) {
    match workload.phases() {
        None => ("burst", None),
        Some(phases) => (spacing(phases), level(phases)),
    }
}

/// How all phases are spaced, if they are alike.
fn spacing(phases: &Phases) -> &'static str {
    let mut all = phases.phases.iter().map(Phase::spacing);
    let first = all.next().unwrap_or("mixed");
    if all.all(|spacing| spacing == first) { first } else { "mixed" }
}

/// The rate of a run that has one throughout.
fn level(phases: &Phases) -> Option<f64> {
    let [phase] = phases.phases.as_slice() else { return None };
    let Timing::Rate(profile) = &phase.timing else { return None };
    profile.level()
}

/// What each phase measured; a single one is all of the measured part.
pub(super) fn of(plan: &Plan, outcome: &Outcome) -> Vec<PhaseJson> {
    let Some(phases) = plan.workload.phases() else { return Vec::new() };
    let Measured { totals, tally, .. } = &outcome.measured;
    let sets =
        if tally.phases.is_empty() { std::slice::from_ref(&totals.whole) } else { &tally.phases };
    let mut start_ns = 0;
    let json = phases.phases.iter().zip(sets).map(|(phase, set)| {
        let begins_ns = start_ns;
        start_ns += phase.length_ns;
        PhaseJson {
            name: phase.name.clone(),
            start_s: us(begins_ns) / 1e6,
            duration_s: us(phase.length_ns) / 1e6,
            arrivals: phase.spacing(),
            rate_target: phase.mean_rate(),
            classes: set.seen().map(|(class, of)| (class, PhaseClassJson::of(class, of))).collect(),
        }
    });
    json.collect()
}

impl PhaseClassJson {
    fn of(class: Class, latencies: &Latencies) -> Self {
        let count = latencies.response.len();
        Self {
            count,
            errors: if class.is_failure() { count } else { 0 },
            response_us: Percentiles::of(&latencies.response),
            service_us: Percentiles::of(&latencies.service),
        }
    }
}
