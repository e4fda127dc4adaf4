//! Counts of a surface's connections, for the metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::base::http::log_rate::LogRate;

/// Burst of log lines about connections that are refused or closed to make room.
const LINES_BURST: u64 = 5;

/// Seconds until another line is allowed.
const LINES_PERIOD_S: u64 = 10;

/// Counts of the connections of one surface. Requests do not touch it.
#[derive(Debug)]
pub struct Tally {
    /// The name of the surface.
    pub surface: &'static str,
    /// Connections that are open.
    pub open: Count,
    /// Connections that were closed to make room for others.
    pub shed: Count,
    /// Connections that were refused because no other could be closed.
    pub refused: Count,
    /// Connections that were closed because their peer did not read its answer.
    pub stalled: Count,
    /// Requests that were refused because too many bytes of answers were unsent.
    pub over_budget: Count,
    lines: Mutex<LogRate>,
}

impl Tally {
    pub(crate) fn new(surface: &'static str) -> Self {
        let [open, shed, refused, stalled, over_budget] = std::array::from_fn(|_| Count::default());
        let lines = Mutex::new(LogRate::new(LINES_BURST, LINES_PERIOD_S));
        Self { surface, open, shed, refused, stalled, over_budget, lines }
    }

    /// Returns how often one of the limits that bound memory was reached.
    pub(crate) fn limits_reached(&self) -> u64 {
        self.shed.get() + self.stalled.get() + self.over_budget.get()
    }

    /// Takes a log line and returns the number of lines left out before it.
    pub(crate) fn line(&self, now_ns: u64) -> Option<u64> {
        self.lines.lock().admit(now_ns)
    }
}

/// A counter that several threads change.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Returns the current count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
