//! The Kolmogorov-Smirnov distance of a sample from an exponential distribution.
//!
//! The gaps of a Poisson process, measured in expected arrivals, are exponential with mean 1. This mean
//! is known, not estimated, so the classical limit applies. With an estimated mean that limit would be
//! far too wide (Lilliefors 1969).
//!
//! The Lancet load tester introduced this check of a load generator (Kogias, Mallon, Bugnion, USENIX ATC
//! 2019, section 3.2).

use crate::harness::stats::float::float_of_size;

/// Limit of the distance times the square root of the sample size. 95 % of samples of the stated
/// distribution stay below it (Kolmogorov 1933; Smirnov 1948, table of the limiting distribution:
/// K(1.36) = 0.95).
pub(crate) const LIMIT_95: f64 = 1.36;

/// Returns the greatest difference between the sample's distribution function and `1 - exp(-x)`.
///
/// Returns zero for an empty sample.
pub(crate) fn distance_from_exponential(sample: &[f64]) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    let size = float_of_size(sorted.len());
    let steps = sorted.iter().enumerate().map(|(rank, value)| {
        let expected = 1.0 - (-value.max(0.0)).exp();
        // The sample's function jumps here, so both ends of the jump count.
        let (below, above) = (float_of_size(rank) / size, float_of_size(rank + 1) / size);
        (expected - below).abs().max((above - expected).abs())
    });
    steps.fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::Xoshiro256PlusPlus;
    use rand_distr::{Distribution, Exp1};

    fn exponential(size: usize, seed: u64) -> Vec<f64> {
        let rng = &mut Xoshiro256PlusPlus::seed_from_u64(seed);
        (0..size).map(|_| Exp1.sample(rng)).collect()
    }

    fn alarms(runs: u64, sample: impl Fn(u64) -> Vec<f64>) -> usize {
        let alarm = |seed: &u64| {
            let sample = sample(*seed);
            distance_from_exponential(&sample) > limit_95(sample.len())
        };
        (0..runs).filter(alarm).count()
    }

    /// Returns the distance that 95 % of samples of this size stay below.
    fn limit_95(size: usize) -> f64 {
        LIMIT_95 / float_of_size(size.max(1)).sqrt()
    }

    #[test]
    fn one_in_twenty_exponential_samples_is_beyond_the_limit() {
        // 1000 trials at 5 %: standard deviation 6.9, and the limit is slightly wide for finite n.
        let alarms = alarms(1000, |seed| exponential(500, seed));
        assert!((25..=75).contains(&alarms), "{alarms} of 1000");
    }

    #[test]
    fn gaps_of_a_clock_with_coarse_ticks_are_found() {
        // Ten arrivals for each tick are acted on at the tick.
        let ticked = |seed| {
            let mut at = 0.0;
            let times: Vec<f64> = exponential(500, seed)
                .iter()
                .map(|gap| {
                    at += gap;
                    f64::ceil(at / 10.0) * 10.0
                })
                .collect();
            times.windows(2).map(|pair| pair[1] - pair[0]).collect()
        };
        assert_eq!(alarms(100, ticked), 100);
    }

    #[test]
    fn constant_gaps_are_found() {
        // All mass at the mean: the distance is the larger part, 1 - 1/e.
        let distance = distance_from_exponential(&[1.0; 100]);
        assert!((distance - (1.0 - (-1.0_f64).exp())).abs() < 1e-9, "{distance}");
    }

    #[test]
    fn the_distance_of_one_known_sample_is_what_the_definition_says() {
        // ln 2 is the median: the function jumps from 0 to 1 there.
        assert!((distance_from_exponential(&[std::f64::consts::LN_2]) - 0.5).abs() < 1e-12);
        assert!(distance_from_exponential(&[]).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn the_distance_is_a_share_and_does_not_depend_on_the_order(
            mut sample in prop::collection::vec(0.0_f64..20.0, 1..50)
        ) {
            let distance = distance_from_exponential(&sample);
            prop_assert!((0.0..=1.0).contains(&distance));
            prop_assert!(distance >= 0.5 / float_of_size(sample.len()) - 1e-12);
            sample.reverse();
            prop_assert_eq!(distance.to_bits(), distance_from_exponential(&sample).to_bits());
        }
    }
}
