//! The objectives of a run, as bounds in its charts.

use crate::harness::class::Class;
use crate::harness::document::run::Run;
use crate::harness::document::run::slo::Slo;
use crate::harness::report::chart::Goal;
use crate::harness::scenario::objective::Objective;

/// Quantity on the x axis of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `1 / (1 - p)` of percentiles of the whole run.
    Percentile,
    /// Seconds since the beginning.
    Time,
}

/// Returns the objectives for `class`, or all of them without a class. Skips those that this version
/// cannot read; the table lists them.
pub(super) fn of(run: &Run, class: Option<Class>, place: Place) -> Vec<Goal> {
    let goal = |slo: &Slo| {
        let objective: Objective = slo.objective.parse().ok()?;
        let concerned =
            class.is_none() || objective.class().is_none() || objective.class() == class;
        let phase = slo.phase.as_deref();
        let name = match phase {
            Some(phase) => format!("{phase}: {}", slo.objective),
            None => slo.objective.clone(),
        };
        let (span, judged_at) = match (place, phase) {
            // A percentile of one phase is not a point of the curve of the whole run.
            (Place::Percentile, Some(_)) => return None,
            (Place::Percentile, None) => (None, Some(1.0 / (1.0 - objective.quantile()))),
            (Place::Time, None) => (None, None),
            (Place::Time, Some(phase)) => (Some(span(run, phase)?), None),
        };
        concerned.then_some(Goal { name, value: objective.limit_ns() / 1e3, span, judged_at })
    };
    run.slo.iter().filter_map(goal).collect()
}

/// Returns the begin and the end of a phase, in seconds.
fn span(run: &Run, name: &str) -> Option<(f64, f64)> {
    let phase = run.phases.iter().find(|phase| phase.name == name)?;
    Some((phase.start_s, phase.start_s + phase.duration_s))
}
