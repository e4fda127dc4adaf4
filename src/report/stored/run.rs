//! `run.json` as it is read back: what is unknown here is kept, so that it survives a rewrite.
//!
//! Later versions add fields; a reader that refused them could not compare across versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::load::class::Class;

/// Fields that this version does not know.
pub type Extra = Map<String, Value>;

/// The whole file; times in microseconds unless a name says otherwise.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Run {
    pub schema: String,
    pub run_id: String,
    pub started_at: String,
    pub scenario: String,
    pub seed: u64,
    pub target: String,
    pub build: Build,
    pub host: Host,
    pub load: Load,
    pub validity: Validity,
    pub classes: BTreeMap<Class, ClassResult>,
    pub statuses: BTreeMap<String, u64>,
    /// None of a result of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causes: Option<BTreeMap<String, u64>>,
    pub broker: Option<Broker>,
    pub verified: Verified,
    pub changes: Option<Changes>,
    pub churn: Option<BTreeMap<String, u64>>,
    pub rotation: Option<BTreeMap<String, u64>>,
    pub checks: Checks,
    pub slo: Vec<Slo>,
    pub notes: Vec<String>,
    /// The parts of the run by time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phases: Option<Vec<Phase>>,
    /// Of a merged result: how it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Merged>,
    /// Of a merged result: the results that it was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parts: Option<Vec<Part>>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What was measured with.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Build {
    pub version: String,
    pub git_commit: String,
    pub git_dirty: Option<bool>,
    pub profile: String,
    pub rustc: String,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Where it was measured.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Host {
    pub cpu_model: String,
    pub cores: u64,
    pub kernel: String,
    pub governor: String,
    pub memory_bytes: u64,
    pub fingerprint: String,
    pub steal_share: f64,
    pub load_average: Option<f64>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What was sent.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Load {
    pub arrivals: String,
    pub rate_target: Option<f64>,
    pub rate_achieved: Option<f64>,
    pub rate_answered: f64,
    pub scheduled: u64,
    pub duration_s: f64,
    pub warmup_s: f64,
    pub connections: u64,
    pub vms: u64,
    pub user_assigned: u64,
    pub threads: u64,
    pub reconnects: u64,
    pub keys: Option<u64>,
    pub keys_filled: Option<u64>,
    #[serde(flatten)]
    pub extra: Extra,
}

impl Load {
    /// The name of the scenario's file, where the run says that it had one.
    pub fn scenario_file(&self) -> Option<&str> {
        self.extra.get("scenario_file")?.as_str()
    }

    /// What the run says that its broker was started with, beyond the world.
    pub fn serve_args(&self) -> Vec<String> {
        let given = self.extra.get("serve_args").and_then(Value::as_array);
        given.into_iter().flatten().filter_map(|arg| Some(arg.as_str()?.to_owned())).collect()
    }
}

/// Whether the generator and the host kept up.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Validity {
    pub valid: bool,
    pub reasons: Vec<String>,
    pub lag_us: Tail,
    pub notice_us: Tail,
    pub unsent: u64,
    pub generator_cpu_share: f64,
    pub hiccup_us: Hiccup,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Percentiles of what matters for its tail only.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are the percentiles")]
pub struct Tail {
    pub p50: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
}

/// Percentiles of the probe in the generator's loop.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are the percentiles")]
pub struct Hiccup {
    pub p99: Option<f64>,
    pub p999: Option<f64>,
}

/// What was measured of one class of answers.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct ClassResult {
    pub count: u64,
    pub errors: u64,
    pub response_us: Percentiles,
    pub service_us: Percentiles,
    pub queue_us: Tail,
    pub p99_interval_us: Option<[f64; 2]>,
    pub p99_interval_note: Option<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Percentiles of a latency.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names are the percentiles")]
pub struct Percentiles {
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
}

/// What the broker counted itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Broker {
    pub mints: u64,
    pub hits: u64,
    pub misses: u64,
    pub coalesced: u64,
    pub refreshes: u64,
    pub cpu_us_per_request: Option<f64>,
    /// None of a merged result: the memory of several brokers is no one number.
    pub rss_bytes: Option<u64>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What verification of the sample found.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Verified {
    pub sampled: u64,
    pub bad_signature: Option<u64>,
    pub wrong_identity: Option<u64>,
    pub wrong_audience: Option<u64>,
    pub wrong_issuer: Option<u64>,
    pub wrong_expiry: Option<u64>,
    pub expired: Option<u64>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What was changed meanwhile.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Changes {
    pub count: u64,
    pub failed: u64,
    pub ack_us: Percentiles,
    #[serde(flatten)]
    pub extra: Extra,
}

/// Checks of what was answered.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Checks {
    pub passed: bool,
    pub failures: Vec<String>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// One objective and what came of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Slo {
    pub objective: String,
    pub measured_us: Option<f64>,
    /// None where nobody can tell.
    pub met: Option<bool>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// A part of a run by time.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Phase {
    pub name: String,
    pub start_s: f64,
    pub duration_s: f64,
    pub rate_target: Option<f64>,
    pub classes: BTreeMap<Class, PhaseClass>,
    #[serde(flatten)]
    pub extra: Extra,
}

/// What was measured of one class in a phase.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct PhaseClass {
    pub count: u64,
    pub errors: u64,
    pub response_us: Percentiles,
    pub service_us: Percentiles,
    #[serde(flatten)]
    pub extra: Extra,
}

/// How a merged result was made.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Merged {
    /// What stood beside what: seconds of the same `time`, or of the same `index`.
    pub align: String,
    /// Whether some of it is missing.
    pub partial: bool,
    /// What is missing, and what else is odd about the parts.
    pub remarks: Vec<String>,
}

/// One of the results that a merged one was made of.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct Part {
    pub run_id: String,
    pub folder: String,
    pub started_at: String,
    /// When its first interval began, in seconds since 1970; none where only the order is known.
    pub measured_from: Option<u64>,
    pub duration_s: f64,
    pub seed: u64,
    pub target: String,
    pub rate_target: Option<f64>,
    pub rate_achieved: Option<f64>,
    pub rate_answered: f64,
    pub valid: bool,
    pub reasons: Vec<String>,
    pub failures: Vec<String>,
    /// Requests that `run.json` counts and the logs do not hold.
    pub missing: u64,
    pub classes: BTreeMap<Class, PartClass>,
    pub build: Build,
    pub host: Host,
}

/// What a part measured of one class.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
#[expect(missing_docs, reason = "docs/schema/run-1.json describes every field")]
pub struct PartClass {
    pub count: u64,
    pub p50_us: Option<f64>,
    pub p99_us: Option<f64>,
}
