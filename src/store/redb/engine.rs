//! The engine over the file of a store. It begins with a preview, which verifies every page and leaves the
//! file as it is. The first commit opens the file for writing; after a failure the next one opens it anew.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};

use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError};

use super::super::{Cause, Fault, StoreError};
use super::disk::{Disk, Failures, Locks, rewrite};

/// What the engine keeps of the file in memory. The whole is read once, at the start, and a commit
/// touches a few pages: more would not make either faster.
const CACHE_BYTES: usize = 64 << 20;

/// The engine and its file, which stays open for as long as the store.
pub(super) struct Engine {
    file: File,
    path: PathBuf,
    database: Option<Database>,
    /// Whether the database writes to the file.
    writable: bool,
    failures: Failures,
    repaired: bool,
}

impl Engine {
    /// Verifies the checksum of every page of `file`, which stands at `path`.
    pub(super) fn preview(file: File, path: PathBuf) -> Result<Self, StoreError> {
        let database = Some(verify(&file, &path, Locks::Taken)?);
        let failures = Failures::default();
        Ok(Self { file, path, database, writable: false, failures, repaired: false })
    }

    #[cfg(test)]
    pub(super) fn failures(&self) -> Failures {
        self.failures.clone()
    }

    /// The file.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Whether the file had to be repaired when it was opened for writing.
    pub(super) const fn repaired(&self) -> bool {
        self.repaired
    }

    /// The database as it is.
    pub(super) fn readable(&mut self) -> Result<&Database, StoreError> {
        if self.database.is_none() { self.writable() } else { opened(self.database.as_ref()) }
    }

    /// The database, opened for writing.
    pub(super) fn writable(&mut self) -> Result<&Database, StoreError> {
        if !self.writable {
            self.close();
            self.database = Some(self.open()?);
            self.writable = true;
        }
        opened(self.database.as_ref())
    }

    /// Closes the database, and returns what has failed since it was opened. The file stays open.
    pub(super) fn close(&mut self) -> Option<Cause> {
        let database = self.database.take();
        self.writable = false;
        // Closing writes to the file, unless a write has failed before.
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

/// A database to be read.
pub(super) type Readable = Box<dyn ReadableDatabase>;

/// A database on a file that stays as it is, without a check of its pages and without a lock.
pub(super) fn look(file: &File, path: &Path) -> Result<Readable, StoreError> {
    let disk = || Disk::preview(file, Locks::Omitted);
    match builder().open_read_only_with_backend(disk()?) {
        Ok(database) => Ok(Box::new(database)),
        // The file was not closed.
        Err(DatabaseError::RepairAborted) => {
            let opened = builder().create_with_backend(disk()?);
            Ok(Box::new(opened.map_err(|error| refused(error, path))?))
        }
        Err(error) => Err(refused(error, path)),
    }
}

/// A database on a file that stays as it is, with every page checked.
pub(super) fn verify(file: &File, path: &Path, locks: Locks) -> Result<Database, StoreError> {
    let disk = Disk::preview(file, locks)?;
    let opened = builder().set_check_integrity_on_open(true).create_with_backend(disk);
    opened.map_err(|error| refused(error, path))
}

/// Makes a database in the empty `file`, which `folder` is to hold, and closes it.
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
    /// Whether this thread is in [`guarded`].
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

static QUIET_HOOK: Once = Once::new();

/// The engine trusts pages that it has verified before, and panics when they have been damaged since. Such
/// a panic is an error of the file: nothing of it is printed.
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
