//! The phases of a run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::classes::PhaseClass;
use crate::harness::class::Class;
use crate::harness::document::extra::Extra;

/// A part of a run by time.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Phase {
    /// The name of the phase.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Start of the phase, in seconds from the start of the measured part.
    pub start_s: f64,
    /// The length of the phase in seconds.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub duration_s: f64,
    /// Spacing of the requests.
    #[schemars(extend("enum" = ["constant", "poisson", "replay"]))]
    pub arrivals: String,
    /// Planned requests per second, on average.
    pub rate_target: f64,
    /// The planned rate over time; absent where the rate does not change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RateSteps")]
    pub rate_course: Option<RateSteps>,
    /// The answers of the phase by class.
    pub classes: BTreeMap<Class, PhaseClass>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The planned rate over time, in steps of equal length of which the last may be shorter.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct RateSteps {
    /// The length of a step in seconds.
    #[schemars(range(min = 1))]
    pub step_s: u64,
    /// Planned requests per second of each step.
    pub rates: Vec<f64>,
}
