//! `doctor.json`: the fitness of a machine for measurements.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name and version of the format.
pub const SCHEMA: &str = "mintbench/doctor/1";

/// Findings that `mintbench doctor --json` prints.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Doctor {
    /// The name and version of this format.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// True if a run on this machine is valid now.
    pub can_measure: bool,
    /// Percentiles of the response time that a run can use; `p99` stands for all above it.
    #[schemars(inner(regex(pattern = "^p(50|90|99)$")))]
    pub usable: Vec<String>,
    /// The fingerprint of the machine, as in `run.json`.
    #[schemars(regex(pattern = "^[0-9a-f]{12}$"))]
    pub fingerprint: String,
    /// The findings, in the order of the examination.
    pub findings: Vec<Finding>,
}

/// A finding about the machine.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Finding {
    /// The subject of the finding. The names do not change.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Severity of the finding.
    pub level: Level,
    /// The finding in words.
    #[schemars(length(min = 1))]
    pub says: String,
    /// Advice; null where nothing need be done.
    pub advice: Option<String>,
}

/// Severity of a finding.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing need be done.
    Ok,
    /// Good to know.
    Note,
    /// It limits what can be measured.
    Warn,
    /// Nothing that is measured here can be used.
    Hopeless,
}
