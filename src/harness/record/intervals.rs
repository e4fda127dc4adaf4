//! Latency histograms of one second and thread, and their merge.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::witness::Trail;
use crate::harness::class::Class;
use crate::harness::dialect::outcome::{Cause, Status};
use crate::harness::nanos::Nanos;

/// The interval of the log files: one second.
pub const INTERVAL: Nanos = Nanos::SECOND;

/// The highest recorded latency: an hour. Longer ones are recorded as an hour.
const HIGHEST_NS: u64 = 3_600_000_000_000;

/// The number of significant digits: three, an error of at most 0.1 %.
const DIGITS: u8 = 3;

/// Returns a histogram in nanoseconds, with the bounds used throughout a run.
///
/// # Panics
/// Never panics: its bounds are valid constants.
pub fn histogram() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "the bounds are constants: 1 < highest, digits <= 5")]
    Histogram::new_with_bounds(1, HIGHEST_NS, DIGITS).expect("valid bounds")
}

/// A short sleep that work on the collector's thread takes after each histogram. The thread may
/// share its processor with a timed thread. Without the sleep, a scheduler would take a whole slice
/// of some milliseconds from the timed thread, however low the collector's priority.
pub type Rest<'a> = &'a dyn Fn();

/// Meaning of the values of a histogram of response times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Lower bounds of the response times that a perfect generator would have recorded.
    Lower,
    /// The recorded times, which are the upper bounds.
    Upper,
}

/// The latency histograms of one class, in nanoseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// End minus intended start: the latency that callers see.
    pub response: Histogram<u64>,
    /// Lower bound of the response time that a perfect generator would have recorded. The recorded
    /// response time is the upper bound.
    pub lower: Histogram<u64>,
    /// End minus the write; not recorded for a request that was never written.
    pub service: Histogram<u64>,
    /// The time when the generator noticed the request, minus its intended start: the harness's own
    /// lateness.
    pub lag: Histogram<u64>,
    /// The write, minus the time when the generator noticed the request: the wait for a free
    /// connection.
    pub queue: Histogram<u64>,
}

impl Default for Latencies {
    fn default() -> Self {
        let [response, lower, service, lag, queue] = std::array::from_fn(|_| histogram());
        Self { response, lower, service, lag, queue }
    }
}

impl Latencies {
    /// Adds the latencies of `other`.
    pub fn add(&mut self, other: &Self) {
        self.add_resting(other, &|| ());
    }

    pub(super) fn add_resting(&mut self, other: &Self, rest: Rest<'_>) {
        for (into, from) in self.histograms().into_iter().zip(other.each()) {
            // All histograms have equal bounds, so adding cannot fail.
            let _ = into.add(from);
            rest();
        }
    }

    pub(super) fn clear(&mut self, rest: Rest<'_>) {
        for histogram in self.histograms() {
            histogram.reset();
            rest();
        }
    }

    const fn histograms(&mut self) -> [&mut Histogram<u64>; 5] {
        let Self { response, lower, service, lag, queue } = self;
        [response, lower, service, lag, queue]
    }

    const fn each(&self) -> [&Histogram<u64>; 5] {
        let Self { response, lower, service, lag, queue } = self;
        [response, lower, service, lag, queue]
    }
}

/// The latencies of one stretch of time, by class.
#[derive(Clone, Debug)]
pub struct IntervalSet {
    /// The number of the second in the measured part, from 0.
    pub index: u64,
    /// The outcomes of the requests, over all classes.
    pub statuses: BTreeMap<Status, u64>,
    /// Single answers and the disturbances of their time. Sums of sets hold none.
    pub trail: Trail,
    classes: Vec<Latencies>,
}

impl IntervalSet {
    /// Returns an empty set.
    pub fn new(index: u64) -> Self {
        let classes = Class::ALL.iter().map(|_| Latencies::default()).collect();
        Self { index, statuses: BTreeMap::new(), trail: Trail::default(), classes }
    }

    /// Returns an empty set with room for a number of single answers.
    pub fn with_room(index: u64, room: usize) -> Self {
        Self { trail: Trail::with_room(room), ..Self::new(index) }
    }

    /// Returns the classes with at least one request, in the order of [`Class::ALL`].
    pub fn seen(&self) -> impl Iterator<Item = (Class, &Latencies)> {
        Class::ALL.into_iter().zip(&self.classes).filter(|(_, set)| !set.response.is_empty())
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.add_resting(other, &|| ());
    }

    pub(super) fn add_resting(&mut self, other: &Self, rest: Rest<'_>) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (into, from) in self.classes.iter_mut().zip(&other.classes) {
            if !from.response.is_empty() {
                into.add_resting(from, rest);
            }
        }
    }

    /// Returns the classes of requests that did not fail.
    pub fn good(&self) -> impl Iterator<Item = (Class, &Latencies)> {
        self.seen().filter(|(class, _)| !class.is_failure())
    }

    /// Returns the number of requests that failed.
    pub fn failed(&self) -> u64 {
        let failed = self.seen().filter(|(class, _)| class.is_failure());
        failed.map(|(_, latencies)| latencies.response.len()).sum()
    }

    /// Records a request whose response time counts up to `latest`.
    pub(crate) fn record_until(&mut self, ended: &Ended, latest: Nanos) {
        let Some(set) = self.classes.get_mut(ended.class.index()) else { return };
        let upper = latest.saturating_sub(ended.intended);
        set.response.saturating_record(upper.as_u64());
        let response = ended.end.saturating_sub(ended.intended);
        set.lower.saturating_record(response.saturating_sub(ended.added).as_u64());
        set.lag.saturating_record(ended.acted.saturating_sub(ended.intended).as_u64());
        if let Some(written) = ended.written {
            set.service.saturating_record(ended.end.saturating_sub(written).as_u64());
            set.queue.saturating_record(written.saturating_sub(ended.acted).as_u64());
        }
    }

    pub(super) fn clear(&mut self, rest: Rest<'_>) {
        self.statuses.clear();
        self.trail.clear();
        // Skips clean histograms, because a set is several megabytes.
        let seen = self.classes.iter_mut().filter(|set| !set.response.is_empty());
        seen.for_each(|set| set.clear(rest));
    }
}

/// A request that has ended. Times are of one clock.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The class of the request.
    pub class: Class,
    /// The outcome of the request.
    pub status: Status,
    /// The cause of the failure, if it failed.
    pub cause: Option<Cause>,
    /// The intended start.
    pub intended: Nanos,
    /// The time when the generator noticed that the request was due.
    pub acted: Nanos,
    /// The time when the last byte was handed to the kernel, if it was.
    pub written: Option<Nanos>,
    /// The time when the answer was complete or the request was given up.
    pub end: Nanos,
    /// Largest time that the generator may have added to the response time.
    pub added: Nanos,
}

/// The measured part of a run, on the run's clock.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The first instant.
    pub start: Nanos,
    /// The instant after the last.
    pub end: Nanos,
}

impl Window {
    /// Returns true if the instant lies in the measured part.
    pub fn contains(&self, at: Nanos) -> bool {
        (self.start..self.end).contains(&at)
    }

    /// Returns the length of interval number `index`; the last interval may be shorter than the
    /// others.
    pub fn interval(&self, index: u64) -> Nanos {
        let start = self.start.saturating_add(INTERVAL.saturating_mul(index));
        self.end.saturating_sub(start).min(INTERVAL)
    }

    /// Returns the number of intervals.
    pub fn intervals(&self) -> u64 {
        self.end.saturating_sub(self.start).div_ceil(INTERVAL).max(1)
    }
}
