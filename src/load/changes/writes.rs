//! The requests that changed something: how long each took to be acknowledged, and which failed.

use hdrhistogram::Histogram;

use crate::load::recorder::histogram;

/// Writes of one run.
#[derive(Clone, Debug)]
pub struct Writes {
    /// From the moment before the request to the whole answer, in nanoseconds.
    pub acknowledged: Histogram<u64>,
    /// Writes that were refused, or not answered.
    pub failed: u64,
    /// Why the first of these was.
    pub first_failure: Option<String>,
}

impl Default for Writes {
    fn default() -> Self {
        Self { acknowledged: histogram(), failed: 0, first_failure: None }
    }
}

impl Writes {
    /// All of them.
    pub fn count(&self) -> u64 {
        self.acknowledged.len() + self.failed
    }

    pub(super) fn succeeded(&mut self, took_ns: u64) {
        self.acknowledged.saturating_record(took_ns);
    }

    pub(super) fn failed(&mut self, reason: String) {
        self.failed += 1;
        self.first_failure.get_or_insert(reason);
    }
}
