//! The binomial distribution: the probability that chance alone produces a count.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};
use statrs::function::beta::checked_beta_reg;

/// Returns the probability that at least `least` of `count` independent trials succeed, each with
/// probability `share`.
pub(crate) fn at_least(least: u64, count: u64, share: f64) -> f64 {
    let Some(below) = least.checked_sub(1) else { return 1.0 };
    Binomial::new(share, count).map_or(1.0, |successes| successes.sf(below))
}

/// Number of independent trials, and of those that succeeded. Neither need be a whole number: trials that come in
/// bursts tell as much as a smaller number of independent ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trials {
    /// Number of trials.
    pub(crate) count: f64,
    /// Number of successes.
    pub(crate) successes: f64,
}

impl Trials {
    /// Returns the probability of as few successes or fewer, each with probability `share`.
    pub(crate) fn at_most(self, share: f64) -> f64 {
        let Self { count, successes } = self;
        if successes >= count || share <= 0.0 {
            return 1.0;
        }
        if is_normal(count, share) {
            return normal(successes + 0.5, count, share);
        }
        checked_beta_reg(count - successes, successes + 1.0, 1.0 - share).unwrap_or(1.0)
    }

    /// Returns the probability of as many successes or more, each with probability `share`.
    pub(crate) fn at_least(self, share: f64) -> f64 {
        let Self { count, successes } = self;
        if successes <= 0.0 || share >= 1.0 {
            return 1.0;
        }
        if is_normal(count, share) {
            return 1.0 - normal(successes - 0.5, count, share);
        }
        checked_beta_reg(successes, count - successes + 1.0, share).unwrap_or(1.0)
    }
}

/// Returns true if the normal distribution is close enough. The incomplete beta function does not converge for such
/// counts.
fn is_normal(count: f64, share: f64) -> bool {
    const VARIANCE_MIN: f64 = 1_000.0;
    count * share * (1.0 - share) > VARIANCE_MIN
}

fn normal(successes: f64, count: f64, share: f64) -> f64 {
    let deviation = (count * share * (1.0 - share)).sqrt();
    Normal::new(count * share, deviation).map_or(1.0, |normal| normal.cdf(successes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::stats::float::float;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whole_numbers_give_the_binomial_distribution(
            count in 1_u64..20_000,
            part in 0.0..=1.0_f64,
            share in 0.001..0.999_f64,
        ) {
            let successes = (float(count) * part).floor();
            let trials = Trials { count: float(count), successes };
            let exact = Binomial::new(share, count).unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole")]
            let whole = successes as u64;
            prop_assert!((trials.at_most(share) - exact.cdf(whole)).abs() < 0.005);
            prop_assert!((trials.at_least(share) - at_least(whole, count, share)).abs() < 0.005);
        }

        #[test]
        fn fewer_trials_with_the_same_share_say_less(
            count in 20.0..100_000.0_f64,
            part in 0.0..=1.0_f64,
            share in 0.001..0.999_f64,
            fewer in 0.01..1.0_f64,
        ) {
            let trials = |count: f64| Trials { count, successes: part * count };
            let (many, few) = (trials(count), trials(fewer * count));
            // The two formulas differ a little where one takes over from the other.
            if part < share && many.at_most(share) > 0.03 {
                prop_assert!(few.at_most(share) > 0.025);
            }
            if part > share && many.at_least(share) > 0.03 {
                prop_assert!(few.at_least(share) > 0.025);
            }
        }
    }

    #[test]
    fn the_tail_holds_its_first_count() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}");
        near(at_least(0, 5, 0.5), 1.0);
        near(at_least(1, 5, 0.5), 31.0 / 32.0);
        near(at_least(5, 5, 0.5), 1.0 / 32.0);
        near(at_least(6, 5, 0.5), 0.0);
    }
}
