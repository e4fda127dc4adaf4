//! What `run.json` and the notes say of the conditions that a run was made under.

use serde::Serialize;

use super::run_json::at;
use crate::clock::us;
use crate::load::class::Status;
use crate::load::conditions::Conditions;
use crate::load::course::{HitRatios, SteadyState};
use crate::load::host::settings::HostSettings;
use crate::load::host::{available_bytes, resident_bytes};
use crate::load::pacing::GapFit;
use crate::load::plan::Plan;
use crate::load::self_report::{BrokerBuild, SelfReport, WakeUps};
use crate::load::session::Outcome;

/// Further members of `validity`.
#[derive(Debug, Serialize)]
pub(super) struct ConditionsJson {
    pacer_us: PacerJson,
    broker_hiccup_us: Option<HiccupJson>,
    gaps: Option<GapsJson>,
    steady: SteadyJson,
    hit_ratios: Option<[f64; 2]>,
    throttled_share: f64,
    major_faults: u64,
    swapped_kib: u64,
}

#[derive(Debug, Serialize)]
struct PacerJson {
    p50: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    max: Option<f64>,
}

#[derive(Debug, Serialize)]
struct HiccupJson {
    p99: Option<f64>,
    p999: Option<f64>,
}

#[derive(Debug, Serialize)]
struct GapsJson {
    count: usize,
    distance: f64,
    distance_intended: f64,
    limit: f64,
}

#[derive(Debug, Serialize)]
struct SteadyJson {
    state: &'static str,
    warm_up_s: Option<usize>,
    halves_p95_us: Option<[f64; 2]>,
}

impl ConditionsJson {
    pub(super) fn new(outcome: &Outcome) -> Self {
        let Conditions { strain, gap_fit, steady, hit_ratios, broker } = &outcome.conditions;
        let pacer = &outcome.measured.pacing.rehearsal;
        Self {
            pacer_us: PacerJson {
                p50: at(pacer, 0.5),
                p99: at(pacer, 0.99),
                p999: at(pacer, 0.999),
                max: at(pacer, 1.0),
            },
            broker_hiccup_us: broker.as_ref().and_then(HiccupJson::of),
            gaps: gap_fit.as_ref().map(GapsJson::new),
            steady: SteadyJson::new(steady),
            hit_ratios: hit_ratios.map(|HitRatios { first, second, .. }| [first, second]),
            throttled_share: strain.throttled_share,
            major_faults: strain.paging.major_faults,
            swapped_kib: strain.paging.swapped_kib,
        }
    }
}

impl HiccupJson {
    fn of(report: &SelfReport) -> Option<Self> {
        let at = |quantile| report.wakeups.quantile_ns(quantile).map(us);
        (report.wakeups.count() > 0).then(|| Self { p99: at(0.99), p999: at(0.999) })
    }
}

impl GapsJson {
    const fn new(fit: &GapFit) -> Self {
        let GapFit { gaps, acted, intended, limit } = *fit;
        Self { count: gaps, distance: acted, distance_intended: intended, limit }
    }
}

impl SteadyJson {
    fn new(steady: &SteadyState) -> Self {
        let (state, warm_up_s, halves) = match steady {
            SteadyState::NotMeant => ("not meant", None, None),
            SteadyState::TooShort { .. } => ("too short to say", None, None),
            SteadyState::Steady { warm_up_s } => ("steady", Some(*warm_up_s), None),
            SteadyState::Drifting { drift, .. } => {
                ("drifting", None, Some([drift.first / 1000.0, drift.second / 1000.0]))
            }
        };
        Self { state, warm_up_s, halves_p95_us: halves }
    }
}

/// Further members of `host`.
#[derive(Debug, Serialize)]
pub(super) struct SettingsJson {
    smt: Option<bool>,
    turbo: Option<bool>,
    idle_states: Vec<String>,
    numa_nodes: Option<usize>,
    cpu_quota_cores: Option<f64>,
    clock_source: Option<String>,
    preemption: Option<String>,
    virtualised: Option<bool>,
    somaxconn: Option<u64>,
    port_range: Option<[u64; 2]>,
    memory_available_bytes: Option<u64>,
    generator_rss_bytes: Option<u64>,
}

