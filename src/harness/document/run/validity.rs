//! The evidence that the generator and the host kept up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::harness::document::extra::Extra;
use crate::harness::document::percentiles::{Hiccup, Tail};

/// Evidence that the generator and the host kept up. Fields from `pacer_us` on are null in merged results whose
/// parts differ, and absent in files of earlier versions.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Validity {
    /// True if the run says something about the target. False if its median is unknown, or if the load was not the
    /// intended one. In files of version 1, and of runs with `--strict`, any disturbance makes it false.
    pub valid: bool,
    /// Percentiles of the response time that reasons and disturbances leave usable without their bounds; `p99`
    /// stands for all above it. Null where merged runs differ, absent in files of earlier versions.
    #[serde(default)]
    #[schemars(inner(regex(pattern = "^p(50|90|99)$")))]
    pub usable: Option<Vec<String>>,
    /// Reasons why the run is not valid.
    #[schemars(inner(length(min = 1)))]
    pub reasons: Vec<String>,
    /// Disturbances of the generator by its host: the bounds of the percentiles hold them. Absent in files of
    /// version 1, where they are reasons.
    #[serde(default)]
    #[schemars(inner(length(min = 1)))]
    pub disturbances: Vec<String>,
    /// Time at which the generator acted, minus the intended start.
    pub lag_us: Tail,
    /// Largest possible delay with which answers were noticed.
    pub notice_us: Tail,
    /// Requests that were scheduled but never sent.
    pub unsent: u64,
    /// The share of its time that the busiest generator thread did not wait.
    pub generator_cpu_share: f64,
    /// Lateness of a 1 kHz probe in the generator's loop.
    pub hiccup_us: Hiccup,
    /// Lag of the pacing loop before the load, without requests. Its percentiles are null without a
    /// self-test.
    #[serde(default)]
    pub pacer_us: Option<Tail>,
    /// Lateness of a thread of our broker that only sleeps, 200 times a second, rounded up to a bucket
    /// (19 %); null for a foreign target.
    #[serde(default)]
    pub broker_hiccup_us: Option<Hiccup>,
    /// Fit of the gaps between requests; null where arrivals are not Poisson or too few.
    #[serde(default)]
    pub gaps: Option<Gaps>,
    /// Steadiness of the p95 of a second.
    #[serde(default)]
    pub steady: Option<Steady>,
    /// The cache hit ratio of the first and of the second half, by the classes of the answers; null where it
    /// is not known.
    #[serde(default)]
    #[schemars(inner(range(min = 0, max = 1)))]
    pub hit_ratios: Option<[f64; 2]>,
    /// The share of the measured part for which the CPU quota of the control group stopped the generator.
    #[serde(default)]
    pub throttled_share: Option<f64>,
    /// Page faults of the generator that waited for a disk.
    #[serde(default)]
    pub major_faults: Option<u64>,
    /// Growth of the generator's memory in swap, in KiB.
    #[serde(default)]
    pub swapped_kib: Option<u64>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Validity {
    /// Returns true if the run is valid and nothing disturbed it. Its figures can be compared with those of another
    /// run.
    pub const fn is_undisturbed(&self) -> bool {
        self.valid && self.disturbances.is_empty()
    }

    /// Returns all reasons why the run is not valid or was disturbed.
    pub fn faults(&self) -> Vec<String> {
        [self.reasons.as_slice(), &self.disturbances].concat()
    }
}

/// Kolmogorov-Smirnov distance of the gaps between a random sample of requests from an exponential
/// distribution.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Gaps {
    /// The number of gaps.
    pub count: u64,
    /// The distance of the gaps between sent requests.
    #[schemars(range(min = 0, max = 1))]
    pub distance: f64,
    /// The distance of the gaps between the intended starts of the same requests.
    #[schemars(range(min = 0, max = 1))]
    pub distance_intended: f64,
    /// The largest distance that is still called Poisson.
    pub limit: f64,
}

/// Steadiness of the p95 of a second.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Steady {
    /// The verdict.
    pub state: SteadyState,
    /// Seconds at the start of the measured part that look like warm-up; null unless steady.
    pub warm_up_s: Option<u64>,
    /// The median p95 of a second in the first and in the second half; null unless drifting.
    pub halves_p95_us: Option<[f64; 2]>,
}

/// The verdict on steadiness.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SteadyState {
    /// The scenario changes its load.
    #[serde(rename = "not meant")]
    NotExpected,
    /// The run is too short.
    #[serde(rename = "too short to say")]
    TooShort,
    /// The p95 did not change.
    #[serde(rename = "steady")]
    Steady,
    /// The p95 changed.
    #[serde(rename = "drifting")]
    Drifting,
}
