//! Lateness of the generator in the present busy period of the target.
//!
//! A busy period lasts while a request is outstanding at the target. The lateness of its requests
//! may delay its answers, and those of no later one. All threads send to one target, so they share
//! one [`BusyPeriod`]. The proof is in `docs/statistics.md`, under "Bounds of the response time".

use std::sync::atomic::{Ordering, fence};

use crate::base::sync::AtomicU64;
use crate::harness::nanos::Nanos;

/// Busy period of a target, shared by all threads that send to it.
#[derive(Debug)]
pub(super) struct BusyPeriod {
    /// Number of outstanding requests in the low bits, and above them the largest lateness of a
    /// request since there was none, in nanoseconds.
    word: AtomicU64,
    /// End of the last write that was late by more than [`LATE`].
    late_at: AtomicU64,
    /// For each thread, the origin of the write that it is making; empty if there is one thread.
    writes: Vec<Slot>,
}

/// Origin of a write, in a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Slot(AtomicU64);

/// Earliest time at which a perfect generator may have made a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin(Nanos);

/// One call that writes, on the run's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// A time before the call.
    pub(super) begun: Nanos,
    /// A time after the call.
    pub(super) ended: Nanos,
}

/// Longest call that counts as undisturbed. On virtual machines a write over loopback takes 6 to 35 us, since it
/// also wakes the target. Interruptions of a thread take 20 us and more.
const CALL_MAX: Nanos = Nanos::from_micros(40);

impl Call {
    /// Returns a time at or after the moment at which a perfect generator would have begun this call at the latest:
    /// its begin, or its end if the thread may have been interrupted in it.
    fn left_by(self) -> Nanos {
        let is_undisturbed = self.ended.saturating_sub(self.begun) <= CALL_MAX;
        if is_undisturbed { self.begun } else { self.ended }
    }
}

/// Lateness that makes a busy period late: the accuracy of clock and loop, as in the validity rules.
const LATE: Nanos = Nanos::from_micros(20);
/// Bits of the number of requests. They leave 40 bits, 18 minutes, for the lateness.
const COUNT_BITS: u32 = 24;
/// Largest number of requests. Once it is reached, the period never ends.
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
/// Largest lateness; it stands for any longer one.
const LATENESS_MAX: u64 = u64::MAX >> COUNT_BITS;
/// Content of a slot whose thread writes nothing.
const NO_WRITE: u64 = u64::MAX;

impl BusyPeriod {
    /// Creates the state of a target to which `threads` threads will send.
    pub(super) fn new(threads: usize) -> Self {
        let slots = if threads > 1 { threads } else { 0 };
        let slot = || Slot(AtomicU64::new(NO_WRITE));
        let writes = std::iter::repeat_with(slot).take(slots).collect();
        Self { word: AtomicU64::new(0), late_at: AtomicU64::new(0), writes }
    }

    /// Counts a request that may now be written. The first one begins a busy period.
    pub(super) fn request_begins(&self) {
        self.change(|word| match word & COUNT_MAX {
            0 => Some(1),
            COUNT_MAX => None,
            _ => Some(word + 1),
        });
    }

    /// Counts a request as ended: the target works on it no longer.
    pub(super) fn request_ended(&self) {
        self.change(|word| match word & COUNT_MAX {
            0 | COUNT_MAX => None,
            _ => Some(word - 1),
        });
    }

    /// Returns the largest lateness in the present busy period.
    pub(super) fn lateness(&self) -> Nanos {
        lateness_of(self.word.load(Ordering::Acquire) >> COUNT_BITS)
    }

    /// Returns true if nothing is outstanding.
    pub(super) fn is_idle(&self) -> bool {
        self.word.load(Ordering::Acquire) & COUNT_MAX == 0
    }

    /// Returns the end of the last late write of any thread, zero before the first.
    pub(super) fn late_at(&self) -> Nanos {
        Nanos::new(self.late_at.load(Ordering::Acquire))
    }

    /// Returns the origin of a write of a request that is due at `intended`. The write was not
    /// possible before `possible`, because it had to wait for the target.
    pub(super) fn origin(&self, intended: Nanos, possible: Nanos) -> Origin {
        // What the target did until then was late by at most the present lateness.
        Origin(possible.saturating_sub(self.lateness()).max(intended))
    }

