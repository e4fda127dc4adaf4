//! Folder of a store: its permissions, its lock, and the creation of its file.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::files::{GroupRead, check_folder, check_secret};
use crate::service::store::error::StoreError;

/// File that is locked while a process has the folder open.
const LOCK: &str = "lock";

/// File of the store.
const FILE: &str = "world.redb";

/// File of a store that is being created.
const DRAFT: &str = "world.redb.new";

/// Requirements of a store on its folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct FolderOptions {
    /// Names of files that the caller writes next to the store. If a start is undone, they are removed.
    pub other_files: &'static [&'static str],
    /// Those of them that nothing else writes. If one of them exists without the store, the store was lost.
    pub traces: &'static [&'static str],
    /// Trust in the group of the files.
    pub group: GroupRead,
}

/// A locked folder: no other process can open it while this value lives. The kernel releases the lock when
/// the process ends, however it ends.
pub(super) struct Folder {
    path: PathBuf,
    lock: Arc<File>,
    found: Arc<Found>,
    options: FolderOptions,
}

/// Files and folders that existed before the folder was opened.
#[derive(Debug)]
struct Found {
    /// Folders that had to be created, the outer ones first.
    made: Vec<PathBuf>,
    /// Names of the files in the folder.
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

/// A store that did not exist before it was opened, so that its creation can be undone.
///
/// Holds the lock of the folder, so no other process has written there meanwhile.
#[derive(Debug)]
pub struct NewStore {
    path: PathBuf,
    found: Arc<Found>,
    other_files: &'static [&'static str],
    _lock: Arc<File>,
}

impl NewStore {
    /// Removes the store, the files next to it that are new, and the folder if it is new. Files of others
    /// stay, including those created meanwhile.
    pub fn undo(self) {
        // The store is removed before the lock and after the files next to it. A start that finds those files
        // without the store reports the store as lost.
        let own = self.other_files.iter().copied().chain([DRAFT, FILE, LOCK]);
        for name in own.filter(|name| !self.found.names.contains(OsStr::new(name))) {
            // Files that cannot be removed stay: the caller already reports a more important error.
            let _ = fs::remove_file(self.path.join(name));
        }
        for folder in self.found.made.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Folder {
    /// Creates the folder if necessary, and locks it. Fails at once if another process holds the lock.
    pub(super) fn lock(path: &Path, options: FolderOptions) -> Result<Self, StoreError> {
        let found = Arc::new(Found::look(path)?);
        if !path.is_dir() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(failed("make the folder", path))?;
            sync(path.parent().filter(|parent| *parent != Path::new("")))?;
        }
        check_folder(path, options.group)?;
        let file = path.join(LOCK);
        let open = OpenOptions::new().create(true).append(true).mode(0o600).open(&file);
        let lock = open.map_err(failed("open", &file))?;
        // A user who can read the lock file can lock it, and so keep every server out.
        check_secret(&file, options.group)?;
        match lock.try_lock() {
            Ok(()) if is_at(&lock, &file) => {
                Ok(Self { path: path.to_owned(), lock: Arc::new(lock), found, options })
            }
            // An undone start has removed the file that is locked here.
            Ok(()) | Err(TryLockError::WouldBlock) => {
                Err(StoreError::InUse { folder: path.to_owned() })
            }
            Err(TryLockError::Error(error)) => Err(failed("lock", &file)(error)),
        }
    }

    /// Returns the store of this folder as a new one, whose creation can be undone.
    pub(super) fn as_new(&self) -> NewStore {
        let (found, lock) = (Arc::clone(&self.found), Arc::clone(&self.lock));
        NewStore {
            path: self.path.clone(),
            found,
            other_files: self.options.other_files,
            _lock: lock,
        }
    }

    /// Returns the path of the folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns true if `file` is still the store of this folder.
    pub(super) fn holds(&self, file: &File) -> bool {
        is_at(file, &self.file())
    }

    /// Returns an error if the folder has no store but has files from an earlier start. The store is always
    /// created before those files, so it was lost.
    pub(super) fn refuse_remains(&self) -> Result<(), StoreError> {
        let remains = |name: &&&str| self.found.names.contains(OsStr::new(name));
        let Some(trace) = self.options.traces.iter().find(remains) else { return Ok(()) };
        let (trace, folder) = ((*trace).to_owned(), self.path.clone());
        Err(StoreError::Missing { file: FILE, trace, folder })
    }

    /// Returns the path of the store's file.
    pub(super) fn file(&self) -> PathBuf {
        file_in(&self.path)
    }

    /// Returns true if the store's file exists. Returns an error if others can read it.
    pub(super) fn holds_store(&self) -> Result<bool, StoreError> {
        match check_secret(&self.file(), self.options.group) {
            Err(error) if error.is_missing() => Ok(false),
            checked => Ok(checked.map(|()| true)?),
        }
    }

    /// Writes a new store file under another name, and renames it when `write` is done. If the process were
    /// killed during the first writes, the engine would refuse the file.
    pub(super) fn install(
        &self,
        write: impl FnOnce(&File) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let draft = self.path.join(DRAFT);
        // Removed first, so that nothing is written through a link that somebody left there.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &draft)(error));
            }
            _ => {}
        }
        let mut options = OpenOptions::new();
        let made = options.create_new(true).read(true).write(true).mode(0o600).open(&draft);
        write(&made.map_err(failed("make", &draft))?)?;
        fs::rename(&draft, self.file()).map_err(failed("rename", &draft))?;
        sync(Some(&self.path))
    }

    /// Opens the store's file for the engine.
    pub(super) fn open(&self) -> Result<File, StoreError> {
        let file = self.file();
        let opened = OpenOptions::new().read(true).write(true).open(&file);
        opened.map_err(failed("open", &file))
    }
}

/// Returns the path of the store's file in a folder.
pub(super) fn file_in(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Takes a shared lock on a folder, which keeps servers out while the returned file lives. Returns `None` if
/// there is no lock file: then no server uses the folder.
pub(super) fn lock_shared(folder: &Path) -> Result<Option<File>, StoreError> {
    let path = folder.join(LOCK);
    let lock = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed("open", &path))?,
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { folder: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

/// Syncs `folder`, so that files created or renamed in it survive a power failure.
fn sync(folder: Option<&Path>) -> Result<(), StoreError> {
    let folder = folder.unwrap_or(Path::new("."));
    let open = File::open(folder);
    open.and_then(|open| open.sync_all()).map_err(failed("sync the folder", folder))
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { action, path, source }
}
