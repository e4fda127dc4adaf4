//! Reasons why a store refuses a request, and defects of its records.

use std::io;
use std::path::PathBuf;

use super::fault::Fault;
use super::revision::Revision;
use crate::base::files::SecretFileError;

/// Reasons why a store refuses a request.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The change was planned on another state than the store's.
    #[error(
        "the store is at revision {found}, not {expected}; read it again and repeat the change"
    )]
    Conflict {
        /// Revision that the change was planned on.
        expected: Revision,
        /// Revision of the store.
        found: Revision,
    },
    /// A record is not stored correctly, or another program changed it.
    #[error("record `{}` in the store is damaged: {defect}; restore the folder from a backup", .key.escape_debug())]
    Damaged {
        /// Key text of the record.
        key: String,
        /// The defect.
        defect: Defect,
    },
    /// The storage engine failed.
    #[error("the storage engine failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file system failed.
    #[error("cannot {action} `{path}`")]
    File {
        /// The failed action.
        action: &'static str,
        /// Path that it was applied to.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// The file has a format that this build cannot read.
    #[error(
        "`{path}` was written by format {found}; this build reads formats up to {known}: use the build that wrote it"
    )]
    Format {
        /// Path of the file.
        path: PathBuf,
        /// Format of the file.
        found: u64,
        /// Format of this build.
        known: u64,
    },
    /// Others can write in the folder, or read files in it.
    #[error(transparent)]
    Exposed(#[from] SecretFileError),
    /// Another process has the store open.
    #[error("another mintbench serves from `{folder}`; stop it or name another folder")]
    InUse {
        /// Folder of the store.
        folder: PathBuf,
    },
    /// The store is gone, but files that a start wrote next to it still exist.
    #[error(
        "`{file}` is missing, but `{trace}` shows that `{folder}` held a store; restore the file from a backup; to begin a new world, remove the folder or name another one"
    )]
    Missing {
        /// File of the store.
        file: &'static str,
        /// File that a start wrote next to it.
        trace: String,
        /// Folder of the store.
        folder: PathBuf,
    },
    /// The file is another program's database, or its creation was never finished.
    #[error("`{path}` is not a store of mintbench; name another folder")]
    NotAStore {
        /// Path of the file.
        path: PathBuf,
    },
    /// The storage engine cannot read the file.
    #[error(
        "the store in `{folder}` cannot be read; restore the folder from a backup; `mintbench store check {folder}` tells what is lost",
        folder = .folder.display()
    )]
    Unreadable {
        /// Folder of the store.
        folder: PathBuf,
        /// Error of the engine.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No change can be stored now. Earlier commits are kept. The failed commit may be stored or not:
    /// [`Store::recover`](super::Store::recover) finds out.
    #[error(transparent)]
    Unwritable(#[from] Fault),
}

/// A defect of a stored record. Names the position but never the content, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// A later revision than the store's wrote the record.
    #[error("revision {record} wrote it, but the store is at {store} only")]
    Ahead {
        /// Revision that wrote the record.
        record: Revision,
        /// Revision of the store.
        store: Revision,
    },
    /// The record's bytes differ from those that were written.
    #[error("its checksum is wrong")]
    Checksum,
    /// The bytes are not the JSON of a record.
    #[error("it is not the JSON of a record, from byte {column} on")]
    Json {
        /// Position of the error in bytes, from 1.
        column: usize,
    },
    /// A revision wrote the record, but it is missing.
    #[error("revision {0} wrote it, but it is not there")]
    Missing(Revision),
    /// The record belongs to another key.
    #[error("it is the record of `{}`", .0.escape_debug())]
    Misplaced(String),
    /// The record names a revision that did not write it.
    #[error("it names revision {0}, which did not write it")]
    Revision(Revision),
}
