//! Store that keeps no records: the world ends with the process.

use parking_lot::Mutex;

use super::error::StoreError;
use super::interface::Store;
use super::revision::{Format, Revision};
use crate::service::world::record::{Change, Record};

/// A store that counts revisions and discards the records, which its caller has in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Revision>);

impl Store for MemoryStore {
    fn commit(&self, expected: Revision, changes: &[Change]) -> Result<Revision, StoreError> {
        let mut revision = self.0.lock();
        if *revision != expected {
            return Err(StoreError::Conflict { expected, found: *revision });
        }
        revision.0 += changes.len() as u64;
        Ok(*revision)
    }

    fn replay(&self, _: &mut dyn FnMut(Record)) -> Result<Revision, StoreError> {
        Ok(*self.0.lock())
    }

    fn format(&self) -> Format {
        Format::CURRENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_on_an_older_state_is_refused() {
        let store = MemoryStore::default();
        let change = Change::Put(Record::Audience("api://x".to_owned()));
        let first = store.commit(Revision(0), std::slice::from_ref(&change)).unwrap();
        assert_eq!(first, Revision(1));
        assert!(matches!(
            store.commit(Revision(0), &[change]),
            Err(StoreError::Conflict { found: Revision(1), .. })
        ));
    }
}
