//! Confidence intervals of a percentile that stay correct under queueing.
//!
//! Latencies under load are correlated. The order-statistic interval assumes independent samples, so it
//! covered the truth only 18 % of the time at 80 % load. The batch-indicator method used here measures
//! how the share of samples at or below the percentile changes from one block of time to the next.
//!
//! A high percentile of a short run has few excursions above it. If a run has even fewer by luck, it
//! shows a low percentile and a low spread together. Because of this, intervals of the p99.9 covered the
//! truth only 83 % of the time at 80 % load. Below 40 independent excursions the spread is therefore also
//! taken from the lower percentiles, which the same queue crosses more often. Above, it is not: where many
//! answers take equally long, the least drift moves a large share of them over a lower percentile, which says
//! nothing of the tail. `tests/truth/coverage.rs` checks the coverage against a simulated queue.

use crate::harness::stats::float::float;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Samples of one stretch of time as (value, count), in ascending order of value.
pub type Counts = Vec<(u64, u64)>;

/// Reasons why no interval can be given.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum TooShort {
    /// There are not enough stretches of time to estimate how much they differ.
    #[error("the run has {0} intervals; at least {BLOCKS_MIN} are needed, so measure for longer")]
    Blocks(usize),
    /// Neighbouring blocks are correlated even at the longest block length that the run allows.
    #[error("neighbouring intervals are correlated ({0:.2}); measure for longer")]
    Correlated(f64),
    /// The upper bound lies above every sample.
    #[error("{0} samples are too few for this percentile; measure for longer")]
    Samples(u64),
}

/// Minimum number of blocks. With fewer, the spread of the shares is too uncertain (`t` grows fast below
/// 20).
pub const BLOCKS_MIN: usize = 20;
/// Maximum number of blocks. More would only make each block shorter than the correlation time.
pub const BLOCKS_MAX: usize = 40;
/// Maximum lag-1 correlation of the blocks. Above it, the blocks are shorter than the correlation time.
const CORRELATION_MAX: f64 = 0.3;
/// Minimum number of independent samples above a percentile whose own spread suffices. With fewer, a run that has few
/// of them by luck shows a low spread, too.
const EXCURSIONS_MIN: f64 = 40.0;
/// Largest probability that chance alone puts the truth beyond one end of an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chance(f64);

impl Chance {
    /// Probability at one end of a 95 % interval.
    pub const USUAL: Self = Self(0.025);

    /// Returns the probability for one of several statements, so that all of them together are wrong no more often
    /// than one statement by itself (C. E. Bonferroni, 1936).
    #[must_use]
    pub fn of_one_in(self, statements: u32) -> Self {
        Self(self.0 / f64::from(statements.max(1)))
    }

    /// Returns the probability, 0 to 1.
    pub const fn probability(self) -> f64 {
        self.0
    }
}

/// Returns the 95 % interval of quantile `p` (0 to 1), in the unit of the values.
///
/// `intervals` are equal stretches of time in order; empty ones carry no weight. They are grouped into
/// 20 to 40 blocks. While neighbouring blocks are correlated, the length of the blocks is doubled.
///
/// # Errors
/// Returns [`TooShort`] when the run cannot support an interval.
pub fn quantile_interval(intervals: &[Counts], p: f64) -> Result<(u64, u64), TooShort> {
    Stretches::new(intervals).quantile_interval(p)
}

/// Returns the same as [`quantile_interval`], with this chance at each end.
///
/// # Errors
/// Returns [`TooShort`] when the run cannot support an interval.
pub fn quantile_interval_at(
    intervals: &[Counts],
    p: f64,
    chance: Chance,
) -> Result<(u64, u64), TooShort> {
    Stretches::new(intervals).interval_of_blocks(p, BLOCKS_MIN, chance)
}

