//! `run.json`: the result of a run, or of a merge of runs.

pub mod attempts;
pub mod broker;
pub mod changes;
pub mod classes;
pub mod load;
pub mod merged;
pub mod phases;
pub mod slo;
pub mod undisturbed;
pub mod validity;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::attempts::Attempts;
use self::broker::{Broker, Verified};
use self::changes::{Changes, Churn, Outage, Rotation};
use self::classes::{ClassResult, Whole};
use self::load::Load;
use self::merged::{Merged, Part};
use self::phases::Phase;
use self::slo::Slo;
use self::undisturbed::Undisturbed;
use self::validity::Validity;
use super::extra::Extra;
use super::host::{Build, Host};
use crate::harness::class::Class;

/// The name and version of the format.
pub const SCHEMA: &str = "mintbench/run/2";

/// The version before, which is read too. Its percentiles have no bounds.
pub const SCHEMA_1: &str = "mintbench/run/1";

/// `run.json` of `mintbench run` and `mintbench merge`. Times are microseconds unless a name says
/// otherwise. A value that is not known is null, also in a merged result where the parts differ.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Run {
    /// The name and version of this format.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// A random GUID; that of a merged result follows from those of its parts.
    #[schemars(regex(pattern = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))]
    pub run_id: String,
    /// Time at which the run began: RFC 3339, in UTC, to the second.
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"))]
    pub started_at: String,
    /// The name of the scenario.
    #[schemars(length(min = 1))]
    pub scenario: String,
    /// The seed of the schedule, the workload and the world.
    pub seed: u64,
    /// The URL of the target, with its protocol where that is not IMDS.
    #[schemars(regex(pattern = r"^([a-z0-9-]+\+)?https?://"))]
    pub target: String,
    /// Missing part of a run that the user ended early; absent for other runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Interrupted")]
    pub interrupted: Option<Interrupted>,
    /// The build of the generator.
    pub build: Build,
    /// The machine of the generator.
    pub host: Host,
    /// The load.
    pub load: Load,
    /// Validity of the run: the evidence that the generator and the host kept up.
    pub validity: Validity,
    /// The measured part, by class of answer. A class without answers is absent.
    pub classes: BTreeMap<Class, ClassResult>,
    /// The measured part over all classes of good answers; absent in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Whole")]
    pub whole: Option<Whole>,
    /// Latency over the time in which nothing disturbed the run; absent for herds, for merged results and in
    /// files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Undisturbed")]
    pub undisturbed: Option<Undisturbed>,
    /// The measured part by intended start, in order. A single phase is all of it. Empty for herds, for
    /// merged results and in files of earlier versions.
    #[serde(default)]
    pub phases: Vec<Phase>,
    /// Requests by HTTP status, or by why there is none.
    #[schemars(extend("propertyNames" = {"pattern": r"^(\d{3}|connection|malformed|timeout)$"}))]
    #[schemars(extend("additionalProperties" = {"type": "integer", "minimum": 1}))]
    pub statuses: BTreeMap<String, u64>,
    /// Failed requests by cause, like `reset after 0 bytes`, `status 503` or `no token`; absent in files
    /// of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BTreeMap<String, u64>")]
    #[schemars(extend("additionalProperties" = {"type": "integer", "minimum": 1}))]
    pub causes: Option<BTreeMap<String, u64>>,
    /// The broker's own counters over the measured part; null for a foreign target, and where the counters
    /// could not be read when the measured part began.
    pub broker: Option<Broker>,
    /// Verification of sampled answers.
    pub verified: Verified,
    /// Requests that changed the target under load; null where nothing was to be changed.
    #[serde(default)]
    pub changes: Option<Changes>,
    /// Answers to VMs that lost and got identities, warm-up included; null for other scenarios.
    #[serde(default)]
    pub churn: Option<Churn>,
    /// Sampled tokens against the key sets of their time; null for other scenarios.
    #[serde(default)]
    pub rotation: Option<Rotation>,
    /// An outage of the token service that the broker asks; null for other scenarios.
    #[serde(default)]
    pub outage: Option<Outage>,
    /// Checks of the answers.
    pub checks: Checks,
    /// The objectives, each with its verdict.
    pub slo: Vec<Slo>,
    /// Notes for the reader of the numbers that do not make the run invalid.
    #[schemars(inner(length(min = 1)))]
    pub notes: Vec<String>,
    /// Attempts of a run that was repeated until it decided what was asked; absent for other runs and for merged
    /// results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Attempts")]
    pub attempts: Option<Attempts>,
    /// Origin of a merged result; absent for a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Merged")]
    pub merged: Option<Merged>,
    /// The runs of a merged result in the order of their beginnings, with merged ones taken apart; absent in
    /// that of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Part>")]
    pub parts: Option<Vec<Part>>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Missing part of a run that the user ended early: `load.duration_s` is shorter than planned.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Interrupted {
    /// The planned duration in seconds.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub planned_s: f64,
    /// Requests that were under way at the interrupt. No figure holds them.
    pub unfinished: u64,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Checks of the answers.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Checks {
    /// True if all checks passed.
    pub passed: bool,
    /// The checks that failed.
    #[schemars(inner(length(min = 1)))]
    pub failures: Vec<String>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}
