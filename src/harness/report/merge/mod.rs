//! Merges results exactly, by adding their histograms.
//!
//! Bucket counts are added second by second, so merging in steps gives the same as merging at once.
//! Values that are not sums (the hosts, the intended rates, invalid parts) are derived from the list of
//! parts, which a merged result carries. So intermediate merges leave no trace.

mod agreed;
mod parts;
mod run;
mod seconds;
#[cfg(test)]
mod tests;
pub mod text;

use std::path::{Path, PathBuf};

use self::parts::collect;
use self::seconds::Seconds;
use super::folder::{Folder, FolderError};
use super::hlog;
use super::html::{self, ReportError};
use super::stored::log::Bounds;
use super::stored::{Stored, StoredError};
use crate::base::clock::UnixSeconds;
use crate::harness::document::run::Run;

/// What stands beside what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// The first seconds of all parts, the second ones, and so on, whenever they were.
    Index,
    /// Seconds of the same time: the parts ran together, on machines with clocks that agree.
    Time,
}

impl Align {
    /// Returns the name in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Time => "time",
        }
    }
}

/// Reasons why results cannot be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// The histograms have different bounds, so their buckets differ.
    #[error(
        "the histograms in `{path}` have other bounds ({found:?}) than those of this version ({expected:?}): they cannot be added exactly",
        path = path.display()
    )]
    Bounds {
        /// Path of the folder.
        path: PathBuf,
        /// Bounds of its histograms.
        found: Bounds,
        /// Bounds that this version writes.
        expected: Bounds,
    },
    /// The runs differ in a setting that must be equal.
    #[error("`{path}` has the {what} `{found}`, the others have `{expected}`: only parts of one run can be merged", path = path.display())]
    Differ {
        /// Path of the folder.
        path: PathBuf,
        /// Setting that differs.
        what: &'static str,
        /// Value in this folder.
        found: String,
        /// Value in the folders before.
        expected: String,
    },
    /// The result folder cannot be written.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A log of the result cannot be written.
    #[error("cannot write the logs into `{path}`", path = path.display())]
    Log {
        /// Path of the folder.
        path: PathBuf,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// A merged result was aligned in another way.
    #[error("`{path}` was merged by {found}; merge it with --align {found}", path = path.display())]
    Realigned {
        /// Path of the folder.
        path: PathBuf,
        /// Alignment of that merge.
        found: String,
    },
    /// The report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A part cannot be read.
    #[error(transparent)]
    Stored(#[from] StoredError),
    /// The same run is in two of the folders.
    #[error("the run {run_id} is in `{path}` and in a folder before it: it would count twice", path = path.display())]
    Twice {
        /// Path of the folder.
        path: PathBuf,
        /// Id of the run.
        run_id: String,
    },
    /// A run did not end, so it cannot be judged.
    #[error("`{path}` is of a run that did not end (it has no run.json): leave it out", path = .0.display())]
    Unfinished(PathBuf),
    /// The logs have no start time to align by.
    #[error("the logs in `{path}` do not say when they begin; merge with --align index", path = .0.display())]
    Undated(PathBuf),
}

/// Result to merge.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) stored: Stored,
    pub(super) run: Run,
}

impl Piece {
    fn read(path: &Path) -> Result<Self, MergeError> {
        let mut stored = Stored::read(path)?;
        let run = stored.run.take().ok_or_else(|| MergeError::Unfinished(path.to_owned()))?;
        Ok(Self { stored, run })
    }
}

/// Merged result.
#[derive(Debug)]
pub struct Whole {
    /// Merged `run.json`.
    pub run: Run,
    response: Seconds,
    service: Seconds,
    lag: Seconds,
    start: UnixSeconds,
}

/// Merges the results in `folders`, which stay unchanged.
///
/// # Errors
/// Returns [`MergeError`], which names the folder and its fault.
pub fn merge(folders: &[PathBuf], align: Align) -> Result<Whole, MergeError> {
    let pieces = folders.iter().map(|path| Piece::read(path)).collect::<Result<Vec<_>, _>>()?;
    check(&pieces, align)?;
    let starts = pieces.iter().map(|piece| started(piece, align)).collect::<Result<Vec<_>, _>>()?;
    let start = starts.iter().min().copied().unwrap_or(UnixSeconds(0));
    let offset = |at: UnixSeconds| match align {
        Align::Index => 0,
        Align::Time => at.since(start).0,
    };
    let (mut response, mut service, mut lag) =
        (Seconds::default(), Seconds::default(), Seconds::default());
    for (piece, at) in pieces.iter().zip(&starts) {
        response.add(&piece.stored.response, offset(*at));
        service.add(&piece.stored.service, offset(*at));
        lag.add(&piece.stored.lag, offset(*at));
    }
    let parts = collect(&pieces)?;
    let logs = run::Logs { response: &response, service: &service, lag: &lag };
    let run = run::whole(&pieces, parts, align, &logs);
    Ok(Whole { run, response, service, lag, start })
}

/// Returns the start of the first interval of a piece. It may be unknown if only the order counts.
fn started(piece: &Piece, align: Align) -> Result<UnixSeconds, MergeError> {
    let start = piece.stored.response.head.start;
    match align {
        Align::Index => Ok(start.unwrap_or(UnixSeconds(0))),
        Align::Time => start.ok_or_else(|| MergeError::Undated(piece.stored.path.clone())),
    }
}

/// Checks that the pieces can be merged.
fn check(pieces: &[Piece], align: Align) -> Result<(), MergeError> {
    let Some(first) = pieces.first() else { return Ok(()) };
    let expected = seconds::bounds();
    for Piece { stored, run } in pieces {
        let path = || stored.path.clone();
        let logs = [&stored.response, &stored.service, &stored.lag];
        let found = logs.into_iter().filter_map(|log| log.head.bounds);
        if let Some(found) = found.into_iter().find(|bounds| *bounds != expected) {
            return Err(MergeError::Bounds { path: path(), found, expected });
        }
        if let Some(merged) = run.merged.as_ref().filter(|merged| merged.align != align.as_str()) {
            return Err(MergeError::Realigned { path: path(), found: merged.align.clone() });
        }
        for (what, found, expected) in [
            ("scenario", &run.scenario, &first.run.scenario),
            ("arrivals", &run.load.arrivals, &first.run.load.arrivals),
        ] {
            if found != expected {
                let (found, expected) = (found.clone(), expected.clone());
                return Err(MergeError::Differ { path: path(), what, found, expected });
            }
        }
    }
    Ok(())
}

impl Whole {
    /// Writes the result and its report into a new folder.
    ///
    /// # Errors
    /// Returns [`MergeError`] when the folder cannot be written.
    pub fn write(&self, folder: Folder) -> Result<Folder, MergeError> {
        if let Err(error) = self.fill(&folder) {
            folder.discard();
            return Err(error);
        }
        html::write(folder.path())?;
        Ok(folder)
    }

    fn fill(&self, folder: &Folder) -> Result<(), MergeError> {
        for (name, seconds) in
            [("response", &self.response), ("service", &self.service), ("lag", &self.lag)]
        {
            let path = folder.path().join(format!("{name}.hlog"));
            hlog::write(&path, self.start, &mut seconds.spans())
                .map_err(|source| MergeError::Log { path: folder.path().to_owned(), source })?;
        }
        Ok(folder.finish(self.response.whole().iter(), &self.run)?)
    }
}
