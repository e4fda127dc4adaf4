//! Flag for the permissions of files with secrets, the same for every command.

use clap::Args;

use crate::base::files::GroupRead;

/// Requirements on the permissions of files that hold secrets.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct SecretFiles {
    /// Trust the group of secret files and of the data folder, as mounted by Kubernetes (fsGroup); others are never trusted
    #[arg(long, global = true, env = "MINTBENCH_ALLOW_GROUP_READ")]
    allow_group_read: bool,
}

impl SecretFiles {
    /// Tells if the group of such files is trusted.
    pub(super) const fn group(self) -> GroupRead {
        if self.allow_group_read { GroupRead::Allowed } else { GroupRead::Refused }
    }
}
