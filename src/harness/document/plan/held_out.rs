//! Errors of a plan's model against runs that it was not fitted to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::calibration::Level;

/// Errors of the model against runs that it was not fitted to.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct HeldOut {
    /// Predictions beside measurements; empty without a held-out run.
    pub compared: Vec<Compared>,
    /// The share of misses in the mix, which the model was given.
    pub misses: Option<f64>,
    /// Every level of the mix, in the order of measurement.
    pub mix: Vec<Level>,
    /// Change of the speed of the machine up to the measurement of the mix.
    pub mix_drift: Drift,
    /// Every boot storm, in the order of measurement.
    pub storms: Vec<Level>,
    /// Change of the speed of the machine up to the measurement of the storms.
    pub storm_drift: Drift,
    /// Costs that were measured again beside the runs, each as a multiple of its cost in the calibration.
    #[serde(default)]
    pub costs_again: Vec<f64>,
    /// Reasons why something was not compared.
    pub notes: Vec<String>,
}

/// The cost of a request beside the held-out runs, divided by its cost in the calibration. Costs of the
/// prediction are multiplied by it.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Drift {
    /// The factor of a hit; null where it was not measured.
    pub hit: Option<f64>,
    /// The factor of a mint; null where it was not measured.
    pub mint: Option<f64>,
}

/// A prediction beside a measurement.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Compared {
    /// Name of the compared figure.
    pub what: String,
    /// The unit of both numbers.
    pub unit: String,
    /// The prediction of the model.
    pub predicted: f64,
    /// The prediction at both ends of the interval of the costs.
    #[serde(default)]
    pub interval: Option<[f64; 2]>,
    /// The measurement of a run that the model was not fitted to.
    pub measured: f64,
    /// Prediction minus measurement, as per cent of the measurement.
    pub error_percent: f64,
}
