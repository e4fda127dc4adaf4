//! Intended start times of requests: a pure function of the rate over time and of a seed.
//!
//! The schedule never looks at an answer, which makes the load an open loop. Poisson arrivals are
//! the default, because constant spacing hides the queue in front of a constant-time server (at 80
//! % load its p99 is 1.0 service times, against 11.2 with Poisson arrivals).

use rand_distr::{Distribution, Exp1};

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::harness::nanos::Nanos;
use crate::harness::scenario::phases::Arrivals;
use crate::harness::scenario::profile::{Inverse, Profile};

/// Intended start times from the start of the load: ascending, all below its end.
#[derive(Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    inverse: Inverse,
    rng: Xoshiro256PlusPlus,
    count: u64,
    /// The number of requests reached so far, at which the integral of the rate is inverted.
    reached: f64,
}

impl Schedule {
    /// Creates a schedule of `rate` requests per second for `length`.
    pub fn new(arrivals: Arrivals, rate: f64, length: Nanos, seed: u64) -> Self {
        Self::over(arrivals, Profile::constant(rate, length), seed)
    }

    /// Creates a schedule for a rate that may change over time.
    pub fn over(arrivals: Arrivals, profile: Profile, seed: u64) -> Self {
        Self {
            arrivals,
            inverse: profile.inverse(),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            count: 0,
            reached: 0.0,
        }
    }
}

