//! Sums of interval logs.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::harness::class::Class;
use crate::harness::record::blocks::Blocks;
use crate::harness::record::intervals::{Bound, histogram};
use crate::harness::report::folder::hlog::Span;
use crate::harness::report::stored::log::{Bounds, Interval, add};
use crate::harness::stats::intervals::Counts;

/// Samples of each second, by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seconds(BTreeMap<(u64, Class), (Duration, Counts)>);

impl Seconds {
    /// Adds the intervals of a log whose first second is number `offset` of the sum.
    pub(super) fn add(&mut self, intervals: &[Interval], offset: u64) {
        for interval in intervals {
            let key = (interval.start.as_secs().saturating_add(offset), interval.class);
            let (length, counts) = self.0.entry(key).or_default();
            // The last interval of a part may be shorter than that of another part.
            *length = interval.length.max(*length);
            add(counts, &interval.counts);
        }
    }

    /// Returns every second in order, as it is written. Its values are this bound.
    pub(super) fn spans(&self, bound: Bound) -> impl Iterator<Item = (Span, Histogram<u64>)> {
        self.0.iter().map(move |((index, class), (length, counts))| {
            (Span { index: *index, length: *length, class: *class, bound }, filled(counts))
        })
    }

    /// Returns the samples of all seconds, by class.
    pub(super) fn whole(&self) -> BTreeMap<Class, Histogram<u64>> {
        let mut whole = BTreeMap::new();
        for ((_, class), (_, counts)) in &self.0 {
            fill(whole.entry(*class).or_insert_with(histogram), counts);
        }
        whole
    }

    /// Returns the stretches for confidence intervals.
    pub(super) fn blocks(&self) -> Blocks {
        let mut blocks = Blocks::default();
        for ((index, class), (_, counts)) in &self.0 {
            blocks.add(*class, *index, counts.clone());
        }
        blocks
    }
}

/// Returns a histogram of counts. A value read from a bucket goes into the same bucket.
pub(super) fn filled(counts: &Counts) -> Histogram<u64> {
    let mut filled = histogram();
    fill(&mut filled, counts);
    filled
}

fn fill(histogram: &mut Histogram<u64>, counts: &Counts) {
    for (value, times) in counts {
        histogram.saturating_record_n(*value, *times);
    }
}

/// Returns the bounds of every histogram that this version writes.
pub(super) fn bounds() -> Bounds {
    let histogram = histogram();
    Bounds { low: histogram.low(), high: histogram.high(), digits: histogram.sigfig() }
}