    /// Announces a write of thread number `thread`. The call comes before the write, inside the
    /// span of its request.
    pub(super) fn write_begins(&self, thread: usize, origin: Origin) {
        if let Some(slot) = self.writes.get(thread) {
            slot.0.store(origin.0.as_u64(), Ordering::SeqCst);
            // Another thread whose write reaches the target after this one must see the slot.
            fence(Ordering::SeqCst);
        }
    }

    /// Notes the end of a write.
    ///
    /// Returns the largest lateness in this busy period of all writes that may have reached the
    /// target before this one ended.
    pub(super) fn write_ended(&self, thread: usize, origin: Origin, call: Call) -> Nanos {
        let own = call.left_by().saturating_sub(origin.0);
        let lateness = own.max(call.ended.saturating_sub(self.earliest_other(thread)));
        if lateness > LATE {
            self.late_at.fetch_max(call.ended.as_u64(), Ordering::AcqRel);
        }
        let largest = self.raise(lateness);
        if let Some(slot) = self.writes.get(thread) {
            // Release: a thread that sees the empty slot also sees the lateness.
            slot.0.store(NO_WRITE, Ordering::Release);
        }
        largest
    }

    /// Returns the earliest origin of the writes that other threads make at this moment.
    fn earliest_other(&self, thread: usize) -> Nanos {
        if self.writes.is_empty() {
            return Nanos::MAX;
        }
        fence(Ordering::SeqCst);
        let others = self.writes.iter().enumerate().filter(|(other, _)| *other != thread);
        let origins = others.map(|(_, slot)| Nanos::new(slot.0.load(Ordering::Acquire)));
        origins.min().unwrap_or(Nanos::MAX)
    }

    fn raise(&self, lateness: Nanos) -> Nanos {
        let lateness = lateness.as_u64().min(LATENESS_MAX);
        let before = self.change(|word| {
            (word >> COUNT_BITS < lateness).then_some(lateness << COUNT_BITS | word & COUNT_MAX)
        });
        lateness_of(lateness.max(before >> COUNT_BITS))
    }

    /// Changes the word, unless `next` returns `None`. Returns the word as it was.
    fn change(&self, next: impl FnMut(u64) -> Option<u64>) -> u64 {
        let changed = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        changed.unwrap_or_else(|word| word)
    }
}

