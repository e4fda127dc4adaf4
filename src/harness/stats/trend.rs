//! The trend test of Mann and Kendall.
//!
//! Mann, "Nonparametric tests against trend", Econometrica 13, 1945; Kendall, "Rank Correlation
//! Methods", 1975, with the variance for ties. The test assumes independent values. It finds trends too
//! often if neighbouring values are correlated, so it is never used alone.

use std::collections::BTreeMap;

use crate::harness::stats::float::float_of_size;
use statrs::distribution::{ContinuousCDF, Normal};

/// Returns the two-sided p-value: the probability of a trend at least this strong in a series of random
/// order.
///
/// Returns one for fewer than three values, and for values that are all equal.
pub(crate) fn mann_kendall_p(series: &[f64]) -> f64 {
    let sign = |(earlier, later): (&f64, &f64)| {
        f64::from(i8::from(later > earlier)) - f64::from(i8::from(later < earlier))
    };
    let score: f64 = series
        .iter()
        .enumerate()
        .map(|(index, earlier)| {
            series.iter().skip(index + 1).map(|later| sign((earlier, later))).sum::<f64>()
        })
        .sum();
    let variance = variance(series);
    if series.len() < 3 || variance <= 0.0 {
        return 1.0;
    }
    // The score always has the same parity, so correct for continuity.
    let z = (score.abs() - 1.0).max(0.0) / variance.sqrt();
    2.0 * (1.0 - standard_normal_cdf(z))
}

fn variance(series: &[f64]) -> f64 {
    let mut ties: BTreeMap<u64, usize> = BTreeMap::new();
    for value in series {
        *ties.entry(value.to_bits()).or_default() += 1;
    }
    let term = |count: usize| {
        let count = float_of_size(count);
        count * (count - 1.0) * (2.0 * count + 5.0)
    };
    let for_ties: f64 = ties.values().map(|count| term(*count)).sum();
    (term(series.len()) - for_ties) / 18.0
}

fn standard_normal_cdf(z: f64) -> f64 {
    // The parameters are valid constants.
    Normal::new(0.0, 1.0).map_or(0.5, |normal| normal.cdf(z))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::rngs::Xoshiro256PlusPlus;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn chance_looks_like_a_trend_as_often_as_stated() {
        let alarm = |seed: &u64| {
            let rng = &mut Xoshiro256PlusPlus::seed_from_u64(*seed);
            let series: Vec<f64> = (0..40).map(|_| rng.random::<f64>()).collect();
            mann_kendall_p(&series) < 0.05
        };
        let alarms = (0..2000).filter(alarm).count();
        // 100 expected, standard deviation 9.7.
        assert!((60..=140).contains(&alarms), "{alarms} of 2000");
    }

    #[test]
    fn equal_values_and_short_series_have_no_trend() {
        for series in [&[1.0; 30][..], &[1.0, 2.0], &[]] {
            assert!(mann_kendall_p(series) > 0.999, "{series:?}");
        }
    }

    #[test]
    fn a_small_example_has_the_score_of_its_pairs() {
        // Nine of the ten pairs rise and one falls: S = 8; the variance is 5 x 4 x 15 / 18.
        let p = mann_kendall_p(&[10.0, 15.0, 14.0, 20.0, 30.0]);
        let z: f64 = 7.0 / (50.0_f64 / 3.0).sqrt();
        assert!((p - 2.0 * (1.0 - standard_normal_cdf(z))).abs() < 1e-12, "{p}");
    }

    proptest! {
        #[test]
        fn a_series_that_only_rises_or_only_falls_has_a_trend(
            steps in prop::collection::vec(0.1_f64..9.0, 12..60)
        ) {
            let mut at = 0.0;
            let rising: Vec<f64> = steps.iter().map(|step| { at += step; at }).collect();
            let falling: Vec<f64> = rising.iter().rev().copied().collect();
            prop_assert!(mann_kendall_p(&rising) < 0.001);
            prop_assert!(mann_kendall_p(&falling) < 0.001);
        }

        #[test]
        fn only_the_order_of_the_values_matters(
            series in prop::collection::vec(0.1_f64..9.0, 3..40)
        ) {
            let stretched: Vec<f64> = series.iter().map(|value| value.exp()).collect();
            let p = mann_kendall_p(&series);
            prop_assert!((0.0..=1.0).contains(&p));
            prop_assert!((p - mann_kendall_p(&stretched)).abs() < 1e-12);
        }
    }
}
