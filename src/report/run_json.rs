//! `run.json`, schema `mintbench/run/1`: everything a run says about itself.
//!
//! The order of the fields is the order in the file. Times are microseconds unless a name says
//! otherwise; what is unknown is null.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::changes::{ChangesJson, ChurnJson, OutageJson, RotationJson};
use super::conditions::{ConditionsJson, SelfReportJson, SettingsJson};
use super::phases::{self, PhaseJson};
use super::slo::Objective;
use crate::clock::{UnixSeconds, us};
use crate::load::class::Class;
use crate::load::cut::Cut;
use crate::load::host::{Host, load_average};
use crate::load::layout::Layout;
use crate::load::plan::Plan;
use crate::load::session::Outcome;
use crate::load::target::Target;
use crate::load::validity::Usable;
use crate::stats::intervals::{TooShort, quantile_interval};

/// The name and version of the format.
pub const SCHEMA: &str = "mintbench/run/1";

/// What identifies a run.
#[derive(Clone, Debug)]
pub struct Identity {
    /// A random GUID.
    pub run_id: String,
    /// When it began.
    pub started_at: UnixSeconds,
    /// The scenario's name.
    pub scenario: String,
    /// Of the schedule, the workload and the world.
    pub seed: u64,
    /// Where requests went.
    pub target: Target,
    /// The name of the scenario's file, where it is not built in.
    pub scenario_file: Option<String>,
    /// Arguments of `serve`, beyond the world's, that our broker was started with.
    pub serve_args: Vec<String>,
    /// Things that a reader of the numbers should know.
    pub notes: Vec<String>,
}

/// The whole file.
#[derive(Debug, Serialize)]
pub struct RunJson {
    schema: &'static str,
    run_id: String,
    started_at: String,
    scenario: String,
    seed: u64,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupted: Option<InterruptedJson>,
    build: Build,
    host: HostJson,
    load: Load,
    validity: Validity,
    classes: BTreeMap<Class, ClassJson>,
    phases: Vec<PhaseJson>,
    statuses: BTreeMap<String, u64>,
    causes: BTreeMap<String, u64>,
    broker: Option<Broker>,
    verified: Verified,
    changes: Option<ChangesJson>,
    churn: Option<ChurnJson>,
    rotation: Option<RotationJson>,
    outage: Option<OutageJson>,
    checks: Checks,
    slo: Vec<SloJson>,
    notes: Vec<String>,
}

/// What is missing of a run that the user ended.
#[derive(Debug, Serialize)]
struct InterruptedJson {
    planned_s: f64,
    unfinished: u64,
}

impl InterruptedJson {
    fn of(cut: Cut) -> Self {
        Self { planned_s: us(cut.planned_ns) / 1e6, unfinished: cut.unfinished }
    }
}

/// The build of this executable.
#[derive(Debug, Serialize)]
pub(crate) struct Build {
    version: &'static str,
    git_commit: &'static str,
    git_dirty: Option<bool>,
    profile: &'static str,
    rustc: &'static str,
}

/// The machine, as far as it bears on the numbers.
#[derive(Debug, Serialize)]
pub(crate) struct HostJson {
    cpu_model: String,
    cores: usize,
    kernel: String,
    governor: String,
    memory_bytes: u64,
    fingerprint: String,
    steal_share: f64,
    load_average: Option<f64>,
    #[serde(flatten)]
    settings: SettingsJson,
}

#[derive(Debug, Serialize)]
struct Load {
    arrivals: &'static str,
    rate_target: Option<f64>,
    rate_achieved: Option<f64>,
    rate_answered: f64,
    scheduled: u64,
    duration_s: f64,
    warmup_s: f64,
    connections: u32,
    vms: u32,
    user_assigned: u32,
    threads: usize,
    reconnects: u64,
    keys: Option<u64>,
    keys_filled: Option<u64>,
    scenario_file: Option<String>,
    serve_args: Vec<String>,
    target_address: String,
    target_other_addresses: Vec<String>,
    insecure: bool,
}

#[derive(Debug, Serialize)]
struct Validity {
    valid: bool,
    usable: &'static [&'static str],
    reasons: Vec<String>,
    lag_us: Tail,
    notice_us: Tail,
    unsent: u64,
    generator_cpu_share: f64,
    hiccup_us: Hiccup,
    #[serde(flatten)]
    conditions: ConditionsJson,
}

