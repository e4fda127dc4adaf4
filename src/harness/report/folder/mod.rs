//! The result folder: created before the run, filled during the run, completed after it.

pub(crate) mod hgrm;
pub(super) mod hlog;
mod left_out;
mod moved;
pub(crate) mod out_folder;

use std::fs::{create_dir_all, remove_dir, remove_file};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;

pub(crate) use self::hlog::Logs;
use self::moved::{MoveError, Moved};
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

impl From<MoveError> for FolderError {
    fn from(MoveError { path, source }: MoveError) -> Self {
        Self::Write { path, source }
    }
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

    /// Replaces the files of this folder by those of another attempt. After an error this folder has its own files
    /// again, and those of the other attempt are removed.
    ///
    /// # Errors
    /// Returns [`FolderError::Write`] when a file cannot be moved.
    pub(crate) fn take_over(&self, other: Self) -> Result<(), FolderError> {
        let aside = self.path().join(LAST_ATTEMPT);
        let replaced = self.replace(&aside, &other);
        if replaced.is_err() {
            other.discard();
        }
        // This fails if a file could not be put back: it stays aside.
        let _ = remove_dir(&aside);
        replaced
    }

    /// Moves the files of this folder to the folder `aside`, moves those of another attempt here, and then removes
    /// those that are aside.
    fn replace(&self, aside: &Path, other: &Self) -> Result<(), FolderError> {
        let made = create_dir_all(aside);
        made.map_err(|source| FolderError::Write { path: aside.to_owned(), source })?;
        // A folder with `run.json` is complete, so this file goes first and comes last.
        let own: Vec<String> = own().collect();
        let last = Moved::all(self.path(), aside, own.iter().rev())?;
        if let Err(error) = Moved::all(other.path(), self.path(), own.iter()) {
            last.put_back();
            return Err(error.into());
        }
        last.remove();
        Ok(())
    }

    /// Removes the files of this run, for a run without a result.
    pub(crate) fn discard(self) {
        self.clear();
    }

    /// Removes only files of a run. The folder itself stays if it holds anything else.
    fn clear(&self) {
        for name in own() {
            let _ = remove_file(self.path().join(name));
        }
    }
}

/// Name of the folder for the files of another attempt. It is left only by a process that was killed.
const NEXT_ATTEMPT: &str = "next-attempt";
/// Name of the folder for the files of the last attempt, while those of the next one take their place.
const LAST_ATTEMPT: &str = "last-attempt";

/// Returns the names of all files of a result, `run.json` last.
fn own() -> impl Iterator<Item = String> {
    let logs = ["response.hlog", "service.hlog", "lag.hlog", left_out::FILE, REPORT];
    let distributions = Class::ALL.into_iter().map(distribution);
    let logs = logs.into_iter().map(str::to_owned).chain(distributions);
    logs.chain(std::iter::once("run.json".to_owned()))
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
    use std::fs;

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
        folder.take_over(next).unwrap();
        let log = fs::read_to_string(parent.path().join("a/response.hlog")).unwrap();
        assert!(
            log.contains("#[StartTime: 1.000") && !parent.path().join("a/next-attempt").exists()
        );
        folder.discard();
        assert!(!parent.path().join("a").exists());
    }

    /// Writes files of a result with this text.
    fn fill(folder: &Folder, names: &[&str], text: &str) {
        for name in names {
            fs::write(folder.path().join(name), text).unwrap();
        }
    }

    /// Returns the files in a folder with their texts, by name.
    fn texts(folder: &Path) -> Vec<(String, String)> {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut texts: Vec<(String, String)> = files
            .filter(|path| path.is_file())
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        texts.sort();
        texts
    }

    const FILES: [&str; 4] = ["response.hlog", "response.hit.hgrm", "report.html", "run.json"];

    /// Returns a folder with the files of an attempt, and one in it with those of the next.
    fn attempts(parent: &Path) -> [Folder; 2] {
        let last = Folder::create(parent.join("a")).unwrap();
        fill(&last, &FILES, "last");
        let next = last.next_attempt().unwrap();
        fill(&next, &["lag.hlog", "response.hlog", "response.miss.hgrm", "run.json"], "next");
        [last, next]
    }

    #[test]
    fn the_files_of_the_next_attempt_take_the_place_of_all_others() {
        let parent = tempfile::tempdir().unwrap();
        let [last, next] = attempts(parent.path());
        let files = texts(next.path());
        last.take_over(next).unwrap();
        assert_eq!(texts(last.path()), files);
        for folder in [NEXT_ATTEMPT, LAST_ATTEMPT] {
            assert!(!last.path().join(folder).exists(), "{folder}");
        }
    }

    #[test]
    fn an_error_at_any_step_leaves_the_files_of_the_last_attempt_and_none_of_the_next() {
        // The folder for the files aside is a file; a file is in the way there; one is in the way here.
        let aside_is_a_file = |last: &Path| fs::write(last.join(LAST_ATTEMPT), "").unwrap();
        let blocked_aside = |last: &Path| {
            fs::create_dir_all(last.join(LAST_ATTEMPT).join("response.hlog")).unwrap();
        };
        let blocked_here = |last: &Path| fs::create_dir(last.join("response.miss.hgrm")).unwrap();
        let steps: [&dyn Fn(&Path); 3] = [&aside_is_a_file, &blocked_aside, &blocked_here];
        for (step, block) in steps.into_iter().enumerate() {
            let parent = tempfile::tempdir().unwrap();
            let [last, next] = attempts(parent.path());
            block(last.path());
            let before = texts(last.path());
            let error = last.take_over(next).unwrap_err();
            assert!(matches!(error, FolderError::Write { .. }), "step {step}: {error}");
            assert_eq!(texts(last.path()), before, "step {step}");
            assert!(!last.path().join(NEXT_ATTEMPT).exists(), "step {step}");
        }
    }
}
