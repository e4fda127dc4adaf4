//! Where records are kept: a commit makes a change durable, a replay brings everything back.
//!
//! The trait is cut so that a key-value engine with a watch (NATS `JetStream`, etcd) could stand behind
//! it: every change gets a revision, the store keeps the last record of each key with the revision
//! that wrote it, and a commit made against an older state is an error, not an overwrite.

mod fault;
mod memory;
mod redb;

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::files::SecretFileError;
use crate::world::record::{Change, Record};

pub use fault::{Cause, Fault};
pub use memory::MemoryStore;
pub use redb::{Checkup, FolderOptions, NewStore, RedbStore};

/// Counts changes since the store was made; 0 is the empty store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How records are written. A build reads its own format and older ones, and commits in its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Format(pub u64);

impl Format {
    /// The format that this build writes. It grows when an older build would misread a record.
    pub const CURRENT: Self = Self(2);
    /// The oldest format that this build reads. In format 1 no address of a former VM was stored, and the
    /// only VM needed none.
    pub const OLDEST: Self = Self(1);
}

/// Why a store does not do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The state is not the one that the change was planned on.
    #[error(
        "the store is at revision {found}, not {expected}; read it again and repeat the change"
    )]
    Conflict {
        /// The revision that the change was planned on.
        expected: Revision,
        /// The revision of the store.
        found: Revision,
    },
    /// A record was changed by something else than this program, or it is not stored as it should be.
    #[error("record `{}` in the store is damaged: {defect}; restore the folder from a backup", .key.escape_debug())]
    Damaged {
        /// The text under which the record is stored.
        key: String,
        /// What is wrong with it.
        defect: Defect,
    },
    /// The storage engine failed.
    #[error("the storage engine failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file system does not do what is needed.
    #[error("cannot {action} `{path}`")]
    File {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is a store of another build.
    #[error(
        "`{path}` was written by format {found}; this build reads formats up to {known}: use the build that wrote it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u64,
        /// The format of this build.
        known: u64,
    },
    /// Others can write in the folder, or read what is in it.
    #[error(transparent)]
    Exposed(#[from] SecretFileError),
    /// Another process has the store open.
    #[error("another mintbench serves from `{folder}`; stop it or name another folder")]
    InUse {
        /// The folder of the store.
        folder: PathBuf,
    },
    /// The store is gone, and what a start made beside it is still there.
    #[error(
        "`{file}` is missing, but `{beside}` shows that `{folder}` held a store; restore the file from a backup; to begin a new world, remove the folder or name another one"
    )]
    Missing {
        /// The file of the store.
        file: &'static str,
        /// A file that a start made beside it.
        beside: String,
        /// The folder.
        folder: PathBuf,
    },
    /// The file is a database of something else, or it was never finished.
    #[error("`{path}` is not a store of mintbench; name another folder")]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The storage engine cannot read the file.
    #[error(
        "the store in `{folder}` cannot be read; restore the folder from a backup; `mintbench store check {folder}` tells what is lost",
        folder = .folder.display()
    )]
    Unreadable {
        /// The folder of the store.
        folder: PathBuf,
        /// What the engine says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No change can be stored now. What was committed before is kept. A commit that failed on the way may
    /// be there or not: [`Store::recover`] tells.
    #[error(transparent)]
    Unwritable(#[from] Fault),
}

/// What is wrong with a stored record. Says where, never what is there: that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// It is newer than the store.
    #[error("revision {record} wrote it, but the store is at {store} only")]
    Ahead {
        /// The revision that wrote it.
        record: Revision,
        /// The revision of the store.
        store: Revision,
    },
    /// It is not what was written.
    #[error("its checksum is wrong")]
    Checksum,
    /// It is not the JSON of a record.
    #[error("it is not the JSON of a record, from byte {column} on")]
    Json {
        /// Counted from 1.
        column: usize,
    },
    /// There is a revision that wrote it, and no record.
    #[error("revision {0} wrote it, but it is not there")]
    Missing(Revision),
    /// It is the record of another key.
    #[error("it is the record of `{}`", .0.escape_debug())]
    Misplaced(String),
    /// The revision that it names is not known for having written it.
    #[error("it names revision {0}, which did not write it")]
    Revision(Revision),
}

/// Keeps records.
pub trait Store: Send + Sync + fmt::Debug {
    /// Makes all of `changes` durable, or none: each gets the next revision. The new revision of the
    /// store is returned once a crash can no longer undo it.
    ///
    /// # Errors
    /// `Conflict` when the store is no longer at `expected`; then nothing was changed. `Unwritable` when the
    /// disk or the file fails; then all of the changes are there or none, and the next commit tries again.
    fn commit(&self, expected: Revision, changes: &[Change]) -> Result<Revision, StoreError>;

    /// Hands out every record that is there, in the order of the revisions that wrote them, and says
    /// which revision the store is at.
    ///
    /// # Errors
    /// When a record cannot be read; what was handed out before is then not the whole.
    fn replay(&self, each: &mut dyn FnMut(Record)) -> Result<Revision, StoreError>;

    /// The format of the store when it was opened.
    fn format(&self) -> Format;

    /// Whether changes can be stored, as far as can be told without storing one.
    ///
    /// # Errors
    /// What is wrong.
    fn health(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Tries to write again after a failure, and returns the revision that the store is at.
    ///
    /// # Errors
    /// `Unwritable` while the fault lasts.
    fn recover(&self) -> Result<Revision, StoreError> {
        self.replay(&mut |_| {})
    }
}
