//! Reading of files with a size limit.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

/// Reason why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file has no end, or reading it has side effects.
    #[error("`{path}` is a device or a socket; name a file or a pipe", path = path.display())]
    Device {
        /// The file.
        path: PathBuf,
    },
    /// The path leads to a folder.
    #[error("`{path}` is a folder; name a file in it", path = path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
    },
    /// The file is larger than a file of its kind can be.
    #[error("`{path}` is larger than {limit} bytes, the limit for a file of its kind; check that it is the file you meant", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Largest size that is read, in bytes.
        limit: u64,
    },
    /// The file is a pipe, and no program opened it for writing in time.
    #[error("`{path}` is a pipe, and no program wrote to it within {} s; start its writer first, or name a file", WRITER_WITHIN.as_secs(), path = path.display())]
    NoWriter {
        /// The pipe.
        path: PathBuf,
    },
    /// The system refuses to open or read the file.
    #[error("cannot read `{path}`", path = path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is not text.
    #[error("`{path}` is not UTF-8 from byte {offset} on", path = path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// First invalid byte, counted from 0.
        offset: usize,
    },
}

impl ReadError {
    /// Returns true if the file does not exist.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::System { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Returns the error with its cause on a single line.
    pub fn in_a_line(&self) -> String {
        match self {
            Self::System { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

/// Reads a file or a pipe of at most `limit` bytes.
///
/// # Errors
/// See [`ReadError`].
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    read_open(open(path)?, path, limit)
}

/// Reads a text file, like [`read`].
///
/// # Errors
/// See [`ReadError`].
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, ReadError> {
    String::from_utf8(read(path, limit)?).map_err(|error| ReadError::NotText {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}

/// Time within which a named pipe must have a writer. A user who starts both programs by hand needs less.
const WRITER_WITHIN: Duration = Duration::from_secs(10);

/// Opens a file or a pipe. A device is not even opened, because opening may have side effects.
///
/// Waits for the writer of a named pipe, but not for ever.
///
/// # Errors
/// See [`ReadError`].
pub(crate) fn open(path: &Path) -> Result<File, ReadError> {
    let system = |source| ReadError::System { path: path.to_owned(), source };
    let kind = fs::metadata(path).map_err(system)?.file_type();
    if kind.is_dir() {
        return Err(ReadError::Folder { path: path.to_owned() });
    }
    if kind.is_char_device() || kind.is_block_device() || kind.is_socket() {
        return Err(ReadError::Device { path: path.to_owned() });
    }
    if kind.is_fifo() { open_pipe(path, WRITER_WITHIN) } else { File::open(path).map_err(system) }
}

/// Opens a pipe. The kernel returns from the opening of a named pipe only when a writer has opened it too,
/// and at once from that of a pipe of a shell (`<(...)`).
fn open_pipe(path: &Path, within: Duration) -> Result<File, ReadError> {
    let (done, opened) = channel();
    let its_path = path.to_owned();
    let waiting = std::thread::spawn(move || done.send(File::open(its_path)));
    if let Ok(file) = opened.recv_timeout(within) {
        return file.map_err(|source| ReadError::System { path: path.to_owned(), source });
    }
    // A writer ends the opening, and with it the thread, which would take the bytes of a later writer.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if rustix::fs::open(path, flags, Mode::empty()).is_ok() {
        let _ = waiting.join();
    }
    Err(ReadError::NoWriter { path: path.to_owned() })
}

pub(super) fn read_open(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    let read = read.map_err(|source| ReadError::System { path: path.to_owned(), source })?;
    if read as u64 > limit {
        return Err(ReadError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_a_device_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "four").unwrap();
        assert_eq!(read(&file, 4).unwrap(), b"four");
        assert!(matches!(read(&file, 3), Err(ReadError::TooLarge { limit: 3, .. })));
        assert!(matches!(read(Path::new("/dev/zero"), 3), Err(ReadError::Device { .. })));
        assert!(matches!(read(folder.path(), 3), Err(ReadError::Folder { .. })));
        assert!(read(&folder.path().join("none"), 3).unwrap_err().is_missing());
        fs::write(&file, b"a\xff").unwrap();
        assert!(matches!(read_text(&file, 9), Err(ReadError::NotText { offset: 1, .. })));
    }

    #[test]
    fn a_named_pipe_is_read_if_it_has_a_writer_and_refused_if_it_has_none() {
        use rustix::fs::{CWD, FileType, mknodat};

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let refused = open_pipe(&pipe, Duration::from_millis(50)).unwrap_err().to_string();
        assert!(refused.contains("no program wrote to it within"), "{refused}");
        let its_pipe = pipe.clone();
        let writer = std::thread::spawn(move || fs::write(its_pipe, "text").unwrap());
        assert_eq!(read(&pipe, 9).unwrap(), b"text");
        writer.join().unwrap();
    }
}
