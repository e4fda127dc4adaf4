//! Reasons why a store accepts no changes, in words for operators and clients.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// A reason why no change can be stored. Reads of stored records go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Folder of the store.
    pub folder: PathBuf,
    /// The cause.
    pub cause: Cause,
}

/// Causes of a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The file's content is damaged: the engine cannot have written it.
    Damaged,
    /// The disk fails in another way.
    Disk(String),
    /// The file has reached the size limit of the process.
    FileSize,
    /// No space is left on the disk.
    Full,
    /// The open file is no longer the file in the folder.
    Lost,
    /// The disk quota is used up.
    Quota,
    /// The disk is mounted read-only.
    ReadOnly,
}

impl Fault {
    /// Returns true if only a restart can help.
    pub(super) fn is_final(&self) -> bool {
        self.cause == Cause::Damaged
    }
}

impl From<&io::Error> for Cause {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull => Self::Full,
            ErrorKind::QuotaExceeded => Self::Quota,
            ErrorKind::FileTooLarge => Self::FileSize,
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Disk(error.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        f.write_str("the store cannot be written: ")?;
        match &self.cause {
            Cause::Damaged => write!(
                f,
                "its file is damaged; stop the server and run `mintbench store check {folder}`"
            ),
            Cause::Disk(error) => write!(f, "the disk of `{folder}` fails: {error}"),
            Cause::FileSize => write!(
                f,
                "the file in `{folder}` has reached the size limit of the process; raise it (`prlimit --fsize`)"
            ),
            Cause::Full => write!(f, "no space left on the disk of `{folder}`"),
            Cause::Lost => write!(
                f,
                "the file in `{folder}` was removed or replaced while the server had it open; put it back, or stop the server and restore a backup"
            ),
            Cause::Quota => write!(f, "the disk quota for `{folder}` is used up"),
            Cause::ReadOnly => write!(f, "the disk of `{folder}` is mounted read-only"),
        }
    }
}

impl std::error::Error for Fault {}
