//! Bounds of the times at which answers arrived, from the times at which the generator looked.

use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::harness::nanos::Nanos;

/// An instant of which bounds are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Between {
    /// Lower bound.
    pub(super) earliest: Nanos,
    /// Upper bound.
    pub(super) latest: Nanos,
}

/// Longest time that the kernel takes from the stamp of data to the moment at which a look finds it.
/// Some microseconds are usual.
const HANDOVER_MAX: Nanos = Nanos::from_micros(100);

impl Between {
    /// Returns the largest possible distance of the instant from its upper bound.
    pub(super) const fn width(self) -> Nanos {
        self.latest.saturating_sub(self.earliest)
    }

    /// Returns the same instant with the bounds of another source too; `None` if that contradicts
    /// these bounds.
    pub(super) fn narrowed(self, other: Self) -> Option<Self> {
        let earliest = self.earliest.max(other.earliest);
        let latest = self.latest.min(other.latest);
        (earliest <= latest).then_some(Self { earliest, latest })
    }

    /// Returns the arrival of data that a look found, and that the kernel stamped at `stamp`; `None` if it
    /// cannot have arrived then. These bounds are those of the look.
    ///
    /// A stamp counts if it is not after the data was read, and at most [`HANDOVER_MAX`] before the last
    /// look that did not find it. It is longer before that look if segments came in another order than
    /// they were sent.
    pub(super) fn stamped(self, stamp: Self) -> Option<Self> {
        let earliest = self.earliest.saturating_sub(HANDOVER_MAX);
        Self { earliest, ..self }.narrowed(stamp)
    }

    /// Returns the same instant, which is known not to come before `earliest`.
    pub(super) fn not_before(self, earliest: Nanos) -> Self {
        let earliest = self.earliest.max(earliest);
        Self { earliest, latest: self.latest.max(earliest) }
    }
}

/// The looks of one thread for answers.
///
/// A look finds what is there at some moment of the call. What it does not find arrives after the
/// time that was read *before* the call. A time that is read after it may be later than an arrival
/// that the look just missed, by as much as the thread was interrupted in between.
#[derive(Debug)]
pub(super) struct Looks {
    /// All that had arrived by this time has been found.
    found_until: Nanos,
    /// A time before the present look.
    began: Nanos,
}

/// Extent of what a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// All that was there.
    All,
    /// A full batch, which may have left something behind.
    FullBatch,
}

impl Looks {
    /// Creates the looks of a thread for which nothing has arrived before `now`.
    pub(super) const fn new(now: Nanos) -> Self {
        Self { found_until: now, began: now }
    }

    /// Notes that a look begins. `now` was read before it.
    pub(super) const fn begin(&mut self, now: Nanos) {
        self.began = now;
    }

    /// Returns a time before the arrival of everything that has not been found before.
    pub(super) const fn unseen_since(&self) -> Nanos {
        self.found_until
    }

    /// Notes the end of the look, and returns a time before the arrival of everything that it found.
    pub(super) const fn end(&mut self, found: Found) -> Nanos {
        let since = self.found_until;
        if matches!(found, Found::All) {
            self.found_until = self.began;
        }
        since
    }

    /// Notes that nothing can have arrived before `now`, because nothing was outstanding.
    pub(super) const fn nothing_before(&mut self, now: Nanos) {
        self.found_until = now;
    }
}

/// Longest time that the kernel takes to receive one answer. It may do so on a generator's core.
const RECEIPT_MAX: Nanos = Nanos::from_micros(10);
/// Number of answers from which on nobody counts.
const COUNTED_MAX: usize = 256;

/// Returns true if the kernel has received all answers that wait to be read in less than this gap.
pub(super) fn came_within(epoll: &impl AsFd, gap: Nanos) -> bool {
    let mut found = Vec::with_capacity(COUNTED_MAX);
    let count = epoll::wait(epoll, spare_capacity(&mut found), Some(&Timespec::default()));
    count.is_ok_and(|count| count < COUNTED_MAX && RECEIPT_MAX.saturating_mul(count as u64) < gap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_explain_a_gap_that_is_no_longer_than_their_receipt() {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        let within = |micros| came_within(&poll, Nanos::from_micros(micros));
        assert!(within(201));
        let ready: Vec<_> = (0..30).map(|_| std::io::pipe().unwrap()).collect();
        for (reader, _) in &ready {
            epoll::add(&poll, reader, epoll::EventData::new_u64(0), epoll::EventFlags::IN).unwrap();
        }
        assert!(within(201), "nothing has come");
        for (_, writer) in &ready {
            rustix::io::write(writer, b"x").unwrap();
        }
        assert!(within(301));
        assert!(!within(300));
    }

    #[test]
    fn what_a_look_misses_arrives_after_the_time_before_it() {
        let mut looks = Looks::new(Nanos::new(5));
        looks.begin(Nanos::new(10));
        assert_eq!(looks.end(Found::All), Nanos::new(5));
        looks.begin(Nanos::new(30));
        assert_eq!(looks.unseen_since(), Nanos::new(10));
        assert_eq!(looks.end(Found::FullBatch), Nanos::new(10));
        looks.begin(Nanos::new(50));
        assert_eq!(looks.end(Found::All), Nanos::new(10), "the full batch left something behind");
        looks.begin(Nanos::new(70));
        assert_eq!(looks.end(Found::All), Nanos::new(50));
        looks.nothing_before(Nanos::new(90));
        assert_eq!(looks.unseen_since(), Nanos::new(90));
    }

    #[test]
    fn a_stamp_counts_shortly_before_the_last_look_and_never_after_the_read() {
        let us = Nanos::from_micros;
        let found = Between { earliest: us(500), latest: us(510) };
        let stamp = |at| Between { earliest: us(at), latest: us(at) };
        assert_eq!(found.stamped(stamp(505)), Some(stamp(505)));
        assert_eq!(found.stamped(stamp(400)), Some(stamp(400)));
        assert_eq!(found.stamped(stamp(399)), None);
        assert_eq!(found.stamped(stamp(511)), None);
    }

    #[test]
    fn an_instant_that_moves_keeps_its_bounds_in_order() {
        let instant = Between { earliest: Nanos::new(10), latest: Nanos::new(14) };
        assert_eq!(instant.width(), Nanos::new(4));
        assert_eq!(instant.not_before(Nanos::new(12)).width(), Nanos::new(2));
        let moved = instant.not_before(Nanos::new(20));
        assert_eq!((moved.earliest, moved.latest), (Nanos::new(20), Nanos::new(20)));
        assert_eq!(instant.not_before(Nanos::new(3)), instant);
        assert_eq!(instant.narrowed(moved), None);
        let wide = Between { earliest: Nanos::ZERO, latest: Nanos::new(12) };
        assert_eq!(instant.narrowed(wide).map(Between::width), Some(Nanos::new(2)));
    }
}