const fn lateness_of(stored: u64) -> Nanos {
    if stored == LATENESS_MAX { Nanos::MAX } else { Nanos::new(stored) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call at this time that takes none.
    fn call(at: u64) -> Call {
        Call { begun: Nanos::new(at), ended: Nanos::new(at) }
    }

    /// Writes a request that is due at `intended` and did not wait, at `now`.
    fn write(busy: &BusyPeriod, intended: u64, now: u64) -> u64 {
        let intended = Nanos::new(intended);
        let origin = busy.origin(intended, intended);
        busy.write_begins(0, origin);
        busy.write_ended(0, origin, call(now)).as_u64()
    }

    #[test]
    fn a_call_counts_whole_if_the_thread_may_have_been_interrupted_in_it() {
        let busy = BusyPeriod::new(1);
        let us = Nanos::from_micros;
        let of = |begun, ended| {
            busy.request_begins();
            let origin = busy.origin(us(100), us(100));
            let call = Call { begun: us(begun), ended: us(ended) };
            let lateness = busy.write_ended(0, origin, call);
            busy.request_ended();
            lateness
        };
        assert_eq!(of(101, 130), us(1));
        assert_eq!(of(101, 150), us(50));
    }

    #[test]
    fn the_largest_lateness_counts_until_nothing_is_outstanding() {
        let busy = BusyPeriod::new(1);
        busy.request_begins();
        assert_eq!(write(&busy, 100, 150), 50);
        busy.request_begins();
        assert_eq!(write(&busy, 200, 210), 50);
        busy.request_ended();
        busy.request_begins();
        assert_eq!(write(&busy, 300, 310), 50, "the first request is still outstanding");
        busy.request_ended();
        busy.request_ended();
        busy.request_begins();
        assert_eq!(write(&busy, 400, 410), 10);
    }

    #[test]
    fn lateness_adds_up_where_a_write_waits_for_an_answer() {
        let busy = BusyPeriod::new(1);
        busy.request_begins();
        assert_eq!(write(&busy, 100, 130), 30);
        busy.request_begins();
        let origin = busy.origin(Nanos::new(110), Nanos::new(500));
        assert_eq!(busy.write_ended(0, origin, call(520)), Nanos::new(50));
        // It is never more than the time since the intended start.
        busy.request_begins();
        let origin = busy.origin(Nanos::new(580), Nanos::new(600));
        assert_eq!(busy.write_ended(0, origin, call(640)), Nanos::new(60));
    }

    #[test]
    fn a_write_of_another_thread_counts_while_it_goes_on() {
        let busy = BusyPeriod::new(2);
        let origin = busy.origin(Nanos::new(100), Nanos::new(100));
        busy.request_begins();
        busy.write_begins(1, origin);
        busy.request_begins();
        assert_eq!(write(&busy, 160, 170), 70);
        assert_eq!(busy.write_ended(1, origin, call(180)), Nanos::new(80));
        assert_eq!(write(&busy, 190, 191), 80);
    }

    #[test]
    fn what_does_not_fit_counts_as_endless() {
        let busy = BusyPeriod::new(1);
        busy.request_begins();
        assert_eq!(write(&busy, 0, u64::MAX), u64::MAX);
        assert_eq!(busy.lateness(), Nanos::MAX);
        busy.word.store(COUNT_MAX - 1, Ordering::Relaxed);
        busy.request_begins();
        assert_eq!(write(&busy, 0, 7), 7);
        for _ in 0..5 {
            busy.request_ended();
            busy.request_begins();
        }
        assert_eq!(busy.lateness(), Nanos::new(7), "a full count never ends");
        let idle = BusyPeriod::new(1);
        idle.request_ended();
        assert_eq!(idle.word.load(Ordering::Relaxed), 0);
    }
}

/// Model checking of thread interleavings: `MINTBENCH_SHUTTLE=1 cargo test --lib shuttle`.
#[cfg(all(test, mintbench_shuttle))]
mod shuttle_schedules {
    use super::*;
    use shuttle::thread;
    use std::sync::Arc;

    const SCHEDULES: usize = 5_000;
    const THREADS: usize = 3;

    /// A target that answers at once, and a clock that ticks with every reading.
    struct Target {
        busy: BusyPeriod,
        clock: AtomicU64,
        /// Largest lateness of the requests that the target holds or has held since it was empty,
        /// and their number.
        truth: shuttle::sync::Mutex<(u64, u64)>,
    }

    impl Target {
        fn now(&self) -> u64 {
            self.clock.fetch_add(1, Ordering::SeqCst)
        }

        /// Sends one request. The lateness to which its answer is entitled is known to the target.
        fn send(&self, thread: usize) {
            let intended = self.now();
            self.busy.request_begins();
            let origin = self.busy.origin(Nanos::new(intended), Nanos::new(intended));
            self.busy.write_begins(thread, origin);
            let truth = self.arrives(intended);
            let ended = Nanos::new(self.now());
            // The clock ticks with each step, so a call that takes its length is disturbed.
            let claimed = self.busy.write_ended(thread, origin, Call { begun: ended, ended });
            assert!(claimed >= Nanos::new(truth), "{claimed:?} is below {truth}");
            self.leaves();
            self.busy.request_ended();
        }

        fn arrives(&self, intended: u64) -> u64 {
            let mut truth = self.truth.lock().unwrap();
            let late = self.now() - intended;
            *truth = if truth.1 == 0 { (late, 1) } else { (late.max(truth.0), truth.1 + 1) };
            truth.0
        }

        fn leaves(&self) {
            self.truth.lock().unwrap().1 -= 1;
        }
    }

    #[test]
    fn shuttle_the_lateness_covers_all_that_the_target_received_before() {
        let schedule = || {
            let target = Arc::new(Target {
                busy: BusyPeriod::new(THREADS),
                clock: AtomicU64::new(0),
                truth: shuttle::sync::Mutex::new((0, 0)),
            });
            let threads = (0..THREADS).map(|thread| {
                let target = Arc::clone(&target);
                thread::spawn(move || (0..2).for_each(|_| target.send(thread)))
            });
            threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(target.busy.word.load(Ordering::SeqCst) & COUNT_MAX, 0);
        };
        shuttle::check_random(schedule, SCHEDULES);
        shuttle::check_pct(schedule, SCHEDULES, 3);
    }
}
