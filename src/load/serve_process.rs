//! The broker under test, in a child process that ends with its owner.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::target::{HttpUrl, UrlError};
use crate::clock::Monotonic;
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
    /// It was not ready in time.
    #[error("the broker was not ready within {} s; try a smaller world", READY_WITHIN.as_secs())]
    Slow,
    /// It did not say where an endpoint listens.
    #[error("the broker did not say where its `{0}` endpoint listens")]
    NoEndpoint(&'static str),
    /// It said something that is not a URL.
    #[error("the broker named an endpoint that cannot be used")]
    Url(#[source] UrlError),
}

/// The largest worlds take their time.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// After a polite request to end, before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A running broker; dropping it ends it.
#[derive(Debug)]
pub struct ServeProcess {
    child: Child,
    endpoints: BTreeMap<String, String>,
}

impl ServeProcess {
    /// Starts this very executable as a broker of `world` and waits until it is ready.
    ///
    /// `core` is where it is pinned; `extra` are further arguments of `serve`.
    ///
    /// # Errors
    /// [`ServeError`] when it does not become ready.
    pub fn start(
        world: &Synthetic,
        core: Option<usize>,
        extra: &[String],
    ) -> Result<Self, ServeError> {
        let program = std::env::current_exe();
        let program = program.unwrap_or_else(|_| "mintbench".into());
        let mut command = Command::new(&program);
        command.arg("serve");
        for endpoint in ["--imds", "--sts", "--admin"] {
            command.args([endpoint, "127.0.0.1:0"]);
        }
        command.args(["--synthetic", &world.to_string()]).args(extra);
        if let Some(core) = core {
            command.args(["--cpus", &core.to_string()]);
        }
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let child = spawned.map_err(|source| ServeError::Spawn {
            program: program.display().to_string(),
            source,
        })?;
        let mut serve = Self { child, endpoints: BTreeMap::new() };
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
            match self.next_line(&read, left)? {
                line if line == "ready" => return Ok(()),
                line => {
                    if let Some((name, url)) = line.split_once(char::is_whitespace) {
                        self.endpoints.insert(name.to_owned(), url.trim().to_owned());
                    }
                }
            }
        }
    }

    fn next_line(&mut self, read: &Receiver<String>, left: Duration) -> Result<String, ServeError> {
        match read.recv_timeout(left) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(ServeError::Slow),
            Err(RecvTimeoutError::Disconnected) => {
                let status = self.stop().map_or("unknown".to_owned(), |status| status.to_string());
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
        url.parse().map_err(ServeError::Url)
    }

    /// Asks the process to end, and ends it if it does not.
    fn stop(&mut self) -> Option<ExitStatus> {
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
        let _ = self.stop();
    }
}

fn forward(stdout: ChildStdout, lines: &Sender<String>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        // Nobody listens after `ready`; reading goes on.
        let _ = lines.send(line.trim().to_owned());
    }
}
