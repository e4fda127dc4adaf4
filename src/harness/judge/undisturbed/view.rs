//! Percentiles of the undisturbed time, and the reasons for which there are none.

use std::collections::BTreeMap;

use super::fluid::Span;
use super::sorted::{GUARDS, Sorted};
use crate::harness::class::Class;
use crate::harness::nanos::Nanos;
use crate::harness::record::blocks::Blocks;
use crate::harness::record::witness::{Neighbourhood, WitnessSet};
use crate::harness::stats::intervals::{Counts, TooShort, quantile_interval};

/// The undisturbed view of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Undisturbed {
    /// Figures of each class of good answers, or the reason why there are none.
    pub classes: BTreeMap<Class, Result<Quiet, Hidden>>,
    /// Share of its capacity that the target used; none if it is unknown.
    pub utilisation: Option<f64>,
    /// Number of disturbances.
    pub seen: u64,
    /// Time that they took.
    pub lost: Nanos,
    /// Spoiled time, in order: at most 100,000 stretches. Each class also leaves out its guard before each.
    pub left_out: Vec<LeftOut>,
}

/// Stretch of spoiled time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Wall time of its beginning, since 1970.
    pub begins: Nanos,
    /// Length of the stretch.
    pub length: Nanos,
    /// Witnesses of its disturbances.
    pub witnesses: WitnessSet,
}

impl LeftOut {
    /// Returns the stretch of a span on the run's clock, of which the zero is at this wall time.
    pub(super) fn of(span: Span, zero: Nanos) -> Self {
        let Span { from, to, witnesses } = span;
        Self { begins: from.saturating_add(zero), length: to.saturating_sub(from), witnesses }
    }
}

/// Figures of the undisturbed answers of one class.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    /// Number of undisturbed answers.
    pub count: u64,
    /// Their share of all answers of the class.
    pub share: f64,
    /// Time before each disturbance that is left out too. Percentiles up to it are exact.
    pub guard: Nanos,
    /// Percentiles of the response time.
    pub response: Quantiles,
    /// Percentiles of its lower bound.
    pub lower: Quantiles,
    /// Response times of these answers, in nanoseconds.
    pub times: Counts,
    /// The 95 % interval of the p99 response time, in nanoseconds.
    pub p99_interval: Result<(u64, u64), TooShort>,
}

/// Percentiles in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantiles {
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile; none if it is above the guard or of too few answers.
    pub p999: Option<u64>,
}

/// Reason why a class has no undisturbed figures.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Hidden {
    /// The witnesses do not know whether the target itself took the generator's cores.
    #[error("nobody can tell whether the target ran on the generator's cores")]
    Neighbourhood,
    /// The load was too heavy to keep all requests until they could be judged.
    #[error("the load was too heavy to keep each request")]
    Room,
    /// Too few requests had an undisturbed answer.
    #[error("{0} undisturbed answers are too few for a p99; measure for longer")]
    Few(u64),
    /// Too small a part of the run was undisturbed.
    #[error("only {:.0} % of the run was undisturbed", 100.0 * .0)]
    Share(f64),
    /// The p99 is above the longest guard.
    #[error("the p99 of the undisturbed answers is above {:.0} ms", .0.as_f64() / 1e6)]
    Slow(Nanos),
}

/// Least share of a run that may stand for it.
const SHARE_MIN: f64 = 1.0 / 3.0;
/// Answers beyond a percentile that it needs.
const BEYOND_MIN: f64 = 10.0;

impl Undisturbed {
    pub(super) fn of(sorted: &Sorted, neighbourhood: Neighbourhood) -> Self {
        let class = |(class, all): (&Class, &u64)| {
            let known = match neighbourhood {
                Neighbourhood::Unknown => Err(Hidden::Neighbourhood),
                _ if sorted.dropped > 0 => Err(Hidden::Room),
                _ => Ok(()),
            };
            (*class, known.and_then(|()| Quiet::of(sorted, *class, *all)))
        };
        Self {
            classes: sorted.all.iter().map(class).collect(),
            utilisation: sorted.utilisation,
            seen: sorted.seen,
            lost: sorted.lost,
            left_out: Vec::new(),
        }
    }
}

impl Quiet {
    /// Takes the shortest guard that is not below the p99.
    fn of(sorted: &Sorted, class: Class, all: u64) -> Result<Self, Hidden> {
        for (index, guard) in GUARDS.into_iter().enumerate() {
            let blocks = kept(&sorted.responses, class, index);
            let response = together(&blocks);
            let count = total(&response);
            let share = float(count) / float(all.max(1));
            if share < SHARE_MIN {
                return Err(Hidden::Share(share));
            }
            let Some(quantiles) = Quantiles::of(&response, guard) else {
                return Err(Hidden::Few(count));
            };
            if quantiles.p99 <= guard.as_u64() {
                let lower = together(&kept(&sorted.lower, class, index));
                let p99_interval = quantile_interval(&blocks, 0.99);
                let lower = Quantiles::of(&lower, guard).unwrap_or(quantiles);
                let (response, times) = (quantiles, response);
                return Ok(Self { count, share, guard, response, lower, times, p99_interval });
            }
        }
        Err(Hidden::Slow(GUARDS.into_iter().max().unwrap_or_default()))
    }
}

impl Quantiles {
    /// Returns the percentiles, if there are enough values for a p99.
    fn of(counts: &Counts, guard: Nanos) -> Option<Self> {
        let known = |p| is_enough(total(counts), p).then(|| quantile(counts, p));
        Some(Self {
            p50: quantile(counts, 0.5),
            p90: quantile(counts, 0.9),
            p99: known(0.99)?,
            p999: known(0.999).filter(|p999| *p999 <= guard.as_u64()),
        })
    }
}

/// Returns the blocks of the answers that guard number `index` keeps.
fn kept(blocks: &Blocks<(Class, usize)>, class: Class, index: usize) -> Vec<Counts> {
    blocks.together((index + 1..=GUARDS.len()).map(|guards| (class, guards)))
}

fn together(blocks: &[Counts]) -> Counts {
    let mut all = blocks.concat();
    all.sort_unstable();
    all
}

fn total(counts: &Counts) -> u64 {
    counts.iter().map(|(_, times)| times).sum()
}

fn is_enough(count: u64, p: f64) -> bool {
    // Half an answer is for the rounding of `1.0 - p`.
    (1.0 - p) * (float(count) + 0.5) >= BEYOND_MIN
}

/// Returns the smallest value such that at least a share `p` of the values is at or below it.
fn quantile(counts: &Counts, p: f64) -> u64 {
    let mut left = p * float(total(counts));
    let reached = counts.iter().find(|(_, times)| {
        left -= float(*times);
        left <= 0.0
    });
    reached.or(counts.last()).map_or(0, |(value, _)| *value)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}
