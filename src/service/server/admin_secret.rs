//! Secret of the admin endpoint, and the file from which authorised users read it.
//!
//! A data folder keeps it. Without one, it is in a private folder, which is removed when the server stops.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::base::files;
use crate::base::files::{Clients, GroupRead, SecretFileError, private_folder, read_secret};
use crate::base::secret::Redacted;

/// Name of the file.
pub(super) const FILE: &str = "admin.secret";

/// Longest accepted file, in bytes.
const BYTES_MAX: u64 = 4096;
/// Shortest secret. If its characters are random, guessing is hopeless.
const CHARS_MIN: usize = 32;

/// Reasons why there is no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminSecretError {
    /// The file in the data folder cannot be used.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// The secret is too short, or cannot be sent in a header.
    #[error(
        "`{path}` holds no secret for the admin endpoint; write {CHARS_MIN} or more letters and digits into it, or remove it to have it made anew",
        path = path.display()
    )]
    Malformed {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write `{path}`", path = path.display())]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
}

/// The secret, and the file that holds it.
#[derive(Debug)]
pub(super) struct AdminSecret {
    pub(super) secret: Redacted,
    /// Path of the file; `None` if none could be written.
    pub(super) file: Option<PathBuf>,
    /// Private folder, removed when this value is dropped.
    folder: Option<TempDir>,
}

impl AdminSecret {
    /// Returns the secret in the data folder. If there is none, writes `fresh`, a new random secret, there.
    pub(super) fn kept(
        folder: &Path,
        fresh: &Redacted,
        group: GroupRead,
    ) -> Result<Self, AdminSecretError> {
        let path = folder.join(FILE);
        let text = match read_secret(&path, BYTES_MAX, group) {
            Err(error) if error.is_missing() => {
                let write = |source| AdminSecretError::Write { path: path.clone(), source };
                write_secret(&path, fresh).map_err(write)?;
                fresh.clone()
            }
            read => read?,
        };
        let secret = text.expose().trim_ascii();
        if secret.len() < CHARS_MIN || !secret.iter().all(u8::is_ascii_graphic) {
            return Err(AdminSecretError::Malformed { path });
        }
        Ok(Self { secret: Redacted::new(secret.to_vec()), file: Some(path), folder: None })
    }

    /// Returns the secret of a server without a data folder. The server starts even if nothing can be
    /// written; then nobody can change anything at the admin endpoint.
    pub(super) fn passing(secret: Redacted, clients: Clients) -> Self {
        match private_folder(clients, |folder| write_secret(&folder.join(FILE), &secret)) {
            Ok(folder) => {
                Self { secret, file: Some(folder.path().join(FILE)), folder: Some(folder) }
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the secret of the admin endpoint cannot be written, so nobody can change anything there; give --data, or set TMPDIR to a folder that can be written"
                );
                Self { secret, file: None, folder: None }
            }
        }
    }

    /// Returns the private folder of a server without a data folder, if there is one.
    pub(super) fn private_folder(&self) -> Option<&Path> {
        self.folder.as_ref().map(TempDir::path)
    }
}

fn write_secret(path: &Path, secret: &Redacted) -> io::Result<()> {
    let line = Redacted::new([secret.expose(), b"\n"].concat());
    files::replace(path, 0o600, line.expose())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn fresh(byte: u8) -> Redacted {
        Redacted::new(vec![byte; 43])
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_keeps_its_secret_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let kept = |byte| AdminSecret::kept(folder.path(), &fresh(byte), GroupRead::Refused);
        let first = kept(b'a').unwrap();
        assert_eq!(first.secret, fresh(b'a'));
        assert_eq!(kept(b'b').unwrap().secret, first.secret);
        let file = folder.path().join(FILE);
        assert_eq!((first.file, mode(&file)), (Some(file.clone()), 0o600));
        for wrong in ["", "short", &"with blanks ".repeat(5), &"ü".repeat(40)] {
            fs::write(&file, wrong).unwrap();
            let said = kept(b'c').unwrap_err().to_string();
            assert!(said.contains("remove it"), "{said}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let said = kept(b'c').unwrap_err().to_string();
        assert!(said.contains("chmod 600"), "{said}");
    }

    #[test]
    fn a_secret_that_is_not_kept_is_in_a_private_folder_that_goes_with_it() {
        let passing = AdminSecret::passing(fresh(b'a'), Clients::Parent);
        let file = passing.file.clone().unwrap();
        assert_eq!(fs::read(&file).unwrap().trim_ascii(), fresh(b'a').expose());
        let folder = file.parent().unwrap().to_owned();
        assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
        drop(passing);
        assert!(!folder.exists());
    }
}
