//! Paired comparisons: what differences of pairs say about their middle.
//!
//! The differences are those of pairs of measurements that were made side by side, mostly of
//! logarithms, so that their middle is the logarithm of a ratio. Everything here is a pure function
//! of them.

pub mod signed_rank;

use statrs::distribution::{ContinuousCDF, StudentsT};

/// Where the middle of the differences lies, with one error rate for each side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    /// The middle is below this with at most the lower rate.
    pub low: f64,
    /// The middle is above this with at most the upper rate.
    pub high: f64,
}

impl Bounds {
    /// How far apart they are: the smallest effect that cannot hide between them.
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// How the bounds of a middle are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Wilcoxon's signed ranks: exact for symmetric differences, and one wild pair moves little.
    SignedRank,
    /// Student's t: for pairs too few to have enough ranks.
    Student,
}

impl Method {
    /// The method for this many pairs at these error rates.
    ///
    /// Ranks come in steps of `2^-count`. With fewer than four steps below a rate the test could
    /// reject by a single pattern of signs only, or not at all.
    pub fn for_pairs(count: usize, rates: Rates) -> Self {
        const STEPS_MIN: f64 = 4.0;
        let step = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
        let least = rates.low.min(rates.high);
        if least >= STEPS_MIN * step { Self::SignedRank } else { Self::Student }
    }

    /// The estimate of the middle that lies within the bounds of this method; zero of none.
    pub fn middle(self, differences: &[f64]) -> f64 {
        match self {
            Self::SignedRank => signed_rank::hodges_lehmann(differences).unwrap_or_default(),
            Self::Student => Summary::of(differences).mean,
        }
    }

    /// The bounds of the middle of `differences`.
    pub fn bounds(self, differences: &[f64], rates: Rates) -> Bounds {
        match self {
            Self::SignedRank => signed_rank::bounds(differences, rates),
            Self::Student => Summary::of(differences).bounds(rates),
        }
    }

    /// How likely differences as large as these are if their middle is not above `null`.
    pub fn p_above(self, differences: &[f64], null: f64) -> f64 {
        match self {
            Self::SignedRank => signed_rank::p_above(differences, null),
            Self::Student => Summary::of(differences).p_above(null),
        }
    }
}

/// How often each bound may be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// How often the lower bound may be above the truth.
    pub low: f64,
    /// How often the upper bound may be below it.
    pub high: f64,
}

impl Rates {
    /// Both alike, so that together they hold the truth with this confidence.
    pub fn two_sided(confidence: f64) -> Self {
        let each = (1.0 - confidence) / 2.0;
        Self { low: each, high: each }
    }
}

/// Mean and spread, and what Student's t makes of them ("The probable error of a mean",
/// Biometrika 6, 1908).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many differences there are.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, with `count - 1` in the denominator; infinite for fewer than two.
    pub deviation: f64,
    /// The standard error of the mean.
    pub error: f64,
}

impl Summary {
    /// Of these differences.
    pub fn of(differences: &[f64]) -> Self {
        let count = differences.len();
        let number = float(count);
        let mean = differences.iter().sum::<f64>() / number.max(1.0);
        let squares: f64 = differences.iter().map(|d| (d - mean).powi(2)).sum();
        let deviation = if count < 2 {
            f64::INFINITY
        } else if are_equal(differences) {
            // The mean of equal numbers may be off by its rounding.
            0.0
        } else {
            (squares / (number - 1.0)).sqrt()
        };
        Self { count, mean, deviation, error: deviation / number.max(1.0).sqrt() }
    }

    /// Of differences from one measurement that was not repeated.
    ///
    /// That one is a draw like the others, which shifts all differences alike, so the error is that
    /// of predicting a draw: `s sqrt(1 + 1/n)` (G. Hahn, "Factors for calculating two-sided
    /// prediction intervals", JASA 64, 1969). It does not vanish however large the count.
    #[must_use]
    pub fn against_one_draw(self) -> Self {
        let number = float(self.count).max(1.0);
        Self { error: self.deviation * (1.0 + 1.0 / number).sqrt(), ..self }
    }

    /// The bounds by Student's t; infinite for fewer than two differences.
    pub fn bounds(&self, rates: Rates) -> Bounds {
        let Some(t) = self.student() else {
            return Bounds { low: f64::NEG_INFINITY, high: f64::INFINITY };
        };
        let reach =
            |rate: f64| if self.error > 0.0 { -t.inverse_cdf(rate) * self.error } else { 0.0 };
        Bounds { low: self.mean - reach(rates.low), high: self.mean + reach(rates.high) }
    }

    /// How likely a mean as large as this is if the truth is not above `null`.
    pub fn p_above(&self, null: f64) -> f64 {
        let Some(t) = self.student() else { return 1.0 };
        if self.error > 0.0 {
            return t.sf((self.mean - null) / self.error);
        }
        if self.mean > null { 0.0 } else { 1.0 }
    }

    fn student(&self) -> Option<StudentsT> {
        if self.count < 2 { None } else { StudentsT::new(0.0, 1.0, float(self.count) - 1.0).ok() }
    }
}

fn are_equal(differences: &[f64]) -> bool {
    differences.iter().zip(differences.iter().skip(1)).all(|(a, b)| a.total_cmp(b).is_eq())
}

/// Pairs are few.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
