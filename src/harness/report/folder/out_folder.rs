//! A folder for results. It is checked before the work, and removed if it stays empty.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Reasons why a folder cannot hold results.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutFolderError {
    /// The folder cannot be created or written to.
    #[error("cannot write to the folder `{path}`; choose another with --out", path = path.display())]
    Unusable {
        /// Path of the folder.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// The folder holds results of other work.
    #[error("`{path}` holds {what} already; choose another folder with --out", path = path.display())]
    Taken {
        /// Path of the folder.
        path: PathBuf,
        /// Kind of the results.
        what: &'static str,
    },
    /// The folder holds files that are not results.
    #[error(
        "`{path}` holds `{name}`, which mintbench did not write; choose another folder with --out",
        path = path.display()
    )]
    Foreign {
        /// Path of the folder.
        path: PathBuf,
        /// Name of one of the files.
        name: String,
    },
}

/// Folder that this process may write results to. When dropped, the folders that it created are removed
/// if they are empty.
#[derive(Debug)]
pub(crate) struct OutFolder {
    path: PathBuf,
    /// Folders that were created, the outer ones first.
    made: Vec<PathBuf>,
}

impl OutFolder {
    /// Creates the folder if it does not exist. All files in it must be `own`.
    ///
    /// # Errors
    /// Returns [`OutFolderError`] when the folder holds other files or cannot be written to.
    pub(crate) fn claim(path: PathBuf, own: impl Fn(&str) -> bool) -> Result<Self, OutFolderError> {
        let missing = |folder: &&Path| **folder != *Path::new("") && !folder.exists();
        let missing: Vec<&Path> = path.ancestors().take_while(missing).collect();
        let mut folder =
            Self { made: missing.into_iter().rev().map(Path::to_owned).collect(), path };
        match folder.foreign(own) {
            Ok(None) => Ok(folder),
            Ok(Some(name)) => {
                folder.made.clear();
                Err(OutFolderError::Foreign { path: folder.path.clone(), name })
            }
            Err(source) => Err(OutFolderError::Unusable { path: folder.path.clone(), source }),
        }
    }

    /// Creates the folder, tests writing to it, and returns the first name that is not `own`.
    fn foreign(&self, own: impl Fn(&str) -> bool) -> io::Result<Option<String>> {
        fs::create_dir_all(&self.path)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.retain(|name| !own(name));
        tempfile::tempfile_in(&self.path)?;
        Ok(names.into_iter().min())
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OutFolder {
    fn drop(&mut self) {
        for folder in self.made.iter().rev() {
            // This fails if the folder holds anything, which then stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_stays_empty_is_removed_with_those_above_it() {
        let parent = tempfile::tempdir().unwrap();
        let out = OutFolder::claim(parent.path().join("a/b"), |_| false).unwrap();
        assert!(out.path().is_dir());
        drop(out);
        assert!(!parent.path().join("a").exists());
        let out = OutFolder::claim(parent.path().join("a/b"), |_| false).unwrap();
        fs::write(out.path().join("result"), "").unwrap();
        drop(out);
        assert!(parent.path().join("a/b/result").exists());
        drop(OutFolder::claim(parent.path().join("a/b"), |name| name == "result").unwrap());
        assert!(parent.path().join("a/b/result").exists(), "what was there stays");
    }

    #[test]
    fn a_folder_with_files_of_others_and_one_that_is_a_file_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("thesis.txt"), "").unwrap();
        let refused = |path: PathBuf| OutFolder::claim(path, |_| false).unwrap_err().to_string();
        assert!(
            refused(parent.path().to_owned()).contains("`thesis.txt`, which mintbench did not")
        );
        let below = parent.path().join("thesis.txt/results");
        assert!(refused(below).contains("choose another with --out"));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
