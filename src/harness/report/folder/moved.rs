//! Files that change their folder together: all of them, or none.

use std::fs::{remove_file, rename};
use std::io;
use std::path::{Path, PathBuf};

/// Error: a file cannot be moved.
#[derive(Debug, thiserror::Error)]
#[error("cannot move a file to `{path}`", path = path.display())]
pub(super) struct MoveError {
    /// Path that the file should get.
    pub(super) path: PathBuf,
    /// Error of the operating system.
    pub(super) source: io::Error,
}

/// Files that were moved from one folder to another.
#[derive(Debug)]
pub(super) struct Moved<'a> {
    from: &'a Path,
    to: &'a Path,
    names: Vec<&'a String>,
}

impl<'a> Moved<'a> {
    /// Moves those files of these names that exist. If one cannot be moved, all are where they were.
    ///
    /// # Errors
    /// Returns [`MoveError`] for the first file that cannot be moved.
    pub(super) fn all(
        from: &'a Path,
        to: &'a Path,
        names: impl Iterator<Item = &'a String>,
    ) -> Result<Self, MoveError> {
        let mut moved = Self { from, to, names: Vec::new() };
        for name in names.filter(|name| from.join(name).is_file()) {
            let path = to.join(name);
            if let Err(source) = rename(from.join(name), &path) {
                moved.put_back();
                return Err(MoveError { path, source });
            }
            moved.names.push(name);
        }
        Ok(moved)
    }

    /// Moves the files back, the last one first. A file that cannot be moved stays where it is.
    pub(super) fn put_back(self) {
        for name in self.names.into_iter().rev() {
            let _ = rename(self.to.join(name), self.from.join(name));
        }
    }

    /// Removes the files.
    pub(super) fn remove(self) {
        for name in self.names {
            let _ = remove_file(self.to.join(name));
        }
    }
}
