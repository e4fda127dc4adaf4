//! The broker under test, in a child process that ends with its owner.
//!
//! It ends when its owner is dropped, and on a repeated Ctrl-C. It survives a SIGKILL of this
//! process, as after an out-of-memory kill: asking the kernel to end it too takes a call between
//! fork and exec, which is not possible without unsafe code. It listens on loopback only.
//!
//! The child has a process group of its own, so that a Ctrl-C in the terminal reaches this process
//! alone, which then ends the child in order. Settings in the environment are kept from it: a run
//! measures what its own flags say.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::stop::Stop;
use super::target::{HttpUrl, UrlError};
use crate::clock::Monotonic;
use crate::files::{GroupRead, SecretFileError, read_secret};
use crate::secret::Redacted;
use crate::world::synthetic::Synthetic;

/// Why there is no broker to measure.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The executable could not be started.
    #[error("cannot start the broker `{program}`")]
    Spawn {
        /// The executable.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended before it was ready.
    #[error("the broker ended before it was ready ({0}); its messages are above")]
    Ended(String),
    /// The user asked to stop before it was ready.
    #[error("interrupted")]
    Interrupted,
    /// It was not ready in time.
    #[error("the broker was not ready within {} s; try a smaller world", READY_WITHIN.as_secs())]
    Slow,
    /// It did not say where an endpoint listens.
    #[error("the broker did not say where its `{0}` endpoint listens")]
    NoEndpoint(&'static str),
    /// The secret of its admin endpoint is not to be had.
    #[error("cannot read the secret of the broker's admin endpoint")]
    AdminSecret(#[from] SecretFileError),
    /// It said something that is not a URL.
    #[error("the broker named an endpoint that cannot be used")]
    Url(#[source] UrlError),
}

/// The largest worlds take their time.
const READY_WITHIN: Duration = Duration::from_mins(2);
/// After a polite request to end, before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A running broker; dropping it ends it.
#[derive(Debug)]
pub struct ServeProcess {
    child: Child,
    endpoints: BTreeMap<String, String>,
    stop: Arc<Stop>,
}

/// This very executable.
pub fn this_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "mintbench".into())
}

/// What stands before the name of the file with the secret of the admin endpoint.
const ADMIN_SECRET: &str = "admin-secret";
const SECRET_BYTES_MAX: u64 = 4096;
/// How often a request to stop is looked for while the broker starts.
const STOP_EVERY: Duration = Duration::from_millis(100);
/// The one variable that the child keeps: it changes what is said, not what is done.
const KEPT_VARIABLE: &str = "MINTBENCH_LOG";

impl ServeProcess {
    /// Starts `program`, a mintbench, as a broker of `world` and waits until it is ready.
    ///
    /// `core` is where it is pinned; `extra` are further arguments of `serve`.
    ///
    /// # Errors
    /// [`ServeError`] when it does not become ready.
    pub fn start(
        program: &Path,
        world: &Synthetic,
        core: Option<usize>,
        extra: &[String],
        stop: &Arc<Stop>,
    ) -> Result<Self, ServeError> {
        let mut command = Command::new(program);
        command.arg("serve");
        for endpoint in ["--imds", "--sts", "--arm", "--vault", "--admin"] {
            if !extra.iter().any(|argument| argument == endpoint) {
                command.args([endpoint, "127.0.0.1:0"]);
            }
        }
        command.args(["--synthetic", &world.to_string()]).args(extra);
        if let Some(core) = core {
            command.args(["--cpus", &core.to_string()]);
        }
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"MINTBENCH_") && name != KEPT_VARIABLE {
                command.env_remove(name);
            }
        }
        // Not flags: a broker of another build may not know them. The generator is one caller.
        command.env("MINTBENCH_SERVE_HICCUPS", "true");
        command.env("MINTBENCH_SERVE_MAX_CONNECTIONS_PER_CALLER", usize::MAX.to_string());
        command.process_group(0);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = spawned.map_err(|source| ServeError::Spawn {
            program: program.display().to_string(),
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
            // Ends with the pipe; reading on keeps the broker from blocking on a full one.
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

    /// The next line, or none if there is none for now.
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

    /// Where the endpoint called `name` listens.
    ///
    /// # Errors
    /// When the broker did not say, or said it badly.
    pub fn endpoint(&self, name: &'static str) -> Result<HttpUrl, ServeError> {
        let url = self.endpoints.get(name).ok_or(ServeError::NoEndpoint(name))?;
        // Whatever speaks TLS here speaks HTTP in the clear on the same port.
        let url = url.replacen("https://", "http://", 1);
        url.parse().map_err(ServeError::Url)
    }

    /// The secret that its admin endpoint wants from whoever changes something.
    ///
    /// # Errors
    /// When the broker did not say where it is, or the file is not as a broker writes it.
    pub fn admin_secret(&self) -> Result<Redacted, ServeError> {
        let file = self.endpoints.get(ADMIN_SECRET).ok_or(ServeError::NoEndpoint(ADMIN_SECRET))?;
        let secret = read_secret(Path::new(file), SECRET_BYTES_MAX, GroupRead::Refused)?;
        Ok(Redacted::new(secret.expose().trim_ascii().to_vec()))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills the process, without asking it to end in order: what it has not stored is lost.
    pub fn kill(mut self) {
        // The drop waits for its end.
        let _ = self.child.kill();
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        self.stop.remove_child(Pid::from_child(&self.child));
        Some(status)
    }

    /// Asks the process to end, and ends it if it does not.
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
}

impl Drop for ServeProcess {
    fn drop(&mut self) {
        let _ = self.end();
        self.stop.remove_child(Pid::from_child(&self.child));
    }
}

fn forward(stdout: ChildStdout, lines: &Sender<String>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        // Nobody listens after `ready`; reading goes on.
        let _ = lines.send(line.trim().to_owned());
    }
}
