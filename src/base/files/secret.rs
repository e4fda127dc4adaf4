//! Secrets in files, and the check that no other user can read or change them.
//!
//! The check applies to the file at the end of all links, because Kubernetes mounts secrets as links. Its
//! owner must be this user or root. Other users who can write in its folder can put their own files there,
//! but not files that this user owns.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use super::read::{ReadError, open, read, read_open};
use crate::base::secret::Redacted;

/// Trust in the group of a secret file. Kubernetes mounts volumes for a group.
///
/// Read permission alone is dangerous: whoever can read a private key can sign in as its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupRead {
    /// Only the owner is trusted.
    #[default]
    Refused,
    /// The group is trusted like the owner.
    Allowed,
}

impl GroupRead {
    /// Returns the permission bits of users who are not trusted.
    const fn of_others(self) -> u32 {
        match self {
            Self::Refused => 0o077,
            Self::Allowed => 0o007,
        }
    }
}

const WRITE: u32 = 0o222;
const ENTER: u32 = 0o111;

/// Reason why a secret in a file, or a folder of secrets, is not used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Others can read or change the file.
    #[error(
        "others can read or change the secret in `{path}` (its mode is {mode:04o}); run `chmod {} {}`{}",
        if *group == GroupRead::Refused { "600" } else { "o-rwx" },
        shell_word(path),
        flag(*mode & GroupRead::Allowed.of_others()),
        path = path.display(),
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Trust in its group.
        group: GroupRead,
    },
    /// Others can put their own files in the folder.
    #[error(
        "others can write in the folder `{path}` (its mode is {mode:04o}); run `chmod go-w {}`, or name a new folder in it{}",
        shell_word(path),
        flag(*mode & GroupRead::Allowed.of_others() & WRITE),
        path = path.display(),
    )]
    Writable {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file or folder belongs neither to this user nor to root.
    #[error(
        "`{path}` belongs to another user ({owner}) than this process ({user}); run `chown {user} {}`, or run mintbench as its owner",
        shell_word(path),
        path = path.display(),
    )]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// The id of its owner.
        owner: u32,
        /// The effective user id of this process.
        user: u32,
    },
}

impl SecretFileError {
    /// Returns true if the file does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Read(error) if error.is_missing())
    }
}

/// Reads a secret of at most `limit` bytes that others can neither read nor change. A pipe is not checked:
/// nobody else can read the bytes that arrive here.
///
/// # Errors
/// See [`SecretFileError`].
pub(crate) fn read_secret(
    path: &Path,
    limit: u64,
    group: GroupRead,
) -> Result<Redacted, SecretFileError> {
    let file = open(path)?;
    let found = file.metadata().map_err(unread(path))?;
    if found.is_file() {
        check(path, &found, group)?;
    }
    Ok(Redacted::new(read_open(file, path, limit)?))
}

/// Reads a secret from a file that a user has created, like [`read_secret`]. Its permissions do not matter in
/// a folder that nobody else can enter.
///
/// # Errors
/// See [`SecretFileError`].
pub(crate) fn read_given_secret(
    path: &Path,
    limit: u64,
    group: GroupRead,
) -> Result<Redacted, SecretFileError> {
    read_secret(path, limit, group).or_else(|error| match error {
        SecretFileError::Exposed { .. } if is_closed_in(path, group) => {
            Ok(Redacted::new(read(path, limit)?))
        }
        error => Err(error),
    })
}

/// Returns true if only trusted users can enter the folder of the file, at the end of all links.
fn is_closed_in(path: &Path, group: GroupRead) -> bool {
    let Ok(file) = fs::canonicalize(path) else { return false };
    let folder = file.parent().and_then(|folder| Some((folder, fs::metadata(folder).ok()?)));
    folder.is_some_and(|(path, found)| {
        check_owner(path, &found).is_ok() && found.mode() & group.of_others() & ENTER == 0
    })
}

/// Checks that others can neither read nor change a secret file that other code reads.
///
/// # Errors
/// See [`SecretFileError`].
pub(crate) fn check_secret(path: &Path, group: GroupRead) -> Result<(), SecretFileError> {
    check(path, &fs::metadata(path).map_err(unread(path))?, group)
}

/// Checks that others cannot put their own files in a folder of secrets. The other files in the folder are
/// not checked one by one, and any user may own them.
///
/// # Errors
/// See [`SecretFileError`].
pub(crate) fn check_folder(path: &Path, group: GroupRead) -> Result<(), SecretFileError> {
    let found = fs::metadata(path).map_err(unread(path))?;
    check_owner(path, &found)?;
    let mode = found.mode() & 0o7777;
    if mode & group.of_others() & WRITE == 0 {
        return Ok(());
    }
    Err(SecretFileError::Writable { path: path.to_owned(), mode })
}

fn check(path: &Path, found: &Metadata, group: GroupRead) -> Result<(), SecretFileError> {
    check_owner(path, found)?;
    let mode = found.mode() & 0o7777;
    if mode & group.of_others() == 0 {
        return Ok(());
    }
    Err(SecretFileError::Exposed { path: path.to_owned(), mode, group })
}

