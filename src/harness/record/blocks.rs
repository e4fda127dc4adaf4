//! Response times over the course of a run, in blocks of time that get longer as the run does.
//!
//! The confidence interval of a percentile needs a few dozen blocks, but a run of one day has
//! 86,400 seconds. Neighbouring blocks are merged when there are more than twice as many as needed.
//! Memory therefore does not grow with the length of the run.

use std::collections::BTreeMap;

use crate::harness::class::Class;
use crate::harness::stats::intervals::{BLOCKS_MAX, Counts};

/// Counted values of each class, in blocks of equal time. The last block may be incomplete.
#[derive(Debug)]
pub struct Blocks<K = Class> {
    classes: BTreeMap<K, Vec<Counts>>,
    /// Length of one block in seconds.
    length: u64,
    /// Maximum number of blocks.
    kept_max: usize,
}

/// Twice [`BLOCKS_MAX`], so that merging pairs of blocks leaves at least `BLOCKS_MAX`.
const KEPT_MAX: usize = 2 * BLOCKS_MAX;

impl<K: Copy + Ord> Default for Blocks<K> {
    fn default() -> Self {
        Self::keeping(KEPT_MAX)
    }
}

impl<K: Copy + Ord> Blocks<K> {
    /// Creates an empty value that keeps at most `kept_max` blocks. A run of `kept_max / 2` seconds
    /// or more keeps at least `kept_max / 2` blocks.
    pub const fn keeping(kept_max: usize) -> Self {
        Self { classes: BTreeMap::new(), length: 1, kept_max }
    }

    /// Returns the length of one block in seconds.
    pub const fn seconds(&self) -> u64 {
        self.length
    }

    /// Returns the blocks of a class in order. A block without the class is empty.
    pub fn of(&self, class: K) -> &[Counts] {
        self.classes.get(&class).map_or(&[], Vec::as_slice)
    }

    /// Returns the blocks of several classes together, in order.
    pub fn together(&self, classes: impl Iterator<Item = K>) -> Vec<Counts> {
        let mut together: Vec<Counts> = Vec::new();
        for blocks in classes.map(|class| self.of(class)) {
            if together.len() < blocks.len() {
                together.resize(blocks.len(), Counts::new());
            }
            for (into, from) in together.iter_mut().zip(blocks) {
                merge(into, from.clone());
            }
        }
        together
    }

    /// Adds the counts of a class for second number `index`.
    pub fn add(&mut self, class: K, index: u64, counts: Counts) {
        while self.position(index) >= self.kept_max {
            self.halve();
        }
        let position = self.position(index);
        let blocks = self.classes.entry(class).or_default();
        if blocks.len() <= position {
            blocks.resize(position + 1, Counts::new());
        }
        if let Some(block) = blocks.get_mut(position) {
            merge(block, counts);
        }
    }

    fn position(&self, index: u64) -> usize {
        usize::try_from(index / self.length).unwrap_or(usize::MAX)
    }

    fn halve(&mut self) {
        self.length = self.length.saturating_mul(2);
        for blocks in self.classes.values_mut() {
            let mut halved: Vec<Counts> = Vec::with_capacity(self.kept_max);
            for (position, block) in std::mem::take(blocks).into_iter().enumerate() {
                match halved.last_mut() {
                    Some(last) if position % 2 == 1 => merge(last, block),
                    _ => halved.push(block),
                }
            }
            *blocks = halved;
        }
    }
}

/// Adds counts to counts. The result is sorted by value and holds each value once.
fn merge(into: &mut Counts, from: Counts) {
    if into.is_empty() {
        *into = from;
        return;
    }
    into.extend(from);
    into.sort_unstable_by_key(|(value, _)| *value);
    into.dedup_by(|(value, times), (kept, kept_times)| {
        let equal = value == kept;
        if equal {
            *kept_times += *times;
        }
        equal
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_lost_and_memory_is_bounded(seconds in 1_u64..5_000) {
            let mut blocks = Blocks::default();
            for second in 0..seconds {
                blocks.add(Class::Hit, second, vec![(second % 7, 2), (100, 1)]);
            }
            let hits = blocks.of(Class::Hit);
            prop_assert!(hits.len() <= KEPT_MAX);
            prop_assert!(hits.len() as u64 >= seconds.min(BLOCKS_MAX as u64));
            let total: u64 = hits.iter().flatten().map(|(_, times)| times).sum();
            prop_assert_eq!(total, 3 * seconds);
            prop_assert!(hits.iter().all(|counts| counts.is_sorted_by(|a, b| a.0 < b.0)));
        }
    }

    #[test]
    fn blocks_of_several_classes_add_up() {
        let mut blocks = Blocks::default();
        blocks.add(Class::Hit, 0, vec![(1, 2), (5, 1)]);
        blocks.add(Class::Miss, 0, vec![(5, 1), (9, 1)]);
        blocks.add(Class::Miss, 1, vec![(9, 4)]);
        let together = blocks.together([Class::Hit, Class::Miss].into_iter());
        assert_eq!(together, [vec![(1, 2), (5, 2), (9, 1)], vec![(9, 4)]]);
    }

    #[test]
    fn classes_keep_the_same_stretches() {
        let mut blocks = Blocks::default();
        blocks.add(Class::Miss, 1, vec![(5, 1)]);
        (0..200).for_each(|second| blocks.add(Class::Hit, second, vec![(1, 1)]));
        blocks.add(Class::Miss, 199, vec![(6, 1)]);
        assert_eq!(blocks.of(Class::Miss).len(), blocks.of(Class::Hit).len());
        assert_eq!(blocks.of(Class::Miss).first().unwrap(), &[(5, 1)]);
        assert!(blocks.of(Class::All).is_empty());
    }
}
