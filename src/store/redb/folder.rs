//! The folder of a store: who may read it, who has it open, and how its file comes to be.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::StoreError;
use crate::files::{GroupRead, check_folder, check_secret};

/// The file that is locked while a process has the folder.
const LOCK: &str = "lock";

/// The file of the store.
const FILE: &str = "world.redb";

/// The file of a store that is being made.
const DRAFT: &str = "world.redb.new";

/// What a store asks of its folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct FolderOptions {
    /// Names of the files that whoever opens the store writes beside it; a start that is undone removes them.
    pub beside: &'static [&'static str],
    /// Those of them that nobody else writes: where one of them is and the store is not, the store was lost.
    pub traces: &'static [&'static str],
    /// Whether the group of the files is trusted.
    pub group: GroupRead,
}

/// A folder that no other process may open while this lives. The kernel lets go of the lock when
/// the process ends, in whatever way.
pub(super) struct Folder {
    path: PathBuf,
    lock: Arc<File>,
    found: Arc<Found>,
    options: FolderOptions,
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
    beside: &'static [&'static str],
    _lock: Arc<File>,
}

impl NewStore {
    /// Removes the store, the files beside it that were not there when it was opened, and the folder if
    /// it is new. Files of others stay, also those that came meanwhile.
    pub fn undo(self) {
        // The store goes last: a start that finds the others without it takes it for lost.
        let own = self.beside.iter().copied().chain([DRAFT, FILE, LOCK]);
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
    /// Makes the folder if it is not there, and takes it, or fails at once.
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
        // Whoever can read it can hold it, and so keep every server out.
        check_secret(&file, options.group)?;
        match lock.try_lock() {
            Ok(()) if is_at(&lock, &file) => {
                Ok(Self { path: path.to_owned(), lock: Arc::new(lock), found, options })
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
        NewStore { path: self.path.clone(), found, beside: self.options.beside, _lock: lock }
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `file` is the store of this folder still.
    pub(super) fn holds(&self, file: &File) -> bool {
        is_at(file, &self.file())
    }

    /// Refuses a folder without a store in which a start has left traces: the store is made before them, so it
    /// was lost.
    pub(super) fn refuse_remains(&self) -> Result<(), StoreError> {
        let remains = |name: &&&str| self.found.names.contains(OsStr::new(name));
        let Some(beside) = self.options.traces.iter().find(remains) else { return Ok(()) };
        let (beside, folder) = ((*beside).to_owned(), self.path.clone());
        Err(StoreError::Missing { file: FILE, beside, folder })
    }

    /// The file of the store.
    pub(super) fn file(&self) -> PathBuf {
        file_in(&self.path)
    }

    /// Whether there is a file, which others must not be able to read.
    pub(super) fn holds_store(&self) -> Result<bool, StoreError> {
        match check_secret(&self.file(), self.options.group) {
            Err(error) if error.is_missing() => Ok(false),
            checked => Ok(checked.map(|()| true)?),
        }
    }

    /// Puts the file in its place once `write` has finished it: the engine refuses a file that it
    /// was killed in the first writes of.
    pub(super) fn install(
        &self,
        write: impl FnOnce(&File) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let draft = self.path.join(DRAFT);
        // Never through a link that somebody left there.
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

    /// Opens the file of the store, for the engine.
    pub(super) fn open(&self) -> Result<File, StoreError> {
        let file = self.file();
        let opened = OpenOptions::new().read(true).write(true).open(&file);
        opened.map_err(failed("open", &file))
    }
}

/// The file of the store in a folder.
pub(super) fn file_in(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Keeps servers out of a folder for as long as what is returned lives; a folder without the file to lock
/// is not in use.
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

/// Makes what was created in or renamed inside `folder` outlast a loss of power.
fn sync(folder: Option<&Path>) -> Result<(), StoreError> {
    let folder = folder.unwrap_or(Path::new("."));
    let open = File::open(folder);
    open.and_then(|open| open.sync_all()).map_err(failed("sync the folder", folder))
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::File { action, path, source }
}
