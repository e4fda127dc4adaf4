//! The measured part of a run by class of answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::harness::document::extra::Extra;
use crate::harness::document::percentiles::{Percentiles, ResponsePercentiles, Tail};

/// The answers of one class.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ClassResult {
    /// The number of requests.
    #[schemars(range(min = 1))]
    pub count: u64,
    /// Requests of the class that failed: all of `throttled` and `error`, none of the others. Earlier
    /// versions had failed requests in `all` too.
    pub errors: u64,
    /// The end minus the intended start.
    pub response_us: ResponsePercentiles,
    /// The end minus the write; null where nothing was written.
    pub service_us: Percentiles,
    /// The write minus when the generator acted: the wait for a connection. A merged result knows only the
    /// maximum.
    pub queue_us: Tail,
    /// 95 % interval of the p99 response time; null for a run too short for one.
    pub p99_interval_us: Option<[f64; 2]>,
    /// Reason why there is no interval; null where there is one.
    pub p99_interval_note: Option<String>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// All requests that did not fail, or all requests if every one failed.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Whole {
    /// The number of requests.
    pub count: u64,
    /// The end minus the intended start.
    pub response_us: ResponsePercentiles,
}

/// The answers of one class within a phase.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct PhaseClass {
    /// The number of requests.
    #[schemars(range(min = 1))]
    pub count: u64,
    /// Requests of the class that failed.
    pub errors: u64,
    /// The end minus the intended start.
    pub response_us: ResponsePercentiles,
    /// The end minus the write; null where nothing was written.
    pub service_us: Percentiles,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The answers of one class in a part of a merged result.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct PartClass {
    /// The number of requests that the logs hold.
    pub count: u64,
    /// The median response time.
    pub p50_us: Option<f64>,
    /// The 99th percentile of the response time.
    pub p99_us: Option<f64>,
}
