//! When requests are meant to start: a pure function of rate, length and seed.
//!
//! The schedule never looks at an answer; that is what makes the loop open. Poisson arrivals are
//! the default because constant spacing hides the queue in front of a constant-time server
//! (at 80 % load its p99 is 1.0 service times against 11.2).

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, Exp1};

/// How intended start times are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Arrivals {
    /// All gaps are equal.
    Constant,
    /// Gaps are exponential: many independent callers.
    Poisson,
}

impl Arrivals {
    /// The name in files and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        }
    }
}

/// Intended start times in nanoseconds from the start of the load, ascending, all below its end.
#[derive(Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    /// Requests per second.
    rate: f64,
    end_ns: u64,
    rng: Xoshiro256PlusPlus,
    drawn: u64,
    /// The time reached, in nanoseconds; exact to far below 1 ns for any run under a month.
    at_ns: f64,
}

impl Schedule {
    /// `rate` requests per second for `length_ns` nanoseconds.
    pub fn new(arrivals: Arrivals, rate: f64, length_ns: u64, seed: u64) -> Self {
        Self {
            arrivals,
            rate,
            end_ns: length_ns,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            drawn: 0,
            at_ns: 0.0,
        }
    }
}

impl Iterator for Schedule {
    type Item = u64;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "times are positive and far below 2^53 ns"
    )]
    fn next(&mut self) -> Option<u64> {
        self.at_ns = match self.arrivals {
            // Multiplied, then divided: a sum of gaps would drift, and a rounded gap can put one
            // request too many before the end.
            Arrivals::Constant => self.drawn as f64 * 1e9 / self.rate,
            Arrivals::Poisson => {
                let gap: f64 = Exp1.sample(&mut self.rng);
                self.at_ns + gap * 1e9 / self.rate
            }
        };
        self.drawn += 1;
        Some(self.at_ns as u64).filter(|at| *at < self.end_ns)
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arrivals() -> impl Strategy<Value = Arrivals> {
        prop_oneof![Just(Arrivals::Constant), Just(Arrivals::Poisson)]
    }

    proptest! {
        #[test]
        fn a_schedule_is_a_pure_function_of_its_seed(arrivals in arrivals(), seed: u64) {
            let make = || Schedule::new(arrivals, 1000.0, 200_000_000, seed);
            prop_assert!(make().eq(make()));
        }

        #[test]
        fn times_never_go_back_and_end_before_the_end(
            arrivals in arrivals(), seed: u64, rate in 1.0..50_000.0, length in 0_u64..100_000_000,
        ) {
            let times: Vec<u64> = Schedule::new(arrivals, rate, length, seed).collect();
            prop_assert!(times.is_sorted());
            prop_assert!(times.iter().all(|at| *at < length));
        }

        #[test]
        fn a_constant_schedule_has_its_exact_count(rate in 1_u32..20_000, seconds in 1_u64..4) {
            let schedule =
                Schedule::new(Arrivals::Constant, f64::from(rate), seconds * 1_000_000_000, 1);
            prop_assert_eq!(schedule.count() as u64, u64::from(rate) * seconds);
        }

        #[test]
        fn a_poisson_schedule_has_its_mean_count(seed: u64) {
            // 10,000 expected, standard deviation 100: six of them never fail by chance.
            let count = Schedule::new(Arrivals::Poisson, 10_000.0, 1_000_000_000, seed).count();
            prop_assert!((9_400..=10_600).contains(&count), "{}", count);
        }
    }

    #[test]
    fn different_seeds_are_different_schedules() {
        let make = |seed| Schedule::new(Arrivals::Poisson, 1000.0, 1_000_000_000, seed);
        assert!(!make(1).eq(make(2)));
    }

    #[test]
    fn poisson_gaps_vary_as_much_as_their_mean() {
        let times: Vec<u64> =
            Schedule::new(Arrivals::Poisson, 10_000.0, 2_000_000_000, 3).collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let variation = variance.sqrt() / mean;
        assert!((0.95..=1.05).contains(&variation), "{variation}");
    }
}
