//! Private folders of servers without a data folder.
//!
//! Such a server keeps there what its clients need: its addresses, its authority and its admin secret. Each
//! folder is below the user's runtime folder, or else below the folder for temporary files.

use std::env;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

/// Beginning of the names of files with certificate authorities, which clients put into the folder of a server.
pub(crate) const CLIENT_BUNDLE: &str = "ca-bundle-";

/// Clients that a private folder is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clients {
    /// Every program of the user, which finds the folder by its name.
    OfUser,
    /// The process that started the server, which knows the folder. The server serves nobody else.
    Parent,
}

impl Clients {
    /// Returns the beginning of the name of a folder.
    const fn prefix(self) -> &'static str {
        match self {
            Self::OfUser => "mintbench-serve-",
            Self::Parent => "mintbench-child-",
        }
    }
}

/// Creates a private folder and calls `fill` with its path. The folder is removed when the result is dropped.
///
/// # Errors
/// Returns an error when no folder can be created and filled.
pub(crate) fn private_folder(
    clients: Clients,
    fill: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<TempDir> {
    let make = |above: &Path| {
        let mut folder = Builder::new();
        let folder = folder.prefix(clients.prefix()).permissions(Permissions::from_mode(0o700));
        let folder = folder.tempdir_in(above)?;
        fill(folder.path())?;
        Ok(folder)
    };
    runtime_folder().and_then(|own| make(&own).ok()).map_or_else(|| make(&env::temp_dir()), Ok)
}

/// Returns the private folders for programs of the user, the newest first. Other users may have made some of them, and
/// their servers may have ended: the caller checks both.
pub(crate) fn private_folders() -> Vec<PathBuf> {
    let above = runtime_folder().into_iter().chain([env::temp_dir()]);
    let entries = above.filter_map(|above| fs::read_dir(above).ok()).flatten().flatten();
    let private = entries.filter(|entry| {
        entry.file_name().as_encoded_bytes().starts_with(Clients::OfUser.prefix().as_bytes())
    });
    let mut found: Vec<_> = private
        .map(|entry| (entry.metadata().and_then(|found| found.modified()).ok(), entry.path()))
        .collect();
    found.sort();
    found.dedup();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

fn runtime_folder() -> Option<PathBuf> {
    env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute())
}
