//! Counts of a surface's connections, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::allowance::Allowance;

/// Lines about connections that are refused or closed to make room, which may come at once.
const LINES_BURST: u64 = 5;

/// Seconds after which another line may come.
const LINES_PERIOD_S: u64 = 10;

/// What became of the connections of one surface. Requests do not touch it.
#[derive(Debug)]
pub struct Tally {
    /// The name of the surface.
    pub surface: &'static str,
    /// Connections that are open.
    pub open: Count,
    /// Connections that were closed to make room for others.
    pub shed: Count,
    /// Connections that were refused, as no other could be closed.
    pub refused: Count,
    /// Connections that were ended because their peer did not take its answer.
    pub stalled: Count,
    /// Requests that were refused because too many bytes of answers were unsent.
    pub over_budget: Count,
    lines: Mutex<Allowance>,
}

impl Tally {
    pub(super) fn new(surface: &'static str) -> Self {
        let [open, shed, refused, stalled, over_budget] = std::array::from_fn(|_| Count::default());
        let lines = Mutex::new(Allowance::new(LINES_BURST, LINES_PERIOD_S));
        Self { surface, open, shed, refused, stalled, over_budget, lines }
    }

    /// How often a limit was reached beyond which memory would grow.
    pub(super) fn limits_reached(&self) -> u64 {
        self.shed.get() + self.stalled.get() + self.over_budget.get()
    }

    /// Takes a line for the log, and returns how many were left out before it.
    pub(super) fn line(&self, now_ns: u64) -> Option<u64> {
        self.lines.lock().admit(now_ns)
    }
}

/// A number that several threads change.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
