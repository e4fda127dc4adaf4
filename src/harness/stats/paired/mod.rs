//! Paired comparisons: estimates the middle of the differences of pairs.
//!
//! Each difference comes from two measurements made side by side. Most are differences of logarithms, so
//! their middle is the logarithm of a ratio. All functions here are pure.

mod bounds;
pub(crate) mod signed_rank;

pub(crate) use self::bounds::{Bounds, Rates};
use crate::harness::stats::float::float_of_size;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Method that finds the bounds of the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Wilcoxon's signed ranks: exact for symmetric differences, and robust against single outliers.
    SignedRank,
    /// Student's t, for too few pairs to have enough ranks.
    Student,
}

impl Method {
    /// Chooses the method for `count` pairs at these error rates.
    ///
    /// The probabilities of ranks come in steps of `2^-count`. With fewer than four steps below a rate,
    /// the rank test could reject only on a single pattern of signs, or never.
    pub(crate) fn for_pairs(count: usize, rates: Rates) -> Self {
        const STEPS_MIN: f64 = 4.0;
        let step = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
        let least = rates.low.min(rates.high);
        if least >= STEPS_MIN * step { Self::SignedRank } else { Self::Student }
    }

    /// Returns the estimate of the middle that belongs to the bounds of this method, or zero for no
    /// differences.
    pub(crate) fn middle(self, differences: &[f64]) -> f64 {
        match self {
            Self::SignedRank => signed_rank::hodges_lehmann(differences).unwrap_or_default(),
            Self::Student => Summary::of(differences).mean,
        }
    }

    /// Returns the bounds of the middle of `differences`.
    pub(crate) fn bounds(self, differences: &[f64], rates: Rates) -> Bounds {
        match self {
            Self::SignedRank => signed_rank::bounds(differences, rates),
            Self::Student => Summary::of(differences).bounds(rates),
        }
    }

    /// Returns the p-value of the hypothesis that the middle is not above `null`.
    pub(crate) fn p_above(self, differences: &[f64], null: f64) -> f64 {
        match self {
            Self::SignedRank => signed_rank::p_above(differences, null),
            Self::Student => Summary::of(differences).p_above(null),
        }
    }
}

/// Mean and spread of differences, for Student's t ("The probable error of a mean", Biometrika 6, 1908).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    /// Number of differences.
    pub(crate) count: usize,
    /// Mean of the differences.
    pub(crate) mean: f64,
    /// Standard deviation, with `count - 1` in the denominator; infinite for fewer than two differences.
    pub(crate) deviation: f64,
    /// Standard error of the mean.
    pub(crate) error: f64,
}

impl Summary {
    /// Computes the summary of these differences.
    pub(crate) fn of(differences: &[f64]) -> Self {
        let count = differences.len();
        let number = float_of_size(count);
        let mean = differences.iter().sum::<f64>() / number.max(1.0);
        let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
        let deviation = if count < 2 {
            f64::INFINITY
        } else if are_equal(differences) {
            // The mean of equal numbers may be off by rounding.
            0.0
        } else {
            (squares / (number - 1.0)).sqrt()
        };
        Self { count, mean, deviation, error: deviation / number.max(1.0).sqrt() }
    }

    /// Widens the error for differences from one measurement that was not repeated.
    ///
    /// Such a measurement is a random draw like the others and shifts all differences alike. So the error
    /// is that of predicting a draw: `s sqrt(1 + 1/n)` (G. Hahn, "Factors for calculating two-sided
    /// prediction intervals", JASA 64, 1969). It does not vanish, however large the count.
    #[must_use]
    pub(crate) fn against_one_draw(self) -> Self {
        let number = float_of_size(self.count).max(1.0);
        Self { error: self.deviation * (1.0 + 1.0 / number).sqrt(), ..self }
    }

    /// Returns the bounds by Student's t; infinite for fewer than two differences.
    pub(crate) fn bounds(&self, rates: Rates) -> Bounds {
        let Some(t) = self.student() else {
            return Bounds { low: f64::NEG_INFINITY, high: f64::INFINITY };
        };
        let reach =
            |rate: f64| if self.error > 0.0 { -t.inverse_cdf(rate) * self.error } else { 0.0 };
        Bounds { low: self.mean - reach(rates.low), high: self.mean + reach(rates.high) }
    }

    /// Returns the p-value of the hypothesis that the true mean is not above `null`.
    pub(crate) fn p_above(&self, null: f64) -> f64 {
        let Some(t) = self.student() else { return 1.0 };
        if self.error > 0.0 {
            return t.sf((self.mean - null) / self.error);
        }
        if self.mean > null { 0.0 } else { 1.0 }
    }

    fn student(&self) -> Option<StudentsT> {
        if self.count < 2 {
            None
        } else {
            StudentsT::new(0.0, 1.0, float_of_size(self.count) - 1.0).ok()
        }
    }
}

fn are_equal(differences: &[f64]) -> bool {
    differences.iter().zip(differences.iter().skip(1)).all(|(a, b)| a.total_cmp(b).is_eq())
}

#[cfg(test)]
mod tests;
