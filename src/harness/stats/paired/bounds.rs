//! Bounds of an estimate, and their error rates.

/// Bounds of the middle of the differences, with one error rate for each side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    /// Lower bound. The middle is below it with at most the lower rate.
    pub(crate) low: f64,
    /// Upper bound. The middle is above it with at most the upper rate.
    pub(crate) high: f64,
}

impl Bounds {
    /// Returns the distance between the bounds: the smallest effect that cannot hide between them.
    pub(crate) fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// Error rates of the two bounds, as probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
    /// Probability that the lower bound is above the true middle.
    pub(crate) low: f64,
    /// Probability that the upper bound is below the true middle.
    pub(crate) high: f64,
}

impl Rates {
    /// Returns equal rates for both bounds, so that together they hold the true middle with this
    /// confidence.
    pub(crate) fn two_sided(confidence: f64) -> Self {
        let each = (1.0 - confidence) / 2.0;
        Self { low: each, high: each }
    }
}
