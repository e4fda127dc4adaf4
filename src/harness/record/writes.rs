//! Requests that changed something: the time until each was acknowledged, and the failures.

use hdrhistogram::Histogram;

use super::intervals::histogram;
use crate::harness::nanos::Nanos;

/// Change requests of one run.
#[derive(Clone, Debug)]
pub struct Writes {
    /// Time from just before the request to the complete answer, in nanoseconds.
    pub acknowledged: Histogram<u64>,
    /// Requests that were refused or not answered.
    pub failed: u64,
    /// Cause of the first failure.
    pub first_failure: Option<String>,
}

impl Default for Writes {
    fn default() -> Self {
        Self { acknowledged: histogram(), failed: 0, first_failure: None }
    }
}

impl Writes {
    /// Returns the number of all requests, acknowledged or failed.
    pub fn count(&self) -> u64 {
        self.acknowledged.len() + self.failed
    }

    pub(crate) fn succeeded(&mut self, took: Nanos) {
        self.acknowledged.saturating_record(took.as_u64());
    }

    pub(crate) fn failed(&mut self, reason: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(reason);
    }
}
