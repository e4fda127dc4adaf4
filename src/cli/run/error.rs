//! Failures of a run, and their exit codes.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::result_paths;
use super::spec::FlagError;
use crate::cli::exit::{Exit, print_error};
use crate::cli::report::WriteError;
use crate::cli::signals;
use crate::cli::target::TargetError;
use crate::cli::terminal::PrintError;
use crate::harness::judge::failure::Failure;
use crate::harness::report::folder::FolderError;
use crate::harness::report::folder::out_folder::OutFolderError;
use crate::harness::scenario::spec::{ScenarioError, SpecError};
use crate::harness::session::error::SessionError;

/// Failure of a run.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error("the run was cut short; the intervals until then are in `{path}`; draw them with `{command}`", path = path.display(), command = result_paths::report_command(path))]
    Cut { path: PathBuf, source: SessionError },
    #[error(transparent)]
    Files(WriteError),
    #[error(transparent)]
    Flags(#[from] FlagError),
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("cannot serve metrics at {address}; choose another with --metrics")]
    Metrics { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Out(#[from] OutFolderError),
    #[error(transparent)]
    Print(#[from] PrintError),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("cannot write `{path}`; choose another folder with --out", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the result is stored, but not all that was asked for beside it")]
    Written(#[source] WriteError),
    #[error("the target gives wrong answers: {0}")]
    Wrong(Failure),
}

impl RunError {
    /// Returns true if the target failed, and not the attempt to measure it.
    pub(super) const fn blames_target(&self) -> bool {
        matches!(
            self,
            Self::Wrong(_)
                | Self::Cut { source: SessionError::Counters(_) | SessionError::Died(_), .. }
                | Self::Session(SessionError::Counters(_) | SessionError::Died(_))
        )
    }

    /// Ends an interrupted run. Most failures at this point come from the interrupt.
    pub(super) fn interrupted(&self) -> Exit {
        if let Self::Cut { .. } | Self::Folder(_) | Self::Print(_) | Self::Written(_) = self {
            print_error(self);
            return Exit::Interrupted;
        }
        signals::interrupted("no request of the measured part had ended, so nothing was measured")
    }
}
