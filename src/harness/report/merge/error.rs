//! Reasons why results cannot be merged.

use std::path::PathBuf;

use crate::harness::report::folder::FolderError;
use crate::harness::report::html::ReportError;
use crate::harness::report::stored::StoredError;
use crate::harness::report::stored::log::Bounds;

/// Reasons why results cannot be merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
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
