//! A build of a git revision, made in its own work tree and kept for the next gate.
//!
//! The folder `target/gate/` (beside cargo's own output) holds:
//! - `<commit>/mintbench`: a finished build,
//! - `build/`: the objects of such builds, so that the next revision compiles only the differences,
//! - `tree-*`: a work tree during a build,
//! - `lock`: a file that only one gate at a time holds.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::harness::machine::stop::Stop;

/// Reasons why a revision was not built.
#[derive(Debug, thiserror::Error)]
pub(super) enum RevisionError {
    #[error("cannot run `{program}`; --base-rev needs it, --base takes an executable instead")]
    Run { program: String, source: io::Error },
    #[error(
        "`{0}` is not a revision of the git repository here; see `git log`, and fetch it if it is a remote's"
    )]
    Unknown(String),
    #[error(
        "this is not a git repository; run the gate in a checkout, or name an executable with --base"
    )]
    NoRepository,
    #[error("cannot check `{revision}` out: {said}")]
    Checkout { revision: String, said: String },
    #[error("`{revision}` does not build ({status}); cargo's messages are above")]
    Build { revision: String, status: ExitStatus },
    #[error("cannot keep the build in `{path}`", path = path.display())]
    Keep { path: PathBuf, source: io::Error },
    #[error("interrupted")]
    Interrupted,
}

/// Interval of the checks for a request to stop while cargo builds.
const STOP_EVERY: Duration = Duration::from_millis(100);

/// Returns the commit that `revision` names, and its executable.
pub(super) fn build(revision: &str, stop: &Arc<Stop>) -> Result<(String, PathBuf), RevisionError> {
    let root = git(&["rev-parse", "--show-toplevel"])?.ok_or(RevisionError::NoRepository)?;
    // The suffix and `--end-of-options` keep a revision that starts with a dash from being an option.
    let wanted = format!("{revision}^{{commit}}");
    let commit = git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted])?;
    let commit = commit.ok_or_else(|| RevisionError::Unknown(revision.to_owned()))?;
    let store = store(Path::new(&root));
    let kept = store.join(&commit).join("mintbench");
    if !kept.exists() {
        make(revision, &commit, &store, &kept, stop)?;
    }
    Ok((commit, kept))
}

fn store(root: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| root.join("target"));
    // Absolute, because cargo runs in another folder.
    std::path::absolute(&target).unwrap_or(target).join("gate")
}

fn make(
    revision: &str,
    commit: &str,
    store: &Path,
    kept: &Path,
    stop: &Stop,
) -> Result<(), RevisionError> {
    let keep = |source| RevisionError::Keep { path: kept.to_owned(), source };
    std::fs::create_dir_all(store).map_err(keep)?;
    let _alone = lock(store, stop).map_err(keep)?;
    if stop.is_requested() {
        return Err(RevisionError::Interrupted);
    }
    // Another gate may have built it in the meantime.
    if kept.exists() {
        return Ok(());
    }
    let tree = Tree::check_out(revision, commit, store).map_err(keep)??;
    let objects = store.join("build");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command.args(["build", "--release", "--locked", "--bin", "mintbench"]);
    command.current_dir(tree.path()).env("CARGO_TARGET_DIR", &objects);
    // Counts name functions. The names are no part of what is loaded, so they change no measurement.
    command.env("CARGO_PROFILE_RELEASE_STRIP", "none");
    // This variable would put the executable elsewhere.
    command.env_remove("CARGO_BUILD_TARGET");
    // Cargo's messages on standard error are for the waiting user. Its standard output is not a result.
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let program = cargo.to_string_lossy().into_owned();
    let child = command.spawn().map_err(|source| RevisionError::Run { program, source })?;
    let status = wait(child, stop).map_err(keep)?;
    if stop.is_requested() {
        return Err(RevisionError::Interrupted);
    }
    if !status.success() {
        return Err(RevisionError::Build { revision: revision.to_owned(), status });
    }
    settle(&objects.join("release/mintbench"), kept).map_err(keep)
}

/// Waits until no other gate builds, because two builds would overwrite each other's objects. The lock
/// is held as long as the file is open.
fn lock(store: &Path, stop: &Stop) -> io::Result<File> {
    let file = File::create(store.join("lock"))?;
    while !stop.is_requested() {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) => std::thread::sleep(STOP_EVERY),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(file)
}

/// Puts the executable in its place as a whole or not at all.
fn settle(built: &Path, kept: &Path) -> io::Result<()> {
    let folder = kept.parent().unwrap_or(kept);
    std::fs::create_dir_all(folder)?;
    let copy = folder.join(format!("mintbench.{}", std::process::id()));
    std::fs::copy(built, &copy)?;
    std::fs::rename(copy, kept)
}

fn wait(mut child: Child, stop: &Stop) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if stop.is_requested() {
            // A Ctrl-C in a terminal has reached cargo, too; a signal to this process alone has not.
            let _ = child.kill();
            return child.wait();
        }
        std::thread::sleep(STOP_EVERY);
    }
}

/// Work tree that is removed when dropped.
struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    fn check_out(
        revision: &str,
        commit: &str,
        store: &Path,
    ) -> io::Result<Result<Self, RevisionError>> {
        let folder = tempfile::Builder::new().prefix("tree-").tempdir_in(store)?;
        let tree = Self { folder };
        let output = Command::new("git")
            .args(["worktree", "add", "--detach", "--force"])
            .arg(tree.path())
            .arg(commit)
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(Ok(tree));
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(Err(RevisionError::Checkout { revision: revision.to_owned(), said }))
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Git removes the work tree; dropping `folder` removes any remaining files.
        let mut command = Command::new("git");
        command.args(["worktree", "remove", "--force"]).arg(self.path());
        let _ = command.stdin(Stdio::null()).output();
    }
}

/// Returns the output of git, or none if git fails.
fn git(args: &[&str]) -> Result<Option<String>, RevisionError> {
    let output = Command::new("git").args(args).stdin(Stdio::null()).output();
    let output =
        output.map_err(|source| RevisionError::Run { program: "git".to_owned(), source })?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then_some(text))
}
