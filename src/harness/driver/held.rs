//! Bounds by busy period, for targets that are not shift-invariant (`--bounds busy-period`).
//!
//! A request is held until its busy period ends. If no write of the period was late, its requests
//! count as measured. Else nothing is known of a request but that it was answered within the
//! period.

use super::looks::Between;
use crate::harness::nanos::Nanos;
use crate::harness::record::intervals::Ended;

/// Requests of one thread whose busy period may still go on.
#[derive(Debug)]
pub(super) struct Held {
    requests: Vec<Request>,
    /// A time before the present busy period, and not before the end of the last one that this
    /// thread saw.
    idle_at: Nanos,
}

#[derive(Debug)]
struct Request {
    ended: Ended,
    /// Longest time for which the answer may have been there unread.
    notice: Nanos,
}

/// A request with its bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settled {
    /// The request, with the time that the generator may have added to it.
    pub(super) ended: Ended,
    /// Upper bound of the end of the request with a perfect generator.
    pub(super) latest: Nanos,
}

/// Number of requests that a thread holds. If a busy period has more, nothing is known of them.
const HELD_MAX: usize = 1 << 16;

impl Held {
    /// Creates an empty list at a time when nothing is outstanding.
    pub(super) fn new(now: Nanos) -> Self {
        Self { requests: Vec::with_capacity(HELD_MAX), idle_at: now }
    }

    /// Returns true if the list takes no more requests.
    pub(super) const fn is_full(&self) -> bool {
        self.requests.len() >= HELD_MAX
    }

    /// Holds a request.
    pub(super) fn push(&mut self, ended: Ended, notice: Nanos) {
        self.requests.push(Request { ended, notice });
    }

    /// Ends the busy period, since nothing is outstanding. That was seen within `seen`. The last late
    /// write of any thread ended at `late_at`.
    pub(super) fn settle(
        &mut self,
        late_at: Nanos,
        seen: Between,
    ) -> impl Iterator<Item = Settled> {
        let is_late = late_at >= self.idle_at;
        self.idle_at = seen.earliest;
        self.requests.drain(..).map(move |Request { ended, notice }| {
            let latest = ended.end;
            if is_late {
                Settled {
                    ended: Ended { added: Nanos::MAX, ..ended },
                    latest: seen.latest.max(latest),
                }
            } else {
                Settled { ended: Ended { added: notice, ..ended }, latest }
            }
        })
    }

    /// Gives the requests up whose busy period has no known end.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = Settled> {
        self.requests.drain(..).map(|Request { ended, .. }| Settled {
            ended: Ended { added: Nanos::MAX, ..ended },
            latest: Nanos::MAX,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::class::Class;
    use crate::harness::dialect::outcome::Status;

    fn ended(intended: u64, end: u64) -> Ended {
        Ended {
            class: Class::Hit,
            status: Status::Http(200),
            cause: None,
            intended: Nanos::new(intended),
            acted: Nanos::new(intended),
            written: None,
            end: Nanos::new(end),
            added: Nanos::new(7),
        }
    }

    fn seen(at: u64) -> Between {
        Between { earliest: Nanos::new(at - 2), latest: Nanos::new(at) }
    }

    /// Returns the added time and the latest end of each request.
    fn bounds(settled: impl Iterator<Item = Settled>) -> Vec<(u64, u64)> {
        settled.map(|of| (of.ended.added.as_u64(), of.latest.as_u64())).collect()
    }

    #[test]
    fn a_period_without_lateness_is_measured_and_one_with_it_is_unknown_up_to_its_end() {
        let mut held = Held::new(Nanos::new(100));
        held.push(ended(110, 150), Nanos::new(3));
        held.push(ended(120, 160), Nanos::new(4));
        assert_eq!(bounds(held.settle(Nanos::new(99), seen(170))), [(3, 150), (4, 160)]);
        held.push(ended(180, 200), Nanos::new(3));
        held.push(ended(190, 210), Nanos::new(3));
        let late = bounds(held.settle(Nanos::new(195), seen(220)));
        assert_eq!(late, [(u64::MAX, 220), (u64::MAX, 220)]);
        held.push(ended(230, 240), Nanos::new(3));
        assert_eq!(bounds(held.settle(Nanos::new(195), seen(250))), [(3, 240)]);
        held.push(ended(260, 270), Nanos::new(3));
        assert_eq!(bounds(held.give_up()), [(u64::MAX, u64::MAX)]);
        assert_eq!(bounds(held.give_up()), []);
    }
}