#[derive(Debug, Serialize)]
struct Tail {
    p50: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    max: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Hiccup {
    p99: Option<f64>,
    p999: Option<f64>,
}

#[derive(Debug, Serialize)]
struct ClassJson {
    count: u64,
    errors: u64,
    response_us: Percentiles,
    service_us: Percentiles,
    queue_us: Tail,
    p99_interval_us: Option<[f64; 2]>,
    p99_interval_note: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Percentiles {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    max: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Broker {
    mints: u64,
    hits: u64,
    misses: u64,
    coalesced: u64,
    refreshes: u64,
    cpu_us_per_request: Option<f64>,
    rss_bytes: u64,
    anonymous_bytes: Option<u64>,
    #[serde(flatten)]
    said: SelfReportJson,
}

#[derive(Debug, Serialize)]
struct Verified {
    sampled: u64,
    bad_signature: Option<u64>,
    wrong_identity: Option<u64>,
    wrong_audience: Option<u64>,
    wrong_issuer: Option<u64>,
    wrong_expiry: Option<u64>,
    expired: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Checks {
    passed: bool,
    failures: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SloJson {
    objective: String,
    phase: Option<String>,
    measured_us: Option<f64>,
    /// None where nobody can tell.
    met: Option<bool>,
}

impl RunJson {
    /// Puts together what a run says about itself.
    pub fn new(identity: Identity, plan: &Plan, outcome: &Outcome, slo: &[Objective]) -> Self {
        let load = Load::new(plan, outcome, &identity);
        Self {
            schema: SCHEMA,
            run_id: identity.run_id,
            started_at: rfc3339(identity.started_at),
            scenario: identity.scenario,
            seed: identity.seed,
            target: identity.target.to_string(),
            interrupted: outcome.measured.cut.map(InterruptedJson::of),
            build: Build::this(),
            host: HostJson::new(Host::read(), outcome.conditions.strain.steal_share),
            load,
            validity: Validity::new(outcome),
            classes: classes(outcome),
            phases: phases::of(plan, outcome),
            statuses: named(&outcome.measured.tally.statuses),
            causes: named(&outcome.measured.tally.causes),
            broker: Broker::of(outcome),
            verified: Verified::new(outcome),
            changes: outcome.changes.as_ref().map(ChangesJson::new),
            churn: outcome.changes.as_ref().and_then(ChurnJson::of),
            rotation: outcome.changes.as_ref().and_then(RotationJson::of),
            outage: outcome.changes.as_ref().and_then(|report| OutageJson::of(report, outcome)),
            checks: Checks {
                passed: outcome.failures.is_empty(),
                failures: outcome.failures.iter().map(ToString::to_string).collect(),
            },
            slo: slo.iter().map(|objective| SloJson::new(objective, outcome)).collect(),
            notes: identity.notes,
        }
    }
}

/// Counts by the names of what they count.
fn named<T: ToString>(counts: &BTreeMap<T, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(what, count)| (what.to_string(), *count)).collect()
}

/// A time as RFC 3339 writes it, to the second.
pub fn rfc3339(at: UnixSeconds) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at.0);
    humantime::format_rfc3339_seconds(time).to_string()
}

impl Build {
    /// As the build script found it.
    pub(crate) fn this() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            git_commit: env!("MINTBENCH_BUILD_COMMIT"),
            git_dirty: env!("MINTBENCH_BUILD_DIRTY").parse().ok(),
            profile: env!("MINTBENCH_BUILD_PROFILE"),
            rustc: env!("MINTBENCH_BUILD_RUSTC"),
        }
    }
}

impl HostJson {
    /// Of a machine that lost this share of its time to others.
    pub(crate) fn new(host: Host, steal_share: f64) -> Self {
        let fingerprint = host.fingerprint();
        Self {
            cpu_model: host.cpu_model,
            cores: host.cores,
            kernel: host.kernel,
            governor: host.governor,
            memory_bytes: host.memory_bytes,
            fingerprint,
            steal_share,
            load_average: load_average(),
            settings: SettingsJson::read(),
        }
    }
}

impl std::fmt::Display for HostJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu_model, cores, kernel, fingerprint, .. } = self;
        write!(f, "{cpu_model}, {cores} cores, {kernel}, fingerprint {fingerprint}")
    }
}

impl Load {
    fn new(plan: &Plan, outcome: &Outcome, identity: &Identity) -> Self {
        let (arrivals, rate_target) = phases::arrivals(&plan.workload);
        let layout = Layout::of(plan);
        let filled = plan.workload.filled(&plan.world);
        let others = identity.target.url.others.iter();
        Self {
            arrivals,
            rate_target,
            rate_achieved: outcome.rate_achieved,
            rate_answered: outcome.rate_answered,
            scheduled: outcome.measured.tally.scheduled,
            duration_s: us(outcome.duration_ns) / 1e6,
            warmup_s: us(plan.warmup_ns) / 1e6,
            connections: layout.connections(),
            vms: plan.world.vms,
            user_assigned: plan.world.user_assigned,
            threads: layout.threads(),
            reconnects: outcome.measured.tally.reconnects,
            keys: filled.map(|(_, keys)| keys),
            keys_filled: filled.map(|(filled, _)| filled),
            scenario_file: identity.scenario_file.clone(),
            serve_args: identity.serve_args.clone(),
            target_address: identity.target.url.address.to_string(),
            target_other_addresses: others.map(ToString::to_string).collect(),
            insecure: identity.target.is_unchecked(),
        }
    }
}