impl SettingsJson {
    pub(super) fn read() -> Self {
        let settings = HostSettings::read();
        Self {
            smt: settings.smt,
            turbo: settings.turbo,
            idle_states: settings.idle_states,
            numa_nodes: settings.numa_nodes,
            cpu_quota_cores: settings.quota_cores,
            clock_source: settings.clock_source,
            preemption: settings.preemption,
            virtualised: settings.virtualised,
            somaxconn: settings.somaxconn,
            port_range: settings.port_range,
            memory_available_bytes: available_bytes(),
            generator_rss_bytes: resident_bytes(),
        }
    }
}

/// Further members of `broker`.
#[derive(Debug, Default, Serialize)]
pub(super) struct SelfReportJson {
    build: Option<BuildJson>,
    major_faults: Option<u64>,
}

#[derive(Debug, Serialize)]
struct BuildJson {
    version: String,
    git_commit: String,
    git_dirty: Option<bool>,
    profile: String,
}

impl SelfReportJson {
    pub(super) fn new(report: Option<&SelfReport>) -> Self {
        let build = report.and_then(|report| report.build.as_ref());
        Self {
            build: build.map(|build| {
                let BrokerBuild { version, commit, dirty, profile } = build.clone();
                BuildJson { version, git_commit: commit, git_dirty: dirty, profile }
            }),
            major_faults: report.map(|report| report.major_faults),
        }
    }
}

/// What a reader should know of the conditions although it makes nothing wrong.
pub(super) fn notes(plan: &Plan, outcome: &Outcome) -> Vec<String> {
    [pacer(outcome), steady(outcome), broker(outcome), timeouts(plan, outcome)]
        .into_iter()
        .flatten()
        .collect()
}

fn pacer(outcome: &Outcome) -> Option<String> {
    let rehearsal = &outcome.measured.pacing.rehearsal;
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| at(rehearsal, quantile));
    let (p50, p99, p999) = (p50?, p99?, p999?);
    Some(format!(
        "pacing without load was late by {p50:.1} us at the p50, {p99:.1} us at the p99, {p999:.1} us at the p99.9: no run here is more punctual than that"
    ))
}

fn steady(outcome: &Outcome) -> Option<String> {
    match outcome.conditions.steady {
        SteadyState::TooShort { seconds } => Some(format!(
            "{seconds} s are too short to tell whether there was a steady state; at least 20 s are needed, and 60 s to call a drift invalid"
        )),
        SteadyState::Steady { warm_up_s } if warm_up_s > 0 => Some(format!(
            "the first {warm_up_s} s of the measured part look like warm-up and are in the figures; raise --warmup"
        )),
        SteadyState::Drifting { drift, decided: false } => Some(format!(
            "the p95 of a second went from {:.0} us in the first half to {:.0} us in the second; whether the target drifts or the host, a longer --duration tells",
            drift.first / 1000.0,
            drift.second / 1000.0
        )),
        SteadyState::NotMeant
        | SteadyState::Steady { .. }
        | SteadyState::Drifting { decided: true, .. } => None,
    }
}

/// Lateness of its probe is no fault of the run: a busy broker makes its own threads wait. But it is
/// in the response times, whoever was to blame.
fn broker(outcome: &Outcome) -> Option<String> {
    let wakeups: &WakeUps = &outcome.conditions.broker.as_ref()?.wakeups;
    let late_ns = wakeups.quantile_ns(0.999)?;
    (late_ns > outcome.good.response.value_at_quantile(0.99) / 10).then(|| {
        format!(
            "the broker's host stopped it, or its core was busy: a thread there that only sleeps was woken up to {:.0} us late at its p99.9, more than a tenth of the p99 response",
            us(late_ns)
        )
    })
}

fn timeouts(plan: &Plan, outcome: &Outcome) -> Option<String> {
    let count = outcome.measured.tally.statuses.get(&Status::Timeout)?;
    Some(format!(
        "{count} requests were given up after {}: they are in the class `error`, so that the percentiles of the good answers hold only what came in time",
        humantime::format_duration(std::time::Duration::from_nanos(plan.timeout_ns))
    ))
}
