//! Course of a level over its seconds: the interval of a percentile, and a queue that grows.

use hdrhistogram::Histogram;

use crate::harness::record::intervals::histogram;
use crate::harness::stats::float::float;
use crate::harness::stats::intervals::{Counts, interval_of_blocks};

/// Minimum number of one-second blocks for an interval, because levels are short.
const BLOCKS_MIN: usize = 5;
/// Number of consecutive seconds with a rising median after which a level is given up.
pub(crate) const GROWING_SECONDS: usize = 4;
/// Multiple of the limit from which a median does not recover within a level.
const UNRECOVERABLE: f64 = 10.0;

/// Returns a histogram of counts.
pub(crate) fn filled<'a>(counts: impl Iterator<Item = &'a (u64, u64)>) -> Histogram<u64> {
    let mut filled = histogram();
    for (value, times) in counts {
        filled.saturating_record_n(*value, *times);
    }
    filled
}

/// Returns the upper end of the interval of a percentile, or the worst second if there is no interval.
pub(crate) fn upper(seconds: &[Counts], quantile: f64) -> f64 {
    let interval = interval_of_blocks(seconds, quantile, BLOCKS_MIN);
    interval
        .map_or_else(|_| of_each(seconds, quantile).fold(0.0, f64::max), |(_, high)| float(high))
}

/// Returns the lower end of the interval of a percentile, or the best second if there is no interval.
pub(crate) fn lower(seconds: &[Counts], quantile: f64) -> f64 {
    let interval = interval_of_blocks(seconds, quantile, BLOCKS_MIN);
    interval.map_or_else(
        |_| of_each(seconds, quantile).reduce(f64::min).unwrap_or(0.0),
        |(low, _)| float(low),
    )
}

/// Returns a percentile of each second with answers.
fn of_each(seconds: &[Counts], quantile: f64) -> impl Iterator<Item = f64> {
    let filled = seconds.iter().filter(|second| !second.is_empty());
    filled.map(move |second| quantile_of(second, quantile))
}

fn quantile_of(counts: &Counts, quantile: f64) -> f64 {
    let mut sorted = counts.clone();
    sorted.sort_unstable();
    let total: u64 = sorted.iter().map(|(_, times)| times).sum();
    let mut seen = 0;
    let found = sorted.iter().find(|(_, times)| {
        seen += times;
        float(seen) >= quantile * float(total)
    });
    found.or(sorted.last()).map_or(0.0, |(value, _)| float(*value))
}

/// Returns true if the median rose in each of the last four seconds and ended far beyond the limit. A
/// queue that is served as fast as it is filled does not do that.
pub(crate) fn is_growing(seconds: &[Counts], limit_ns: f64) -> bool {
    let medians: Vec<f64> = of_each(seconds, 0.5).collect();
    let last = medians.iter().rev().take(GROWING_SECONDS);
    medians.len() >= GROWING_SECONDS
        && last.clone().zip(last.skip(1)).all(|(later, earlier)| later > earlier)
        && medians.last().is_some_and(|median| *median > UNRECOVERABLE * limit_ns)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact by construction")]
mod tests {
    use super::*;

    #[test]
    fn only_a_median_that_rises_throughout_and_far_is_a_growing_queue() {
        let second = |ns: u64| vec![(ns, 10)];
        let growing: Vec<Counts> = (1..=5).map(|i| second(i * 10_000_000)).collect();
        assert!(is_growing(&growing, 2e6));
        assert!(!is_growing(&growing, 5e6), "not far beyond the limit");
        assert!(!is_growing(&growing[..2], 2e6), "too short to tell");
        let steady = vec![second(50_000_000); 5];
        assert!(!is_growing(&steady, 2e6));
    }

    #[test]
    fn without_an_interval_the_worst_and_the_best_second_are_the_bounds() {
        let seconds = vec![vec![(100, 1000)], vec![(300, 1000)], vec![(200, 1000)], Vec::new()];
        assert_eq!(upper(&seconds, 0.99), 300.0);
        assert_eq!(lower(&seconds, 0.99), 100.0);
        let mut many: Vec<Counts> = vec![vec![(100, 985), (200, 15)]; 7];
        many.push(vec![(100, 985), (200, 4), (300, 11)]);
        assert_eq!(upper(&many, 0.99), 200.0, "an interval looks at all seconds");
        assert_eq!(lower(&[], 0.99), 0.0);
    }
}
