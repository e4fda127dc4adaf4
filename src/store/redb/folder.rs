//! The folder of a store: who may read it, who has it open, and how its file comes to be.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::StoreError;
use crate::files::{GroupRead, check_folder, check_secret};

/// What the engine keeps of the file in memory. The whole is read once, at the start, and a commit
/// touches a few pages: more would not make either faster.
const CACHE_BYTES: usize = 64 << 20;

/// The file that is locked while a process has the folder.
const LOCK: &str = "lock";

/// The file of the store.
const FILE: &str = "world.redb";

/// The file of a store that is being made.
const DRAFT: &str = "world.redb.new";

/// A folder that no other process may open while this lives. The kernel lets go of the lock when
/// the process ends, in whatever way.
pub(super) struct Folder {
    path: PathBuf,
    lock: Arc<File>,
    found: Arc<Found>,
    group: GroupRead,
}

/// What there was before the folder was opened.
#[derive(Debug)]
struct Found {
    /// Folders that had to be made, the outer ones first.
    made: Vec<PathBuf>,
    /// Names in the folder.
    names: HashSet<OsString>,
}

impl Found {
    fn look(path: &Path) -> Result<Self, StoreError> {
        let missing: Vec<&Path> =
            path.ancestors().take_while(|folder| is_missing(folder)).collect();
        let made = missing.into_iter().rev().map(Path::to_owned).collect();
        let names = match fs::read_dir(path) {
            Ok(entries) => entries.flatten().map(|entry| entry.file_name()).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => HashSet::new(),
            Err(error) => return Err(failed("look into the folder", path)(error)),
        };
        Ok(Self { made, names })
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let same = |(open, named): (fs::Metadata, fs::Metadata)| {
        (open.dev(), open.ino()) == (named.dev(), named.ino())
    };
    file.metadata().ok().zip(fs::metadata(path).ok()).is_some_and(same)
}

fn is_missing(folder: &Path) -> bool {
    folder != Path::new("") && !folder.exists()
}

/// A store that did not exist before it was opened; whoever opened it may still undo that.
///
/// Holds the lock of the folder: nobody else has written there meanwhile.
#[derive(Debug)]
pub struct NewStore {
    path: PathBuf,
    found: Arc<Found>,
    _lock: Arc<File>,
}

impl NewStore {
    /// Removes the store, the files `beside` that were not there when it was opened, and the folder if
    /// it is new. Files of others stay, also those that came meanwhile.
    pub fn undo(self, beside: &[&str]) {
        let own = beside.iter().copied().chain([DRAFT, FILE, LOCK]);
        for name in own.filter(|name| !self.found.names.contains(OsStr::new(name))) {
            // What cannot be removed stays: the start has failed for a reason that counts more.
            let _ = fs::remove_file(self.path.join(name));
        }
        for folder in self.found.made.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Folder {
    /// Makes the folder if it is not there, and takes it, or fails at once. `group` says whether the
    /// group of its files is trusted.
    pub(super) fn lock(path: &Path, group: GroupRead) -> Result<Self, StoreError> {
        let found = Arc::new(Found::look(path)?);
        if !path.is_dir() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(failed("make the folder", path))?;
            sync(path.parent().filter(|parent| *parent != Path::new("")))?;
        }
        check_folder(path, group)?;
        let file = path.join(LOCK);
        let open = OpenOptions::new().create(true).append(true).mode(0o600).open(&file);
        let lock = open.map_err(failed("open", &file))?;
        // Whoever can read it can hold it, and so keep every server out.
        check_secret(&file, group)?;
        match lock.try_lock() {
            Ok(()) if is_at(&lock, &file) => {
                Ok(Self { path: path.to_owned(), lock: Arc::new(lock), found, group })
            }
            // A start that was undone has removed the file that is locked here.
            Ok(()) | Err(TryLockError::WouldBlock) => {
                Err(StoreError::InUse { folder: path.to_owned() })
            }
            Err(TryLockError::Error(error)) => Err(failed("lock", &file)(error)),
        }
    }

    /// The store of this folder, as one that may be undone.
    pub(super) fn as_new(&self) -> NewStore {
        let (found, lock) = (Arc::clone(&self.found), Arc::clone(&self.lock));
        NewStore { path: self.path.clone(), found, _lock: lock }
    }

    /// The file of the store.
    pub(super) fn file(&self) -> PathBuf {
        self.path.join(FILE)
    }

    /// Whether there is a file, which others must not be able to read.
    pub(super) fn holds_store(&self) -> Result<bool, StoreError> {
        match check_secret(&self.file(), self.group) {
            Err(error) if error.is_missing() => Ok(false),
            checked => Ok(checked.map(|()| true)?),
        }
    }

    /// Puts the file in its place once `write` has finished it: the engine refuses a file that it
    /// was killed in the first writes of.
    pub(super) fn install(
        &self,
        write: impl FnOnce(&Path) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let draft = self.path.join(DRAFT);
        // Never through a link that somebody left there.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &draft)(error));
            }
            _ => {}
        }
        let make = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft);
        make.map_err(failed("make", &draft))?;
        write(&draft)?;
        fs::rename(&draft, self.file()).map_err(failed("rename", &draft))?;
        sync(Some(&self.path))
    }

    /// Opens `file`, and tells whether it had to be repaired.
    pub(super) fn open(&self, file: &Path) -> Result<(::redb::Database, bool), StoreError> {
        let repaired = Arc::new(AtomicBool::new(false));
        let repairs = Arc::clone(&repaired);
        let opened = ::redb::Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_repair_callback(move |_| repairs.store(true, Ordering::Relaxed))
            .open(file);
        match opened {
            Ok(database) => Ok((database, repaired.load(Ordering::Relaxed))),
            Err(::redb::DatabaseError::DatabaseAlreadyOpen) => {
                Err(StoreError::InUse { folder: self.path.clone() })
            }
            Err(::redb::DatabaseError::Storage(::redb::StorageError::Io(error)))
                if error.kind() == io::ErrorKind::InvalidData =>
            {
                Err(StoreError::NotAStore { path: file.to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Makes what was created in or renamed inside `folder` outlast a loss of power.
fn sync(folder: Option<&Path>) -> Result<(), StoreError> {
    let folder = folder.unwrap_or(Path::new("."));
    let open = File::open(folder);
    open.and_then(|open| open.sync_all()).map_err(failed("sync the folder", folder))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { action, path, source }
}
