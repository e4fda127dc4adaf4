//! Reads a result folder back: `run.json` and the three interval logs.
//!
//! A folder without `run.json` is of a run that did not end; its logs are good up to there.
//! Nothing in a file can make the reader panic or take memory without bound: folders come from
//! other machines.

pub mod log;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use self::log::Log;
use crate::document::run::{Run, SCHEMA};
use crate::files::{self, RESULT_BYTES_MAX, ReadError};

/// Why a result folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The folder holds no result.
    #[error(
        "`{path}` is no result folder: it has neither run.json nor response.hlog; name a folder that `mintbench run` or `mintbench merge` wrote",
        path = .0.display()
    )]
    Absent(PathBuf),
    /// A line of a log is malformed.
    #[error("`{path}` is damaged in line {line}: {what}", path = path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong with the line.
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
        /// The file.
        path: PathBuf,
        /// How many different latencies there are, counted in each of its intervals.
        values: usize,
    },
    /// The file says that it is something else.
    #[error("`{path}` has the schema `{found}`, where `{SCHEMA}` is read", path = path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// `run.json` is not what its schema says.
    #[error("`{path}` is damaged", path = path.display())]
    Run {
        /// The file.
        path: PathBuf,
        /// Where and how.
        source: serde_json::Error,
    },
}

fn malformed(path: &Path, line: u64, what: &'static str) -> StoredError {
    StoredError::Log { path: path.to_owned(), line, what }
}

/// A result folder in memory.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where it is.
    pub path: PathBuf,
    /// None of a run that did not end.
    pub run: Option<Run>,
    /// Ends minus intended starts.
    pub response: Log,
    /// Ends minus writes.
    pub service: Log,
    /// How late the generator acted.
    pub lag: Log,
}

impl Stored {
    /// Reads a folder.
    ///
    /// # Errors
    /// [`StoredError`] names the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, StoredError> {
        let run = read_run(path)?;
        if run.is_none() && !path.join("response.hlog").exists() {
            return Err(StoredError::Absent(path.to_owned()));
        }
        let log = |name: &str| Log::read(&path.join(name));
        Ok(Self {
            path: path.to_owned(),
            run,
            response: log("response.hlog")?,
            service: log("service.hlog")?,
            lag: log("lag.hlog")?,
        })
    }

    /// Whether the run ended and its files are whole.
    pub fn is_complete(&self) -> bool {
        self.run.is_some() && [&self.response, &self.service, &self.lag].iter().all(|l| !l.head.cut)
    }
}

/// Reads the `run.json` of a folder, if it has one.
///
/// # Errors
/// [`StoredError`] when there is one that cannot be read.
pub fn read_run(folder: &Path) -> Result<Option<Run>, StoredError> {
    /// The name alone, so that another schema is named and not called damaged.
    #[derive(serde::Deserialize)]
    struct Named {
        schema: String,
    }

    let path = folder.join("run.json");
    let text = match files::read(&path, RESULT_BYTES_MAX) {
        Err(error) if error.is_missing() => return Ok(None),
        read => read?,
    };
    let damaged = |source| StoredError::Run { path: path.clone(), source };
    let Named { schema } = serde_json::from_slice(&text).map_err(damaged)?;
    if schema != SCHEMA {
        return Err(StoredError::Schema { path, found: schema });
    }
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}
