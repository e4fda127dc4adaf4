//! Reasons why a server does not start.

use std::path::PathBuf;

use crate::base::files::ReadError;
use crate::base::process::MachineError;
use crate::cli::terminal::PrintError;
use crate::service::server::{
    CertificateError, DirectoryError, PlanError, ServerError, TooManyConnections,
};
use crate::service::world::archive::ArchiveError;
use crate::service::world::file;
use crate::service::world::seed::WorldError;

/// Environment variable with the log level.
pub(super) const LOG: &str = "MINTBENCH_LOG";

/// Reason why a server does not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    #[error("--clock needs --test-tools, because tokens and certificates follow the clock")]
    Clock,
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error("the system gives no random numbers")]
    Entropy,
    #[error(transparent)]
    Faults(#[from] PlanError),
    #[error(
        "`{path}` has no public key for signatures; write the JWK set of the issuer into it (RFC 7517)",
        path = .0.display()
    )]
    IssuerKeys(PathBuf),
    #[error(
        "{LOG}={0} is not understood; write error, warn, info, debug, trace or off, or a list such as mintbench::base::http=debug,info"
    )]
    Log(String),
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error(transparent)]
    Connections(#[from] TooManyConnections),
    #[error(transparent)]
    Print(#[from] PrintError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("the certificate authority `{path}` is refused", path = path.display())]
    TrustedIssuer { path: PathBuf, source: CertificateError },
    #[error("cannot start a thread for the log")]
    LogThread(#[source] std::io::Error),
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    #[error("stopped by a signal before the world file `{path}` was read", path = .0.display())]
    Stopped(PathBuf),
    #[error(transparent)]
    Synthetic(#[from] WorldError),
    #[error(transparent)]
    SeedWorld(#[from] ArchiveError),
    #[error(transparent)]
    WorldFile(#[from] file::WorldFileError),
}
