//! The result folder: created before the run, filled during the run, completed after it.

pub(crate) mod hgrm;
pub(super) mod hlog;
mod left_out;
pub(crate) mod out_folder;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;

pub(crate) use self::hlog::Logs;
use self::out_folder::{OutFolder, OutFolderError};
use super::html::FILE as REPORT;
use crate::base::clock::UnixSeconds;
use crate::base::files::{Draft, PLAIN};
use crate::base::printable::json;
use crate::harness::class::Class;
use crate::harness::document::run::Run;
use crate::harness::judge::outcome::Outcome;

/// Reasons why results cannot be stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    /// The folder cannot be used.
    #[error(transparent)]
    Out(#[from] OutFolderError),
    /// A file in the folder cannot be written.
    #[error("cannot write `{path}`", path = path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
}

/// Result folder of one run.
#[derive(Debug)]
pub(crate) struct Folder(OutFolder);

impl Folder {
    /// Returns `results/<UTC time>-<scenario>`, the default folder of a run.
    pub(crate) fn default_path(started_at: UnixSeconds, scenario: &str) -> PathBuf {
        let time: String =
            started_at.rfc3339().chars().filter(|c| !matches!(c, '-' | ':')).collect();
        Path::new("results").join(format!("{time}-{scenario}"))
    }

    /// Creates the folder. It must not hold a run or other files.
    ///
    /// # Errors
    /// Returns [`FolderError`] when the folder cannot be created or is in use.
    pub(crate) fn create(path: PathBuf) -> Result<Self, FolderError> {
        if path.join("run.json").exists() || path.join("response.hlog").exists() {
            return Err(OutFolderError::Taken { path, what: "a run" }.into());
        }
        Ok(Self(OutFolder::claim(path, |name| own().any(|own| own == name))?))
    }

    /// Returns the path of the folder.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns the writer of the interval logs.
    pub(crate) fn logs(&self) -> Logs {
        Logs::new(self.path().to_owned())
    }

    /// Writes the distributions, the time that the undisturbed view leaves out, and, last, `run.json`. A folder with
    /// `run.json` is complete.
    ///
    /// # Errors
    /// Returns [`FolderError::Write`] when a file cannot be written.
    pub(crate) fn complete(&self, outcome: &Outcome, run: &Run) -> Result<(), FolderError> {
        if run.undisturbed.is_some() {
            let stretches = &outcome.undisturbed.left_out;
            self.write(left_out::FILE, |out| left_out::write(stretches, out))?;
        }
        let seen = outcome.measured.totals.whole.seen();
        self.finish(seen.map(|(class, of)| (class, &of.response)), run)
    }

    /// Completes the folder with histograms and a `run.json` from elsewhere.
    ///
    /// # Errors
    /// Returns [`FolderError::Write`] when a file cannot be written.
    pub(super) fn finish<'a>(
        &self,
        responses: impl Iterator<Item = (Class, &'a Histogram<u64>)>,
        run: &Run,
    ) -> Result<(), FolderError> {
        for (class, response) in responses {
            self.write(&distribution(class), |out| hgrm::write(response, out))?;
        }
        self.write("run.json", |out| out.write_all(json(run)?.as_bytes()))
    }

    fn write(
        &self,
        name: &str,
        body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> Result<(), FolderError> {
        let path = self.path().join(name);
        let write = || {
            let mut out = Draft::new(&path, PLAIN)?;
            body(&mut out)?;
            out.place()
        };
        write().map_err(|source| FolderError::Write { path: path.clone(), source })
    }

    /// Creates a folder within this one, for the files of another attempt.
    ///
    /// # Errors
    /// Returns [`FolderError`] when the folder cannot be created.
    pub(crate) fn next_attempt(&self) -> Result<Self, FolderError> {
        Self::create(self.path().join(NEXT_ATTEMPT))
    }

    /// Replaces the files of this folder by those of another attempt.
    ///
    /// # Errors
    /// Returns [`FolderError::Write`] when a file cannot be moved.
    pub(crate) fn take_over(&self, other: &Self) -> Result<(), FolderError> {
        self.clear();
        for name in own().filter(|name| other.path().join(name).exists()) {
            let path = self.path().join(&name);
            let moved = fs::rename(other.path().join(&name), &path);
            moved.map_err(|source| FolderError::Write { path, source })?;
        }
        Ok(())
    }

    /// Removes the files of this run, for a run without a result.
    pub(crate) fn discard(self) {
        self.clear();
    }

    /// Removes only files of a run. The folder itself stays if it holds anything else.
    fn clear(&self) {
        for name in own() {
            let _ = fs::remove_file(self.path().join(name));
        }
    }
}

/// Name of the folder for the files of another attempt. It is left only by a process that was killed.
const NEXT_ATTEMPT: &str = "next-attempt";

/// Returns the names of all files of a result.
fn own() -> impl Iterator<Item = String> {
    let others = ["response.hlog", "service.hlog", "lag.hlog", left_out::FILE, "run.json", REPORT];
    others.into_iter().map(str::to_owned).chain(Class::ALL.into_iter().map(distribution))
}

/// Returns the name of the file with the distribution of a class.
fn distribution(class: Class) -> String {
    format!("response.{class}.hgrm")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::nanos::Nanos;
    use crate::harness::record::collector::IntervalSink;
    use crate::harness::record::intervals::Window;

    #[test]
    fn a_folder_is_named_by_time_and_scenario_and_never_overwritten() {
        let path = Folder::default_path(UnixSeconds(1_700_000_000), "steady");
        assert_eq!(path, Path::new("results/20231114T221320Z-steady"));
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::create(parent.path().join("a")).unwrap();
        let window = Window { start: Nanos::ZERO, end: Nanos::new(1) };
        folder.logs().begin(window, UnixSeconds(0)).unwrap();
        assert!(Folder::create(parent.path().join("a")).is_err());
        let next = folder.next_attempt().unwrap();
        next.logs().begin(window, UnixSeconds(1)).unwrap();
        folder.take_over(&next).unwrap();
        drop(next);
        let log = fs::read_to_string(parent.path().join("a/response.hlog")).unwrap();
        assert!(
            log.contains("#[StartTime: 1.000") && !parent.path().join("a/next-attempt").exists()
        );
        folder.discard();
        assert!(!parent.path().join("a").exists());
    }
}
