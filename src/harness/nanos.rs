//! Times and durations of the harness, in nanoseconds.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Rem, Sub};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::base::clock::Monotonic;

/// Number of nanoseconds: a duration, or an instant counted from the zero of a clock.
///
/// The arithmetic is that of `u64`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize,
)]
#[repr(transparent)]
#[serde(transparent)]
pub struct Nanos(u64);

impl Nanos {
    /// Zero: no time, or the zero of a clock.
    pub const ZERO: Self = Self(0);
    /// Largest number, later than any instant.
    pub const MAX: Self = Self(u64::MAX);
    /// One second.
    pub const SECOND: Self = Self(1_000_000_000);

    /// Creates a number of nanoseconds.
    #[inline]
    pub const fn new(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Creates a number of whole microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros * 1_000)
    }

    /// Creates a number of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Creates a number of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1_000_000_000)
    }

    /// Reads a clock.
    #[inline]
    pub fn now(clock: Monotonic) -> Self {
        Self(clock.now_ns())
    }

    /// Returns a percentile of times in nanoseconds. `quantile` is 0 to 1.
    pub fn at_quantile(times: &Histogram<u64>, quantile: f64) -> Self {
        Self(times.value_at_quantile(quantile))
    }

    /// Returns the number.
    #[inline]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Returns the number for calculations. It is exact below 2^53 ns, which is 104 days.
    #[inline]
    #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ns")]
    pub const fn as_f64(self) -> f64 {
        self.0 as f64
    }

    /// Returns true for zero.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Returns the sum, or [`Nanos::MAX`] if that is too large.
    #[inline]
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Returns the difference, or zero if `other` is larger.
    #[inline]
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Returns the product, or [`Nanos::MAX`] if that is too large.
    #[inline]
    #[must_use]
    pub const fn saturating_mul(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    /// Returns the smallest multiple of `step` that is not below this number.
    #[inline]
    #[must_use]
    pub const fn next_multiple_of(self, step: Self) -> Self {
        Self(self.0.next_multiple_of(step.0))
    }

    /// Returns the number of pieces of length `step` that cover this duration.
    #[inline]
    pub const fn div_ceil(self, step: Self) -> u64 {
        self.0.div_ceil(step.0)
    }
}

impl From<Duration> for Nanos {
    /// Converts a duration. One of more than 584 years becomes [`Nanos::MAX`].
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanos> for Duration {
    #[inline]
    fn from(nanos: Nanos) -> Self {
        Self::from_nanos(nanos.0)
    }
}

impl Add for Nanos {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl AddAssign for Nanos {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Nanos {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Mul<u64> for Nanos {
    type Output = Self;

    #[inline]
    fn mul(self, factor: u64) -> Self {
        Self(self.0 * factor)
    }
}

impl Div<u64> for Nanos {
    type Output = Self;

    #[inline]
    fn div(self, divisor: u64) -> Self {
        Self(self.0 / divisor)
    }
}

impl Div for Nanos {
    type Output = u64;

    /// Returns the number of whole pieces of length `step`.
    #[inline]
    fn div(self, step: Self) -> u64 {
        self.0 / step.0
    }
}

impl Rem for Nanos {
    type Output = Self;

    #[inline]
    fn rem(self, step: Self) -> Self {
        Self(self.0 % step.0)
    }
}

impl Sum for Nanos {
    fn sum<I: Iterator<Item = Self>>(numbers: I) -> Self {
        Self(numbers.map(Self::as_u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_agree() {
        assert_eq!(Nanos::from_micros(1_000), Nanos::from_millis(1));
        assert_eq!(Nanos::from_millis(1_000), Nanos::SECOND);
        assert_eq!(Nanos::from_secs(1), Nanos::SECOND);
        assert_eq!(Duration::from(Nanos::SECOND), Duration::from_secs(1));
        assert_eq!(Nanos::from(Duration::from_secs(2)), Nanos::from_secs(2));
        assert_eq!(Nanos::from(Duration::MAX), Nanos::MAX);
    }

    #[test]
    fn a_document_holds_a_plain_number() {
        assert_eq!(serde_json::to_string(&Nanos::new(5)).unwrap(), "5");
        assert_eq!(serde_json::from_str::<Nanos>("5").unwrap(), Nanos::new(5));
    }
}
