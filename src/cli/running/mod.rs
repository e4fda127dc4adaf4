//! A running server, as its clients on this machine find it: by the folder in which it keeps its addresses,
//! its authority and its admin secret.

mod error;
mod folder;
pub(super) mod health;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

pub(super) use self::error::RunningError;
pub(super) use self::folder::{Answer, Running, limits};
use super::secret_files::SecretFiles;
use crate::base::files::{GroupRead, private_folders};

/// Arguments that name a running server.
#[derive(Clone, Debug, Args)]
pub(super) struct RunningArgs {
    /// Data folder of the server: the value of `mintbench serve --data` [default: mintbench-data if its server runs, else your newest server without a data folder]
    #[arg(long, value_name = "DIR", env = "MINTBENCH_DATA")]
    pub(super) data: Option<PathBuf>,
    #[command(flatten)]
    pub(super) secret_files: SecretFiles,
}

/// Longest wait for a server that may run.
pub(super) const FOUND_WITHIN: Duration = Duration::from_secs(2);

/// Data folder that is tried first if none is named, as by the other client commands.
pub(super) const USUAL: &str = "mintbench-data";

impl RunningArgs {
    /// Finds the server, which answers within `timeout`.
    ///
    /// # Errors
    /// Returns an error when there is no server, or when the named one does not answer.
    pub(super) fn find(&self, timeout: Duration) -> Result<Running, RunningError> {
        let group = self.secret_files.group();
        if let Some(folder) = &self.data {
            return answering(folder, group, timeout);
        }
        let usual = answering(Path::new(USUAL), group, timeout);
        usual.or_else(|error| {
            newest_answering(group, timeout).ok_or(match error {
                RunningError::NoServer(_) => RunningError::NotFound,
                error => error,
            })
        })
    }
}

/// Returns the folder of the user's newest server without a data folder.
pub(super) fn newest(group: GroupRead) -> Option<PathBuf> {
    newest_answering(group, FOUND_WITHIN).map(|running| running.folder().to_owned())
}

fn newest_answering(group: GroupRead, timeout: Duration) -> Option<Running> {
    private_folders().iter().find_map(|folder| answering(folder, group, timeout).ok())
}

fn answering(folder: &Path, group: GroupRead, timeout: Duration) -> Result<Running, RunningError> {
    let running = Running::of(folder, group)?;
    running.is_up(timeout).map(|()| running)
}
