//! Builds the `gate.json` document of a gate. All other output forms are made from it.
//!
//! Effects, bounds and limits are shares by which the candidate is worse: 0.05 means 5 % slower, or 5 of
//! 100 lookups lost for the hit ratio.

use super::judge::{self, Finding, overall};
use super::leg::{self, Side};
use super::metric::Metric;
use super::policy;
use super::sentence::{Story, sentence};
use crate::base::clock::UnixSeconds;
use crate::harness::document::gate::{
    BuildName, Gate, Judged, Leg, Load, Method, MetricResult, Order, Pair, Policy, SCHEMA,
};
use crate::harness::report::host::{build, host};
use crate::harness::stats::paired;
use crate::harness::stats::paired::Bounds;
use crate::harness::stats::paired::signed_rank::hodges_lehmann;

/// Identity of a gate: its time, scenario, seed and builds.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Time at which the gate began.
    pub(crate) started_at: UnixSeconds,
    /// Name of the scenario.
    pub(crate) scenario: String,
    /// Seed of the first pair. Each pair has its own.
    pub(crate) seed: u64,
    /// Base build.
    pub(crate) base: BuildName,
    /// Candidate build.
    pub(crate) candidate: BuildName,
    /// Notes for the reader.
    pub(crate) notes: Vec<String>,
}

/// Builds the document of a gate.
pub(crate) fn document(
    identity: Identity,
    load: Load,
    policy: &policy::Policy,
    pairs: &[leg::Pair],
    findings: &[Finding],
) -> Gate {
    let verdict = overall(pairs, findings, policy);
    let failures = failures(pairs);
    Gate {
        schema: SCHEMA.to_owned(),
        started_at: identity.started_at.rfc3339(),
        scenario: identity.scenario,
        seed: identity.seed,
        verdict,
        sentence: sentence(verdict, &Story { pairs, findings, failures: &failures, policy }),
        base: identity.base,
        candidate: identity.candidate,
        policy: of_policy(policy, pairs.len()),
        load,
        host: host(steal(pairs)),
        build: build(),
        metrics: findings.iter().map(|finding| metric(finding, policy, pairs)).collect(),
        pairs: pairs.iter().map(pair).collect(),
        failures,
        notes: identity.notes,
    }
}

/// Returns the largest steal share of all legs.
fn steal(pairs: &[leg::Pair]) -> f64 {
    let legs = pairs.iter().flat_map(|pair| [&pair.base, &pair.candidate]);
    legs.map(|leg| leg.steal_share).fold(0.0, f64::max)
}

fn failures(pairs: &[leg::Pair]) -> Vec<String> {
    let mut all = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        for (side, leg) in [(Side::Base, &pair.base), (Side::Candidate, &pair.candidate)] {
            let said = |failure| format!("{} in pair {}: {failure}", side.as_str(), number + 1);
            all.extend(leg.failures.iter().map(said));
        }
    }
    all
}

fn of_policy(policy: &policy::Policy, pairs_made: usize) -> Policy {
    Policy {
        design: policy.design,
        alpha: policy.alpha,
        power: policy.power,
        tolerance: policy.tolerance,
        limit: policy.limit,
        metrics: policy.metric_choice,
        looks: policy.looks.iter().map(|pairs| *pairs as u64).collect(),
        pairs_made: pairs_made as u64,
    }
}

fn metric(
    (metric, finding): &Finding,
    policy: &policy::Policy,
    pairs: &[leg::Pair],
) -> MetricResult {
    MetricResult {
        metric: *metric,
        unit: metric.unit().to_owned(),
        tolerance: metric.share_of(policy.tolerated(*metric)),
        limit: metric.share_of(policy.limit_of(*metric)),
        required: policy.requires(*metric, pairs),
        judged: finding.as_ref().ok().map(judged),
        not_judged: finding.as_ref().err().map(ToString::to_string),
    }
}

fn judged(judged: &judge::Judged) -> Judged {
    // Minus infinity also has a share: -1, a loss of everything.
    let share = |difference| finite(difference).map(|known| judged.metric.share_of(known));
    let both = |bounds: Bounds| [share(bounds.low), share(bounds.high)];
    let method = match judged.method {
        paired::Method::SignedRank => Method::SignedRank,
        paired::Method::Student => Method::Student,
    };
    Judged {
        verdict: judged.verdict,
        pairs: judged.differences.len() as u64,
        smallest_effect: share(judged.smallest),
        base_median: judged.base,
        candidate_median: judged.candidate,
        effect: judged.metric.share_of(judged.effect),
        effect_interval: both(judged.interval),
        effect_interval_method: method,
        robust_effect: hodges_lehmann(&judged.differences).and_then(share),
        bounds: both(judged.bounds),
        bounds_method: method,
        deviation: finite(judged.summary.deviation),
        p: judged.p,
        disturbed: Some(judged.disturbed),
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn pair(pair: &leg::Pair) -> Pair {
    Pair {
        seed: pair.seed,
        order: match pair.first {
            Side::Base => Order::BaseFirst,
            Side::Candidate => Order::CandidateFirst,
        },
        cpu_by_turn: pair.by_turn.get(&Metric::Cpu).cloned().unwrap_or_default(),
        response_by_request: pair.by_request.clone(),
        base: of_leg(&pair.base),
        candidate: of_leg(&pair.candidate),
    }
}

fn of_leg(leg: &leg::Leg) -> Leg {
    Leg {
        values: leg.values.clone(),
        kept_rate: leg.kept_rate,
        valid: leg.reasons.is_empty(),
        reasons: leg.reasons.clone(),
        failures: leg.failures.clone(),
        steal_share: leg.steal_share,
    }
}
