//! A check of a data folder that no server has open.

use std::path::Path;

use crate::directory::{Directory, DirectoryError};
use crate::store::Checkup;

/// What a check has found.
#[derive(Debug)]
pub struct Checked {
    /// How many records can be read.
    pub records: usize,
    /// What is damaged, in words; nothing of a sound store.
    pub damages: Vec<String>,
}

/// Verifies every page and every record of the store in `folder`, and that what the records name is there.
/// Changes nothing.
///
/// # Errors
/// When there is no store, a server has it open, or the system refuses.
pub fn check_store(folder: &Path) -> Result<Checked, DirectoryError> {
    let Checkup { records, mut damages } = Checkup::of(folder)?;
    let count = records.len();
    // Of a damaged store, a record may name one that is lost.
    if damages.is_empty()
        && let Err(error) = Directory::verify(records)
    {
        damages.push(error.to_string());
    }
    Ok(Checked { records: count, damages })
}
