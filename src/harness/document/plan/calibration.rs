//! The measurements that a plan is based on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Measurements of cache hits, or of mints.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Side {
    /// The highest rate of one core that met the objective, in requests per second.
    pub rate_per_core: Option<f64>,
    /// The next measured rate that missed the objective; null where none did.
    pub bracket: Option<Bracket>,
    /// Measured rates between these two, in requests per second, at which nobody can tell.
    #[serde(default)]
    pub undecided: Vec<f64>,
    /// True if the generator, not the broker, failed at the next rate. The highest rate is then no capacity.
    pub generator_limited: bool,
    /// The cost of a request.
    pub cost: Option<Cost>,
    /// Answers per second of a broker that could do no more and had its core for itself.
    pub pace: Option<f64>,
    /// The scalability law of the levels.
    pub law: Option<Law>,
    /// Reason why there is no law; null where there is one.
    pub law_note: Option<String>,
    /// The rate from which d ln p99 / d ln rate exceeds 1, in requests per second.
    pub knee_elastic: Option<f64>,
    /// The rate at which Kneedle puts the knee, in requests per second.
    pub knee_kneedle: Option<f64>,
    /// Every level, in the order of measurement.
    pub levels: Vec<Level>,
    /// Bounds by rate, made monotone by isotonic regression.
    pub curve: Vec<Point>,
}

/// The next measured rate that missed the objective.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Bracket {
    /// Requests per second.
    pub rate: f64,
    /// Reason why the rate failed.
    pub cause: String,
}

/// The cost of a request.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Cost {
    /// Microseconds of one core.
    pub core_us: f64,
    /// The least of the levels that the cost comes from.
    pub low_us: f64,
    /// The greatest of the levels that the cost comes from.
    pub high_us: f64,
    /// Source of the cost.
    pub basis: Basis,
}

/// Source of a cost.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Processor time of the broker at the busiest levels.
    Processor,
    /// The pace of a broker that could do no more, without the time that other programs had its core.
    Saturation,
}

/// Costs of requests at any moment, as multiples of those in the calibration.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct CostInterval {
    /// The mean of the calibration and its repeats.
    pub likely: f64,
    /// Lower end of the interval in which 19 of 20 costs lie, by the repeats and the error of the model.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Number of costs that were measured again.
    pub repeats: u64,
}

/// X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)), with the concurrency N by Little's law.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Law {
    /// Requests per second at concurrency 1.
    pub lambda: f64,
    /// The contention.
    pub sigma: f64,
    /// The coherency.
    pub kappa: f64,
    /// 95 % interval of lambda, by resampling levels.
    pub lambda_interval: [f64; 2],
    /// 95 % interval of sigma, by resampling levels.
    pub sigma_interval: [f64; 2],
    /// 95 % interval of kappa, by resampling levels.
    pub kappa_interval: [f64; 2],
    /// Requests per second that no concurrency exceeds.
    pub ceiling: Option<f64>,
    /// The highest measured concurrency. The law says nothing beyond twice this.
    pub concurrency_measured_max: f64,
}

/// A rate that was measured.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Level {
    /// Planned requests per second.
    pub rate: f64,
    /// Answers per second.
    pub answered: f64,
    /// True if the upper bound met the objective.
    pub met: bool,
    /// Reason why the level did not meet the objective; null where it did.
    pub cause: Option<String>,
    /// Verdict on the objective.
    #[serde(default)]
    pub verdict: LevelVerdict,
    /// The median response time.
    pub p50_us: f64,
    /// The 99th percentile of the response time.
    pub p99_us: f64,
    /// Upper bound of the objective's percentile: the end of its 95 % interval, or the worst second.
    pub upper_us: Option<f64>,
    /// Lower bound of the objective's percentile: the same for the times less the delays that the generator
    /// may have added; null where these are not known.
    #[serde(default)]
    pub lower_us: Option<f64>,
    /// The share of requests without a token.
    pub errors: f64,
    /// Processor time of the broker per request.
    pub cpu_us_per_request: Option<f64>,
    /// The share of the broker's core that other programs had while the broker needed it; null where it was not
    /// counted.
    #[serde(default)]
    pub core_taken: Option<f64>,
    /// The share of the level in which the schedule stood still, because something else than the broker stopped the
    /// generator; null where it is not known. Absent in files of earlier versions.
    #[serde(default)]
    pub paused_share: Option<f64>,
    /// The mean number of requests in the system.
    pub concurrency: f64,
    /// Disturbances by the host.
    pub noise: Vec<String>,
}

/// Verdict of a level on the objective.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LevelVerdict {
    /// The upper bound of the percentile is within the objective.
    Met,
    /// The lower bound is beyond it, or the level shows no capacity.
    Missed,
    /// The objective lies between the bounds.
    #[default]
    CannotTell,
}

/// A rate of the monotone curve.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Point {
    /// Requests per second.
    pub rate: f64,
    /// The bound of the objective's percentile.
    pub upper_us: f64,
}

/// Memory of a broker.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct MemoryModel {
    /// Memory without tokens, in bytes. It holds the identities of the measured world.
    pub base_bytes: f64,
    /// Memory of each token, in bytes.
    pub token_bytes: f64,
}
