//! Reads a result folder: `run.json` and the three interval logs.
//!
//! A folder without `run.json` comes from a run that did not end; its logs are valid up to that point.
//! Folders come from other machines, so no file content may make the reader panic or take unbounded
//! memory.

pub(crate) mod digest;
mod error;
pub mod log;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use self::error::StoredError;
use self::error::absent;
pub use self::log::Log;
use crate::base::files;
use crate::base::files::RESULT_BYTES_MAX;
use crate::harness::document::run::{Run, SCHEMA, SCHEMA_1};

/// Result folder in memory.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Path of the folder.
    pub path: PathBuf,
    /// Contents of `run.json`; none if the run did not end.
    pub run: Option<Run>,
    /// Response times: ends minus intended starts.
    pub response: Log,
    /// Service times: ends minus writes.
    pub service: Log,
    /// Lateness of the generator.
    pub lag: Log,
}

impl Stored {
    /// Reads a folder.
    ///
    /// # Errors
    /// Returns [`StoredError`], which names the file and its fault.
    pub fn read(path: &Path) -> Result<Self, StoredError> {
        let run = read_run(path)?;
        if run.is_none() && !path.join("response.hlog").exists() {
            return Err(absent(path));
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

    /// Returns true if the run ended and its logs are whole.
    pub fn is_complete(&self) -> bool {
        self.run.is_some() && [&self.response, &self.service, &self.lag].iter().all(|l| !l.head.cut)
    }
}

/// Reads the `run.json` of a folder, of this version or the one before, if there is one.
///
/// # Errors
/// Returns [`StoredError`] when there is a file that cannot be read.
pub fn read_run(folder: &Path) -> Result<Option<Run>, StoredError> {
    let path = folder.join("run.json");
    match files::read(&path, RESULT_BYTES_MAX) {
        Err(error) if error.is_missing() => Ok(None),
        text => parse_run(&path, &text?).map(Some),
    }
}

/// Parses the text of the `run.json` at `path`, of this version or the one before.
///
/// # Errors
/// Returns [`StoredError`] when the text is no run.
pub(crate) fn parse_run(path: &Path, text: &[u8]) -> Result<Run, StoredError> {
    /// The schema name alone, so that a file of another schema is not called damaged.
    #[derive(serde::Deserialize)]
    struct Named {
        schema: String,
    }

    let damaged = |source| StoredError::Run { path: path.to_owned(), source };
    let Named { schema } = serde_json::from_slice(text).map_err(damaged)?;
    if ![SCHEMA, SCHEMA_1].contains(&schema.as_str()) {
        return Err(StoredError::Schema { path: path.to_owned(), found: schema });
    }
    serde_json::from_slice(text).map_err(damaged)
}
