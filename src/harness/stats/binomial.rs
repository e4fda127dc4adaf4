//! The binomial distribution: the probability that chance alone produces a count.

use statrs::distribution::{Binomial, DiscreteCDF};

/// Returns the probability that at least `least` of `count` independent trials succeed, each with
/// probability `share`.
pub(crate) fn at_least(least: u64, count: u64, share: f64) -> f64 {
    let Some(below) = least.checked_sub(1) else { return 1.0 };
    Binomial::new(share, count).map_or(1.0, |successes| successes.sf(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_holds_its_first_count() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}");
        near(at_least(0, 5, 0.5), 1.0);
        near(at_least(1, 5, 0.5), 31.0 / 32.0);
        near(at_least(5, 5, 0.5), 1.0 / 32.0);
        near(at_least(6, 5, 0.5), 0.0);
    }
}
