//! The origin of a merged result, and its parts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::classes::PartClass;
use crate::harness::class::Class;
use crate::harness::document::host::{Build, Host};

/// Origin of a merged result.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Merged {
    /// Alignment of the added seconds: those of the same `time`, or of the same `index` from the beginning.
    #[schemars(extend("enum" = ["index", "time"]))]
    pub align: String,
    /// True if intervals of a part are missing, or if not all parts ran all the time.
    pub partial: bool,
    /// Missing intervals and other oddities of the parts.
    #[schemars(inner(length(min = 1)))]
    pub remarks: Vec<String>,
}

/// A run of a merged result.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Part {
    /// The GUID of the run.
    pub run_id: String,
    /// The folder of the run.
    pub folder: String,
    /// Time at which the run began: RFC 3339, in UTC.
    pub started_at: String,
    /// Start of the first interval, in seconds since 1970; null where only the order is known.
    pub measured_from: Option<u64>,
    /// The measured part in seconds.
    pub duration_s: f64,
    /// The seed of the run.
    pub seed: u64,
    /// The URL of the target.
    pub target: String,
    /// Planned requests per second.
    pub rate_target: Option<f64>,
    /// Requests per second that were sent.
    pub rate_achieved: Option<f64>,
    /// Answers per second.
    pub rate_answered: f64,
    /// True if the run was valid.
    pub valid: bool,
    /// Reasons why the run was not valid.
    pub reasons: Vec<String>,
    /// Disturbances of the run; absent in files of earlier versions.
    #[serde(default)]
    pub disturbances: Vec<String>,
    /// The checks that failed.
    pub failures: Vec<String>,
    /// Requests that the run counted and its logs do not hold.
    pub missing: u64,
    /// The answers of the part by class.
    pub classes: BTreeMap<Class, PartClass>,
    /// The build of the generator.
    pub build: Build,
    /// The machine of the generator.
    pub host: Host,
    /// Settings that the parts of one run have alike. A setting that differs between parts is remarked. Absent
    /// in files of earlier versions.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}
