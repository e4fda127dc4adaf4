//! Wilcoxon's signed-rank test, computed from Walsh averages.
//!
//! The Walsh averages are the means of all pairs of differences, including each difference paired with
//! itself. The number of averages above a value is the signed-rank statistic of the differences minus
//! that value (J. W. Tukey, 1949). So the bounds of the middle are order statistics of the averages, and
//! their median estimates the middle (J. L. Hodges, E. L. Lehmann, "Estimates of location based on rank
//! tests", Annals of Mathematical Statistics 34, 1963). The distribution is exact for differences that
//! are symmetric about their middle. Two equal builds in random or mirrored order have such differences.

use super::bounds::{Bounds, Rates};

/// Returns the robust middle of the differences: the median of their Walsh averages. Returns none for no
/// differences.
pub(crate) fn hodges_lehmann(differences: &[f64]) -> Option<f64> {
    let averages = walsh_averages(differences);
    let (low, high) =
        (averages.get((averages.len().checked_sub(1)?) / 2)?, averages.get(averages.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

/// Returns the exact bounds of the middle. A bound is infinite if so few differences cannot reach its
/// rate.
pub(crate) fn bounds(differences: &[f64], rates: Rates) -> Bounds {
    let averages = walsh_averages(differences);
    let tail = Tail::of(differences.len());
    let place = |rate| tail.count_within(rate).checked_sub(1);
    let low = place(rates.low).and_then(|place| averages.get(place));
    let high = place(rates.high).and_then(|place| averages.iter().rev().nth(place));
    Bounds {
        low: low.copied().unwrap_or(f64::NEG_INFINITY),
        high: high.copied().unwrap_or(f64::INFINITY),
    }
}

/// Returns the p-value of the hypothesis that the middle is not above `null`.
pub(crate) fn p_above(differences: &[f64], null: f64) -> f64 {
    let averages = walsh_averages(differences);
    let not_above = averages.iter().filter(|average| **average <= null).count();
    // By symmetry, the probability of at most this many averages at or below `null`.
    Tail::of(differences.len()).at_most(not_above)
}

/// Returns the Walsh averages in ascending order.
fn walsh_averages(differences: &[f64]) -> Vec<f64> {
    let mut averages: Vec<f64> = differences
        .iter()
        .enumerate()
        .flat_map(|(index, a)| differences.iter().skip(index).map(move |b| f64::midpoint(*a, *b)))
        .collect();
    averages.sort_by(f64::total_cmp);
    averages
}

/// Distribution of the statistic under the null hypothesis, from its lower end.
struct Tail {
    /// Probabilities of a statistic of at most 0, 1, 2 and so on.
    cumulated: Vec<f64>,
}

impl Tail {
    /// Computes the distribution: a fair coin decides for each of the ranks 1 to `count` whether it
    /// counts.
    fn of(count: usize) -> Self {
        let sums = count * (count + 1) / 2;
        let mut chances = vec![0.0_f64; sums + 1];
        if let Some(first) = chances.first_mut() {
            *first = 1.0;
        }
        for rank in 1..=count {
            let before = chances.clone();
            for (sum, chance) in chances.iter_mut().enumerate() {
                let with = sum.checked_sub(rank).and_then(|rest| before.get(rest)).copied();
                *chance = f64::midpoint(*chance, with.unwrap_or(0.0));
            }
        }
        let cumulated = chances.iter().scan(0.0, |sum, chance| {
            *sum += chance;
            Some(*sum)
        });
        Self { cumulated: cumulated.collect() }
    }

    fn at_most(&self, sum: usize) -> f64 {
        self.cumulated.get(sum).map_or(1.0, |chance| chance.min(1.0))
    }

    /// Returns how many of the lowest sums have a cumulated probability of at most `rate`.
    fn count_within(&self, rate: f64) -> usize {
        self.cumulated.iter().take_while(|chance| **chance <= rate).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_is_the_one_of_the_tables() {
        // Wilcoxon's table: for 10 pairs the one-sided 5 % point is 10, the 0.5 % point is 3.
        let tail = Tail::of(10);
        assert!(tail.at_most(10) <= 0.05 && tail.at_most(11) > 0.05);
        assert!(tail.at_most(3) <= 0.005 && tail.at_most(4) > 0.005);
        assert!((tail.at_most(0) - 1.0 / 1024.0).abs() < 1e-15);
        assert!((tail.at_most(55) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_middle_is_the_median_of_the_walsh_averages() {
        // Averages of 1, 2, 6: 1, 1.5, 2, 3.5, 4, 6.
        assert_eq!(hodges_lehmann(&[6.0, 1.0, 2.0]), Some(2.75));
        assert_eq!(hodges_lehmann(&[]), None);
    }

    #[test]
    fn bounds_and_test_agree() {
        let differences = [0.3, -0.1, 0.8, 1.1, 0.4, 0.9, 0.2, 0.6, -0.3, 1.5];
        let rates = Rates { low: 0.01, high: 0.02 };
        let Bounds { low, high } = bounds(&differences, rates);
        assert!(p_above(&differences, low - 1e-9) <= rates.low);
        assert!(p_above(&differences, low + 1e-9) > rates.low);
        let mirrored = differences.map(|d| -d);
        assert!(p_above(&mirrored, -high - 1e-9) <= rates.high);
        assert!(p_above(&mirrored, -high + 1e-9) > rates.high);
    }
}