/// Returns the same as [`quantile_interval`], but accepts as few as `blocks_min` blocks (at least 2),
/// for the short levels of a search.
///
/// With few blocks, Student's t makes the interval wide and the correlation check is weak.
///
/// # Errors
/// Returns [`TooShort`] when the run cannot support an interval.
pub fn interval_of_blocks(
    intervals: &[Counts],
    p: f64,
    blocks_min: usize,
) -> Result<(u64, u64), TooShort> {
    Stretches::new(intervals).interval_of_blocks(p, blocks_min, Chance::USUAL)
}

/// Stretches of time with their samples merged once, for computing many quantiles.
pub struct Stretches<'a> {
    intervals: &'a [Counts],
    merged: Merged,
}

impl std::fmt::Debug for Stretches<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let intervals = self.intervals.len();
        f.debug_struct("Stretches").field("intervals", &intervals).finish_non_exhaustive()
    }
}

impl<'a> Stretches<'a> {
    /// Merges equal stretches of time, given in order.
    pub fn new(intervals: &'a [Counts]) -> Self {
        Self { intervals, merged: Merged::of(intervals) }
    }

    /// Returns the same as the function [`quantile_interval`].
    ///
    /// # Errors
    /// Returns [`TooShort`] when the run cannot support an interval.
    pub fn quantile_interval(&self, p: f64) -> Result<(u64, u64), TooShort> {
        self.interval_of_blocks(p, BLOCKS_MIN, Chance::USUAL)
    }

    /// Returns the same as the function [`interval_of_blocks`], with this chance at each end.
    fn interval_of_blocks(
        &self,
        p: f64,
        blocks_min: usize,
        chance: Chance,
    ) -> Result<(u64, u64), TooShort> {
        let Self { intervals, merged } = self;
        let quantile = merged.quantile(p);
        let mut group = intervals.len().div_ceil(BLOCKS_MAX).max(1);
        let mut correlation = None;
        loop {
            let blocks = block_shares(intervals, group, quantile);
            if blocks.len() < blocks_min.max(2) {
                let few = TooShort::Blocks(blocks.len());
                return Err(correlation.map_or(few, TooShort::Correlated));
            }
            let now = lag_one_correlation(&blocks);
            if now <= CORRELATION_MAX {
                let own = inflation(&blocks, p, merged.total);
                let excursions = float(merged.total) * (1.0 - p) / own.powi(2);
                let nearer = nearer(p).take_while(|_| excursions < EXCURSIONS_MIN);
                let inflation = nearer.fold(own, |inflation, nearer| {
                    let blocks = block_shares(intervals, group, merged.quantile(nearer));
                    inflation.max(self::inflation(&blocks, nearer, merged.total))
                });
                let error = inflation * binomial_error(p, merged.total);
                let freedom = float(blocks.len() as u64) - 1.0;
                return merged.interval(p, student_t(freedom, chance) * error);
            }
            correlation = Some(now);
            group *= 2;
        }
    }
}

/// Block of time: its sample count, and the share of its samples at or below the quantile.
struct Block {
    count: f64,
    share: f64,
}

fn block_shares(intervals: &[Counts], group: usize, quantile: u64) -> Vec<Block> {
    // Drop a shorter last group: blocks must have equal length.
    let groups = intervals.chunks_exact(group);
    groups
        .map(|group| {
            let (mut count, mut below) = (0, 0);
            for (value, times) in group.iter().flatten() {
                count += times;
                below += if *value <= quantile { *times } else { 0 };
            }
            Block { count: float(count), share: float(below) / float(count.max(1)) }
        })
        .filter(|block| block.count > 0.0)
        .collect()
}

/// Returns the percentiles below `p`, down to the median. Each has ten times as many samples above it as
/// the one before.
fn nearer(p: f64) -> impl Iterator<Item = f64> {
    std::iter::successors(Some(p), |p| Some(1.0 - 10.0 * (1.0 - p)))
        .skip(1)
        .take_while(|nearer| *nearer >= 0.5)
}

