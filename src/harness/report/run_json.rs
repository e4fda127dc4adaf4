//! Builds the `run.json` of a run.

use std::collections::BTreeMap;

use super::host::{build, host};
use super::quantiles::{at, percentiles, tail};
use super::{changes, conditions, phases};
use crate::base::clock::{UnixSeconds, us};
use crate::harness::class::Class;
use crate::harness::dialect::target::Target;
use crate::harness::document::extra::Extra;
use crate::harness::document::percentiles::Hiccup;
use crate::harness::document::run::broker::{Broker, Verified};
use crate::harness::document::run::classes::ClassResult;
use crate::harness::document::run::load::Load;
use crate::harness::document::run::validity::Validity;
use crate::harness::document::run::{Checks, Interrupted, Run, SCHEMA, Slo};
use crate::harness::judge::conditions::Conditions;
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::validity::Usable;
use crate::harness::record::measured::Cut;
use crate::harness::scenario::objective::Objective;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::schedule::layout::Layout;
use crate::harness::stats::intervals::{TooShort, quantile_interval};

/// Identity of a run: its id, time, scenario, seed and target.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Random GUID.
    pub run_id: String,
    /// Time at which the run began.
    pub started_at: UnixSeconds,
    /// Name of the scenario.
    pub scenario: String,
    /// Seed of the schedule, the workload and the world.
    pub seed: u64,
    /// Target of the requests.
    pub target: Target,
    /// Name of the scenario's file, if it is not built in.
    pub scenario_file: Option<String>,
    /// Arguments of `serve`, beyond those of the world, that our broker was started with.
    pub serve_args: Vec<String>,
    /// Notes for the reader of the numbers.
    pub notes: Vec<String>,
}

