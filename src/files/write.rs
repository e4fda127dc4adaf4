//! Writing whole or not at all: into a temporary file beside the place, which is then renamed.

use std::fs::{File, Permissions};
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
}
