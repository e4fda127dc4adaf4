//! The virtual clock, and the dice that decide everything that a seed does not say before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mintbench::base::clock::{Clock, UnixSeconds};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::actors::{self, Stop};

/// Wall time at the beginning of a history.
pub(crate) const START: UnixSeconds = UnixSeconds(1_800_000_000);

/// Random choices, in one order. Only one thread runs at a time, so the order depends on the seed alone.
#[derive(Debug)]
pub(crate) struct Dice(Mutex<StdRng>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Returns a number below `sides`.
    pub(crate) fn below(&self, sides: u64) -> u64 {
        self.0.lock().random_range(0..sides.max(1))
    }

    /// Returns one of these.
    pub(crate) fn one_of<T: Copy>(&self, all: &[T]) -> T {
        all[self.0.lock().random_range(0..all.len())]
    }

    /// Returns true once in `sides` times.
    pub(crate) fn one_in(&self, sides: u64) -> bool {
        self.below(sides) == 0
    }
}

/// A wall clock that steps, and a monotonic clock that only advances. Both move when the scheduler says so.
#[derive(Debug)]
pub(crate) struct VirtualClock {
    wall: AtomicU64,
    second: AtomicU64,
    dice: Arc<Dice>,
}

impl VirtualClock {
    pub(crate) fn new(dice: &Arc<Dice>) -> Arc<Self> {
        let dice = Arc::clone(dice);
        Arc::new(Self { wall: AtomicU64::new(START.0), second: AtomicU64::new(0), dice })
    }

    /// Returns the seconds since the beginning of the history.
    pub(crate) fn second(&self) -> u64 {
        self.second.load(Ordering::Relaxed)
    }

    /// Returns the wall time, and does not stop.
    pub(crate) fn wall(&self) -> u64 {
        self.wall.load(Ordering::Relaxed)
    }

    /// Lets time pass until this second.
    pub(crate) fn advance_to(&self, second: u64) {
        let passed = second - self.second.swap(second, Ordering::Relaxed);
        self.wall.fetch_add(passed, Ordering::Relaxed);
    }

    /// Sets the wall clock forward or back.
    pub(crate) fn step(&self, by: i64) {
        self.wall.store(self.wall().saturating_add_signed(by), Ordering::Relaxed);
    }

    fn may_stop(&self) {
        if actors::can_stop() && self.dice.one_in(4) {
            actors::stop(Stop::Ready);
        }
    }
}

impl Clock for VirtualClock {
    /// A thread may be stopped before it reads the clock, and after it.
    fn now(&self) -> UnixSeconds {
        self.may_stop();
        let now = UnixSeconds(self.wall());
        self.may_stop();
        now
    }

    fn monotonic_ns(&self) -> u64 {
        self.second() * 1_000_000_000
    }
}
