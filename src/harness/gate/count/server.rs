//! The server that is counted, in a child process that ends with its owner.

use std::ffi::OsString;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::load::Requests;
use crate::base::clock::Monotonic;
use crate::base::synthetic::Synthetic;
use crate::harness::dialect::protocol::Header;
use crate::harness::dialect::url::{HttpUrl, UrlError};
use crate::harness::machine::stop::Stop;
use crate::harness::session::serve_process::{ServeError, ServeProcess};

/// Reasons why there is no server to count.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The broker did not start.
    #[error(transparent)]
    Broker(#[from] ServeError),
    /// The command cannot be run.
    #[error("cannot run the command `{0}`")]
    Run(String, #[source] std::io::Error),
    /// The command ended, or does not listen.
    #[error("the server does not listen on port {port}: {why}")]
    Silent {
        /// The port that was given to the command.
        port: u16,
        /// Text that came instead.
        why: String,
    },
    /// No port is free.
    #[error("there is no free port")]
    Port(#[source] std::io::Error),
    /// The URL with its port is not a URL.
    #[error(transparent)]
    Url(#[from] UrlError),
}

/// Server that is no mintbench: its command, and the URL of its requests.
#[derive(Clone, Debug)]
pub(crate) struct CommandLine {
    /// Words of the command; [`PROGRAM`] and [`PORT`] stand for the executable and the port.
    pub(crate) words: Vec<String>,
    /// URL of the requests, with [`PORT`] for the port.
    pub(crate) url: String,
    /// Header fields of the requests.
    pub(crate) headers: Vec<Header>,
}

/// Text that stands for the executable.
pub(crate) const PROGRAM: &str = "{program}";
/// Text that stands for the port.
pub(crate) const PORT: &str = "{port}";

/// Kind of server that both builds are.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Broker of mintbench, with one virtual machine that has this many user-assigned identities.
    Broker {
        /// Number of identities: each miss asks for one of its own.
        user_assigned: u32,
    },
    /// Any other server.
    Command(CommandLine),
}

impl Kind {
    /// Returns the requests that are sent to a server of this kind.
    pub(crate) fn requests(&self) -> Requests {
        match self {
            Self::Broker { user_assigned } => Requests::Broker(world(*user_assigned)),
            Self::Command(command) => Requests::Get(command.headers.clone()),
        }
    }

    /// Starts `program` behind the words of `prefix`, and waits until it takes requests. Its messages go to
    /// a file.
    ///
    /// # Errors
    /// Returns [`StartError`] when it does not.
    pub(crate) fn start(
        &self,
        program: &Path,
        prefix: &[OsString],
        messages: File,
        stop: &Arc<Stop>,
    ) -> Result<(Server, HttpUrl), StartError> {
        let messages = Stdio::from(messages);
        match self {
            Self::Broker { user_assigned } => {
                let mut command = command(prefix, program.as_os_str().to_owned());
                command.stderr(messages);
                let extra = THREADS.map(str::to_owned);
                let world = world(*user_assigned);
                let process = ServeProcess::start_command(command, &world, &extra, stop)?;
                let url = process.endpoint("imds")?;
                Ok((Server::Broker(process), url))
            }
            Self::Command(line) => {
                let foreign = Foreign::start(line, program, prefix, messages, stop)?;
                let url = line.url.replace(PORT, &foreign.port.to_string()).parse()?;
                Ok((Server::Command(foreign), url))
            }
        }
    }
}

/// Flags of a broker whose work is counted: with one thread of each kind the order of its steps is always
/// the same.
const THREADS: [&str; 4] = ["--workers", "1", "--mint-lanes", "1"];

const fn world(user_assigned: u32) -> Synthetic {
    Synthetic { vms: 1, user_assigned, seed: 1 }
}

/// Running server, which ends when this value is dropped.
#[derive(Debug)]
pub(crate) enum Server {
    /// Broker of mintbench.
    Broker(ServeProcess),
    /// Any other server.
    Command(Foreign),
}

impl Server {
    /// Returns the process id.
    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Broker(process) => process.pid(),
            Self::Command(foreign) => foreign.child.id(),
        }
    }

    /// Ends the process at once: in order it takes seconds under Valgrind, and nobody needs it.
    pub(crate) fn kill(self) {
        if let Self::Broker(process) = self {
            process.kill();
        }
    }
}

/// Returns true if a process has child processes (`/proc/PID/task/TID/children`, proc(5)).
pub(crate) fn has_children(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut children = threads.map(|thread| std::fs::read(thread.path().join("children")));
    children.any(|children| children.is_ok_and(|children| !children.is_empty()))
}

/// Server of a command line.
#[derive(Debug)]
pub(crate) struct Foreign {
    child: Child,
    port: u16,
    stop: Arc<Stop>,
}

/// Limit for the start.
const READY_WITHIN: Duration = Duration::from_mins(2);
/// Interval of the attempts to connect.
const TRY_EVERY: Duration = Duration::from_millis(50);

impl Foreign {
    fn start(
        line: &CommandLine,
        program: &Path,
        prefix: &[OsString],
        messages: Stdio,
        stop: &Arc<Stop>,
    ) -> Result<Self, StartError> {
        let port = free_port().map_err(StartError::Port)?;
        let filled = |word: &String| {
            let word = word.replace(PORT, &port.to_string());
            OsString::from(word.replace(PROGRAM, &program.to_string_lossy()))
        };
        let mut words = line.words.iter().map(filled);
        let mut command = command(prefix, words.next().unwrap_or_default());
        command.args(words).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(messages);
        let child = command.spawn();
        let child = child.map_err(|source| StartError::Run(line.words.join(" "), source))?;
        stop.add_child(Pid::from_child(&child));
        let mut foreign = Self { child, port, stop: Arc::clone(stop) };
        foreign.wait_until_ready()?;
        Ok(foreign)
    }

    fn wait_until_ready(&mut self) -> Result<(), StartError> {
        let clock = Monotonic::start();
        let silent = |port, why: &str| StartError::Silent { port, why: why.to_owned() };
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(silent(self.port, &format!("it ended with {status}")));
            }
            if self.stop.is_requested() {
                return Err(ServeError::Interrupted.into());
            }
            if Duration::from_nanos(clock.now_ns()) > READY_WITHIN {
                return Err(silent(self.port, "it was not ready within two minutes"));
            }
            std::thread::sleep(TRY_EVERY);
        }
        Ok(())
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // Processes that the server has started go with it. Only while it runs the number is surely its own.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stop.remove_child(Pid::from_child(&self.child));
    }
}

/// Returns a command of the words of `prefix` and one more.
fn command(prefix: &[OsString], last: OsString) -> Command {
    let mut words = prefix.iter().cloned().chain([last]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

/// Returns a port on which nobody listened a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
