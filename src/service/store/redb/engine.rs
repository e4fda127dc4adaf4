//! Storage engine on the file of a store. It starts with a preview, which verifies every page and does not
//! change the file. The first commit opens the file for writing. After a failure the next commit opens it
//! again.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError};

use super::disk::{Disk, Failures, Locks, rewrite};
use crate::service::store::error::StoreError;
use crate::service::store::fault::{Cause, Fault};

/// Bytes of the file that the engine caches. The whole file is read once, at the start, and a commit touches
/// only a few pages, so a larger cache would speed up neither.
const CACHE_BYTES: usize = 64 << 20;

/// The engine and its file, which stays open as long as the store.
pub(super) struct Engine {
    file: File,
    path: PathBuf,
    database: Option<Database>,
    /// True if the database writes to the file.
    writable: bool,
    failures: Failures,
    repaired: bool,
}

impl Engine {
    /// Verifies the checksum of every page of `file`. `path` is its path, for errors.
    pub(super) fn preview(file: File, path: PathBuf) -> Result<Self, StoreError> {
        let database = Some(verify(&file, &path, Locks::Taken)?);
        let failures = Failures::default();
        Ok(Self { file, path, database, writable: false, failures, repaired: false })
    }

    #[cfg(test)]
    pub(super) fn failures(&self) -> Failures {
        self.failures.clone()
    }

    /// Returns the file.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Returns true if the file had to be repaired when it was opened for writing.
    pub(super) const fn repaired(&self) -> bool {
        self.repaired
    }

    /// Returns the open database, for reading. Opens it for writing if it is closed.
    pub(super) fn readable(&mut self) -> Result<&Database, StoreError> {
        if self.database.is_none() { self.writable() } else { opened(self.database.as_ref()) }
    }

    /// Returns the database, opened for writing.
    pub(super) fn writable(&mut self) -> Result<&Database, StoreError> {
        if !self.writable {
            self.close();
            self.database = Some(self.open()?);
            self.writable = true;
        }
        opened(self.database.as_ref())
    }

    /// Closes the database, and returns the first failure since it was opened. The file stays open.
    pub(super) fn close(&mut self) -> Option<Cause> {
        let database = self.database.take();
        self.writable = false;
        // Closing writes to the file, unless a write failed before.
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
        self.failures.take()
    }

    fn open(&mut self) -> Result<Database, StoreError> {
        if self.failures.take_unsynced() {
            rewrite(&self.file).map_err(|error| {
                self.failures.note(&error);
                self.failures.note_unsynced();
                StorageError::Io(error)
            })?;
        }
        let repaired = Arc::new(AtomicBool::new(false));
        let repairs = Arc::clone(&repaired);
        let mut builder = builder();
        builder.set_repair_callback(move |_| repairs.store(true, Ordering::Relaxed));
        let opened = builder.create_with_backend(Disk::new(&self.file, self.failures.clone())?);
        let database = opened.map_err(|error| refused(error, &self.path))?;
        if repaired.load(Ordering::Relaxed) {
            self.repaired = true;
            tracing::warn!(file = %self.path.display(), "the store was not closed as it should be, and had to be repaired");
        }
        Ok(database)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.close();
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// A database for reading.
pub(super) type Readable = Box<dyn ReadableDatabase>;

/// Opens a database without changing its file, without checking its pages and without a lock.
pub(super) fn look(file: &File, path: &Path) -> Result<Readable, StoreError> {
    let disk = || Disk::preview(file, Locks::Omitted);
    match builder().open_read_only_with_backend(disk()?) {
        Ok(database) => Ok(Box::new(database)),
        // The file was not closed properly.
        Err(DatabaseError::RepairAborted) => {
            let opened = builder().create_with_backend(disk()?);
            Ok(Box::new(opened.map_err(|error| refused(error, path))?))
        }
        Err(error) => Err(refused(error, path)),
    }
}

/// Opens a database without changing its file, and checks every page.
pub(super) fn verify(file: &File, path: &Path, locks: Locks) -> Result<Database, StoreError> {
    let disk = Disk::preview(file, locks)?;
    let opened = builder().set_check_integrity_on_open(true).create_with_backend(disk);
    opened.map_err(|error| refused(error, path))
}

/// Creates a database in the empty `file`, which belongs into `folder`, and closes it.
pub(super) fn create(
    file: &File,
    folder: &Path,
    initialise: impl FnOnce(&Database) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let failures = Failures::default();
    let disk = Disk::new(file, failures.clone())?;
    let made = builder().create_with_backend(disk).map_err(StoreError::from);
    made.and_then(|database| initialise(&database)).map_err(|error| match failures.take() {
        Some(cause) => Fault { folder: folder.to_owned(), cause }.into(),
        None => error,
    })
}

fn opened(database: Option<&Database>) -> Result<&Database, StoreError> {
    database.ok_or_else(|| StoreError::Engine("the database is closed".into()))
}

fn refused(error: DatabaseError, path: &Path) -> StoreError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            let folder = path.parent().unwrap_or(path).to_owned();
            StoreError::InUse { folder }
        }
        DatabaseError::Storage(StorageError::Io(error))
            if error.kind() == io::ErrorKind::InvalidData =>
        {
            StoreError::NotAStore { path: path.to_owned() }
        }
        error => error.into(),
    }
}

thread_local! {
    /// True while this thread is in [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

static QUIET_HOOK: Once = Once::new();

/// Runs `work` and turns panics of the engine into errors. The engine trusts pages that it has verified, and
/// panics if they were damaged since. Such a panic is an error of the file, so it is not printed.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    QUIET_HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                others(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    outcome.unwrap_or_else(|_| {
        let cause = "the file is damaged: the engine met a page that it cannot have written";
        Err(StoreError::Engine(cause.into()))
    })
}

/// Converts the engine's errors. The engine has one error type per operation; here all mean the same.
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
