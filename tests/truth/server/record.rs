//! The server's own record of its answers.

use std::sync::Arc;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Histograms of the answers since the start, or since the last call of [`Record::forget`].
#[derive(Clone, Debug)]
pub(crate) struct Record(Arc<Mutex<Histograms>>);

/// A request of a server that reads the kernel's stamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Wall time at which the kernel received the request; 0 if there is no stamp.
    pub(crate) received_ns: u64,
    /// Wall time at which the kernel sent the answer; just before the write if there is no stamp.
    pub(crate) sent_ns: u64,
    /// The time of service, without the wait for a server.
    pub(crate) service_ns: u64,
    /// True if both stamps are of the kernel.
    pub(crate) stamped: bool,
    /// True if the request was in the system during a planted stall.
    pub(crate) stalled: bool,
}

/// Time in which a server that always looks for requests did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// Wall time of its end.
    pub(crate) end_ns: u64,
    /// Its length.
    pub(crate) length_ns: u64,
}

/// Histograms in nanoseconds, rows and gaps.
#[derive(Debug)]
pub(crate) struct Histograms {
    /// Time from noticing a request to handing over its answer.
    pub(crate) taken: Histogram<u64>,
    /// Time from the due time of an answer to handing it over: the server's own error.
    pub(crate) late: Histogram<u64>,
    /// One for each request, in the order of the answers.
    rows: Vec<Row>,
    gaps: Vec<Gap>,
}

impl Record {
    pub(crate) fn new() -> Self {
        let histogram = || {
            #[expect(clippy::expect_used, reason = "the bounds are constants: 1 < highest")]
            Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("valid bounds")
        };
        let (taken, late) = (histogram(), histogram());
        Self(Arc::new(Mutex::new(Histograms { taken, late, rows: Vec::new(), gaps: Vec::new() })))
    }

    /// Records an answer.
    pub(crate) fn answered(&self, noticed_ns: u64, due_ns: u64, written_ns: u64) {
        // The lock is free while load goes on, so it costs only two uncontended instructions.
        let mut histograms = self.0.lock();
        histograms.taken.saturating_record(written_ns.saturating_sub(noticed_ns));
        histograms.late.saturating_record(written_ns.saturating_sub(due_ns));
    }

    /// Keeps a row.
    pub(crate) fn keep(&self, row: Row) {
        self.0.lock().rows.push(row);
    }

    /// Keeps a gap.
    pub(crate) fn keep_gap(&self, gap: Gap) {
        self.0.lock().gaps.push(gap);
    }

    /// Returns the gaps.
    #[allow(dead_code, reason = "for tests that include this file")]
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        self.0.lock().gaps.clone()
    }

    /// Returns the rows.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.0.lock().rows.clone()
    }

    /// Clears the record, so that the next load has a record of its own.
    pub(crate) fn forget(&self) {
        let mut histograms = self.0.lock();
        histograms.taken.reset();
        histograms.late.reset();
        histograms.rows.clear();
        histograms.gaps.clear();
    }

    /// Returns the number of answers.
    #[allow(dead_code, reason = "for tests that include this file")]
    pub(crate) fn count(&self) -> u64 {
        self.0.lock().taken.len()
    }

    /// Returns the share of answers that took longer than `limit_ns`.
    #[allow(dead_code, reason = "for tests that include this file")]
    pub(crate) fn share_above(&self, limit_ns: u64) -> f64 {
        1.0 - self.0.lock().taken.quantile_below(limit_ns)
    }

    /// Returns the time that a share `p` of answers did not exceed, in nanoseconds.
    #[allow(dead_code, reason = "for tests that include this file")]
    pub(crate) fn quantile_ns(&self, p: f64) -> u64 {
        self.0.lock().taken.value_at_quantile(p)
    }

    /// Returns all percentiles, in microseconds.
    pub(crate) fn to_json(&self) -> Value {
        let histograms = self.0.lock();
        json!({
            "count": histograms.taken.len(),
            "taken_us": percentiles(&histograms.taken),
            "late_us": percentiles(&histograms.late),
            "unstamped": histograms.rows.iter().filter(|row| !row.stamped).count(),
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53 ns")]
fn percentiles(histogram: &Histogram<u64>) -> Value {
    let at = |p| histogram.value_at_quantile(p) as f64 / 1e3;
    json!({
        "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999),
        "max": histogram.max() as f64 / 1e3,
    })
}
