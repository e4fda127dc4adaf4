//! The interface of a store.

use std::fmt;

use super::error::StoreError;
use super::fault::Fault;
use super::revision::{Format, Revision};
use crate::service::world::record::{Change, Record};

/// A store of records.
pub trait Store: Send + Sync + fmt::Debug {
    /// Makes all of `changes` durable, or none. Each change gets the next revision. Returns the new revision
    /// of the store once a crash can no longer undo it.
    ///
    /// # Errors
    /// Returns `Conflict` when the store is no longer at `expected`; then nothing has changed. Returns
    /// `Unwritable` when the disk or the file fails. Then all of the changes are stored or none, and the next
    /// commit tries again.
    fn commit(&self, expected: Revision, changes: &[Change]) -> Result<Revision, StoreError>;

    /// Calls `each` for every record, in the order of the revisions that wrote them. Returns the revision of
    /// the store.
    ///
    /// # Errors
    /// Returns an error when a record cannot be read. The records passed to `each` before it are then
    /// incomplete.
    fn replay(&self, each: &mut dyn FnMut(Record)) -> Result<Revision, StoreError>;

    /// Returns the format that the store had when it was opened.
    fn format(&self) -> Format;

    /// Checks whether changes can be stored, as far as possible without storing one.
    ///
    /// # Errors
    /// Returns the fault of the store.
    fn health(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Tries to write again after a failure, and returns the revision of the store.
    ///
    /// # Errors
    /// Returns `Unwritable` while the fault lasts.
    fn recover(&self) -> Result<Revision, StoreError> {
        self.replay(&mut |_| {})
    }
}
