//! Where records are kept: a commit makes a change durable, a replay brings everything back.
//!
//! The trait is cut so that a key-value engine with a watch (NATS `JetStream`, etcd) could stand behind
//! it: every change gets a revision, the store keeps the last record of each key with the revision
//! that wrote it, and a commit made against an older state is an error, not an overwrite.

mod memory;

use std::fmt;

use crate::world::record::{Change, Record};

pub use memory::MemoryStore;

/// Counts changes since the store was made; 0 is the empty store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a store does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state is not the one that the change was planned on.
    #[error(
        "the store is at revision {found}, not {expected}; read it again and repeat the change"
    )]
    Conflict {
        /// The revision that the change was planned on.
        expected: Revision,
        /// The revision of the store.
        found: Revision,
    },
}

/// Keeps records.
pub trait Store: Send + Sync + fmt::Debug {
    /// Makes all of `changes` durable, or none: each gets the next revision. The new revision of the
    /// store is returned once a crash can no longer undo it.
    ///
    /// # Errors
    /// `Conflict` when the store is no longer at `expected`, or when the engine fails; then nothing
    /// was changed.
    fn commit(&self, expected: Revision, changes: &[Change]) -> Result<Revision, StoreError>;

    /// Hands out every record that is there, in the order of the revisions that wrote them, and says
    /// which revision the store is at.
    ///
    /// # Errors
    /// When a record cannot be read; what was handed out before is then not the whole.
    fn replay(&self, each: &mut dyn FnMut(Record)) -> Result<Revision, StoreError>;
}
