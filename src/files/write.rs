//! Writing whole or not at all: into a temporary file beside the place, which is then renamed.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// A file that is being written. Until [`Draft::place`] nobody sees it; dropped before, it is gone.
#[derive(Debug)]
pub struct Draft {
    file: BufWriter<NamedTempFile>,
    place: PathBuf,
}

impl Draft {
    /// A file that is to stand at `place`, with the permissions `mode` less those that the process leaves
    /// out.
    ///
    /// # Errors
    /// When the folder of `place` cannot be written to.
    pub fn new(place: &Path, mode: u32) -> io::Result<Self> {
        let mut builder = Builder::new();
        let builder = builder.prefix(".").suffix(".new");
        let file = builder.permissions(Permissions::from_mode(mode)).tempfile_in(folder(place))?;
        Ok(Self { file: BufWriter::new(file), place: place.to_owned() })
    }

    /// Puts the file in its place, for good: in place of a file that is there, or of a link, which is not
    /// followed.
    ///
    /// # Errors
    /// When it cannot be written; then what was there stays.
    pub fn place(self) -> io::Result<()> {
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

/// Puts a file with this content at `place`, as [`Draft`].
///
/// # Errors
/// As [`Draft::place`].
pub fn replace(place: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut draft = Draft::new(place, mode)?;
    draft.write_all(content)?;
    draft.place()
}

/// The permissions of files that are no secret, before the process leaves some out.
pub const PLAIN: u32 = 0o666;

/// Writes output to the file that a user named: whole or not at all, as [`replace`]; a device or a pipe is
/// written to.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if is_direct(path) {
        // Standard output may go on in the same file: what is there stays.
        return OpenOptions::new().append(true).open(path)?.write_all(content);
    }
    let before = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    let mode = before.map_or(PLAIN, |before| before.permissions().mode() & 0o777);
    replace(path, mode, content)
}

/// Whether output to `path` goes to what is there: a device, a pipe, or what this process has open, such as
/// `/dev/stdout`, whose link is not to be replaced.
pub fn is_direct(path: &Path) -> bool {
    let is_special = path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir());
    let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let of_system = |folder: PathBuf| folder == Path::new("/dev") || folder.starts_with("/proc");
    is_special || (is_link && folder(path).canonicalize().is_ok_and(of_system))
}

/// Waits until no other process that calls this changes a file in the folder of `place`. Held as long as the
/// file that is returned.
///
/// # Errors
/// When the folder cannot be opened or locked.
pub fn lock(place: &Path) -> io::Result<File> {
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