impl Validity {
    fn new(outcome: &Outcome) -> Self {
        let hiccup = &outcome.measured.hiccup;
        Self {
            valid: outcome.reasons.is_empty(),
            usable: Usable::of(&outcome.reasons).names(),
            reasons: outcome.reasons.iter().map(ToString::to_string).collect(),
            lag_us: Tail::of(&outcome.all.lag),
            notice_us: Tail::of(&outcome.measured.notice),
            unsent: outcome.measured.tally.unsent,
            generator_cpu_share: outcome.measured.busy_share,
            hiccup_us: Hiccup { p99: at(hiccup, 0.99), p999: at(hiccup, 0.999) },
            conditions: ConditionsJson::new(outcome),
        }
    }
}

fn classes(outcome: &Outcome) -> BTreeMap<Class, ClassJson> {
    let seen = outcome.measured.totals.whole.seen().map(|(class, latencies)| {
        let interval = p99_interval_us(outcome, class);
        let json = ClassJson {
            count: latencies.response.len(),
            errors: if class.is_failure() { latencies.response.len() } else { 0 },
            response_us: Percentiles::of(&latencies.response),
            service_us: Percentiles::of(&latencies.service),
            queue_us: Tail::of(&latencies.queue),
            p99_interval_note: interval.as_ref().err().map(ToString::to_string),
            p99_interval_us: interval.ok(),
        };
        (class, json)
    });
    seen.collect()
}

/// The 95 % interval of the p99 response of a class.
///
/// # Errors
/// [`TooShort`] when the run does not support one.
pub(super) fn p99_interval_us(outcome: &Outcome, class: Class) -> Result<[f64; 2], TooShort> {
    let (low, high) = quantile_interval(outcome.measured.totals.responses.of(class), 0.99)?;
    Ok([us(low), us(high)])
}

impl Tail {
    fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: at(histogram, 0.5),
            p99: at(histogram, 0.99),
            p999: at(histogram, 0.999),
            max: at(histogram, 1.0),
        }
    }
}

impl Percentiles {
    pub(super) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            p50: at(histogram, 0.5),
            p90: at(histogram, 0.9),
            p99: at(histogram, 0.99),
            p999: at(histogram, 0.999),
            max: at(histogram, 1.0),
        }
    }
}

impl Broker {
    /// None of a foreign target, and where the counters of the measured part are not known.
    fn of(outcome: &Outcome) -> Option<Self> {
        let counted = outcome.broker.as_ref()?;
        let (measured, anonymous_bytes) = (counted.measured?, counted.anonymous_bytes);
        Some(Self {
            mints: whole_number(measured.mints),
            hits: whole_number(measured.hits),
            misses: whole_number(measured.misses),
            coalesced: whole_number(measured.coalesced),
            refreshes: whole_number(measured.refreshes),
            cpu_us_per_request: measured.cpu_us_per_request(),
            rss_bytes: whole_number(measured.rss_bytes),
            anonymous_bytes,
            said: SelfReportJson::new(outcome.conditions.broker.as_ref()),
        })
    }
}

impl Verified {
    fn new(outcome: &Outcome) -> Self {
        let verdict = outcome.verdict;
        Self {
            sampled: verdict.map_or(0, |verdict| verdict.sampled),
            bad_signature: verdict.map(|verdict| verdict.bad_signature),
            wrong_identity: verdict.and_then(|verdict| verdict.wrong_identity),
            wrong_audience: verdict.and_then(|verdict| verdict.wrong_audience),
            wrong_issuer: verdict.and_then(|verdict| verdict.wrong_issuer),
            wrong_expiry: verdict.map(|verdict| verdict.wrong_expiry),
            expired: verdict.map(|verdict| verdict.expired),
        }
    }
}

impl SloJson {
    fn new(objective: &Objective, outcome: &Outcome) -> Self {
        let judgement = objective.judge(outcome);
        Self {
            objective: objective.to_string(),
            phase: objective.phase().map(str::to_owned),
            measured_us: judgement.measured_ns.map(us),
            met: judgement.verdict.met(),
        }
    }
}

/// A counter, which travels as a decimal number; one that was reset meanwhile counts as none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative here")]
pub(super) fn whole_number(counter: f64) -> u64 {
    counter.max(0.0).round() as u64
}

/// A quantile in microseconds; none of an empty histogram.
pub(super) fn at(histogram: &Histogram<u64>, quantile: f64) -> Option<f64> {
    (!histogram.is_empty()).then(|| us(histogram.value_at_quantile(quantile)))
}
