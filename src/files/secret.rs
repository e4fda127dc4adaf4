//! Secrets in files: who else can read them.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::read::{ReadError, open, read_open};
use crate::secret::Redacted;

/// Whether the group of a secret file may read it, as it does where a container mounts secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupRead {
    /// Only the owner may.
    #[default]
    Refused,
    /// The group may as well.
    Allowed,
}

/// Why a secret is not read from a file.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file is not read at all.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Others can read it, or change it.
    #[error(
        "`{path}` holds a secret, and its permissions are {mode:03o}: others can read or change it; run `chmod 600 {path}`{group}",
        path = path.display(),
        group = if *mode & 0o027 == 0 { ", or say --allow-group-read" } else { "" }
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// Reads a secret of at most `limit` bytes that others can neither read nor change. A pipe is not asked: nobody
/// else can read from it what arrives here.
///
/// # Errors
/// See [`SecretFileError`].
pub fn read_secret(path: &Path, limit: u64, group: GroupRead) -> Result<Redacted, SecretFileError> {
    let file = open(path)?;
    let system = |source: io::Error| ReadError::System { path: path.to_owned(), source };
    let found = file.metadata().map_err(system)?;
    let mode = found.mode() & 0o777;
    let allowed = match group {
        GroupRead::Refused => 0o700,
        GroupRead::Allowed => 0o740,
    };
    if found.is_file() && mode & !allowed != 0 {
        return Err(SecretFileError::Exposed { path: path.to_owned(), mode });
    }
    Ok(Redacted::new(read_open(file, path, limit)?))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_that_others_can_read_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "secret").unwrap();
        let read = |mode: u32, group| {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            read_secret(&file, 100, group).map_err(|error| error.to_string())
        };
        for (mode, group) in
            [(0o600, GroupRead::Refused), (0o400, GroupRead::Refused), (0o440, GroupRead::Allowed)]
        {
            assert_eq!(read(mode, group).unwrap().expose(), b"secret", "{mode:o}");
        }
        for (mode, group) in
            [(0o640, GroupRead::Refused), (0o644, GroupRead::Allowed), (0o620, GroupRead::Allowed)]
        {
            let refused = read(mode, group).unwrap_err();
            assert!(refused.contains("chmod 600"), "{mode:o}: {refused}");
            assert_eq!(refused.contains("--allow-group-read"), mode == 0o640, "{refused}");
        }
    }
}
