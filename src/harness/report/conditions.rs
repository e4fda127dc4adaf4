//! The conditions that a run was made under, for `run.json` and the notes.

use crate::base::clock::{readable, readable_us, us};
use crate::harness::dialect::outcome::Status;
use crate::harness::document::percentiles::Hiccup;
use crate::harness::document::run::broker as documents;
use crate::harness::document::run::validity;
use crate::harness::document::run::validity::{Gaps, Steady};
use crate::harness::judge::gap_fit::GapFit;
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::steady_state::SteadyState;
use crate::harness::record::self_report::{BrokerBuild, SelfReport, WakeUps};
use crate::harness::scenario::run_plan::RunPlan;

/// Returns the lateness of the broker's probe, or none if the broker does not report it.
pub(super) fn broker_hiccup(report: &SelfReport) -> Option<Hiccup> {
    let at = |quantile| report.wakeups.quantile_ns(quantile).map(us);
    (report.wakeups.count() > 0).then(|| Hiccup { p99: at(0.99), p999: at(0.999) })
}

/// Returns the goodness of fit of the gaps between requests.
pub(super) const fn gaps(fit: &GapFit) -> Gaps {
    let GapFit { gaps, acted, intended, limit } = *fit;
    Gaps { count: gaps as u64, distance: acted, distance_intended: intended, limit }
}

/// Returns the verdict on the steady state, from the p95 of each second.
pub(super) fn steady(state: &SteadyState) -> Steady {
    let (state, warm_up_s, halves_p95_us) = match state {
        SteadyState::NotExpected => (validity::SteadyState::NotExpected, None, None),
        SteadyState::TooShort { .. } => (validity::SteadyState::TooShort, None, None),
        SteadyState::Steady { warm_up_s } => {
            (validity::SteadyState::Steady, Some(*warm_up_s as u64), None)
        }
        SteadyState::Drifting { drift, .. } => {
            let halves = [drift.first / 1000.0, drift.second / 1000.0];
            (validity::SteadyState::Drifting, None, Some(halves))
        }
    };
    Steady { state, warm_up_s, halves_p95_us }
}

/// Returns the build that the broker reports.
pub(super) fn broker_build(build: &BrokerBuild) -> documents::BrokerBuild {
    let BrokerBuild { version, commit, dirty, profile } = build.clone();
    documents::BrokerBuild { version, git_commit: commit, git_dirty: dirty, profile }
}

/// Returns notes on the conditions that do not make the run invalid.
pub(super) fn notes(plan: &RunPlan, outcome: &Outcome) -> Vec<String> {
    [pacer(outcome), steadiness(outcome), broker(outcome), timeouts(plan, outcome)]
        .into_iter()
        .flatten()
        .collect()
}

fn pacer(outcome: &Outcome) -> Option<String> {
    let rehearsal = &outcome.measured.pacing.rehearsal;
    if rehearsal.is_empty() {
        return None;
    }
    let [p50, p99, p999] =
        [0.5, 0.99, 0.999].map(|quantile| readable(rehearsal.value_at_quantile(quantile)));
    Some(format!(
        "pacing without load was late by {p50} at the p50, {p99} at the p99, {p999} at the p99.9: no run here is more punctual than that"
    ))
}

fn steadiness(outcome: &Outcome) -> Option<String> {
    match outcome.conditions.steady {
        SteadyState::TooShort { seconds } => Some(format!(
            "{seconds} s are too short to tell whether there was a steady state; at least 20 s are needed, and 60 s to call a drift invalid"
        )),
        SteadyState::Steady { warm_up_s } if warm_up_s > 0 => Some(format!(
            "the first {warm_up_s} s of the measured part look like warm-up and are in the figures; raise --warmup"
        )),
        SteadyState::Drifting { drift, decided: false } => Some(format!(
            "the p95 of a second went from {} in the first half to {} in the second; whether the target drifts or the host, a longer --duration tells",
            readable_us(drift.first / 1000.0),
            readable_us(drift.second / 1000.0)
        )),
        SteadyState::NotExpected
        | SteadyState::Steady { .. }
        | SteadyState::Drifting { decided: true, .. } => None,
    }
}

/// Lateness of the broker's probe does not make the run invalid, because a busy broker makes its own
/// threads wait. But the response times include it, whatever its cause.
fn broker(outcome: &Outcome) -> Option<String> {
    let wakeups: &WakeUps = &outcome.conditions.broker.as_ref()?.wakeups;
    let late_ns = wakeups.quantile_ns(0.999)?;
    (late_ns > outcome.good.response.value_at_quantile(0.99) / 10).then(|| {
        format!(
            "the broker's host stopped it, or its core was busy: a thread there that only sleeps was woken up to {} late at its p99.9, more than a tenth of the p99 response",
            readable(late_ns)
        )
    })
}

fn timeouts(plan: &RunPlan, outcome: &Outcome) -> Option<String> {
    let count = outcome.measured.tally.statuses.get(&Status::Timeout)?;
    Some(format!(
        "{count} requests were given up after {}: they are in the class `error`, so that the percentiles of the good answers hold only what came in time",
        humantime::format_duration(std::time::Duration::from_nanos(plan.timeout_ns))
    ))
}
