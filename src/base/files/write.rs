//! Writing of whole files or none: a temporary file in the same folder is renamed to its place.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// A file that is being written. It is not visible before [`Draft::place`]. Dropping it earlier removes it.
#[derive(Debug)]
pub(crate) struct Draft {
    file: BufWriter<NamedTempFile>,
    place: PathBuf,
}

impl Draft {
    /// Creates a draft for the file `place`. Its permissions are `mode` minus those in the umask of the
    /// process.
    ///
    /// # Errors
    /// Returns an error when the folder of `place` is not writable.
    pub(crate) fn new(place: &Path, mode: u32) -> io::Result<Self> {
        let mut builder = Builder::new();
        let builder = builder.prefix(".").suffix(".new");
        let file = builder.permissions(Permissions::from_mode(mode)).tempfile_in(folder(place))?;
        Ok(Self { file: BufWriter::new(file), place: place.to_owned() })
    }

    /// Puts the file in its place durably. It replaces an existing file or link. A link is not followed.
    ///
    /// # Errors
    /// Returns an error when it cannot be written. An existing file then stays.
    pub(crate) fn place(self) -> io::Result<()> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.as_file().sync_all()?;
        file.persist(&self.place)?;
        File::open(folder(&self.place))?.sync_all()
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a file with this content to `place`, like [`Draft`].
///
/// # Errors
/// Returns the errors of [`Draft::new`] and [`Draft::place`].
pub(crate) fn replace(place: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut draft = Draft::new(place, mode)?;
    draft.write_all(content)?;
    draft.place()
}

/// Permissions of files that are not secret, before the umask.
pub(crate) const PLAIN: u32 = 0o666;

/// Writes output to a file that a user named: whole or not at all, like [`replace`]. Output to a device or a
/// pipe is written directly.
///
/// # Errors
/// Returns an error when it cannot be written.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if is_direct(path) {
        // Standard output may go to the same file, so its content must stay.
        return OpenOptions::new().append(true).open(path)?.write_all(content);
    }
    let before = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    let mode = before.map_or(PLAIN, |before| before.permissions().mode() & 0o777);
    replace(path, mode, content)
}

/// Returns true if output to `path` is written directly: to a device, a pipe, or an open file of this
/// process. The link of an open file, such as `/dev/stdout`, must not be replaced.
pub(crate) fn is_direct(path: &Path) -> bool {
    let is_special = path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
    let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let of_system = |folder: PathBuf| folder == Path::new("/dev") || folder.starts_with("/proc");
    is_special || (is_link && folder(path).canonicalize().is_ok_and(of_system))
}

/// Locks the folder of `place`, after waiting for other processes that hold the lock. Callers hold it while
/// they change files there. The lock lasts as long as the returned file.
///
/// # Errors
/// Returns an error when the folder cannot be opened or locked.
pub(crate) fn lock(place: &Path) -> io::Result<File> {
    let folder = File::open(folder(place))?;
    folder.lock()?;
    Ok(folder)
}

fn folder(place: &Path) -> &Path {
    place.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_replaced_and_what_it_leads_to_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "kept").unwrap();
        symlink(&target, &link).unwrap();
        replace(&link, 0o600, b"new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
        assert_eq!(fs::read_to_string(&link).unwrap(), "new");
        assert_eq!(fs::symlink_metadata(&link).unwrap().permissions().mode() & 0o777, 0o600);
        drop(Draft::new(&link, 0o644).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn output_replaces_files_and_links_and_goes_into_devices_and_pipes() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "kept").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o600)).unwrap();
        symlink(&target, &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
        assert_eq!(fs::read_to_string(&link).unwrap(), "new");
        write(&target, b"newer").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "newer");
        assert_eq!(fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o600);
        write(Path::new("/dev/null"), b"gone").unwrap();
        assert!(is_direct(Path::new("/dev/null")));
        assert!(!is_direct(&link) && !is_direct(&folder.path().join("none")));
    }

    #[test]
    fn what_this_process_has_open_is_written_to_and_not_replaced() {
        use std::os::fd::AsRawFd as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open");
        fs::write(&path, "a").unwrap();
        let file = File::open(&path).unwrap();
        for open in ["/dev/fd", "/proc/self/fd"] {
            write(&Path::new(open).join(file.as_raw_fd().to_string()), b"b").unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "abb");
    }
}