fn check_owner(path: &Path, found: &Metadata) -> Result<(), SecretFileError> {
    let (owner, user) = (found.uid(), geteuid().as_raw());
    if owner == user || owner == 0 {
        return Ok(());
    }
    Err(SecretFileError::Foreign { path: path.to_owned(), owner, user })
}

fn unread(path: &Path) -> impl FnOnce(io::Error) -> ReadError {
    let path = path.to_owned();
    move |source| ReadError::System { path, source }
}

/// Returns the hint at the flag that helps if only the group is refused.
const fn flag(of_others: u32) -> &'static str {
    if of_others == 0 { ", or add --allow-group-read if you trust its group" } else { "" }
}

/// Returns the path as a word of a shell command.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "/._-+@%:,=".contains(char);
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::GroupRead::{Allowed, Refused};
    use super::*;

    fn give(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_secret_that_others_can_read_or_change_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a key");
        fs::write(&file, "secret").unwrap();
        // Through a link, as in a volume of Kubernetes.
        let link = folder.path().join("link");
        symlink("a key", &link).unwrap();
        let read = |mode: u32, group| {
            give(&file, mode);
            let checked = check_secret(&link, group).is_ok();
            let read = read_secret(&link, 100, group);
            assert_eq!(checked, read.is_ok(), "{mode:o}");
            read.map_err(|error| error.to_string())
        };
        for (mode, group) in
            [(0o600, Refused), (0o400, Refused), (0o440, Allowed), (0o660, Allowed)]
        {
            assert_eq!(read(mode, group).unwrap().expose(), b"secret", "{mode:o}");
        }
        let fix = format!("`chmod 600 {}`", link.display());
        for mode in [0o640, 0o620, 0o660, 0o610] {
            let refused = read(mode, Refused).unwrap_err();
            assert!(
                refused.contains(&fix) && refused.contains(&format!("{mode:04o}")),
                "{refused}"
            );
            assert!(refused.contains("--allow-group-read"), "{refused}");
        }
        for mode in [0o644, 0o602, 0o604, 0o777] {
            let refused = read(mode, Refused).unwrap_err();
            assert!(refused.contains(&fix) && !refused.contains("allow-group"), "{refused}");
            let refused = read(mode, Allowed).unwrap_err();
            assert!(refused.contains("`chmod o-rwx "), "{refused}");
        }
    }

    #[test]
    fn a_given_secret_is_taken_from_a_folder_that_nobody_else_can_enter() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("key"), folder.path().join("link"));
        fs::write(&file, "secret").unwrap();
        give(&file, 0o644);
        symlink("key", &link).unwrap();
        for (mode, group, taken) in [
            (0o700, Refused, true),
            (0o744, Refused, true),
            (0o710, Refused, false),
            (0o710, Allowed, true),
            (0o711, Allowed, false),
        ] {
            give(folder.path(), mode);
            let read = read_given_secret(&link, 100, group);
            assert_eq!(read.is_ok(), taken, "{mode:o}");
            assert!(read_secret(&link, 100, group).is_err());
        }
    }

    #[test]
    fn a_folder_that_others_can_write_in_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let check = |mode: u32, group| {
            give(folder.path(), mode);
            check_folder(folder.path(), group).map_err(|error| error.to_string())
        };
        for (mode, group) in [(0o700, Refused), (0o755, Refused), (0o2770, Allowed)] {
            assert!(check(mode, group).is_ok(), "{mode:o}");
        }
        for (mode, group, flag) in
            [(0o2770, Refused, true), (0o777, Refused, false), (0o1777, Allowed, false)]
        {
            let refused = check(mode, group).unwrap_err();
            let fix = format!("`chmod go-w {}`", folder.path().display());
            assert!(
                refused.contains(&fix) && refused.contains(&format!("{mode:04o}")),
                "{refused}"
            );
            assert_eq!(refused.contains("--allow-group-read"), flag, "{refused}");
        }
        assert!(check_folder(&folder.path().join("none"), Refused).unwrap_err().is_missing());
    }

    #[test]
    fn a_secret_of_another_user_is_refused_and_one_of_root_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "secret").unwrap();
        give(&file, 0o600);
        // Only root can give a file to another user.
        if geteuid().is_root() {
            std::os::unix::fs::chown(&file, Some(12_345), None).unwrap();
            let refused = read_secret(&file, 100, Allowed).unwrap_err().to_string();
            let fix = format!("`chown 0 {}`", file.display());
            assert!(refused.contains(&fix) && refused.contains("(12345)"), "{refused}");
        }
        assert!(check_folder(Path::new("/"), Refused).is_ok());
    }

    #[test]
    fn a_secret_may_come_through_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from(0o644)).unwrap();
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::write(pipe, "secret").unwrap()
        });
        assert_eq!(read_secret(&pipe, 100, Refused).unwrap().expose(), b"secret");
        writer.join().unwrap();
    }

    #[test]
    fn a_path_in_a_command_is_one_word() {
        for (path, word) in [
            ("/a/b-c.key", "/a/b-c.key"),
            ("-x", "./-x"),
            ("/a b", "'/a b'"),
            ("it's $(x)", r"'it'\''s $(x)'"),
        ] {
            assert_eq!(shell_word(Path::new(path)), word);
        }
    }
}
