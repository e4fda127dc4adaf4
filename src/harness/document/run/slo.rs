//! Objectives of a run and their verdicts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::harness::document::extra::Extra;

/// An objective and its verdict.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Slo {
    /// The objective, like `p99<2ms`.
    pub objective: String,
    /// The phase that the objective is about; null for the whole measured part.
    #[serde(default)]
    pub phase: Option<String>,
    /// The percentile, with failed requests as the slowest; null where it is a failed request, or where there
    /// are too few answers. It is the upper bound.
    pub measured_us: Option<f64>,
    /// The lower bound of the percentile; null where it is a failed request, where there are too few answers, and
    /// where it is not known. Absent in files of earlier versions.
    #[serde(default)]
    pub lower_us: Option<f64>,
    /// True if the objective was met, false if it was missed, null where nobody can tell.
    pub met: Option<bool>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}