/// Builds the document of a run.
pub fn document(identity: Identity, plan: &RunPlan, outcome: &Outcome, slo: &[Objective]) -> Run {
    let load = load(plan, outcome, &identity);
    let report = outcome.changes.as_ref();
    Run {
        schema: SCHEMA.to_owned(),
        run_id: identity.run_id,
        started_at: rfc3339(identity.started_at),
        scenario: identity.scenario,
        seed: identity.seed,
        target: identity.target.to_string(),
        interrupted: outcome.measured.cut.map(interrupted),
        build: build(),
        host: host(outcome.conditions.strain.steal_share),
        load,
        validity: validity(outcome),
        classes: classes(outcome),
        phases: phases::of(plan, outcome),
        statuses: named(&outcome.measured.tally.statuses),
        causes: Some(named(&outcome.measured.tally.causes)),
        broker: broker(outcome),
        verified: verified(outcome),
        changes: report.map(changes::writes),
        churn: report.and_then(changes::churn),
        rotation: report.and_then(changes::rotation),
        outage: report.and_then(|report| changes::outage(report, outcome)),
        checks: Checks {
            passed: outcome.failures.is_empty(),
            failures: outcome.failures.iter().map(ToString::to_string).collect(),
            extra: Extra::new(),
        },
        slo: slo.iter().map(|objective| judged(objective, outcome)).collect(),
        notes: identity.notes,
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

/// Formats a time as in RFC 3339, to the second.
pub fn rfc3339(at: UnixSeconds) -> String {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(at.0);
    humantime::format_rfc3339_seconds(time).to_string()
}

fn load(plan: &RunPlan, outcome: &Outcome, identity: &Identity) -> Load {
    let (arrivals, rate_target) = phases::arrivals(&plan.workload);
    let layout = Layout::of(plan);
    let filled = plan.workload.filled(&plan.world);
    let others = identity.target.url.others.iter();
    Load {
        arrivals: arrivals.to_owned(),
        rate_target,
        rate_achieved: outcome.rate_achieved,
        rate_answered: outcome.rate_answered,
        scheduled: outcome.measured.tally.scheduled,
        duration_s: us(outcome.duration_ns) / 1e6,
        warmup_s: us(plan.warmup_ns) / 1e6,
        connections: layout.connections().into(),
        vms: plan.world.vms.into(),
        user_assigned: plan.world.user_assigned.into(),
        threads: layout.threads() as u64,
        reconnects: outcome.measured.tally.reconnects,
        keys: filled.map(|(_, keys)| keys),
        keys_filled: filled.map(|(filled, _)| filled),
        scenario_file: identity.scenario_file.clone(),
        serve_args: Some(identity.serve_args.clone()),
        target_address: Some(identity.target.url.address.to_string()),
        target_other_addresses: Some(others.map(ToString::to_string).collect()),
        insecure: Some(identity.target.is_unchecked()),
        extra: Extra::new(),
    }
}

fn validity(outcome: &Outcome) -> Validity {
    let Conditions { strain, gap_fit, steady, hit_ratios, broker } = &outcome.conditions;
    let hiccup = &outcome.measured.hiccup;
    let usable = Usable::of(&outcome.reasons).names();
    Validity {
        valid: outcome.reasons.is_empty(),
        usable: Some(usable.iter().map(ToString::to_string).collect()),
        reasons: outcome.reasons.iter().map(ToString::to_string).collect(),
        lag_us: tail(&outcome.all.lag),
        notice_us: tail(&outcome.measured.notice),
        unsent: outcome.measured.tally.unsent,
        generator_cpu_share: outcome.measured.busy_share,
        hiccup_us: Hiccup { p99: at(hiccup, 0.99), p999: at(hiccup, 0.999) },
        pacer_us: Some(tail(&outcome.measured.pacing.rehearsal)),
        broker_hiccup_us: broker.as_ref().and_then(conditions::broker_hiccup),
        gaps: gap_fit.as_ref().map(conditions::gaps),
        steady: Some(conditions::steady(steady)),
        hit_ratios: hit_ratios.map(|ratios| [ratios.first, ratios.second]),
        throttled_share: Some(strain.throttled_share),
        major_faults: Some(strain.paging.major_faults),
        swapped_kib: Some(strain.paging.swapped_kib),
        extra: Extra::new(),
    }
}

fn classes(outcome: &Outcome) -> BTreeMap<Class, ClassResult> {
    let seen = outcome.measured.totals.whole.seen().map(|(class, latencies)| {
        let interval = p99_interval_us(outcome, class);
        let result = ClassResult {
            count: latencies.response.len(),
            errors: if class.is_failure() { latencies.response.len() } else { 0 },
            response_us: percentiles(&latencies.response),
            service_us: percentiles(&latencies.service),
            queue_us: tail(&latencies.queue),
            p99_interval_note: interval.as_ref().err().map(ToString::to_string),
            p99_interval_us: interval.ok(),
            extra: Extra::new(),
        };
        (class, result)
    });
    seen.collect()
}

/// Returns the 95 % interval of the p99 response time of a class, in microseconds.
///
/// # Errors
/// Returns [`TooShort`] when the run does not support an interval.
pub(super) fn p99_interval_us(outcome: &Outcome, class: Class) -> Result<[f64; 2], TooShort> {
    let (low, high) = quantile_interval(outcome.measured.totals.responses.of(class), 0.99)?;
    Ok([us(low), us(high)])
}

/// Returns none for a foreign target, or if the counters of the measured part are unknown.
fn broker(outcome: &Outcome) -> Option<Broker> {
    let counted = outcome.broker.as_ref()?;
    let (measured, anonymous_bytes) = (counted.measured?, counted.anonymous_bytes);
    let said = outcome.conditions.broker.as_ref();
    Some(Broker {
        mints: whole_number(measured.mints),
        hits: whole_number(measured.hits),
        misses: whole_number(measured.misses),
        coalesced: whole_number(measured.coalesced),
        refreshes: whole_number(measured.refreshes),
        cpu_us_per_request: measured.cpu_us_per_request(),
        rss_bytes: Some(whole_number(measured.rss_bytes)),
        anonymous_bytes,
        build: said.and_then(|said| said.build.as_ref()).map(conditions::broker_build),
        major_faults: said.map(|said| said.major_faults),
        extra: Extra::new(),
    })
}

fn verified(outcome: &Outcome) -> Verified {
    let verdict = outcome.verdict;
    Verified {
        sampled: verdict.map_or(0, |verdict| verdict.sampled),
        bad_signature: verdict.map(|verdict| verdict.bad_signature),
        wrong_identity: verdict.and_then(|verdict| verdict.wrong_identity),
        wrong_audience: verdict.and_then(|verdict| verdict.wrong_audience),
        wrong_issuer: verdict.and_then(|verdict| verdict.wrong_issuer),
        wrong_expiry: verdict.map(|verdict| verdict.wrong_expiry),
        expired: verdict.map(|verdict| verdict.expired),
        extra: Extra::new(),
    }
}

fn judged(objective: &Objective, outcome: &Outcome) -> Slo {
    let judgement = objective.judge(outcome);
    Slo {
        objective: objective.to_string(),
        phase: objective.phase().map(str::to_owned),
        measured_us: judgement.measured_ns.map(us),
        met: judgement.verdict.met(),
        extra: Extra::new(),
    }
}

/// Rounds a counter, which travels as a decimal number. A counter that was reset in between counts as
/// zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative here")]
pub(super) fn whole_number(counter: f64) -> u64 {
    counter.max(0.0).round() as u64
}
