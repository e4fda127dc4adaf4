//! Reasons why a stored result cannot be read.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::files::ReadError;
use crate::harness::document::run::{SCHEMA, SCHEMA_1};

/// Reasons why a result folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The folder holds no result.
    #[error(
        "`{path}` is no result folder: it has neither run.json nor response.hlog; name a folder that `mintbench run` or `mintbench merge` wrote",
        path = .0.display()
    )]
    Absent(PathBuf),
    /// The folder is empty.
    #[error(
        "`{path}` is empty: it has neither run.json nor response.hlog, because its run was killed before the load, or has not begun it; remove it, or use it for another run with --out",
        path = .0.display()
    )]
    Empty(PathBuf),
    /// A line of a log is malformed.
    #[error("`{path}` is damaged in line {line}: {what}", path = path.display())]
    Log {
        /// Path of the file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// Fault of the line.
        what: &'static str,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A log is too long to be held in memory.
    #[error(
        "`{path}` holds {values} values, more than fit into memory; measure for less than a day at a time",
        path = path.display()
    )]
    LongLog {
        /// Path of the file.
        path: PathBuf,
        /// Number of different latencies, summed over the intervals.
        values: usize,
    },
    /// The file names another schema.
    #[error("`{path}` has the schema `{found}`, where `{SCHEMA_1}` or `{SCHEMA}` is read", path = path.display())]
    Schema {
        /// Path of the file.
        path: PathBuf,
        /// Schema that it names.
        found: String,
    },
    /// `run.json` does not match its schema.
    #[error("`{path}` is damaged", path = path.display())]
    Run {
        /// Path of the file.
        path: PathBuf,
        /// Place and kind of the damage.
        source: serde_json::Error,
    },
}

/// Returns the error of a folder without a result.
pub(super) fn absent(folder: &Path) -> StoredError {
    let is_empty = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty {
        StoredError::Empty(folder.to_owned())
    } else {
        StoredError::Absent(folder.to_owned())
    }
}

/// Returns the error of a malformed line of a log.
pub(super) fn malformed(path: &Path, line: u64, what: &'static str) -> StoredError {
    StoredError::Log { path: path.to_owned(), line, what }
}
