//! Check of a store that is not in use: the damage, and the records that are lost.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use ::redb::{ReadableDatabase, ReadableTable};

use super::disk::Locks;
use super::engine::{Readable, guarded, look, verify};
use super::folder::{self, failed};
use super::tables::{ORDER, RECORDS, finish, read, read_format};
use crate::service::store::error::{Defect, StoreError};
use crate::service::store::revision::Revision;
use crate::service::world::record::Record;

/// Result of checking a store.
#[derive(Debug)]
pub struct Checkup {
    /// Records that can be read.
    pub records: Vec<Record>,
    /// Descriptions of the damage; empty for a sound store.
    pub damages: Vec<String>,
}

impl Checkup {
    /// Verifies every page and every record of the store in `folder`. Changes nothing.
    ///
    /// # Errors
    /// Returns an error when there is no store, a process has it open, it has another format, or the system
    /// fails.
    pub fn of(folder: &Path) -> Result<Self, StoreError> {
        let _lock = folder::lock_shared(folder)?;
        let path = folder::file_in(folder);
        let file = File::open(&path).map_err(failed("open", &path))?;
        let copy = Copy { file, path };
        let mut checkup = Self { records: Vec::new(), damages: Vec::new() };
        let verified = copy.verify().or_else(|error| match error {
            StoreError::Engine(error) => {
                checkup.note(&error.to_string());
                copy.look()
            }
            other => Err(other),
        });
        match verified {
            Ok(database) => checkup.read(&copy, database)?,
            // Not even the pages of the tables can be found.
            Err(StoreError::Engine(error)) => checkup.note(&error.to_string()),
            Err(other) => return Err(other),
        }
        Ok(checkup)
    }

    /// Reads every record that can be read.
    fn read(&mut self, copy: &Copy, mut database: Readable) -> Result<(), StoreError> {
        for (revision, key) in copy.keys(&*database) {
            match guarded(|| one(&*database, &key, revision)) {
                Ok(record) => self.records.push(record),
                Err(error) => {
                    let key = key.escape_debug();
                    self.note(&format!("the record `{key}` is lost: {}", reason(&error)));
                    // The engine keeps its state after a damaged page, so the file is opened again.
                    database = copy.look()?;
                }
            }
        }
        if !self.damages.is_empty() {
            return Ok(());
        }
        let whole = guarded(|| {
            let transaction = database.begin_read()?;
            let (records, order) =
                (transaction.open_table(RECORDS)?, transaction.open_table(ORDER)?);
            finish(&transaction, &records, &order)
        });
        whole.map_or_else(|error| self.note(&reason(&error)), drop);
        Ok(())
    }

    fn note(&mut self, damage: &str) {
        self.damages.push(damage.to_owned());
    }
}

/// The store's file, which is opened again after each damaged page.
struct Copy {
    file: File,
    path: PathBuf,
}

impl Copy {
    /// Opens the file and verifies every page.
    fn verify(&self) -> Result<Readable, StoreError> {
        guarded(|| {
            let database = verify(&self.file, &self.path, Locks::Omitted)?;
            read_format(&database, self.path.clone())?;
            Ok(Box::new(database) as Readable)
        })
    }

    /// Opens the file without checking its pages.
    fn look(&self) -> Result<Readable, StoreError> {
        guarded(|| {
            let database = look(&self.file, &self.path)?;
            read_format(&*database, self.path.clone())?;
            Ok(database)
        })
    }

    /// Returns the keys in both tables, with the revision that wrote each, as far as the tables can be read.
    /// The keys of the order table come first, then those that only the record table has.
    fn keys(&self, database: &dyn ReadableDatabase) -> Vec<(Revision, String)> {
        let mut keys = Vec::new();
        let _ = guarded(|| {
            for entry in database.begin_read()?.open_table(ORDER)?.iter()? {
                let (revision, key) = entry?;
                keys.push((Revision(revision.value()), key.value().to_owned()));
            }
            Ok(())
        });
        let known: BTreeSet<String> = keys.iter().map(|(_, key)| key.clone()).collect();
        let _ = guarded(|| {
            for entry in self.look()?.begin_read()?.open_table(RECORDS)?.iter()? {
                let (key, stored) = entry?;
                if !known.contains(key.value()) {
                    keys.push((Revision(stored.value().0), key.value().to_owned()));
                }
            }
            Ok(())
        });
        keys
    }
}

fn one(
    database: &dyn ReadableDatabase,
    key: &str,
    revision: Revision,
) -> Result<Record, StoreError> {
    read(&database.begin_read()?.open_table(RECORDS)?, key, revision)
}

fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Damaged { defect, .. } => Defect::to_string(defect),
        StoreError::Engine(cause) => cause.to_string(),
        other => other.to_string(),
    }
}
