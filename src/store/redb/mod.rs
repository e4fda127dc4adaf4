//! A store in one file, held by the embedded database redb. `docs/STORE-FORMAT.md` is its description.
//!
//! Every commit is one transaction, on disk before it is acknowledged, and leaves the file such that
//! the next start needs no repair, however the process ends.

mod folder;
#[cfg(test)]
mod tests;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::redb::{Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use ::redb::{ReadOnlyTable, ReadTransaction, Table, TableDefinition, WriteTransaction};
use aws_lc_rs::digest;

use self::folder::Folder;
pub use self::folder::NewStore;
use super::{Defect, Format, Revision, Store, StoreError};
use crate::files::GroupRead;
use crate::world::record::{Change, Record};

/// Key text -> the revision that wrote the record, its checksum, the record as JSON.
const RECORDS: TableDefinition<'_, &str, Stored<'_>> = TableDefinition::new("records");
/// Revision -> text of the key that it wrote; only the last of each key, and none of removed ones.
const ORDER: TableDefinition<'_, u64, &str> = TableDefinition::new("order");
/// `format` and `revision`.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

type Stored<'a> = (u64, u64, &'a [u8]);

const META_FORMAT: &str = "format";
const META_REVISION: &str = "revision";

/// A store in the file `world.redb` of a folder.
///
/// Commits wait for one another and for the disk: do not call them where nothing may block.
pub struct RedbStore {
    database: ::redb::Database,
    /// Declared after the database: the lock goes when the file is closed.
    folder: Folder,
    repaired: bool,
    format: Format,
    /// Whether the file was made when it was opened.
    new: bool,
}

impl RedbStore {
    /// Opens the store in `folder`, and makes both when they are not there: the folder and its file
    /// are the owner's alone.
    ///
    /// # Errors
    /// When another process has it open, others can read or change it, the file is of another format or
    /// damaged, or the file system refuses.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_for(folder, GroupRead::Refused)
    }

    /// Opens the store in `folder`, whose group may be trusted.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for(folder: &Path, group: GroupRead) -> Result<Self, StoreError> {
        guarded(|| Self::open_locked(Folder::lock(folder, group)?))
    }

    fn open_locked(folder: Folder) -> Result<Self, StoreError> {
        let undo = (!folder.holds_store()?).then(|| folder.as_new());
        Self::open_file(folder).inspect_err(|_| undo.into_iter().for_each(|new| new.undo(&[])))
    }

    fn open_file(folder: Folder) -> Result<Self, StoreError> {
        let (file, new) = (folder.file(), !folder.holds_store()?);
        if new {
            folder.install(|path| initialise(&::redb::Database::create(path)?))?;
        }
        let (database, repaired) = folder.open(&file)?;
        if repaired {
            tracing::warn!(file = %file.display(), "the store was not closed as it should be, and had to be repaired");
        }
        let format = read_format(&database, file)?;
        Ok(Self { database, folder, repaired, format, new })
    }

    /// The store, if it did not exist before it was opened: a start that fails undoes it.
    pub fn new_store(&self) -> Option<NewStore> {
        self.new.then(|| self.folder.as_new())
    }

    /// Whether the file had to be repaired when it was opened: all of it was read then. Nothing that
    /// this program does, or that is done to it, should lead there.
    pub const fn repaired(&self) -> bool {
        self.repaired
    }
}

/// The format of a file, if this build can read it.
fn read_format(database: &::redb::Database, path: PathBuf) -> Result<Format, StoreError> {
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Err(::redb::TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Err(StoreError::NotAStore { path }),
        Ok(meta) => meta,
    };
    let Some(found) = meta.get(META_FORMAT)?.map(|found| Format(found.value())) else {
        return Err(StoreError::NotAStore { path });
    };
    if (Format::OLDEST..=Format::CURRENT).contains(&found) {
        return Ok(found);
    }
    Err(StoreError::Format { path, found: found.0, known: Format::CURRENT.0 })
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("file", &self.folder.file()).finish_non_exhaustive()
    }
}

impl Store for RedbStore {
    fn commit(&self, expected: Revision, changes: &[Change]) -> Result<Revision, StoreError> {
        guarded(|| {
            let transaction = begin(&self.database)?;
            let revision = write(&transaction, expected, changes)?;
            transaction.commit()?;
            Ok(revision)
        })
    }

    fn replay(&self, each: &mut dyn FnMut(Record)) -> Result<Revision, StoreError> {
        let transaction = self.database.begin_read()?;
        let (records, order) = guarded(|| {
            let records = transaction.open_table(RECORDS)?;
            Ok((records, transaction.open_table(ORDER)?))
        })?;
        let mut revisions = guarded(|| Ok(order.iter()?))?;
        while let Some(record) = guarded(|| next(&mut revisions, &records))? {
            each(record);
        }
        guarded(|| finish(&transaction, &records, &order))
    }

