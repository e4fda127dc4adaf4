//! The heading of a run: its scenario, target and load in two lines.

use crate::base::clock::us;
use crate::harness::dialect::target::Target;
use crate::harness::nanos::Nanos;
use crate::harness::report::run::load::arrivals;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::scenario::workload::Workload;
use crate::harness::schedule::layout::Layout;

/// Inputs of the heading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heading<'a> {
    /// Name of the scenario.
    pub(crate) scenario: &'a str,
    /// Target of the requests, with its protocol.
    pub(crate) target: &'a Target,
    /// Plan of the run.
    pub(crate) plan: &'a RunPlan,
}

impl Heading<'_> {
    /// Returns scenario, protocol and URL; then rate, measured duration and connections.
    pub(super) fn lines(&self, duration: Nanos) -> String {
        let Self { scenario, target, plan } = self;
        let protocol = target.dialect.protocol();
        let (planned, measured) = (seconds(plan.duration), seconds(duration));
        let of = if planned == measured { String::new() } else { format!(" of {planned}") };
        let warmup = if plan.warmup.is_zero() {
            String::new()
        } else {
            format!(" after {} of warm-up", seconds(plan.warmup))
        };
        format!(
            "{scenario}  {protocol}  {}\n{}, {measured}{of}{warmup}, {} connections\n",
            target.requested_url(),
            load(plan),
            Layout::of(plan).connections()
        )
    }

    /// Returns true if the answers of the protocol hold a token that keys can verify.
    pub(super) fn has_jwt(&self) -> bool {
        self.target.dialect.protocol().has_jwt()
    }

    /// Returns true if the run has several phases.
    pub(super) fn has_phases(&self) -> bool {
        self.plan.workload.phases().is_some_and(|phases| phases.phases.len() > 1)
    }
}

/// Describes the load.
fn load(plan: &RunPlan) -> String {
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

/// Formats a time in seconds, to the hundredth.
fn seconds(time: Nanos) -> String {
    format!("{} s", (us(time.as_u64()) / 1e4).round() / 100.0)
}
