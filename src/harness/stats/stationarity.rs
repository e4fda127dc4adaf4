//! Checks a series for a steady state, with one number for each stretch of time.
//!
//! Three checks are combined: the cut of `mser`, the trend test of `trend`, and the two halves of
//! the rest. On a series of some dozens of values, each alone is wrong too often. The cut reaches its
//! limit by chance, the trend test assumes independence, and halves always differ a little. So a drift
//! needs both a trend and halves that differ by more than a tenth.

use super::median::median;
use super::{mser, trend};

/// Verdict on a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Steadiness {
    /// The series is too short for a verdict.
    TooShort,
    /// The series is steady after its warm-up.
    Steady {
        /// Values at the start that differ from the rest by more than a tenth; zero if none do.
        warm_up: usize,
    },
    /// The series rises or falls.
    Drifting(Drift),
}

/// Medians of the two halves of a drifting series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// Median of the first half.
    pub first: f64,
    /// Median of the second half.
    pub second: f64,
}

/// Significance level of the trend test: chance makes such a trend in one of a hundred series.
const TREND_P: f64 = 0.01;
/// Maximum ratio of two medians that counts as equal. The harness tolerates errors of a tenth of its
/// own, too.
const TENTH: f64 = 1.1;

/// Judges a series of positive numbers: one quantile for each equal stretch of time.
pub fn judge(series: &[f64]) -> Steadiness {
    let Some(cut) = mser::cut(series) else { return Steadiness::TooShort };
    let (head, rest) = series.split_at(cut.values.min(series.len()));
    let (first, second) = rest.split_at(rest.len() / 2);
    let drift = Drift { first: median(first), second: median(second) };
    let whole = series.split_at(series.len() / 2);
    let over_all = Drift { first: median(whole.0), second: median(whole.1) };
    let trend = trend::mann_kendall_p(rest) < TREND_P;
    if trend && differ(drift.first, drift.second) {
        return Steadiness::Drifting(drift);
    }
    // If the cut reached its limit, compare the halves of the whole series.
    let rising = trend::mann_kendall_p(series) < TREND_P;
    if cut.at_limit && rising && differ(over_all.first, over_all.second) {
        return Steadiness::Drifting(over_all);
    }
    let warm_up = if differ(median(head), median(rest)) { head.len() } else { 0 };
    Steadiness::Steady { warm_up }
}

fn differ(one: f64, other: f64) -> bool {
    let (low, high) = (one.min(other), one.max(other));
    low > 0.0 && high / low > TENTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;
    use rand_distr::{Distribution, StandardNormal};

    /// Returns a series around 100 with this lag-1 correlation and this spread.
    fn noisy(seed: u64, length: usize, correlation: f64, spread: f64) -> Vec<f64> {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut state = 0.0_f64;
        let scale = (1.0 - correlation * correlation).sqrt();
        (0..length)
            .map(|_| {
                let fresh: f64 = StandardNormal.sample(rng);
                state = correlation * state + scale * fresh;
                100.0 * (spread * state).exp()
            })
            .collect()
    }

    fn drifting(series: impl Fn(u64) -> Vec<f64>) -> usize {
        (0..1000).filter(|seed| matches!(judge(&series(*seed)), Steadiness::Drifting(_))).count()
    }

    #[test]
    fn noise_is_not_taken_for_drift() {
        for length in [20, 30, 60, 300] {
            let alarms = drifting(|seed| noisy(seed, length, 0.0, 0.1));
            assert!(alarms <= 10, "{alarms} of 1000 at {length} values");
        }
    }

    #[test]
    fn noise_whose_neighbours_are_alike_is_seldom_taken_for_drift() {
        // The trend test alone would err far more often here.
        for length in [60, 300] {
            let alarms = drifting(|seed| noisy(seed, length, 0.5, 0.1));
            assert!(alarms <= 30, "{alarms} of 1000 at {length} values");
        }
    }

    #[test]
    fn a_series_that_doubles_is_found_in_noise() {
        let doubling = |seed| {
            let noise = noisy(seed, 60, 0.0, 0.1);
            noise.iter().zip(0_u32..).map(|(y, at)| y * (1.0 + f64::from(at) / 60.0)).collect()
        };
        assert!(drifting(doubling) >= 990, "{}", drifting(doubling));
    }

    #[test]
    fn a_small_drift_is_no_drift() {
        let drifting: Vec<f64> = (0_u32..100).map(|at| 100.0 + f64::from(at) * 0.05).collect();
        assert_eq!(judge(&drifting), Steadiness::Steady { warm_up: 0 });
    }

    #[test]
    fn a_warm_up_is_told_from_drift() {
        let series: Vec<f64> = (0..60).map(|at| if at < 10 { 300.0 } else { 100.0 }).collect();
        assert_eq!(judge(&series), Steadiness::Steady { warm_up: 10 });
    }

    #[test]
    fn short_series_say_nothing() {
        assert_eq!(judge(&[1.0; 19]), Steadiness::TooShort);
    }

    proptest! {
        #[test]
        fn the_unit_does_not_matter(series in prop::collection::vec(1.0_f64..100.0, 20..100)) {
            let scaled: Vec<f64> = series.iter().map(|value| value * 1024.0).collect();
            let same = match (judge(&series), judge(&scaled)) {
                (Steadiness::Drifting(_), Steadiness::Drifting(_)) => true,
                (one, other) => one == other,
            };
            prop_assert!(same);
        }

        #[test]
        fn the_median_lies_in_the_middle(values in prop::collection::vec(-9.0_f64..9.0, 1..40)) {
            let middle = median(&values);
            let below = values.iter().filter(|value| **value < middle).count();
            let above = values.iter().filter(|value| **value > middle).count();
            prop_assert!(below <= values.len() / 2 && above <= values.len() / 2);
        }
    }
}
