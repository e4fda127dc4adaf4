//! Store in one file, with the embedded database redb. `docs/STORE-FORMAT.md` describes the format.
//!
//! Each commit is one transaction, which is on disk before it is acknowledged. It leaves the file so that the
//! next start needs no repair, however the process ends.

mod check;
mod disk;
mod engine;
mod folder;
mod tables;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

use ::redb::{
    Durability, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    WriteTransaction,
};
use parking_lot::Mutex;

pub use self::check::Checkup;
use self::engine::{Engine, guarded};
use self::folder::Folder;
pub use self::folder::{FolderOptions, NewStore};
use self::tables::{
    META, META_FORMAT, META_REVISION, ORDER, RECORDS, Stored, checksum, damaged, finish, next,
    read_format,
};
use super::error::StoreError;
use super::fault::{Cause, Fault};
use super::interface::Store;
use super::revision::{Format, Revision};
use crate::service::world::record::{Change, Record};

/// Table that [`Store::recover`] writes and removes again, to test whether there is space.
const TRIAL: TableDefinition<'_, (), &[u8]> = TableDefinition::new("trial");

/// A store in the file `world.redb` of a folder.
///
/// Commits wait for each other and for the disk, so do not call them on a thread that must not block.
pub struct RedbStore {
    engine: Mutex<Engine>,
    state: Mutex<State>,
    format: Format,
    /// True if the file was created when the store was opened.
    new: bool,
    /// Declared after the engine, so that the lock is released after the file is closed.
    folder: Folder,
}

/// State of the store.
#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    /// Bytes of the last failed commit.
    wanted: usize,
}

impl RedbStore {
    /// Opens the store in `folder`, and creates both if they do not exist, readable by their owner only.
    /// Every page is verified. An existing file does not change until the first commit.
    ///
    /// # Errors
    /// Returns an error when another process has the store open, or when others can read or change it. Also
    /// when the file has another format, is damaged or lost, or the file system fails.
    pub fn open(folder: &Path, options: FolderOptions) -> Result<Self, StoreError> {
        guarded(|| Self::open_locked(Folder::lock(folder, options)?)).map_err(unreadable(folder))
    }

    fn open_locked(folder: Folder) -> Result<Self, StoreError> {
        let undo = (!folder.holds_store()?).then(|| folder.as_new());
        Self::open_file(folder).inspect_err(|_| undo.into_iter().for_each(NewStore::undo))
    }

    fn open_file(folder: Folder) -> Result<Self, StoreError> {
        let new = !folder.holds_store()?;
        if new {
            folder.refuse_remains()?;
            folder.install(|file| engine::create(file, folder.path(), initialise))?;
        }
        let mut engine = Engine::preview(folder.open()?, folder.file())?;
        let format = read_format(engine.readable()?, folder.file())?;
        let (engine, state) = (Mutex::new(engine), Mutex::default());
        Ok(Self { engine, state, format, new, folder })
    }

    /// Returns the store if it did not exist before it was opened. A failed start uses it to undo the
    /// creation.
    pub fn new_store(&self) -> Option<NewStore> {
        self.new.then(|| self.folder.as_new())
    }

    /// Returns true if the first commit had to repair the file, which means that it read all of it. Neither
    /// this program nor a crash should lead to a repair.
    pub fn repaired(&self) -> bool {
        self.engine.lock().repaired()
    }

    /// Runs `work` on the file, opened for writing. After a failure the engine refuses everything, so the
    /// database is closed, and the next attempt opens it again.
    fn attempt<T>(
        &self,
        engine: &mut Engine,
        work: impl FnOnce(&::redb::Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(damaged) = self.state.lock().fault.clone().filter(Fault::is_final) {
            return Err(damaged.into());
        }
        self.require_place(engine)?;
        let outcome = guarded(|| work(engine.writable()?));
        if let Err(error @ (StoreError::Engine(_) | StoreError::NotAStore { .. })) = &outcome {
            tracing::debug!(error = error as &dyn std::error::Error, "the storage engine failed");
            return Err(self.fail(engine.close().unwrap_or(Cause::Damaged)).into());
        }
        // If the file was removed, data written to it would be lost when the process ends.
        self.require_place(engine)?;
        if outcome.is_ok() {
            self.heal();
        }
        outcome
    }

    /// Checks that the path still leads to the open file.
    fn require_place(&self, engine: &Engine) -> Result<(), Fault> {
        if self.folder.holds(engine.file()) { Ok(()) } else { Err(self.fail(Cause::Lost)) }
    }

    /// Records a fault, and logs it if it is new.
    fn fail(&self, cause: Cause) -> Fault {
        let fault = Fault { folder: self.folder.path().to_owned(), cause };
        let before = self.state.lock().fault.replace(fault.clone());
        if before.as_ref() != Some(&fault) {
            tracing::error!(%fault, "changes are refused; what is stored is served on");
        }
        fault
    }

    fn heal(&self) {
        if let Some(fault) = self.state.lock().fault.take() {
            tracing::warn!(ended = %fault, "the store can be written again");
        }
    }
}

/// Adds the folder to the error for a file that the engine cannot read.
fn unreadable(folder: &Path) -> impl FnOnce(StoreError) -> StoreError {
    let folder = folder.to_owned();
    move |error| match error {
        StoreError::Engine(source) => StoreError::Unreadable { folder, source },
        other => other,
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("file", &self.folder.file()).finish_non_exhaustive()
    }
}

impl Store for RedbStore {
    fn commit(&self, expected: Revision, changes: &[Change]) -> Result<Revision, StoreError> {
        let outcome = self.attempt(&mut self.engine.lock(), |database| {
            let transaction = begin(database)?;
            let revision = write(&transaction, expected, changes)?;
            transaction.commit()?;
            Ok(revision)
        });
        outcome.inspect_err(|_| self.state.lock().wanted = bytes(changes))
    }

