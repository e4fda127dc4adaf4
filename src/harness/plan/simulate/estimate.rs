//! The mean over replications, with its 95 % interval.

use statrs::distribution::{ContinuousCDF, StudentsT};

pub(crate) use crate::harness::document::plan::forecast::Estimate;

impl Estimate {
    /// Estimates from one value for each replication. Returns none for no values. A single value has no
    /// spread, so both ends equal it.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "dozens")]
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        if count < 2.0 {
            return Some(Self { mean, low: mean, high: mean });
        }
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (squares / (count - 1.0) / count).sqrt();
        let t = StudentsT::new(0.0, 1.0, count - 1.0).map_or(2.0, |t| t.inverse_cdf(0.975));
        // No estimated quantity can be negative.
        Some(Self { mean, low: (mean - t * error).max(0.0), high: mean + t * error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_students() {
        let estimate = Estimate::of(&[9.0, 10.0, 11.0]).unwrap();
        // s = 1, n = 3, t(0.975, 2) = 4.303: 4.303 / sqrt(3) = 2.484.
        assert!((estimate.high - 12.484).abs() < 0.001, "{estimate:?}");
        assert!((estimate.low - 7.516).abs() < 0.001, "{estimate:?}");
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Estimate::of(&[4.0]).map(|one| (one.low, one.high)), Some((4.0, 4.0)));
    }
}
