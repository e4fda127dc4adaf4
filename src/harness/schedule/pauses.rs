//! Pauses of the schedule while something else than the target stops a generator thread.
//!
//! Without a pause, all requests of that time would be sent in a burst of the generator's making.
//! With one, all later requests move by its length, so their gaps stay as they were drawn. All
//! threads of a run have one timeline. A thread learns of a pause of another when that one is over
//! and then pauses too, so that all threads have sent as much of the schedule.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use crate::base::sync::{AtomicU64, Mutex};
use crate::harness::nanos::Nanos;

/// Pauses of a run, shared by its threads.
#[derive(Debug)]
pub struct Pauses {
    total_ns: AtomicU64,
    /// Time until which pauses are counted, so that threads that are away at once pause once.
    counted_until: Mutex<Nanos>,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { total_ns: AtomicU64::new(0), counted_until: Mutex::new(Nanos::ZERO) }
    }
}

impl Pauses {
    /// Counts a pause, except what has been counted already. Returns the length of all pauses.
    pub fn add(&self, from: Nanos, to: Nanos) -> Nanos {
        let mut until = self.counted_until.lock();
        let more = to.saturating_sub(from.max(*until));
        *until = to.max(*until);
        let total = self.total() + more;
        self.total_ns.store(total.as_u64(), Ordering::Relaxed);
        total
    }

    /// Returns the length of all pauses.
    pub fn total(&self) -> Nanos {
        Nanos::new(self.total_ns.load(Ordering::Relaxed))
    }
}

/// Move of the schedule of one thread.
#[derive(Debug, Default)]
pub struct Shift {
    /// Length of the pauses that are over for all further requests.
    passed: Nanos,
    /// Length of all pauses that the thread has learned of.
    known: Nanos,
    /// Pauses that move requests from an instant on, with their lengths, in order.
    ahead: VecDeque<(Nanos, Nanos)>,
}

impl Shift {
    /// Learns that all pauses have this length. What is new in it moves requests that are due after
    /// `from`. Requests that were due before were late already, and stay so.
    pub fn learn(&mut self, total: Nanos, from: Nanos) {
        if total > self.known {
            self.ahead.push_back((from, total - self.known));
            self.known = total;
        }
    }

    /// Returns the instant at which a request is due that the schedule without pauses has at `due`.
    pub fn moved(&self, due: Nanos) -> Nanos {
        self.ahead.iter().fold(
            due + self.passed,
            |due, (from, length)| {
                if due > *from { due + *length } else { due }
            },
        )
    }

    /// Notes that a request was taken that the schedule without pauses has at `due`. No earlier one
    /// follows.
    pub fn take(&mut self, due: Nanos) {
        while let Some((from, length)) = self.ahead.front().copied() {
            if due + self.passed <= from {
                break;
            }
            self.passed += length;
            self.ahead.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ns(nanos: u64) -> Nanos {
        Nanos::new(nanos)
    }

    #[test]
    fn threads_that_are_away_at_once_pause_once() {
        let pauses = Pauses::default();
        assert_eq!(pauses.add(ns(100), ns(150)), ns(50));
        assert_eq!(pauses.add(ns(120), ns(180)), ns(80));
        assert_eq!(pauses.add(ns(130), ns(140)), ns(80));
        assert_eq!((pauses.add(ns(500), ns(501)), pauses.total()), (ns(81), ns(81)));
    }

    #[test]
    fn a_pause_moves_what_was_due_in_it_and_later_but_not_what_was_late_before() {
        let mut shift = Shift::default();
        shift.learn(ns(50), ns(100));
        assert_eq!(
            [80, 100, 101, 400].map(|due| shift.moved(ns(due)).as_u64()),
            [80, 100, 151, 450]
        );
        shift.take(ns(100));
        assert_eq!(shift.moved(ns(101)), ns(151));
        shift.take(ns(101));
        assert_eq!(shift.moved(ns(102)), ns(152));
        // The same total again is nothing new.
        shift.learn(ns(50), ns(150));
        assert_eq!(shift.moved(ns(400)), ns(450));
        shift.learn(ns(60), ns(300));
        assert_eq!([240, 250, 251].map(|due| shift.moved(ns(due)).as_u64()), [290, 300, 311]);
    }

    proptest! {
        #[test]
        fn gaps_and_order_are_kept_and_no_request_is_due_in_a_pause(
            gaps in prop::collection::vec(1_u64..1_000, 1..200),
            away in prop::collection::vec((1_u64..5_000, 200_u64..3_000), 0..20),
        ) {
            // A thread that acts at once, except while it is away.
            let (pauses, mut shift) = (Pauses::default(), Shift::default());
            let mut stops = away.iter().scan(0, |at, (before, length)| {
                let from = *at + before;
                *at = from + length;
                Some((from, *at))
            }).peekable();
            let (mut due, mut last) = (0, None);
            for gap in gaps {
                due += gap;
                while let Some((from, to)) = stops.next_if(|(from, _)| ns(*from) < shift.moved(ns(due))) {
                    shift.learn(pauses.add(ns(from), ns(to)), ns(from));
                    prop_assert!(shift.moved(ns(due)) > ns(to));
                }
                let moved = shift.moved(ns(due));
                shift.take(ns(due));
                prop_assert_eq!(shift.moved(ns(due)), moved);
                if let Some((before, total)) = last {
                    prop_assert_eq!(moved, before + ns(gap) + (pauses.total() - total));
                }
                last = Some((moved, pauses.total()));
            }
        }
    }
}