    fn replay(&self, each: &mut dyn FnMut(Record)) -> Result<Revision, StoreError> {
        let transaction = guarded(|| Ok(self.engine.lock().readable()?.begin_read()?));
        let replayed = transaction.and_then(|transaction| replay(&transaction, each));
        replayed.map_err(unreadable(self.folder.path()))
    }

    fn format(&self) -> Format {
        self.format
    }

    fn health(&self) -> Result<(), Fault> {
        // Skipped during a commit, which checks the same itself and may take long.
        if let Some(engine) = self.engine.try_lock() {
            self.require_place(&engine)?;
        }
        self.state.lock().fault.clone().map_or(Ok(()), Err)
    }

    fn recover(&self) -> Result<Revision, StoreError> {
        let wanted = {
            let state = self.state.lock();
            state.fault.is_some().then_some(state.wanted)
        };
        self.attempt(&mut self.engine.lock(), |database| {
            wanted.map_or(Ok(()), |bytes| try_space(database, bytes))?;
            let meta = database.begin_read()?.open_table(META)?;
            let stored = meta.get(META_REVISION)?;
            Ok(Revision(stored.map_or(0, |revision| revision.value())))
        })
    }
}

fn replay(
    transaction: &ReadTransaction,
    each: &mut dyn FnMut(Record),
) -> Result<Revision, StoreError> {
    let (records, order) = guarded(|| {
        let records = transaction.open_table(RECORDS)?;
        Ok((records, transaction.open_table(ORDER)?))
    })?;
    let mut revisions = guarded(|| Ok(order.iter()?))?;
    while let Some(record) = guarded(|| next(&mut revisions, &records))? {
        each(record);
    }
    guarded(|| finish(transaction, &records, &order))
}

/// Commits as many bytes as the failed commit had, and removes them again.
fn try_space(database: &::redb::Database, bytes: usize) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    transaction.open_table(TRIAL)?.insert((), vec![0; bytes].as_slice())?;
    transaction.commit()?;
    let transaction = begin(database)?;
    transaction.delete_table(TRIAL)?;
    Ok(transaction.commit()?)
}

/// Returns the approximate size of changes in the file, in bytes.
fn bytes(changes: &[Change]) -> usize {
    let size = |change: &Change| match change {
        Change::Put(record) => serde_json::to_vec(record).map_or(0, |json| json.len()),
        Change::Remove(_) => 0,
    };
    changes.iter().map(size).sum()
}

/// Begins a transaction that is on disk when its commit returns. It also stores the list of free pages and
/// syncs twice, so that the file opens after a crash without being read completely.
fn begin(database: &::redb::Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Creates the tables of an empty store.
fn initialise(database: &::redb::Database) -> Result<(), StoreError> {
    let transaction = begin(database)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(ORDER)?;
    let mut meta = transaction.open_table(META)?;
    meta.insert(META_FORMAT, Format::CURRENT.0)?;
    meta.insert(META_REVISION, 0)?;
    drop(meta);
    Ok(transaction.commit()?)
}

fn write(
    transaction: &WriteTransaction,
    expected: Revision,
    changes: &[Change],
) -> Result<Revision, StoreError> {
    let mut meta = transaction.open_table(META)?;
    let found = Revision(meta.get(META_REVISION)?.map_or(0, |revision| revision.value()));
    if found != expected {
        return Err(StoreError::Conflict { expected, found });
    }
    let mut batch = Batch {
        records: transaction.open_table(RECORDS)?,
        order: transaction.open_table(ORDER)?,
        json: Vec::new(),
    };
    let mut revision = found;
    for change in changes {
        revision.0 += 1;
        batch.apply(revision, change)?;
    }
    meta.insert(META_FORMAT, Format::CURRENT.0)?;
    meta.insert(META_REVISION, revision.0)?;
    Ok(revision)
}

/// Tables that a transaction is writing.
struct Batch<'a> {
    records: Table<'a, &'static str, Stored<'static>>,
    order: Table<'a, u64, &'static str>,
    /// Buffer that is reused for each record.
    json: Vec<u8>,
}

impl Batch<'_> {
    fn apply(&mut self, revision: Revision, change: &Change) -> Result<(), StoreError> {
        let key = change.key().to_string();
        let old = match change {
            Change::Put(record) => {
                self.json.clear();
                serde_json::to_writer(&mut self.json, record)
                    .map_err(|error| damaged(&key, &error))?;
                self.order.insert(revision.0, key.as_str())?;
                let checksum = checksum(&key, revision, &self.json);
                self.records.insert(key.as_str(), (revision.0, checksum, self.json.as_slice()))?
            }
            Change::Remove(_) => self.records.remove(key.as_str())?,
        };
        if let Some(old) = old {
            self.order.remove(old.value().0)?;
        }
        Ok(())
    }
}
