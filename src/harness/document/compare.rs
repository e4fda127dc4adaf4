//! The comparison of two stored results.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::harness::class::Class;

/// The name and version of the format.
pub const SCHEMA: &str = "mintbench/compare/1";

/// Comparison that `mintbench compare A B --json` prints. A value that is not known is null.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Comparison {
    /// The name and version of this format.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// The result that ratios are divided by.
    pub a: Summary,
    /// The other result.
    pub b: Summary,
    /// True if both were made on one machine, by their fingerprints.
    pub same_machine: bool,
    /// Reasons to doubt the comparison.
    #[schemars(inner(length(min = 1)))]
    pub warnings: Vec<String>,
    /// The answers of both results by class.
    pub classes: BTreeMap<Class, Compared>,
    /// Processor time of the broker per request, in microseconds.
    pub cpu_us_per_request: Ratio,
}

/// A result of a comparison. Its fields are null for a run that did not end.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Summary {
    /// The folder, as it was named.
    pub folder: String,
    /// The GUID of the run.
    pub run_id: Option<String>,
    /// Time at which the run began: RFC 3339, in UTC.
    pub started_at: Option<String>,
    /// The commit of the program that measured.
    pub git_commit: Option<String>,
    /// True if the run is valid.
    pub valid: Option<bool>,
    /// Reasons why the run is not valid.
    pub reasons: Vec<String>,
}

/// A class of answers in both results.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Compared {
    /// The number of answers in A and in B.
    pub count: [u64; 2],
    /// The response time by percentile, in microseconds.
    #[schemars(extend("propertyNames" = {"enum": ["p50", "p90", "p99", "p99.9"]}))]
    pub response_us: BTreeMap<String, Ratio>,
    /// The service time by percentile, in microseconds.
    #[schemars(extend("propertyNames" = {"enum": ["p50", "p90", "p99", "p99.9"]}))]
    pub service_us: BTreeMap<String, Ratio>,
}

/// A number of both results, and their ratio.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Ratio {
    /// The number of A.
    pub a: Option<f64>,
    /// The number of B.
    pub b: Option<f64>,
    /// B divided by A.
    pub ratio: Option<f64>,
    /// 95 % interval of the ratio; null where a run is too short for one.
    pub interval: Option<[f64; 2]>,
}
