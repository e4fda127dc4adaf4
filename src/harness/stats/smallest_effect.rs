//! The smallest effect that a number of pairs can detect.

use super::paired::{Rates, Summary};

/// Rate of false alarms, one-sided.
const ALPHA: f64 = 0.05;
/// Probability of detecting an effect of the stated size.
const POWER: f64 = 0.8;

/// Returns the smallest relative change that `pairs` pairs detect in four of five cases; 0.03 means 3 %.
/// `differences` are logarithms of the ratios of pairs without a change. Returns none for fewer than two
/// differences or pairs.
///
/// The formula is `exp((t(1-alpha) + t(1-beta)) s / sqrt(K)) - 1` with K-1 degrees of freedom. It is the
/// usual two-quantile approximation for a paired t-test (for instance Chow, Shao and Wang, "Sample Size
/// Calculations in Clinical Research", section 3.1).
pub(crate) fn smallest_effect(differences: &[f64], pairs: u32) -> Option<f64> {
    if differences.len() < 2 || pairs < 2 {
        return None;
    }
    let Summary { mean, deviation, .. } = Summary::of(differences);
    let count = usize::try_from(pairs).ok()?;
    // A summary as if `pairs` pairs had been measured.
    let meant = Summary { count, mean, deviation, error: deviation / f64::from(pairs).sqrt() };
    let rates = Rates { low: ALPHA, high: 1.0 - POWER };
    Some(meant.bounds(rates).width().exp_m1())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_worked_example_comes_out() {
        // A deviation of 3.7 % and ten pairs: 3.2 %.
        let half = 0.037 / 2.0_f64.sqrt();
        let effect = smallest_effect(&[half, -half], 10).unwrap();
        assert!((effect - 0.0324).abs() < 0.0005, "{effect}");
    }

    #[test]
    fn one_pair_shows_nothing() {
        assert_eq!(smallest_effect(&[0.1], 10), None);
        assert_eq!(smallest_effect(&[0.1, 0.2], 1), None);
    }

    proptest! {
        #[test]
        fn more_pairs_show_smaller_effects_and_more_noise_larger_ones(
            differences in prop::collection::vec(-0.2_f64..0.2, 3..20), pairs in 2_u32..50
        ) {
            let effect = smallest_effect(&differences, pairs).unwrap();
            let noisier: Vec<f64> = differences.iter().map(|d| d * 2.0).collect();
            prop_assert!(effect >= 0.0);
            prop_assert!(smallest_effect(&differences, pairs + 1).unwrap() <= effect);
            prop_assert!(smallest_effect(&noisier, pairs).unwrap() >= effect);
        }
    }
}
