//! Index of dispersion: how far the number of rare samples varies from one stretch of time to the next.
//!
//! The index is the variance of a count over its mean. It is 1 for independent samples. Samples that come in
//! bursts of a hundred have an index near 100, and tell as much as one independent sample in a hundred.

use super::float::float;
use super::intervals::{BLOCKS_MIN, Counts};

/// Minimum number of stretches. With fewer, their variance says nothing.
const STRETCHES_MIN: usize = 10;

/// Returns the index of dispersion of the samples that `is_beyond` selects, at least 1.
///
/// `blocks` are equal stretches of time in order. The index is that of the blocks, or of groups of 2, 4, 8 and so
/// on of them if that is larger: a burst may be longer than a block. There must be ten blocks, and 20 groups, or
/// else they are left out.
///
/// Stretches differ in their number of samples. So the variance is that of a ratio (W. G. Cochran, Sampling
/// Techniques, 3rd edition, 6.3), and the mean is that of a binomial count.
pub fn index_of_dispersion(blocks: &[Counts], is_beyond: impl Fn(u64) -> bool) -> f64 {
    let mut stretches: Vec<Stretch> =
        blocks.iter().map(|block| Stretch::of(block, &is_beyond)).collect();
    let mut index = 1.0_f64;
    let mut least = STRETCHES_MIN;
    while stretches.len() >= least {
        index = index.max(index_of(&stretches));
        stretches = stretches.chunks_exact(2).map(Stretch::sum).collect();
        least = BLOCKS_MIN;
    }
    index
}

/// Number of samples in a stretch of time, and of those beyond.
#[derive(Clone, Copy)]
struct Stretch {
    count: u64,
    beyond: u64,
}

impl Stretch {
    fn of(block: &Counts, is_beyond: &impl Fn(u64) -> bool) -> Self {
        let count = block.iter().map(|(_, times)| times).sum();
        let beyond = block.iter().filter(|(value, _)| is_beyond(*value));
        Self { count, beyond: beyond.map(|(_, times)| times).sum() }
    }

    fn sum(parts: &[Self]) -> Self {
        parts.iter().fold(Self { count: 0, beyond: 0 }, |sum, part| Self {
            count: sum.count + part.count,
            beyond: sum.beyond + part.beyond,
        })
    }
}

fn index_of(stretches: &[Stretch]) -> f64 {
    let Stretch { count, beyond } = Stretch::sum(stretches);
    let (number, count, beyond) = (float(stretches.len() as u64), float(count), float(beyond));
    let share = beyond / count.max(1.0);
    let error = |stretch: &Stretch| float(stretch.beyond) - share * float(stretch.count);
    let squares: f64 = stretches.iter().map(|stretch| error(stretch).powi(2)).sum();
    let binomial = count * share * (1.0 - share);
    if binomial > 0.0 { squares * number / (number - 1.0) / binomial } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns blocks of a thousand samples, of which these many are beyond 100.
    fn blocks(beyond: impl Iterator<Item = u64>) -> Vec<Counts> {
        beyond.map(|beyond| vec![(100, 1000 - beyond), (200, beyond)]).collect()
    }

    fn index(blocks: &[Counts]) -> f64 {
        index_of_dispersion(blocks, |value| value > 100)
    }

    #[test]
    fn bursts_raise_the_index_by_their_length() {
        let even = blocks((0..30).map(|second| 9 + second % 3));
        assert!((index(&even) - 1.0).abs() < 1e-9, "{}", index(&even));
        let bursts = blocks((0..30).map(|second| if second % 10 == 0 { 100 } else { 0 }));
        assert!((80.0..120.0).contains(&index(&bursts)), "{}", index(&bursts));
    }

    #[test]
    fn a_burst_that_is_longer_than_a_block_counts_as_one() {
        let seconds = blocks((0..80).map(|second| 40 * u64::from(second % 40 < 4)));
        let stretches: Vec<Stretch> =
            seconds.iter().map(|block| Stretch::of(block, &|value| value > 100)).collect();
        let (all, of_seconds) = (index(&seconds), index_of(&stretches));
        assert!(all > 4.0 * of_seconds, "{all} {of_seconds}");
    }

    #[test]
    fn stretches_with_many_samples_are_no_bursts() {
        // Bursts of requests, of which one in a hundred is slow.
        let herds = (0..30).map(|second| 10 * u64::from(second % 2 == 0));
        let blocks: Vec<Counts> = herds.map(|slow| vec![(100, 99 * slow), (200, slow)]).collect();
        assert!((index(&blocks) - 1.0).abs() < 1e-9, "{}", index(&blocks));
    }

    proptest! {
        #[test]
        fn the_index_is_a_number_from_one_up(
            beyond in prop::collection::vec(0_u64..=1000, 0..90),
        ) {
            let index = index(&blocks(beyond.into_iter()));
            prop_assert!(index >= 1.0 && index.is_finite(), "{}", index);
        }
    }
}
