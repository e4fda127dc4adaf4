//! Reasons why a world is not exported, imported, compared or valid.

use std::io;
use std::path::PathBuf;

use crate::base::files::ReadError;
use crate::cli::exit::Exit;
use crate::cli::running::RunningError;
use crate::cli::terminal::PrintError;
use crate::service::directory::DirectoryError;
use crate::service::world::archive::ArchiveError;

/// Reason why a command on a world failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorldError {
    /// The file is no world.
    #[error("`{path}` is no world", path = path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// The faults.
        source: ArchiveError,
    },
    /// A record of the file names something that is not there.
    #[error("`{path}` is no world", path = path.display())]
    Dangling {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: DirectoryError,
    },
    /// The server sent something that is no world.
    #[error("the server sends a world that this build does not read")]
    Foreign(#[source] ArchiveError),
    /// A record cannot be written as JSON.
    #[error("cannot write the world as JSON")]
    Json(#[from] serde_json::Error),
    /// The result is lost.
    #[error(transparent)]
    Print(#[from] PrintError),
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The server is of no use, or refuses.
    #[error(transparent)]
    Running(#[from] RunningError),
    /// The file cannot be written.
    #[error("cannot write `{path}`", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
}

impl WorldError {
    /// Returns the exit code: 1 when a world or a server is at fault, 2 when the command line or a file is.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Archive { .. } | Self::Dangling { .. } | Self::Foreign(_) | Self::Running(_) => {
                Exit::Failed
            }
            Self::Json(_) | Self::Print(_) | Self::Read(_) | Self::Write { .. } => Exit::Usage,
        }
    }
}
