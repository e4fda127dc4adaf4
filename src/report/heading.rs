//! What a run is of, in two lines.

use super::phases::arrivals;
use crate::clock::us;
use crate::load::layout::Layout;
use crate::load::plan::Plan;
use crate::load::session::Outcome;
use crate::load::target::Target;
use crate::load::workload::Workload;

/// What a result is of.
#[derive(Clone, Copy, Debug)]
pub struct Heading<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// Where requests went, and how they asked.
    pub target: &'a Target,
    /// What was sent.
    pub plan: &'a Plan,
}

impl Heading<'_> {
    /// Scenario, protocol and URL; then rate, duration and connections.
    pub(super) fn lines(&self, outcome: &Outcome) -> String {
        let Self { scenario, target, plan } = self;
        let protocol = target.dialect.protocol();
        let (planned, measured) = (seconds(plan.duration_ns), seconds(outcome.duration_ns));
        let of = if planned == measured { String::new() } else { format!(" of {planned}") };
        let warmup = if plan.warmup_ns == 0 {
            String::new()
        } else {
            format!(" after {} of warm-up", seconds(plan.warmup_ns))
        };
        format!(
            "{scenario}  {protocol}  {}\n{}, {measured}{of}{warmup}, {} connections\n",
            target.asked(),
            load(plan),
            Layout::of(plan).connections()
        )
    }
}

/// How much is sent.
fn load(plan: &Plan) -> String {
    let phases = match &plan.workload {
        Workload::Herd(herds) => {
            return format!("{} bursts of {} requests", herds.herds, herds.callers);
        }
        Workload::Phases(phases) => phases,
    };
    let (spacing, rate) = arrivals(&plan.workload);
    match (rate, phases.phases.as_slice()) {
        (Some(rate), _) => format!("{rate} requests/s ({spacing})"),
        (None, [only]) => format!("{:.1} requests/s on average ({spacing})", only.mean_rate()),
        (None, several) => format!("{} phases ({spacing})", several.len()),
    }
}

/// A length of time to the hundredth of a second.
fn seconds(ns: u64) -> String {
    format!("{} s", (us(ns) / 1e4).round() / 100.0)
}
