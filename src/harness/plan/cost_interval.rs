//! Interval of the costs of requests: how much they vary from one moment to another.
//!
//! The speed of a shared machine drifts. The calibration is one draw of it, and each repeat of a part of
//! the calibration is another. The cost at another moment lies in the prediction interval of these draws
//! (Student's t on their logarithms), widened by the error of the model itself.

use statrs::distribution::{ContinuousCDF, StudentsT};

pub(crate) use crate::harness::document::plan::calibration::CostInterval;

/// Error of the model itself, apart from drift. Eight predictions of mixes and storms were off by 1.4 to
/// 15.4 %, on a machine that drifted by up to 15 % meanwhile (`results/reference/plan.md`).
pub(crate) const MODEL_ERROR: f64 = 0.1;

impl CostInterval {
    /// Returns the interval for costs that were measured again, each as a multiple of its cost in the
    /// calibration. Without any, it is the error of the model alone.
    pub(crate) fn of(again: &[f64]) -> Self {
        let measured = again.iter().filter(|times| times.is_finite() && **times > 0.0);
        let logs: Vec<f64> = std::iter::once(0.0).chain(measured.map(|times| times.ln())).collect();
        #[expect(clippy::cast_precision_loss, reason = "dozens")]
        let count = logs.len() as f64;
        let mean = logs.iter().sum::<f64>() / count;
        let squares: f64 = logs.iter().map(|log| (log - mean).powi(2)).sum();
        let width = StudentsT::new(0.0, 1.0, count - 1.0).map_or(0.0, |t| {
            t.inverse_cdf(0.975) * (squares / (count - 1.0) * (1.0 + 1.0 / count)).sqrt()
        });
        Self {
            likely: mean.exp(),
            low: (mean - width).exp() / (1.0 + MODEL_ERROR),
            high: (mean + width).exp() * (1.0 + MODEL_ERROR),
            repeats: logs.len() as u64 - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_repeats_only_the_model_is_in_doubt() {
        let CostInterval { likely, low, high, repeats } = CostInterval::of(&[f64::NAN, 0.0]);
        assert!((likely - 1.0).abs() < 1e-12 && repeats == 0);
        assert!((low - 1.0 / 1.1).abs() < 1e-12 && (high - 1.1).abs() < 1e-12);
    }

    #[test]
    fn the_interval_is_that_of_another_draw() {
        let again = [0.1_f64, -0.1, 0.1, -0.1].map(f64::exp);
        let CostInterval { likely, low, high, repeats } = CostInterval::of(&again);
        // s = 0.1, n = 5, t(0.975, 4) = 2.776: 2.776 * 0.1 * sqrt(1.2) = 0.3041.
        assert!((likely - 1.0).abs() < 1e-12 && repeats == 4);
        assert!((high - 1.1 * 0.3041_f64.exp()).abs() < 1e-3, "{high}");
        assert!((low * high - 1.0).abs() < 1e-9, "{low} {high}");
    }

    #[test]
    fn a_machine_that_got_slower_moves_the_interval() {
        let slower = CostInterval::of(&[1.2; 9]);
        assert!(slower.likely > 1.15 && slower.low > 0.9 && slower.high > 1.3, "{slower:?}");
    }
}
