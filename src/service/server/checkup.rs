//! Check of a data folder that no server has open.

use std::path::Path;

use crate::service::directory::Directory;
use crate::service::store::{Checkup, StoreError};

/// Result of a check.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Number of records that can be read.
    pub records: usize,
    /// Descriptions of the damage; empty for a sound store.
    pub damages: Vec<String>,
}

/// Verifies every page and every record of the store in `folder`. Also checks that everything the records
/// name exists. Changes nothing.
///
/// # Errors
/// Returns an error when there is no store, a server has it open, or the system fails.
pub(crate) fn check_store(folder: &Path) -> Result<Checked, StoreError> {
    let Checkup { records, mut damages } = Checkup::of(folder)?;
    let count = records.len();
    // In a damaged store, a record may name one that is lost.
    if damages.is_empty()
        && let Err(error) = Directory::verify(records)
    {
        damages.push(error.to_string());
    }
    Ok(Checked { records: count, damages })
}
