//! Valgrind: how a server is started under one of its tools, and how it is controlled.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::profile::{Profile, ProfileError};

/// Reasons why Valgrind cannot count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ValgrindError {
    /// Valgrind cannot be run.
    #[error(
        "cannot run `{0}`, which counts; install Valgrind (Debian, Ubuntu: apt-get install valgrind libc6-dbg; Fedora: dnf install valgrind)"
    )]
    Missing(&'static str, #[source] io::Error),
    /// Valgrind does not obey.
    #[error("cannot control the server under Valgrind (`vgdb {command}`): {said}")]
    Control {
        /// The command.
        command: &'static str,
        /// The messages of vgdb.
        said: String,
    },
    /// Valgrind wrote no profile that can be read.
    #[error("cannot read the profile `{path}`", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The profile has another format.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// Returns the version of Valgrind, after checking that it is installed.
///
/// # Errors
/// Returns an error that says how to install it.
pub(crate) fn version() -> Result<String, ValgrindError> {
    let missing = |program| move |source| ValgrindError::Missing(program, source);
    let run = |program: &'static str| {
        Command::new(program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(missing(program))
    };
    run("vgdb")?;
    Ok(String::from_utf8_lossy(&run("valgrind")?.stdout).trim().to_owned())
}

/// Callgrind in a folder of its own: it counts instructions, by function.
///
/// Counting is off at first, because a server makes keys when it starts, which takes long and never equally
/// long.
#[derive(Debug)]
pub(crate) struct Callgrind {
    folder: PathBuf,
    /// Number of profiles so far.
    profiles: usize,
}

/// Time that vgdb gives a waiting server to notice a command by itself, in milliseconds.
const NOTICE_WITHIN_MS: u32 = 5;

impl Callgrind {
    /// Creates it for a folder that exists.
    pub(crate) const fn in_folder(folder: PathBuf) -> Self {
        Self { folder, profiles: 0 }
    }

    /// Returns the words that are put before a command.
    pub(crate) fn prefix(&self) -> Vec<OsString> {
        let options = ["--quiet", "--tool=callgrind", "--instr-atstart=no", "--dump-line=no"];
        let files = [
            option("--callgrind-out-file=", &self.file()),
            option("--vgdb-prefix=", &self.pipes()),
            option("--log-file=", &log(&self.folder)),
        ];
        prefixed(&options, files)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("profile")
    }

    fn pipes(&self) -> PathBuf {
        self.folder.join("vgdb")
    }

    /// Begins to count.
    ///
    /// # Errors
    /// Returns an error when the process does not obey.
    pub(crate) fn begin(&self, pid: u32) -> Result<(), ValgrindError> {
        self.control(pid, "instrumentation on")
    }

    /// Forgets what was counted so far.
    ///
    /// # Errors
    /// Returns an error when the process does not obey.
    pub(crate) fn zero(&self, pid: u32) -> Result<(), ValgrindError> {
        self.control(pid, "zero")
    }

    /// Returns what was counted since the last profile, and begins again at zero.
    ///
    /// # Errors
    /// Returns an error when the process does not obey, or its profile cannot be read.
    pub(crate) fn take(&mut self, pid: u32) -> Result<Profile, ValgrindError> {
        self.control(pid, "dump")?;
        self.profiles += 1;
        let path = self.file().with_extension(self.profiles.to_string());
        let read = std::fs::read(&path);
        let bytes = read.map_err(|source| ValgrindError::Read { path: path.clone(), source })?;
        // Each takes a megabyte. A file that cannot be removed goes with its folder.
        let _ = std::fs::remove_file(&path);
        Ok(Profile::parse(&String::from_utf8_lossy(&bytes))?)
    }

    fn control(&self, pid: u32, command: &'static str) -> Result<(), ValgrindError> {
        let mut vgdb = Command::new("vgdb");
        vgdb.arg(option("--vgdb-prefix=", &self.pipes())).arg(format!("--pid={pid}"));
        vgdb.arg(format!("--max-invoke-ms={NOTICE_WITHIN_MS}"));
        vgdb.args(command.split(' ')).stdin(Stdio::null());
        let output = vgdb.output().map_err(|source| ValgrindError::Missing("vgdb", source))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        Err(ValgrindError::Control { command, said: last.unwrap_or("no answer").to_owned() })
    }
}

/// Tracer of allocations and system calls, in a folder of its own.
///
/// The tool is Massif, because it replaces the allocator, as every tool must that sees allocations, and costs
/// the least of them.
#[derive(Debug)]
pub(crate) struct Tracer {
    folder: PathBuf,
}

impl Tracer {
    /// Creates it for a folder that exists.
    pub(crate) const fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the words that are put before a command.
    pub(crate) fn prefix(&self) -> Vec<OsString> {
        // Few snapshots, since nobody reads them.
        let options = [
            "--tool=massif",
            "--massif-out-file=/dev/null",
            "--depth=1",
            "--max-snapshots=10",
            "--detailed-freq=1000000",
            "--vgdb=no",
            "--trace-malloc=yes",
            "--trace-syscalls=yes",
        ];
        prefixed(&options, [option("--log-file=", &log(&self.folder))])
    }

    /// Returns the length of the log so far, in bytes.
    ///
    /// # Errors
    /// Returns an error when there is no log.
    pub(crate) fn length(&self) -> Result<u64, ValgrindError> {
        let path = log(&self.folder);
        let length = std::fs::metadata(&path).map(|file| file.len());
        length.map_err(|source| ValgrindError::Read { path, source })
    }

    /// Returns the log.
    ///
    /// # Errors
    /// Returns an error when there is no log.
    pub(crate) fn log(&self) -> Result<Vec<u8>, ValgrindError> {
        let path = log(&self.folder);
        std::fs::read(&path).map_err(|source| ValgrindError::Read { path, source })
    }
}

/// Returns the file of Valgrind's messages in this folder.
fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

fn prefixed(options: &[&str], files: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let words = ["valgrind"].iter().chain(options).map(OsString::from);
    words.chain(files).collect()
}
