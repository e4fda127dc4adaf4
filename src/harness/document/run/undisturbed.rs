//! The undisturbed view of a run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::harness::class::Class;
use crate::harness::document::extra::Extra;

/// Latency over the time in which no witness saw something take a core for more than 200 us.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Undisturbed {
    /// Number of times that a witness saw something take a core for more than 200 us.
    pub disturbances: u64,
    /// The time that they took, in seconds. Two cores may lose more than the run is long.
    pub lost_s: f64,
    /// Share of its capacity that the target used; null where nobody could see it, and 0.5 was assumed.
    pub utilisation: Option<f64>,
    /// Each class of good answers.
    pub classes: BTreeMap<Class, UndisturbedClass>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Undisturbed answers of one class.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct UndisturbedClass {
    /// The figures; null where there are none.
    pub kept: Option<Undisturbance>,
    /// Why there are no figures; null where there are.
    #[schemars(length(min = 1))]
    pub note: Option<String>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Figures of the undisturbed answers of one class.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Undisturbance {
    /// Number of undisturbed answers.
    pub count: u64,
    /// Their share of all answers of the class.
    #[schemars(range(min = 0, max = 1))]
    pub share: f64,
    /// Time before each disturbance that is left out too. Percentiles up to it are exact.
    pub guard_us: f64,
    /// Percentiles of the response time.
    pub response_us: UndisturbedPercentiles,
    /// Percentiles of its lower bound.
    pub lower_us: UndisturbedPercentiles,
    /// The 95 % interval of the p99 response time; null where the run was too short for one.
    pub p99_interval_us: Option<[f64; 2]>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Percentiles of undisturbed answers, in microseconds.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct UndisturbedPercentiles {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile; null where it is above the guard or of too few answers.
    pub p999: Option<f64>,
}
