//! `find-max.json`: the highest rate at which a target meets its objectives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::host::{Build, Host};
use super::percentiles::ResponsePercentiles;
use super::run::slo::Slo;

/// The name and version of the format.
pub const SCHEMA: &str = "mintbench/find-max/1";

/// `find-max.json` of `mintbench run --find-max`. Rates are requests per second.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct FindMax {
    /// The name and version of this format.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// Time at which the search began: RFC 3339, in UTC, to the second.
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"))]
    pub started_at: String,
    /// The name of the scenario.
    #[schemars(length(min = 1))]
    pub scenario: String,
    /// The URL of the target, with its protocol where that is not IMDS.
    #[schemars(regex(pattern = r"^([a-z0-9-]+\+)?https?://"))]
    pub target: String,
    /// The seed of the first level.
    pub seed: u64,
    /// The objectives. A rate is met if all of them are.
    #[schemars(length(min = 1))]
    pub objectives: Vec<String>,
    /// Result of the search.
    pub answer: Answer,
    /// The highest rate that met the objectives.
    pub met: Option<End>,
    /// The lowest rate above it that missed one.
    pub missed: Option<End>,
    /// The lowest and the highest rate between these, of which nobody can tell.
    pub open: Option<[f64; 2]>,
    /// The lowest rate that the generator could not send, if that ended the search. It is no limit of the target.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub unsent: Option<f64>,
    /// Largest ratio of neighbouring rates that was asked for, less 1.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub within: f64,
    /// Largest number of measurements of a rate of which nobody could tell.
    #[schemars(range(min = 1))]
    pub tries: u32,
    /// Largest probability that chance alone makes the verdict of a level wrong.
    #[schemars(range(min = 0, max = 1))]
    pub chance: f64,
    /// Load of the levels.
    pub load: Load,
    /// Every level, in the order of measurement.
    pub levels: Vec<Level>,
    /// The answer in words.
    #[schemars(inner(length(min = 1)))]
    pub sentences: Vec<String>,
    /// Notes for the reader of the numbers.
    #[schemars(inner(length(min = 1)))]
    pub notes: Vec<String>,
    /// The build of the generator.
    pub build: Build,
    /// The machine of the generator.
    pub host: Host,
}

/// Answer of a search.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The limit lies between the highest rate that met the objectives and the lowest one that missed them.
    Bracket,
    /// The limit is at least the highest rate that met the objectives.
    AtLeast,
    /// The limit is below the lowest rate that missed the objectives.
    Below,
    /// Nothing can be said.
    Unknown,
}

/// End of the bracket.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct End {
    /// Requests per second.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rate: f64,
    /// Bounds of the response times over all good answers, of the level that decided.
    pub response_us: ResponsePercentiles,
}

/// Load of the levels.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Load {
    /// Spacing of the requests.
    pub arrivals: String,
    /// The number of connections.
    pub connections: u64,
    /// The warm-up of each level in seconds.
    pub warmup_s: f64,
    /// The first rate.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rate_first: f64,
    /// The largest rate that may be tried.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rate_max: f64,
}

/// A level.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Level {
    /// Planned requests per second.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rate: f64,
    /// The measured part in seconds.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub duration_s: f64,
    /// Requests per second that were sent.
    pub rate_achieved: f64,
    /// Answers per second.
    pub rate_answered: f64,
    /// Time of the measured part in which the schedule stood still, because something else than the target stopped the
    /// generator, in seconds; the rates are without it. Absent in files of earlier versions.
    #[serde(default)]
    pub paused_s: Option<f64>,
    /// The number of failed requests of the measured part.
    pub failed: u64,
    /// Verdict of the level.
    pub verdict: Verdict,
    /// Reason why the level tells nothing, or no more; null where it was met or missed.
    pub cause: Option<String>,
    /// Bounds of the response times over all good answers.
    pub response_us: ResponsePercentiles,
    /// The objectives, each with its verdict.
    pub slo: Vec<Slo>,
    /// Disturbances of the generator by its host: the bounds hold them.
    #[schemars(inner(length(min = 1)))]
    pub disturbances: Vec<String>,
}

/// Verdict of a level.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All objectives were met.
    Met,
    /// An objective was missed.
    Missed,
    /// Nobody can tell.
    Open,
    /// The generator could not send this rate, which says nothing of the target.
    Unsent,
}
