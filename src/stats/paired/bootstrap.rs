//! The bootstrap interval of a mean: bias corrected and accelerated.
//!
//! Source: B. Efron, "Better bootstrap confidence intervals", JASA 82 (1987); the acceleration by
//! the jackknife as in B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993), 14.3.

use rand::{Rng, RngExt};
use statrs::distribution::{ContinuousCDF, Normal};

use super::{Bounds, Rates, are_equal, float};

/// With fewer pairs the bootstrap is too narrow: it knows no tail beyond what it saw.
pub const PAIRS_MIN: usize = 8;
/// Enough for two steady digits of a 95 % bound.
pub const RESAMPLES: usize = 10_000;

/// The BCa interval of the mean of `differences`, resampled as whole pairs; none of fewer than two.
///
/// To look at, not to decide by: see `docs/adr/0007-gate-verdicts.md`.
pub fn bca(differences: &[f64], rates: Rates, rng: &mut impl Rng) -> Option<Bounds> {
    bca_of(differences, rates, RESAMPLES, rng)
}

pub(super) fn bca_of(
    differences: &[f64],
    rates: Rates,
    resamples: usize,
    rng: &mut impl Rng,
) -> Option<Bounds> {
    let (first, count) = (differences.first()?, differences.len());
    if count < 2 {
        return None;
    }
    if are_equal(differences) {
        return Some(Bounds { low: *first, high: *first });
    }
    let mean = differences.iter().sum::<f64>() / float(count);
    let mut means: Vec<f64> = (0..resamples).map(|_| resampled_mean(differences, rng)).collect();
    means.sort_by(f64::total_cmp);
    let normal = Normal::standard();
    let correction = Correction {
        bias: normal.inverse_cdf(share_below(&means, mean)),
        acceleration: acceleration(differences, mean),
    };
    let at = |rate: f64| quantile(&means, normal.cdf(correction.of(normal.inverse_cdf(rate))));
    Some(Bounds { low: at(rates.low)?, high: at(1.0 - rates.high)? })
}

fn resampled_mean(differences: &[f64], rng: &mut impl Rng) -> f64 {
    let count = differences.len();
    let drawn = (0..count).filter_map(|_| differences.get(rng.random_range(0..count)));
    drawn.sum::<f64>() / float(count)
}

/// Half of those that are equal count as below. Never 0 or 1, whose normal quantile is infinite.
fn share_below(means: &[f64], mean: f64) -> f64 {
    let below = means.partition_point(|m| *m < mean);
    let equal = means.partition_point(|m| *m <= mean) - below;
    let total = float(means.len());
    ((float(below) + float(equal) / 2.0) / total).clamp(1.0 / total, 1.0 - 1.0 / total)
}

/// How fast the error of the mean changes with the mean: a sixth of the skewness of its jackknife.
fn acceleration(differences: &[f64], mean: f64) -> f64 {
    // Leaving d out moves the mean by (mean - d) / (n - 1); the n - 1 cancels.
    let (cubes, squares) = differences.iter().fold((0.0, 0.0), |(cubes, squares), d| {
        (cubes + (d - mean).powi(3), squares + (d - mean).powi(2))
    });
    if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 }
}

/// Of the normal quantile of a bound.
struct Correction {
    bias: f64,
    acceleration: f64,
}

impl Correction {
    fn of(&self, z: f64) -> f64 {
        let shifted = self.bias + z;
        self.bias + shifted / (1.0 - self.acceleration * shifted)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of ten thousand"
)]
fn quantile(ascending: &[f64], share: f64) -> Option<f64> {
    let place = (share.clamp(0.0, 1.0) * float(ascending.len())) as usize;
    ascending.get(place.min(ascending.len().checked_sub(1)?)).copied()
}
