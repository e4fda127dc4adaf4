//! An authority in a folder. No crash and no second process leaves a broken pair of files.
//!
//! The key is written first, and the certificate follows from it. Each file is written whole or not at all,
//! and a second process uses the existing files. So every certificate has its key, and a key without a
//! certificate only waits for its certificate.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::authority::{Authority, new_key_pem};
use super::error::TlsError;
use crate::base::clock::UnixSeconds;
use crate::base::files;
use crate::base::files::{GroupRead, ReadError, SecretFileError, read_secret};
use crate::base::secret::Redacted;

/// The certificate, readable by everybody.
pub(super) const CERTIFICATE_FILE: &str = "ca.pem";

/// The private key, readable by this user alone.
pub(super) const KEY_FILE: &str = "ca.key";

/// Largest file that is read, in bytes: more than ten times the size of either file.
const FILE_BYTES_MAX: u64 = 64 << 10;

impl Authority {
    /// Opens the authority in the folder `dir`: the certificate `ca.pem` and the private key `ca.key`.
    /// Creates missing files. `group` says whether the group of the key is trusted.
    ///
    /// # Errors
    /// Returns `File` and `Read` when the system refuses, and `Exposed` when others can read the key. Returns
    /// `Folder` when the files do not form an authority that is valid at `now`.
    pub fn open(dir: &Path, now: UnixSeconds, group: GroupRead) -> Result<Self, TlsError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(file_error("make the folder", dir))?;
        let unusable = |source| TlsError::Folder { path: dir.to_owned(), source: Box::new(source) };
        // The certificate is read first: if it exists, its key existed before.
        let certificate = certificate(dir)?;
        let key = match (key(dir, group)?, &certificate) {
            (Some(key), _) => key,
            (None, Some(_)) => return Err(unusable(TlsError::NoKey)),
            (None, None) => {
                place(dir, KEY_FILE, 0o600, new_key_pem()?.expose())?;
                key(dir, group)?.ok_or_else(|| unusable(TlsError::NoKey))?
            }
        };
        let certificate = if let Some(certificate) = certificate {
            certificate
        } else {
            let made = Self::from_key(&key, now).map_err(unusable)?;
            place(dir, CERTIFICATE_FILE, 0o644, made.certificate_pem().as_bytes())?;
            files::read(&dir.join(CERTIFICATE_FILE), FILE_BYTES_MAX)?
        };
        let authority = Self::from_pem(&certificate, &key).map_err(unusable)?;
        if authority.not_after() < now {
            return Err(unusable(TlsError::Expired { not_after: authority.not_after() }));
        }
        Ok(authority)
    }
}

fn certificate(dir: &Path) -> Result<Option<Vec<u8>>, ReadError> {
    match files::read(&dir.join(CERTIFICATE_FILE), FILE_BYTES_MAX) {
        Err(error) if error.is_missing() => Ok(None),
        read => read.map(Some),
    }
}

fn key(dir: &Path, group: GroupRead) -> Result<Option<Redacted>, SecretFileError> {
    match read_secret(&dir.join(KEY_FILE), FILE_BYTES_MAX, group) {
        Err(error) if error.is_missing() => Ok(None),
        read => read.map(Some),
    }
}

/// Writes a file durably and whole, unless it exists.
fn place(dir: &Path, name: &str, mode: u32, content: &[u8]) -> Result<(), TlsError> {
    link_whole(dir, name, mode, content).map_err(file_error("write", &dir.join(name)))
}

fn link_whole(dir: &Path, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    // The name depends on the content, so that two processes with different contents do not collide.
    let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, content);
    let unique = digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let draft = dir.join(format!(".{name}.{unique:016x}"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    // A rename would replace another process's file. A link does not.
    let linked = written.and_then(|()| match fs::hard_link(&draft, dir.join(name)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let _ = fs::remove_file(&draft);
    linked?;
    File::open(dir)?.sync_all()
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TlsError {
    move |source| TlsError::File { action, path: path.to_owned(), source }
}
