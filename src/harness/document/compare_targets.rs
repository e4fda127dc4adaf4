//! The comparison of two live endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The name and version of the format.
pub const SCHEMA: &str = "mintbench/versus/1";

/// Comparison that `mintbench compare --target A --target B --json` prints. A value that is not known or infinite is
/// null.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct TargetComparison {
    /// The endpoint that ratios are divided by.
    pub a: Side,
    /// The other endpoint.
    pub b: Side,
    /// B divided by A.
    pub b_over_a: Ratios,
    /// The confidence of the bounds of each ratio.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    /// Load of both endpoints.
    pub load: Load,
    /// The number of pairs whose two blocks are evidence.
    pub pairs_used: u64,
    /// Reasons why blocks are no evidence.
    #[schemars(inner(length(min = 1)))]
    pub reasons: Vec<String>,
    /// The name and version of this format.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// True if enough pairs are evidence.
    pub valid: bool,
}

/// All blocks of an endpoint that are evidence.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Side {
    /// The number of requests.
    pub count: u64,
    /// Requests that failed. No percentile holds them.
    pub errors: u64,
    /// Response times in microseconds.
    pub response_us: Quantiles,
    /// Service times in microseconds.
    pub service_us: Quantiles,
    /// The URL of the endpoint.
    pub target: String,
}

/// The percentiles of an endpoint's latency; null without an answer.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: Option<f64>,
    /// The 90th percentile.
    pub p90: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
}

/// Ratios of both latencies.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Ratios {
    /// Ratios of the response time.
    pub response: QuantileRatios,
    /// Ratios of the service time.
    pub service: QuantileRatios,
}

/// The ratios of a latency; null for fewer than two pairs.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct QuantileRatios {
    /// The ratio of the medians.
    pub p50: Option<Ratio>,
    /// The ratio of the 90th percentiles.
    pub p90: Option<Ratio>,
    /// The ratio of the 99th percentiles.
    pub p99: Option<Ratio>,
}

/// A ratio and its bounds.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Ratio {
    /// The upper bound.
    pub high: Option<f64>,
    /// The lower bound.
    pub low: Option<f64>,
    /// The middle of the ratios of all pairs.
    pub ratio: f64,
}

/// Load of both endpoints.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Load {
    /// Spacing of the requests.
    pub arrivals: String,
    /// The length of a block in seconds.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub block_s: f64,
    /// The planned number of pairs.
    #[schemars(range(min = 2))]
    pub pairs: u64,
    /// Requests per second.
    pub rate: f64,
    /// The seed of the first pair.
    pub seed: u64,
}
