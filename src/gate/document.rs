//! `gate.json`, schema `mintbench/gate/1`: everything a gate says, and what the other forms are made of.
//!
//! Effects, bounds and limits are shares that the candidate is worse by: 0.05 is 5 % slower, or for
//! the hit ratio 5 of 100 lookups lost. What is unknown or infinite is null.

use std::collections::BTreeMap;

use serde::Serialize;

use super::evidence::NotJudged;
use super::judge::{Finding, Judged, Verdict, overall};
use super::leg::{Leg, Pair, Side};
use super::metric::Metric;
use super::policy::{Design, Policy, Wanted};
use super::sentence::sentence;
use crate::clock::UnixSeconds;
use crate::load::host::Host;
use crate::load::layout::Layout;
use crate::load::plan::Plan;
use crate::report::phases;
use crate::report::run_json::{Build, HostJson, rfc3339};
use crate::stats::paired::signed_rank::hodges_lehmann;
use crate::stats::paired::{Bounds, Method};

/// The name and version of the format.
pub const SCHEMA: &str = "mintbench/gate/1";

/// What identifies a gate.
#[derive(Clone, Debug)]
pub struct Identity {
    /// When it began.
    pub started_at: UnixSeconds,
    /// The scenario's name.
    pub scenario: String,
    /// Of the first pair; each has its own.
    pub seed: u64,
    /// What is compared with.
    pub base: BuildName,
    /// What is judged.
    pub candidate: BuildName,
    /// Things that a reader should know.
    pub notes: Vec<String>,
}

/// One of the two builds.
#[derive(Clone, Debug, Serialize)]
pub struct BuildName {
    /// How it was named: a path, a revision or a result folder.
    pub name: String,
    /// The git commit, where that is known.
    pub commit: Option<String>,
    /// SHA-256 of the executable, in hexadecimal; null for a stored run.
    pub sha256: Option<String>,
}

impl std::fmt::Display for BuildName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        let short = |text: &str| text.chars().take(12).collect::<String>();
        if let Some(commit) = &self.commit {
            write!(f, ", commit {}", short(commit))?;
        }
        self.sha256.as_ref().map_or(Ok(()), |digest| write!(f, ", sha256 {}", short(digest)))
    }
}

