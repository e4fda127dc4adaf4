//! Storage of records: a commit makes a change durable, a replay returns all records.
//!
//! A key-value engine with a watch (NATS `JetStream`, etcd) could implement the trait. Every change gets a
//! revision. The store keeps the last record of each key, with the revision that wrote it. A commit based on
//! an older state is an error and overwrites nothing.

mod error;
mod fault;
mod interface;
mod memory;
mod redb;
mod revision;

pub use error::{Defect, StoreError};
pub use fault::{Cause, Fault};
pub use interface::Store;
pub use memory::MemoryStore;
pub use redb::{Checkup, FolderOptions, NewStore, RedbStore};
pub use revision::{Format, Revision};
