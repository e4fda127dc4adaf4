//! The simulated fleet of a plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The simulation of a number of nodes.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Forecast {
    /// The load of the whole fleet.
    pub demand: Demand,
    /// Cores needed for the day at the target, with no node lost.
    pub cores_for_day: f64,
    /// The least number of nodes that meets every condition; null where no number does.
    pub nodes_needed: Option<u64>,
    /// Conditions that one node fewer does not meet, in the first case that fails. Where `nodes_needed` is
    /// null, the same of the largest number of nodes.
    pub fewer_missed: Vec<String>,
    /// The number of nodes that the rest is about.
    pub nodes: u64,
    /// The number of nodes that may be lost.
    pub nodes_lost: u64,
    /// Conditions that `nodes` do not meet.
    pub missed: Vec<String>,
    /// The number of cores of each node.
    pub cores_per_node: u64,
    /// Memory of each node in bytes, with its share of the tokens and those of lost nodes.
    pub memory_per_node_bytes: Option<f64>,
    /// The busiest minute of the day.
    pub steady: Situation,
    /// The moment after nodes are lost: their callers come over, and their tokens are not held.
    pub lost: Option<Situation>,
    /// Share by which the load can grow before the remaining nodes reach the target; negative where they
    /// are beyond it.
    pub headroom_lost: f64,
    /// The boot storm.
    pub storm: Option<Situation>,
    /// The boot storm with nodes lost.
    pub storm_lost: Option<Situation>,
}

/// The load of the whole fleet.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Demand {
    /// Requests per second, over the day.
    pub requests_per_s: f64,
    /// Requests per second in the minute of the day with the most mints.
    pub requests_per_s_busiest: f64,
    /// Mints per second, over the day.
    pub mints_per_s: f64,
    /// Mints per second in the busiest minute of the day.
    pub mints_per_s_busiest: f64,
    /// Mints per second of that minute that a caller waits for.
    pub misses_per_s_busiest: f64,
    /// Cores that are busy in that minute.
    pub cores_busy: f64,
}

/// A simulated situation of one node.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Situation {
    /// The percentile of the objective over all answers, in milliseconds.
    pub quantile_ms: Estimate,
    /// Median time to a token that had to be minted, from the first attempt, in milliseconds.
    pub token_p50_ms: Option<Estimate>,
    /// 99th percentile of the time to a token that had to be minted, in milliseconds.
    pub token_p99_ms: Option<Estimate>,
    /// The share of requests that were answered 503.
    pub refused_share: Estimate,
    /// The share of callers that ended without a token, of those whose token was not held.
    pub gave_up_share: Estimate,
    /// The most mints that waited in the node's queue.
    pub queue_peak: Estimate,
    /// Seconds from the end of a storm to its last token.
    pub recovery_s: Estimate,
    /// The share of the cores' time that was used.
    pub utilisation: Estimate,
    /// True if a queue still grew at the end, or if renewals were put off because their queue was full.
    pub growing: bool,
}

/// The mean of independent replications and its 95 % interval (Student's t).
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}
