//! Output files, checked before the work, so that an hour of load does not end at a misspelt path.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::base::files::{Draft, PLAIN, is_direct};

/// Reasons why an output file cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutputError {
    #[error("there is no folder for --{flag} `{path}`; make it, or name another file", path = path.display())]
    NoFolder { flag: &'static str, path: PathBuf },
    #[error("--{flag} `{path}` is a folder; name a file", path = path.display())]
    Folder { flag: &'static str, path: PathBuf },
    #[error("--{first} and --{second} name the same file `{path}`; name two", path = path.display())]
    Same { first: &'static str, second: &'static str, path: PathBuf },
    #[error("cannot write --{flag} `{path}`, or a new file beside it; name another file", path = path.display())]
    Write { flag: &'static str, path: PathBuf, source: io::Error },
}

/// Checks that each file of `outputs` (a flag and its value) can be written. Changes nothing.
///
/// # Errors
/// Returns [`OutputError`], which names the flag and the file.
pub(super) fn check(outputs: &[(&'static str, Option<&Path>)]) -> Result<(), OutputError> {
    let mut seen: Vec<(&'static str, PathBuf)> = Vec::new();
    for (flag, path) in outputs.iter().filter_map(|(flag, path)| Some((*flag, (*path)?))) {
        check_file(flag, path)?;
        let place = place(path);
        if let Some((first, _)) = seen.iter().find(|(_, other)| *other == place) {
            return Err(OutputError::Same { first, second: flag, path: path.to_owned() });
        }
        seen.push((flag, place));
    }
    Ok(())
}

/// Returns one path for a file, however its path is written.
fn place(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new(".")).canonicalize().unwrap_or_default();
    path.canonicalize().unwrap_or_else(|_| folder.join(path.file_name().unwrap_or_default()))
}

fn check_file(flag: &'static str, path: &Path) -> Result<(), OutputError> {
    let tried = match path.metadata() {
        Ok(found) if found.is_dir() => {
            return Err(OutputError::Folder { flag, path: path.to_owned() });
        }
        // Do not open a pipe or a device, because opening it already has an effect.
        Ok(_) if is_direct(path) => Ok(()),
        _ => try_replace(path),
    };
    tried.map_err(|source| match source.kind() {
        ErrorKind::NotFound => OutputError::NoFolder { flag, path: path.to_owned() },
        _ => OutputError::Write { flag, path: path.to_owned(), source },
    })
}

/// Tries to write to an existing file, and to create a file beside it, which would later be renamed.
fn try_replace(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => OpenOptions::new().append(true).open(path).map(drop)?,
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        // A link is replaced, whatever its target.
        _ => {}
    }
    Draft::new(path, PLAIN).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_refused_and_what_can_be_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("old.csv"), "kept").unwrap();
        let one =
            |path: &Path| check(&[("out-csv", Some(path))]).map_err(|error| error.to_string());
        assert_eq!(one(&at("old.csv")), Ok(()));
        assert_eq!(one(&at("new.csv")), Ok(()));
        assert_eq!(one(Path::new("/dev/null")), Ok(()));
        assert_eq!(std::fs::read_to_string(at("old.csv")).unwrap(), "kept");
        assert!(!at("new.csv").exists());
        for (path, expected) in [
            (at("none/new.csv"), "there is no folder for --out-csv"),
            (at("old.csv/new.csv"), "cannot write --out-csv"),
            (folder.path().to_owned(), "is a folder; name a file"),
            (at(&"long".repeat(100)), "cannot write --out-csv"),
        ] {
            let refused = one(&path).unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
        std::os::unix::fs::symlink(at("old.csv"), at("link.csv")).unwrap();
        for (a, b) in [("same", "same"), ("new", "./new"), ("old.csv", "link.csv")] {
            let (a, b) = (at(a), at(b));
            let both = check(&[("out-json", Some(&a)), ("out-csv", None), ("junit", Some(&b))]);
            let refused = both.unwrap_err().to_string();
            assert!(refused.contains("--out-json and --junit name the same file"), "{refused}");
        }
    }
}
