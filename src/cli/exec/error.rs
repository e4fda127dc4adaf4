//! Reasons why a program does not run.

use std::io;

use crate::cli::running::RunningError;
use crate::harness::session::serve_process::ServeError;

/// Reason why the program does not run, or its end is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExecError {
    /// No server was started for the program.
    #[error("no server can be started for the program")]
    Broker(#[from] ServeError),
    /// `ip` refused to set up the namespace.
    #[error("`ip {command}` failed: {said}")]
    Ip {
        /// Arguments of the command.
        command: String,
        /// Its message.
        said: String,
    },
    /// The system gives no network namespace.
    #[error(
        "--netns needs the rights of root on Linux; leave it out for SDKs that follow the variables"
    )]
    Namespace(#[source] io::Error),
    /// The program cannot be started.
    #[error("cannot run `{program}`")]
    Program {
        /// The program.
        program: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The server that runs is of no use.
    #[error(transparent)]
    Running(#[from] RunningError),
    /// The system lets nobody catch signals.
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    /// The end of the program cannot be awaited.
    #[error("cannot wait for the program")]
    Wait(#[source] io::Error),
}

/// Error of flags that name two servers: one that runs, and one for the program.
#[derive(Debug, thiserror::Error)]
#[error("--data names a server that runs, and --{0} starts another one; leave one of them out")]
pub(crate) struct TwoServers(pub(super) &'static str);

impl ExecError {
    /// Returns the exit code, as that of a shell.
    pub(crate) fn code(&self) -> i32 {
        match self {
            Self::Program { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Program { .. } => 126,
            _ => 2,
        }
    }
}
