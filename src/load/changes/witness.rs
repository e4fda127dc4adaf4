//! What became of every request that may have met a change, handed over in batches.

use std::sync::mpsc::Sender;

use super::ledger::Slot;

/// An answer; times in nanoseconds of the run's clock.
#[derive(Clone, Copy, Debug)]
pub(in crate::load) struct Seen {
    /// Who asked, and for which identity.
    pub(in crate::load) slot: Slot,
    /// Before its first byte was handed to the kernel.
    pub(in crate::load) written_ns: u64,
    /// When the answer was whole.
    pub(in crate::load) end_ns: u64,
    /// Whether a token came back; else it was refused.
    pub(in crate::load) token: bool,
}

/// Some 40 kB: seldom sent, and of little weight while it waits.
const BATCH: usize = 1024;

/// The notebook of one generator thread.
#[derive(Clone, Debug)]
pub(in crate::load) struct Witness {
    /// Tokens of VMs from this one on cannot be wrong, and are not noted.
    vms: u32,
    batch: Vec<Seen>,
    judge: Sender<Vec<Seen>>,
}

impl Witness {
    /// Notes what the first `vms` VMs are answered, and every refusal.
    pub(super) const fn new(vms: u32, judge: Sender<Vec<Seen>>) -> Self {
        Self { vms, batch: Vec::new(), judge }
    }

    /// Notes an answer.
    pub(in crate::load) fn note(&mut self, seen: Seen) {
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

impl Drop for Witness {
    fn drop(&mut self) {
        if !self.batch.is_empty() {
            self.hand_over();
        }
    }
}
