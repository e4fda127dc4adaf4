//! Reasons why a running server is not found, or does not do what it is asked.

use std::path::PathBuf;

use hyper::StatusCode;

use crate::base::client::ClientError;
use crate::base::files::{ReadError, SecretFileError};

/// Reason why a running server is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunningError {
    /// No server was named, and none was found.
    #[error(
        "no server of yours runs on this machine; start `mintbench serve`, or name the folder of one with --data or MINTBENCH_DATA"
    )]
    NotFound,
    /// No server has written its addresses to the folder.
    #[error(
        "no server has the folder `{}`; start `mintbench serve --data {}`, or name the folder of one that runs with --data or MINTBENCH_DATA",
        .0.display(),
        .0.display()
    )]
    NoServer(PathBuf),
    /// The folder, or the secret in it, is not trusted.
    #[error(transparent)]
    Folder(#[from] SecretFileError),
    /// A file of the folder cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file of the folder is malformed.
    #[error("`{}` is not as a server writes it: {reason}; start the server again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The server of the folder does not answer.
    #[error("the server of `{}` does not answer; is it running?", folder.display())]
    Silent {
        /// The folder.
        folder: PathBuf,
        /// Cause of the error.
        source: ClientError,
    },
    /// A process of another user has the port. It would learn the admin secret.
    #[error(
        "another user ({user}) listens at {url}, where the server of `{}` was; start the server again",
        folder.display()
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// URL of the admin endpoint.
        url: String,
        /// The user of the process.
        user: u32,
    },
    /// Another server has the port.
    #[error("the server of `{}` has ended, and another one listens at {url}; name its folder", folder.display())]
    Replaced {
        /// The folder.
        folder: PathBuf,
        /// URL of the admin endpoint.
        url: String,
    },
    /// The server refused the request.
    #[error("{url} answers {status}: {}", text.trim_end())]
    Refused {
        /// URL of the request.
        url: String,
        /// Status of the answer.
        status: StatusCode,
        /// Text of the answer.
        text: String,
    },
    /// The runtime for requests cannot be started.
    #[error("cannot start the network of this process")]
    Runtime(#[source] std::io::Error),
}

impl RunningError {
    /// Returns true if there is no server, rather than one that is not understood or not trusted.
    pub(crate) const fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::NotFound | Self::NoServer(_) | Self::Replaced { .. } | Self::Silent { .. }
        )
    }
}
