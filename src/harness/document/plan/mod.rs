//! `plan.json`: the number of nodes that a fleet needs.

pub mod calibration;
pub mod forecast;
pub mod held_out;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::calibration::{CostInterval, MemoryModel, Side};
use self::forecast::Forecast;
use self::held_out::HeldOut;

/// The name and version of the format.
pub const SCHEMA: &str = "mintbench/plan/1";

/// `plan.json` of `mintbench plan`. A value that is not known is null.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Plan {
    /// The name and version of this format.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// Verdict on the number of nodes.
    pub answer: Answer,
    /// Time at which the plan began: RFC 3339, in UTC.
    pub started_at: String,
    /// The seed of everything random.
    pub seed: u64,
    /// The signature algorithm that was measured.
    pub alg: String,
    /// The objective, like `p99<2ms`.
    pub slo: String,
    /// The share of the cores' time that may be used.
    pub target: f64,
    /// The number of cores of the measured broker.
    pub measured_cores: u64,
    /// Measurements of cache hits; null where they allow no plan.
    pub hit: Option<Side>,
    /// Measurements of mints; null where they allow no plan.
    pub mint: Option<Side>,
    /// Memory of the broker; null where it was not measured.
    pub memory: Option<MemoryModel>,
    /// Interval of the costs of requests, for which the numbers of nodes hold; null where the calibration allows
    /// no plan.
    #[serde(default)]
    pub costs: Option<CostInterval>,
    /// The simulated fleet; null where the calibration allows no plan.
    pub forecast: Option<Forecast>,
    /// The number of nodes at both ends of the interval of the costs; null without a forecast.
    #[serde(default)]
    pub nodes: Option<NodesRange>,
    /// Errors of the model against runs that it was not fitted to.
    pub held_out: HeldOut,
    /// Notes for the reader of the plan.
    pub notes: Vec<String>,
    /// The plan in words; the answer comes first.
    pub sentences: Vec<String>,
}

/// The least number of nodes that meets every condition, at both ends of the interval of the costs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct NodesRange {
    /// The number for the lowest costs; null where no number does.
    pub at_least: Option<u64>,
    /// The number for the highest costs; null where no number does.
    pub at_most: Option<u64>,
}

/// The answer of a plan. The exit code follows from it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The nodes meet every condition.
    #[serde(rename = "enough")]
    Sufficient,
    /// The `nodes.count` of the fleet file does not meet every condition.
    #[serde(rename = "not-enough")]
    Insufficient,
    /// No number of nodes meets every condition.
    #[serde(rename = "never")]
    Impossible,
    /// No measured rate meets the objective.
    #[serde(rename = "out-of-reach")]
    Unreachable,
    /// The evidence does not suffice for an answer.
    #[serde(rename = "cannot-tell")]
    Undecided,
    /// The calibration allows no plan.
    Unknown,
}