/// Returns the error of the share of samples at or below quantile `p`, as a multiple of its binomial
/// error.
///
/// Uses a ratio estimator, because blocks differ in count: W. G. Cochran, Sampling Techniques, 3rd
/// edition, 6.3. The square of the result is the design effect (4.11 in the same book).
fn inflation(blocks: &[Block], p: f64, total: u64) -> f64 {
    let number = float(blocks.len() as u64);
    let count: f64 = blocks.iter().map(|block| block.count).sum();
    let mean = blocks.iter().map(|block| block.count * block.share).sum::<f64>() / count;
    let squares: f64 = blocks
        .iter()
        .map(|block| (block.count * number / count * (block.share - mean)).powi(2))
        .sum();
    let blocks_error = (squares / (number * (number - 1.0))).sqrt();
    // Never below the error of independent samples: a few blocks can agree by chance.
    (blocks_error / binomial_error(p, total)).max(1.0)
}

/// Returns the standard error of a share `p` of `total` independent samples.
fn binomial_error(p: f64, total: u64) -> f64 {
    (p * (1.0 - p) / float(total.max(1))).sqrt()
}

fn student_t(freedom: f64, Chance(chance): Chance) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |t| t.inverse_cdf(1.0 - chance))
}

fn lag_one_correlation(blocks: &[Block]) -> f64 {
    let mean = blocks.iter().map(|block| block.share).sum::<f64>() / float(blocks.len() as u64);
    let variance: f64 = blocks.iter().map(|block| (block.share - mean).powi(2)).sum();
    let neighbours = blocks.iter().zip(blocks.iter().skip(1));
    let covariance: f64 = neighbours.map(|(a, b)| (a.share - mean) * (b.share - mean)).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

/// All samples of a run, in ascending order of value.
struct Merged {
    counts: Counts,
    total: u64,
}

impl Merged {
    fn of(intervals: &[Counts]) -> Self {
        let mut counts: Counts = intervals.iter().flatten().copied().collect();
        counts.sort_unstable();
        let total = counts.iter().map(|(_, times)| times).sum();
        Self { counts, total }
    }

    /// Returns the smallest value such that at least a share `p` of the samples is at or below it.
    fn quantile(&self, p: f64) -> u64 {
        let rank = (p.clamp(0.0, 1.0) * float(self.total)).ceil().max(1.0);
        let mut seen = 0;
        for (value, times) in &self.counts {
            seen += times;
            if float(seen) >= rank {
                return *value;
            }
        }
        self.counts.last().map_or(0, |(value, _)| *value)
    }

    fn interval(&self, p: f64, half: f64) -> Result<(u64, u64), TooShort> {
        if p + half >= 1.0 {
            return Err(TooShort::Samples(self.total));
        }
        Ok((self.quantile(p - half), self.quantile(p + half)))
    }
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    const P: f64 = 0.99;

    fn counted(values: impl Iterator<Item = u64>) -> Counts {
        let mut values: Counts = values.map(|value| (value, 1)).collect();
        values.sort_unstable();
        values
    }

    fn exponential(rng: &mut StdRng, scale: f64) -> u64 {
        let uniform: f64 = rng.random();
        (-(1.0 - uniform).ln() * scale) as u64
    }

    #[test]
    fn independent_samples_are_covered_near_the_nominal_rate() {
        const TRIALS: u64 = 300;
        let truth = (-(1.0 - P).ln() * 1e6) as u64;
        let covered = (0..TRIALS).filter(|seed| {
            let mut rng = StdRng::seed_from_u64(*seed);
            let blocks: Vec<Counts> =
                (0..30).map(|_| counted((0..200).map(|_| exponential(&mut rng, 1e6)))).collect();
            // A "correlated" verdict by chance counts as a miss.
            quantile_interval(&blocks, P).is_ok_and(|(low, high)| (low..=high).contains(&truth))
        });
        let share = covered.count() as f64 / TRIALS as f64;
        assert!((0.88..=0.99).contains(&share), "covered {share}");
    }

    #[test]
    fn correlated_stretches_widen_the_interval() {
        let mut rng = StdRng::seed_from_u64(1);
        let calm: Vec<Counts> =
            (0..40).map(|_| counted((0..300).map(|_| exponential(&mut rng, 1e6)))).collect();
        let bursty: Vec<Counts> = (0..40)
            .map(|i| {
                let scale = if i % 2 == 0 { 1e6 } else { 1.5e6 };
                counted((0..300).map(|_| exponential(&mut rng, scale)))
            })
            .collect();
        let width = |blocks: &[Counts]| {
            let (low, high) = quantile_interval(blocks, P).unwrap();
            (high - low) as f64 / low as f64
        };
        assert!(width(&bursty) > width(&calm));
    }

    #[test]
    fn a_drift_of_most_answers_does_not_widen_the_interval_of_a_tail_with_enough_excursions() {
        let mut rng = StdRng::seed_from_u64(1);
        // Most answers take the same time, which drifts by 2 %: over a minute all of them move over the p90.
        let mut run = |per_block: u64| -> Vec<Counts> {
            let mut block = |index: u64| {
                let most = 500_000 + 10_000 * (index / 20);
                let times = (0..per_block).map(|_| match rng.random_range(0..100) {
                    0..3 => 1_000_000 + exponential(&mut rng, 1e6),
                    _ => most + rng.random_range(0..1_000),
                });
                counted(times)
            };
            (0..40).map(&mut block).collect()
        };
        let width = |blocks: &[Counts]| {
            let (low, high) = quantile_interval(blocks, P).unwrap();
            (high - low) as f64 / low as f64
        };
        let (many, few) = (run(1_000), run(90));
        assert!(width(&many) < 0.2, "{}", width(&many));
        assert!(width(&few) > 0.5, "{}", width(&few));
    }

    #[test]
    fn short_runs_get_no_interval() {
        let second: Counts = vec![(10, 1000)];
        assert_eq!(quantile_interval(&[], P), Err(TooShort::Blocks(0)));
        assert_eq!(quantile_interval(&vec![second; 19], P), Err(TooShort::Blocks(19)));
        let rare = vec![vec![(10, 1)]; 25];
        assert_eq!(quantile_interval(&rare, P), Err(TooShort::Samples(25)));
    }

    #[test]
    fn a_smaller_chance_makes_a_wider_interval() {
        let mut rng = StdRng::seed_from_u64(1);
        let blocks: Vec<Counts> =
            (0..30).map(|_| counted((0..300).map(|_| exponential(&mut rng, 1e6)))).collect();
        let at = |chance| quantile_interval_at(&blocks, 0.9, chance).unwrap();
        let (usual, shared) = (at(Chance::USUAL), at(Chance::USUAL.of_one_in(5)));
        assert_eq!(usual, quantile_interval(&blocks, 0.9).unwrap());
        assert!(shared.0 < usual.0 && usual.1 < shared.1, "{usual:?} {shared:?}");
    }

    #[test]
    fn a_slow_drift_is_called_too_short() {
        let drift: Vec<Counts> = (0..30).map(|i| vec![(100 + i, 1000)]).collect();
        assert!(matches!(quantile_interval(&drift, 0.5), Err(TooShort::Correlated(_))));
    }

    proptest! {
        #[test]
        fn the_interval_holds_its_quantile(
            seconds in prop::collection::vec(
                prop::collection::vec((1_u64..1000, 1_u64..50), 1..40), 20..60),
        ) {
            let seconds: Vec<Counts> = seconds
                .into_iter()
                .map(|mut second| { second.sort_unstable(); second })
                .collect();
            let middle = Merged::of(&seconds).quantile(0.9);
            if let Ok((low, high)) = quantile_interval(&seconds, 0.9) {
                prop_assert!(low <= middle && middle <= high);
            }
        }
    }
}
