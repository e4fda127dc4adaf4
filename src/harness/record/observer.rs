//! Outcomes of requests that may have met a change, sent in batches.

use std::sync::mpsc::Sender;

use crate::harness::nanos::Nanos;
use crate::harness::scenario::key::Slot;

/// Outcome of a request. Times are of the run's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation {
    /// VM that asked, and the identity that it asked for.
    pub(crate) slot: Slot,
    /// Time before the first byte of the request was handed to the kernel.
    pub(crate) written: Nanos,
    /// Time of the complete answer.
    pub(crate) end: Nanos,
    /// True if a token came back, false if the request was refused.
    pub(crate) token: bool,
}

/// Outcomes in a batch: some 40 kB, seldom sent and cheap to hold.
const BATCH: usize = 1024;

/// Notes of one generator thread.
#[derive(Clone, Debug)]
pub(crate) struct Observer {
    /// VMs from this number on never lose an identity, so their tokens are not noted.
    vms: u32,
    batch: Vec<Observation>,
    judge: Sender<Vec<Observation>>,
}

impl Observer {
    /// Creates an observer that notes the answers to the first `vms` VMs, and every refusal.
    pub(crate) const fn new(vms: u32, judge: Sender<Vec<Observation>>) -> Self {
        Self { vms, batch: Vec::new(), judge }
    }

    /// Notes an outcome.
    pub(crate) fn note(&mut self, seen: Observation) {
        if seen.token && seen.slot.vm >= self.vms {
            return;
        }
        if self.batch.capacity() == 0 {
            self.batch.reserve_exact(BATCH);
        }
        self.batch.push(seen);
        if self.batch.len() >= BATCH {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        // The judge outlives the threads; if it is gone, the run has failed elsewhere.
        let _ = self.judge.send(std::mem::take(&mut self.batch));
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if !self.batch.is_empty() {
            self.hand_over();
        }
    }
}