/// The whole file.
#[derive(Debug, Serialize)]
pub struct Document {
    schema: &'static str,
    pub(super) started_at: String,
    pub(super) scenario: String,
    seed: u64,
    /// What it all comes to.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub sentence: String,
    pub(super) base: BuildName,
    pub(super) candidate: BuildName,
    pub(super) policy: PolicyJson,
    pub(super) load: LoadJson,
    pub(super) host: HostJson,
    /// The build of the generator.
    build: Build,
    pub(super) metrics: Vec<MetricJson>,
    pairs: Vec<PairJson>,
    pub(super) failures: Vec<String>,
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct PolicyJson {
    design: &'static str,
    pub(super) alpha: f64,
    pub(super) power: f64,
    pub(super) tolerance: f64,
    pub(super) limit: f64,
    metrics: &'static str,
    looks: Vec<usize>,
    pub(super) pairs_made: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct LoadJson {
    arrivals: &'static str,
    pub(super) rate: Option<f64>,
    pub(super) duration_s: f64,
    pub(super) warmup_s: f64,
    pub(super) connections: u32,
    pub(super) vms: u32,
    pub(super) user_assigned: u32,
    threads: usize,
}

/// One metric.
#[derive(Debug, Serialize)]
pub(super) struct MetricJson {
    pub(super) metric: Metric,
    unit: &'static str,
    pub(super) tolerance: f64,
    pub(super) limit: f64,
    /// Null where it is not judged.
    pub(super) judged: Option<JudgedJson>,
    /// Why it is not judged.
    pub(super) not_judged: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct JudgedJson {
    pub(super) verdict: Verdict,
    pub(super) pairs: usize,
    pub(super) smallest_effect: Option<f64>,
    pub(super) base_median: f64,
    pub(super) candidate_median: f64,
    /// By the method of the bounds, and so between them.
    pub(super) effect: f64,
    effect_interval: [Option<f64>; 2],
    effect_interval_method: &'static str,
    /// The Hodges-Lehmann estimate.
    robust_effect: Option<f64>,
    pub(super) bounds: [Option<f64>; 2],
    bounds_method: &'static str,
    deviation: Option<f64>,
    p: f64,
    disturbed: bool,
}

#[derive(Debug, Serialize)]
struct PairJson {
    seed: u64,
    order: &'static str,
    /// By which factor each turn of the candidate took more processor time than that of the base
    /// beside it, as logarithms; empty where the two did not take turns.
    cpu_by_turn: Vec<f64>,
    base: LegJson,
    candidate: LegJson,
}

#[derive(Debug, Serialize)]
struct LegJson {
    values: BTreeMap<Metric, f64>,
    kept_rate: bool,
    valid: bool,
    reasons: Vec<String>,
    failures: Vec<String>,
    steal_share: f64,
}

impl Document {
    /// Puts together what a gate says.
    pub fn new(
        identity: Identity,
        plan: &Plan,
        policy: &Policy,
        pairs: &[Pair],
        findings: &[Finding],
    ) -> Self {
        let verdict = overall(pairs, findings, policy);
        let metrics = findings.iter().map(|finding| MetricJson::new(finding, policy)).collect();
        let failures = failures(pairs);
        Self {
            schema: SCHEMA,
            started_at: rfc3339(identity.started_at),
            scenario: identity.scenario,
            seed: identity.seed,
            verdict,
            sentence: sentence(verdict, findings, &failures, policy),
            base: identity.base,
            candidate: identity.candidate,
            policy: PolicyJson::new(policy, pairs.len()),
            load: LoadJson::new(plan),
            host: HostJson::new(Host::read(), steal(pairs)),
            build: Build::this(),
            metrics,
            pairs: pairs.iter().map(PairJson::new).collect(),
            failures,
            notes: identity.notes,
        }
    }
}

/// The largest of all legs.
fn steal(pairs: &[Pair]) -> f64 {
    let legs = pairs.iter().flat_map(|pair| [&pair.base, &pair.candidate]);
    legs.map(|leg| leg.steal_share).fold(0.0, f64::max)
}

fn failures(pairs: &[Pair]) -> Vec<String> {
    let mut all = Vec::new();
    for (number, pair) in pairs.iter().enumerate() {
        for (side, leg) in [(Side::Base, &pair.base), (Side::Candidate, &pair.candidate)] {
            let said = |failure| format!("{} in pair {}: {failure}", side.as_str(), number + 1);
            all.extend(leg.failures.iter().map(said));
        }
    }
    all
}

/// A share in per cent, without needless zeros.
pub(super) fn percent(share: f64) -> String {
    let rounded = (share * 1e4).round() / 1e2;
    format!("{rounded} %")
}

impl PolicyJson {
    fn new(policy: &Policy, pairs_made: usize) -> Self {
        Self {
            design: match policy.design {
                Design::Baseline => "baseline",
                Design::Pairs => "pairs",
            },
            alpha: policy.alpha,
            power: policy.power,
            tolerance: policy.tolerance,
            limit: policy.limit,
            metrics: match policy.wanted {
                Wanted::IfPossible => "if-possible",
                Wanted::Named => "named",
            },
            looks: policy.looks.clone(),
            pairs_made,
        }
    }
}

impl LoadJson {
    fn new(plan: &Plan) -> Self {
        let (arrivals, rate) = phases::arrivals(&plan.workload);
        let seconds = |ns| std::time::Duration::from_nanos(ns).as_secs_f64();
        let layout = Layout::of(plan);
        Self {
            arrivals,
            rate,
            duration_s: seconds(plan.duration_ns),
            warmup_s: seconds(plan.warmup_ns),
            connections: layout.connections(),
            vms: plan.world.vms,
            user_assigned: plan.world.user_assigned,
            threads: layout.threads(),
        }
    }
}

impl MetricJson {
    fn new((metric, finding): &Finding, policy: &Policy) -> Self {
        Self {
            metric: *metric,
            unit: metric.unit(),
            tolerance: metric.share_of(policy.tolerated(*metric)),
            limit: metric.share_of(policy.limit_of(*metric)),
            judged: finding.as_ref().ok().map(JudgedJson::new),
            not_judged: finding.as_ref().err().map(|not| not_judged(*not)),
        }
    }
}

pub(super) fn not_judged(NotJudged { invalid, missing, lost, gained, pairs }: NotJudged) -> String {
    let parts = [
        (invalid, "an invalid leg"),
        (missing, "too few samples or no value"),
        (lost, "a value of the base and none of the candidate"),
        (gained, "a value of the candidate and none of the base"),
    ];
    let told = parts.into_iter().filter(|(count, _)| *count > 0);
    let told = told.map(|(count, what)| format!("{count} of {pairs} pairs have {what}"));
    told.collect::<Vec<_>>().join(", ")
}

impl JudgedJson {
    fn new(judged: &Judged) -> Self {
        // Minus infinity is a share, too: that of all.
        let share = |difference| finite(difference).map(|known| judged.metric.share_of(known));
        let both = |bounds: Bounds| [share(bounds.low), share(bounds.high)];
        let method = match judged.method {
            Method::SignedRank => "signed-rank",
            Method::Student => "student",
        };
        Self {
            verdict: judged.verdict,
            pairs: judged.differences.len(),
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
            disturbed: judged.disturbed,
        }
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

impl PairJson {
    fn new(pair: &Pair) -> Self {
        Self {
            seed: pair.seed,
            order: match pair.first {
                Side::Base => "AB",
                Side::Candidate => "BA",
            },
            cpu_by_turn: pair.cpu_by_turn.clone(),
            base: LegJson::new(&pair.base),
            candidate: LegJson::new(&pair.candidate),
        }
    }
}

impl LegJson {
    fn new(leg: &Leg) -> Self {
        Self {
            values: leg.values.clone(),
            kept_rate: leg.kept_rate,
            valid: leg.reasons.is_empty(),
            reasons: leg.reasons.clone(),
            failures: leg.failures.clone(),
            steal_share: leg.steal_share,
        }
    }
}
