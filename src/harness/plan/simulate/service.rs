//! Service times: a distribution, or measured values.

use crate::harness::nanos::Nanos;
use crate::harness::stats::float::float;
use hdrhistogram::Histogram;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1};

/// Distribution of times in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) enum Service {
    /// Always the same time.
    Constant(f64),
    /// Exponential distribution with this mean.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the tests compare it with formulas of queueing theory")
    )]
    Exponential(f64),
    /// Measured distribution.
    Measured(Measured),
}

/// Values, each with the share of samples up to it.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    steps: Vec<(f64, f64)>,
    mean: f64,
}

/// Quantile above which a measured shape is cut off. At low load, higher values are stalls of the
/// machine, not work. They are already part of the way there and back.
const TRUSTED: f64 = 0.9;

impl Service {
    /// Returns the shape of `histogram` with the mean `mean_ns`, or a constant if nothing was measured.
    pub(crate) fn shaped(histogram: &Histogram<u64>, mean_ns: f64) -> Self {
        let cap = histogram.value_at_quantile(TRUSTED);
        Self::of(histogram, |value| float(value.min(cap)))
            .scaled_to(mean_ns)
            .unwrap_or(Self::Constant(mean_ns))
    }

    /// Returns the measured times minus `part_ns`, but not below zero.
    pub(crate) fn beyond(histogram: &Histogram<u64>, part_ns: f64) -> Self {
        Self::of(histogram, |value| (float(value) - part_ns).max(0.0))
    }

    fn of(histogram: &Histogram<u64>, change: impl Fn(u64) -> f64) -> Self {
        let total = float(histogram.len());
        if histogram.is_empty() {
            return Self::Constant(0.0);
        }
        let mut seen = 0.0;
        let mut sum = 0.0;
        let steps = histogram.iter_recorded().map(|step| {
            let (value, count) = (change(step.value_iterated_to()), float(step.count_at_value()));
            seen += count;
            sum += value * count;
            (seen / total, value)
        });
        let steps = steps.collect();
        Self::Measured(Measured { steps, mean: sum / total })
    }

    fn scaled_to(self, mean_ns: f64) -> Option<Self> {
        match self {
            Self::Measured(Measured { steps, mean }) if mean > 0.0 => {
                let factor = mean_ns / mean;
                let steps = steps.into_iter().map(|(share, value)| (share, value * factor));
                Some(Self::Measured(Measured { steps: steps.collect(), mean: mean_ns }))
            }
            _ => None,
        }
    }

    /// Returns the mean in nanoseconds.
    #[cfg(test)]
    pub(crate) const fn mean_ns(&self) -> f64 {
        match self {
            Self::Constant(mean) | Self::Exponential(mean) => *mean,
            Self::Measured(measured) => measured.mean,
        }
    }

    /// Draws a time.
    pub(crate) fn draw(&self, rng: &mut impl Rng) -> Nanos {
        match self {
            Self::Constant(value) => nanos(*value),
            Self::Exponential(mean) => {
                let unit: f64 = Exp1.sample(rng);
                nanos(unit * mean)
            }
            Self::Measured(Measured { steps, .. }) => {
                let share: f64 = rng.random();
                let index = steps.partition_point(|(upto, _)| *upto <= share);
                nanos(steps.get(index).or(steps.last()).map_or(0.0, |(_, value)| *value))
            }
        }
    }
}

/// Rounds a time. The caller guarantees that it is finite, not negative, and below centuries.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
pub(super) fn nanos(value: f64) -> Nanos {
    Nanos::new(value.max(0.0).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::record::intervals::histogram;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;

    #[test]
    fn a_measured_shape_is_drawn_with_its_shares_and_the_mean_that_was_asked_for() {
        let mut measured = histogram();
        measured.record_n(1000, 75).unwrap();
        measured.record_n(3000, 25).unwrap();
        let service = Service::shaped(&measured, 150_000.0);
        assert!((service.mean_ns() - 150_000.0).abs() < 1.0);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let draws: Vec<Nanos> = (0..10_000).map(|_| service.draw(&mut rng)).collect();
        let low = draws.iter().filter(|value| **value < Nanos::from_micros(110)).count();
        assert!((7_300..7_700).contains(&low), "{low}");
        assert!(draws.iter().all(|v| (99_000..=301_000).contains(&v.as_u64())));
    }

    #[test]
    fn stalls_of_the_machine_are_cut_off_before_scaling() {
        let mut measured = histogram();
        measured.record_n(1000, 995).unwrap();
        measured.record_n(5_000_000, 5).unwrap();
        let service = Service::shaped(&measured, 1000.0);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        assert!((0..10_000).all(|_| service.draw(&mut rng) <= Nanos::new(1010)));
    }

    #[test]
    fn what_is_beyond_a_part_is_never_negative() {
        let mut measured = histogram();
        measured.record_n(1000, 1).unwrap();
        measured.record_n(5000, 1).unwrap();
        let beyond = Service::beyond(&measured, 2000.0);
        assert!((beyond.mean_ns() - 1500.0).abs() < 10.0, "{}", beyond.mean_ns());
        let nothing = Service::beyond(&histogram(), 1.0);
        assert_eq!(nothing.draw(&mut Xoshiro256PlusPlus::seed_from_u64(1)), Nanos::ZERO);
    }
}
