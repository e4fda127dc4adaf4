//! The broker under test, in a child process that ends with its owner.
//!
//! The process ends when its owner is dropped, and on a repeated Ctrl-C. It also ends, in order,
//! when this process ends in any other way, such as SIGKILL. Its standard input is a pipe that
//! nobody writes to, and it ends with the pipe (ADR 25). The broker listens on loopback only.
//!
//! The child has a process group of its own. A Ctrl-C in the terminal therefore reaches the parent
//! alone, which ends the child in order. The child does not get the settings in the environment: a
//! run measures what its own flags say.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::base::clock::Monotonic;
use crate::base::files::{CLIENT_BUNDLE, GroupRead, SecretFileError, read_secret};
use crate::base::secret::Redacted;
use crate::base::synthetic::Synthetic;
use crate::harness::dialect::url::{HttpUrl, UrlError};
use crate::harness::machine::stop::Stop;

/// The reason why there is no broker to measure.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The executable could not be started.
    #[error("cannot start the broker `{program}`")]
    Spawn {
        /// The executable.
        program: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The broker ended before it was ready.
    #[error("the broker ended before it was ready ({0}); its messages are above")]
    Ended(String),
    /// The user asked to stop before the broker was ready.
    #[error("interrupted")]
    Interrupted,
    /// The broker was not ready in time.
    #[error("the broker was not ready within {} s; try a smaller world", READY_WITHIN.as_secs())]
    Slow,
    /// The broker did not report where an endpoint listens.
    #[error("the broker did not say where its `{0}` endpoint listens")]
    NoEndpoint(&'static str),
    /// The secret of the broker's admin endpoint cannot be read.
    #[error("cannot read the secret of the broker's admin endpoint")]
    AdminSecret(#[from] SecretFileError),
    /// The broker reported an endpoint that is not a URL.
    #[error("the broker named an endpoint that cannot be used")]
    Url(#[source] UrlError),
}

/// Limit for the start, which takes long with the largest worlds.
const READY_WITHIN: Duration = Duration::from_mins(2);
/// Time between the request to end and the kill.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A running broker, which ends when this value is dropped.
#[derive(Debug)]
pub struct ServeProcess {
    child: Child,
    endpoints: BTreeMap<String, String>,
    stop: Arc<Stop>,
}

/// Returns the path of the running executable.
pub fn this_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "mintbench".into())
}

/// The name of the output line with the file that holds the secret of the admin endpoint.
const ADMIN_SECRET: &str = "admin-secret";
const SECRET_BYTES_MAX: u64 = 4096;
/// Beginnings of the name of the private folder that a broker without a data folder makes. Older builds have the second.
const PRIVATE_FOLDERS: [&str; 2] = ["mintbench-child-", "mintbench-serve-"];
/// Files in such a folder, besides those of clients ([`CLIENT_BUNDLE`]).
const PRIVATE_FILES: [&str; 3] = ["admin.secret", "ca.pem", "endpoints.json"];
/// Interval of the checks for a stop request while the broker starts.
const STOP_EVERY: Duration = Duration::from_millis(100);
/// The only variable that the child keeps. It changes the log, not the work.
const KEPT_VARIABLE: &str = "MINTBENCH_LOG";

impl ServeProcess {
    /// Starts `program`, a mintbench executable, as a broker of `world` and waits until it is
    /// ready.
    ///
    /// The process is pinned to `core`, if one is given. `extra` are further arguments of `serve`.
    ///
    /// # Errors
    /// Returns [`ServeError`] if the broker does not become ready.
    pub fn start(
        program: &Path,
        world: &Synthetic,
        core: Option<usize>,
        extra: &[String],
        stop: &Arc<Stop>,
    ) -> Result<Self, ServeError> {
        let mut extra = extra.to_vec();
        extra.extend(core.into_iter().flat_map(|core| ["--cpus".to_owned(), core.to_string()]));
        let mut command = Command::new(program);
        // These are not flags, because a broker of another build may not know them. The generator
        // counts as one caller.
        command.env("MINTBENCH_SERVE_HICCUPS", "true");
        command.env("MINTBENCH_SERVE_MAX_CONNECTIONS_PER_CALLER", usize::MAX.to_string());
        Self::start_command(command, world, &extra, stop)
    }

    /// Starts a broker like [`Self::start`], by a command that lacks only the arguments of mintbench: it
    /// may have another program run mintbench.
    ///
    /// # Errors
    /// Returns [`ServeError`] if the broker does not become ready.
    pub(crate) fn start_command(
        command: Command,
        world: &Synthetic,
        extra: &[String],
        stop: &Arc<Stop>,
    ) -> Result<Self, ServeError> {
        let world = ["--synthetic".to_owned(), world.to_string()];
        Self::start_with(command, &[world.as_slice(), extra].concat(), stop)
    }

    /// Starts a broker like [`Self::start_command`], with these arguments of `serve`. Endpoints without an
    /// argument take a free port.
    ///
    /// # Errors
    /// Returns [`ServeError`] if the broker does not become ready.
    pub(crate) fn start_with(
        mut command: Command,
        arguments: &[String],
        stop: &Arc<Stop>,
    ) -> Result<Self, ServeError> {
        command.arg("serve");
        for endpoint in ["--imds", "--sts", "--arm", "--vault", "--admin"] {
            if !arguments.iter().any(|argument| argument == endpoint) {
                command.args([endpoint, "127.0.0.1:0"]);
            }
        }
        command.args(arguments);
        let own: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        for (name, _) in std::env::vars_os() {
            let set = name.as_encoded_bytes().starts_with(b"MINTBENCH_") && !own.contains(&name);
            if set && name != KEPT_VARIABLE {
                command.env_remove(name);
            }
        }
        // Not a flag, because a broker of another build may not know it.
        command.env("MINTBENCH_SERVE_END_WITH_STDIN", "true");
        command.process_group(0);
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let child = spawned.map_err(|source| ServeError::Spawn {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        stop.add_child(Pid::from_child(&child));
        let mut serve = Self { child, endpoints: BTreeMap::new(), stop: Arc::clone(stop) };
        serve.wait_until_ready()?;
        Ok(serve)
    }

    fn wait_until_ready(&mut self) -> Result<(), ServeError> {
        let (lines, read) = channel();
        if let Some(stdout) = self.child.stdout.take() {
            // The thread ends with the pipe. It reads on so that the broker never blocks on a full
            // pipe.
            std::thread::spawn(move || forward(stdout, &lines));
        }
        let clock = Monotonic::start();
        loop {
            let left = READY_WITHIN.saturating_sub(Duration::from_nanos(clock.now_ns()));
            if left.is_zero() {
                return Err(ServeError::Slow);
            }
            match self.next_line(&read)? {
                Some(line) if line == "ready" => return Ok(()),
                line => {
                    let line = line.unwrap_or_default();
                    if let Some((name, url)) = line.split_once(char::is_whitespace) {
                        self.endpoints.insert(name.to_owned(), url.trim().to_owned());
                    }
                }
            }
        }
    }

    /// Returns the next line, or `None` if there is none yet.
    fn next_line(&mut self, read: &Receiver<String>) -> Result<Option<String>, ServeError> {
        if self.stop.is_requested() {
            return Err(ServeError::Interrupted);
        }
        match read.recv_timeout(STOP_EVERY) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.end().map_or("unknown".to_owned(), |status| status.to_string());
                Err(ServeError::Ended(status))
            }
        }
    }

    /// Returns the URL of the endpoint called `name`.
    ///
    /// # Errors
    /// Returns an error if the broker reported no such endpoint, or an invalid URL.
    pub fn endpoint(&self, name: &'static str) -> Result<HttpUrl, ServeError> {
        let url = self.endpoints.get(name).ok_or(ServeError::NoEndpoint(name))?;
        // Each endpoint that speaks TLS also speaks plain HTTP on the same port.
        let url = url.replacen("https://", "http://", 1);
        url.parse().map_err(ServeError::Url)
    }

    /// Returns the secret that the admin endpoint requires for changes.
    ///
    /// # Errors
    /// Returns an error if the broker did not report the file of the secret, or if the file is not
    /// as a broker writes it.
    pub fn admin_secret(&self) -> Result<Redacted, ServeError> {
        let file = self.endpoints.get(ADMIN_SECRET).ok_or(ServeError::NoEndpoint(ADMIN_SECRET))?;
        let secret = read_secret(Path::new(file), SECRET_BYTES_MAX, GroupRead::Refused)?;
        Ok(Redacted::new(secret.expose().trim_ascii().to_vec()))
    }

    /// Returns the private folder of a broker without a data folder, which holds what its clients need.
    ///
    /// # Errors
    /// Returns an error if the broker reported no file in it.
    pub(crate) fn folder(&self) -> Result<&Path, ServeError> {
        let file = self.endpoints.get(ADMIN_SECRET).ok_or(ServeError::NoEndpoint(ADMIN_SECRET))?;
        Path::new(file).parent().ok_or(ServeError::NoEndpoint(ADMIN_SECRET))
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process without asking it to end. Data that it has not stored is lost.
    pub fn kill(mut self) {
        // The drop waits for the process.
        let _ = self.child.kill();
    }

    /// Returns the exit status of the process, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        self.stop.remove_child(Pid::from_child(&self.child));
        Some(status)
    }

    /// Asks the process to end, and kills it if it does not.
    fn end(&mut self) -> Option<ExitStatus> {
        let pid = Pid::from_child(&self.child);
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let clock = Monotonic::start();
        while Duration::from_nanos(clock.now_ns()) < STOP_WITHIN {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        self.child.wait().ok()
    }

    /// Removes the private folder of a broker that was killed. One that ended in order has removed its folder.
    fn remove_private_folder(&self) {
        let Ok(folder) = self.folder() else { return };
        let name = folder.file_name().unwrap_or_default().as_encoded_bytes();
        let is_private = PRIVATE_FOLDERS.iter().any(|start| name.starts_with(start.as_bytes()));
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let files: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        let is_known = |file: &OsString| {
            file.to_str()
                .is_some_and(|it| PRIVATE_FILES.contains(&it) || it.starts_with(CLIENT_BUNDLE))
        };
        // A folder with any other name or file is the user's.
        if is_private && files.iter().all(is_known) {
            for file in files {
                let _ = std::fs::remove_file(folder.join(file));
            }
            let _ = std::fs::remove_dir(folder);
        }
    }
}

impl Drop for ServeProcess {
    fn drop(&mut self) {
        let _ = self.end();
        self.remove_private_folder();
        self.stop.remove_child(Pid::from_child(&self.child));
    }
}

fn forward(stdout: ChildStdout, lines: &Sender<String>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        // Nobody receives lines after `ready`; the reading continues.
        let _ = lines.send(line.trim().to_owned());
    }
}