impl Iterator for Schedule {
    type Item = Nanos;

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn next(&mut self) -> Option<Nanos> {
        self.reached = match self.arrivals {
            // The first request is due at once, and request k when the integral reaches k. A sum of
            // gaps would drift.
            Arrivals::Constant => self.count as f64,
            Arrivals::Poisson => {
                let gap: f64 = Exp1.sample(&mut self.rng);
                self.reached + gap
            }
        };
        self.count += 1;
        self.inverse.at(self.reached)
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;
    use crate::harness::scenario::profile::Bursts;
    use proptest::prelude::*;

    const SECOND: Nanos = Nanos::SECOND;

    /// Returns profiles of one to six pieces of all kinds, also silent ones, three seconds long at
    /// most.
    fn profiles() -> impl Strategy<Value = Profile> {
        let rate = || prop_oneof![4 => 0_u32..4_000, 1 => Just(0)];
        let rates = (rate(), rate()).prop_map(|(from, to)| (from.into(), to.into()));
        let level = (0_u32..4_000).prop_map(|rate| (f64::from(rate), f64::from(rate)));
        let piece = (prop_oneof![rates, level], 1_u64..500_000_000);
        prop::collection::vec(piece, 1..7).prop_map(|pieces| {
            pieces.into_iter().fold(Profile::default(), |profile, ((from, to), length)| {
                profile.then(&Profile::ramp(from, to, Nanos::new(length)))
            })
        })
    }

    fn arrivals() -> impl Strategy<Value = Arrivals> {
        prop_oneof![Just(Arrivals::Constant), Just(Arrivals::Poisson)]
    }

    proptest! {
        #[test]
        fn a_schedule_is_a_pure_function_of_its_seed(arrivals in arrivals(), seed: u64) {
            let make = || Schedule::new(arrivals, 1000.0, Nanos::from_millis(200), seed);
            prop_assert!(make().eq(make()));
        }

        #[test]
        fn times_never_go_back_and_end_before_the_end(
            arrivals in arrivals(), seed: u64, rate in 1.0..50_000.0, length in 0_u64..100_000_000,
        ) {
            let times: Vec<Nanos> = Schedule::new(arrivals, rate, Nanos::new(length), seed).collect();
            prop_assert!(times.is_sorted());
            prop_assert!(times.iter().all(|at| *at < Nanos::new(length)));
        }

        #[test]
        fn a_constant_schedule_has_its_exact_count(rate in 1_u32..20_000, seconds in 1_u64..4) {
            let schedule =
                Schedule::new(Arrivals::Constant, f64::from(rate), Nanos::from_secs(seconds), 1);
            prop_assert_eq!(schedule.count() as u64, u64::from(rate) * seconds);
        }

        #[test]
        fn a_poisson_schedule_has_its_mean_count(seed: u64) {
            // 10,000 expected, standard deviation 100: six deviations are hardly ever exceeded by
            // chance.
            let count = Schedule::new(Arrivals::Poisson, 10_000.0, Nanos::SECOND, seed).count();
            prop_assert!((9_400..=10_600).contains(&count), "{}", count);
        }
    }

    proptest! {
        #[test]
        fn any_profile_has_as_many_equally_spaced_requests_as_its_integral(profile in profiles()) {
            let (total, length) = (profile.total(), profile.length());
            let times: Vec<Nanos> = Schedule::over(Arrivals::Constant, profile, 1).collect();
            // The first request is number 0, and the end is excluded.
            prop_assert!((times.len() as f64 - total.ceil()).abs() < 1.0 + 1e-6);
            prop_assert!(times.len() as f64 >= total - 1e-6);
            prop_assert!(times.is_sorted() && times.iter().all(|at| *at < length));
        }

        #[test]
        fn request_k_is_where_the_integral_reaches_k(profile in profiles()) {
            // Times are rounded down to whole nanoseconds, which at the highest rate is this many
            // requests.
            let (peak, grain) = (profile.peak(), profile.peak() * 1.5e-9 + 1e-9);
            for (k, at) in Schedule::over(Arrivals::Constant, profile.clone(), 1).enumerate() {
                let reached = profile.integral(at);
                prop_assert!((reached - k as f64).abs() <= grain, "{k}: {reached} at {at:?}, {peak}");
            }
        }

        #[test]
        fn steps_are_constant_rates_one_after_the_other(
            rates in prop::collection::vec(1_u32..2_000, 1..5),
        ) {
            let rates: Vec<f64> = rates.into_iter().map(f64::from).collect();
            let steps = Profile::steps(&rates, SECOND * rates.len() as u64);
            let whole: Vec<Nanos> = Schedule::over(Arrivals::Constant, steps, 1).collect();
            let parts = (0_u64..).zip(&rates).flat_map(|(step, rate)| {
                let part = Schedule::new(Arrivals::Constant, *rate, Nanos::SECOND, 1);
                part.map(move |at| Nanos::SECOND * step + at)
            });
            prop_assert_eq!(whole, parts.collect::<Vec<Nanos>>());
        }

        #[test]
        fn a_poisson_process_has_its_mean_count_in_every_stretch(seed: u64, profile in profiles()) {
            let times: Vec<Nanos> = Schedule::over(Arrivals::Poisson, profile.clone(), seed).collect();
            prop_assert!(times.is_sorted());
            for start in (0..profile.length().as_u64()).step_by(250_000_000).map(Nanos::new) {
                let end = start + Nanos::from_millis(250);
                let mean = profile.integral(end) - profile.integral(start);
                let count = times.iter().filter(|at| (start..end).contains(at)).count();
                // Six standard deviations, plus an allowance for small means, which are not
                // normally distributed.
                let bound = 6.0 * mean.sqrt() + 12.0;
                prop_assert!((count as f64 - mean).abs() <= bound, "{count} of {mean}");
            }
        }
    }

    /// Returns the Kolmogorov distance of the gaps, measured by the integral, from the exponential
    /// law.
    fn distance(profile: &Profile, seed: u64) -> f64 {
        let times = Schedule::over(Arrivals::Poisson, profile.clone(), seed);
        let reached: Vec<f64> = times.map(|at| profile.integral(at)).collect();
        let mut gaps: Vec<f64> = reached.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_by(f64::total_cmp);
        let count = gaps.len() as f64;
        let law = |gap: f64| 1.0 - (-gap).exp();
        let each = gaps.iter().enumerate().map(|(index, gap)| {
            let below = (law(*gap) - index as f64 / count).abs();
            below.max((law(*gap) - (index + 1) as f64 / count).abs())
        });
        each.fold(0.0, f64::max) * count.sqrt()
    }

    #[test]
    fn gaps_measured_by_the_integral_are_exponential_on_any_profile() {
        let bursts = Bursts { rate: 20_000.0, base: 500.0, on: SECOND / 5, off: SECOND / 3 };
        for profile in [
            Profile::ramp(0.0, 20_000.0, SECOND),
            Profile::ramp(15_000.0, 100.0, SECOND),
            Profile::bursts(bursts, SECOND * 2),
        ] {
            // By Kolmogorov's law, chance exceeds 2.2 once in 8,000 times. The seeds are fixed.
            let worst = (0..5).map(|seed| distance(&profile, seed)).fold(0.0, f64::max);
            assert!(worst < 2.2, "{worst}");
        }
    }

    #[test]
    fn a_ramp_is_not_mistaken_for_its_mean_rate() {
        // Guards the test above: a distance that sees nothing would pass for any schedule.
        let (ramp, level) =
            (Profile::ramp(0.0, 20_000.0, SECOND), Profile::constant(10_000.0, SECOND));
        let times = Schedule::over(Arrivals::Poisson, ramp, 1);
        let early = times.filter(|at| *at < Nanos::SECOND / 2).count() as f64;
        assert!((early - level.integral(SECOND / 2)).abs() > 2_000.0, "{early}");
    }

    #[test]
    fn different_seeds_are_different_schedules() {
        let make = |seed| Schedule::new(Arrivals::Poisson, 1000.0, Nanos::SECOND, seed);
        assert!(!make(1).eq(make(2)));
    }

    #[test]
    fn poisson_gaps_vary_as_much_as_their_mean() {
        let times: Vec<Nanos> =
            Schedule::new(Arrivals::Poisson, 10_000.0, Nanos::from_secs(2), 3).collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_f64()).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variation = variance.sqrt() / mean;
        assert!((0.95..=1.05).contains(&variation), "{variation}");
    }
}