    fn format(&self) -> Format {
        self.format
    }
}

/// The engine trusts the pages that it reads and panics on some that are damaged.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let cause = "the file is damaged: the engine met a page that it cannot have written";
        Err(StoreError::Engine(cause.into()))
    })
}

fn next(
    revisions: &mut ::redb::Range<'_, u64, &'static str>,
    records: &Records,
) -> Result<Option<Record>, StoreError> {
    let Some(entry) = revisions.next() else { return Ok(None) };
    let (revision, key) = entry?;
    read(records, key.value(), Revision(revision.value())).map(Some)
}

/// The revision of the store, once it is certain that no record was left out.
fn finish(
    transaction: &ReadTransaction,
    records: &Records,
    order: &Order,
) -> Result<Revision, StoreError> {
    if records.len()? != order.len()? {
        return Err(stray(records, order)?);
    }
    let stored = transaction.open_table(META)?.get(META_REVISION)?;
    let revision = Revision(stored.map_or(0, |revision| revision.value()));
    match order.last()? {
        Some((last, key)) if last.value() > revision.0 => Err(StoreError::Damaged {
            key: key.value().to_owned(),
            defect: Defect::Ahead { record: Revision(last.value()), store: revision },
        }),
        _ => Ok(revision),
    }
}

/// A transaction that is on disk when its commit returns. It also writes down which pages are free,
/// and syncs twice: so the file can be opened after a crash without being read as a whole.
fn begin(database: &::redb::Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Makes the tables of an empty store.
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

/// The tables while a transaction writes them.
struct Batch<'a> {
    records: Table<'a, &'static str, Stored<'static>>,
    order: Table<'a, u64, &'static str>,
    /// Reused from record to record.
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

type Order = ReadOnlyTable<u64, &'static str>;
type Records = ReadOnlyTable<&'static str, Stored<'static>>;

/// The record of `key`, which `revision` wrote.
fn read(records: &Records, key: &str, revision: Revision) -> Result<Record, StoreError> {
    let wrong = |defect| StoreError::Damaged { key: key.to_owned(), defect };
    let stored = records.get(key)?.ok_or_else(|| wrong(Defect::Missing(revision)))?;
    let (named, sum, json) = stored.value();
    if named != revision.0 {
        return Err(wrong(Defect::Revision(Revision(named))));
    }
    if sum != checksum(key, revision, json) {
        return Err(wrong(Defect::Checksum));
    }
    let record: Record = serde_json::from_slice(json).map_err(|error| damaged(key, &error))?;
    let own = record.key().to_string();
    if own == key { Ok(record) } else { Err(wrong(Defect::Misplaced(own))) }
}

/// The first 8 bytes of SHA-256 over key, revision and JSON. The engine has checksums of its pages, but
/// verifies them in a repair only: without this, a bit that flips inside a value would go unseen.
fn checksum(key: &str, revision: Revision, json: &[u8]) -> u64 {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [key.as_bytes(), &[0], &revision.0.to_be_bytes(), json] {
        context.update(part);
    }
    let digest = context.finish();
    u64::from_be_bytes(digest.as_ref().first_chunk().copied().unwrap_or_default())
}

/// Drops the message, which quotes what it does not understand: that may be a secret.
fn damaged(key: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Damaged { key: key.to_owned(), defect: Defect::Json { column: error.column() } }
}

/// Finds a record that no revision wrote; to be called when there is one.
fn stray(records: &Records, order: &Order) -> Result<StoreError, StoreError> {
    for entry in records.iter()? {
        let (key, stored) = entry?;
        let (revision, ..) = stored.value();
        if order.get(revision)?.is_none_or(|wrote| wrote.value() != key.value()) {
            let defect = Defect::Revision(Revision(revision));
            return Ok(StoreError::Damaged { key: key.value().to_owned(), defect });
        }
    }
    Ok(StoreError::Engine("the tables of the store do not have the length that they claim".into()))
}

/// The engine has one error type for each operation; here all mean the same.
macro_rules! engine_errors {
    ($($error:ident),*) => {$(
        impl From<::redb::$error> for StoreError {
            fn from(error: ::redb::$error) -> Self {
                Self::Engine(Box::new(error))
            }
        }
    )*};
}

engine_errors!(
    CommitError,
    DatabaseError,
    SetDurabilityError,
    StorageError,
    TableError,
    TransactionError
);
