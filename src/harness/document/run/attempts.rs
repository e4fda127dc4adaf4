//! Attempts of a run that was repeated until it decided what was asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::slo::Slo;
use crate::harness::document::percentiles::Bounded;

/// Attempts of `mintbench run --attempts N`. The result is that of the last attempt in the list.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Attempts {
    /// The largest number of attempts that was allowed.
    #[schemars(range(min = 2))]
    pub max: u32,
    /// True if the last attempt decided what was asked: a verdict on each objective, or without objectives a
    /// measured p50 and p99.
    pub decided: bool,
    /// Largest probability that chance alone makes a verdict by bounds wrong, in each attempt: the usual one divided
    /// by `max`.
    #[schemars(range(min = 0, max = 1))]
    pub chance: f64,
    /// The attempts in their order.
    #[schemars(length(min = 1))]
    pub list: Vec<Attempt>,
}

/// An attempt.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Attempt {
    /// The number of the attempt, from 1.
    #[schemars(range(min = 1))]
    pub number: u32,
    /// Time at which the attempt began: RFC 3339, in UTC, to the second.
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"))]
    pub started_at: String,
    /// The seed of the attempt. Each attempt has its own schedule.
    pub seed: u64,
    /// The exit code that the attempt would have had alone.
    pub exit_code: u8,
    /// The median of the response times over all good answers.
    pub p50_us: Option<Bounded>,
    /// The 99th percentile.
    pub p99_us: Option<Bounded>,
    /// The objectives, each with its verdict.
    pub slo: Vec<Slo>,
    /// Statements that the attempt left open, and the main cause; null if it decided what was asked.
    pub left_open: Option<String>,
}
