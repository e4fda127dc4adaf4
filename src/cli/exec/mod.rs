//! `mintbench exec`: one program with a managed identity.

mod error;
mod netns;
mod signals;

use std::cmp::Ordering;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgMatches, Args};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, waitid};

use self::error::{ExecError, TwoServers};
use self::signals::{Event, asks_for_end, catch, is_shared};
use super::environment::{Environment, environment};
use super::exit::{Exit, print_error, refuse};
use super::running::{FOUND_WITHIN, Running, RunningArgs};
use super::sources::distance;
use crate::harness::machine::stop::Stop;
use crate::harness::session::serve_process::{ServeProcess, this_program};

/// Run a program in an environment where managed identity works
///
/// Uses the server that runs, or starts one that ends with the program. Passes on SIGINT, SIGTERM, SIGHUP, SIGQUIT,
/// SIGUSR1, SIGUSR2 and SIGWINCH.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: that of the program; 128 + N after signal N; 127 if there is no such program, 126 if it cannot be run; 2 if there is no server for it."
)]
pub(super) struct ExecArgs {
    #[command(flatten)]
    running: RunningArgs,
    /// Virtual machine that the program is, by name or resource id; it gets a port of its own [default: the machine with the program's address, usually 127.0.0.1]
    #[arg(long, value_name = "NAME|ID", value_parser = NonEmptyStringValueParser::new(), env = "MINTBENCH_EXEC_VM")]
    vm: Option<String>,
    /// World file of a server that is started for the program; not together with --data
    #[arg(long, value_name = "FILE", env = "MINTBENCH_EXEC_WORLD")]
    world: Option<PathBuf>,
    /// Run the program in a network namespace with a server of its own at 169.254.169.254 port 80; needs root, and the program reaches no other network
    #[arg(long, env = "MINTBENCH_EXEC_NETNS")]
    netns: bool,
    /// Program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

impl ExecArgs {
    /// Keeps either the server that runs (`--data`) or the flags of one for the program (`--world`, `--netns`): those
    /// from the source with the higher priority.
    ///
    /// # Errors
    /// Returns an error when both come from the same source.
    pub(super) fn settle(&mut self, matches: &ArgMatches) -> Result<(), TwoServers> {
        let given = |is_given: bool, id| is_given.then(|| distance(matches, id)).flatten();
        let own = [("world", self.world.is_some()), ("netns", self.netns)];
        let own = own.map(|(id, is_given)| Some((given(is_given, id)?, id)));
        let running = given(self.running.data.is_some(), "data");
        let (Some(running), Some((own, id))) = (running, own.into_iter().flatten().min()) else {
            return Ok(());
        };
        match running.cmp(&own) {
            Ordering::Less => (self.world, self.netns) = (None, false),
            Ordering::Equal => return Err(TwoServers(id)),
            Ordering::Greater => self.running.data = None,
        }
        Ok(())
    }
}

/// Runs the command. The exit code is that of the program, so it may be none of ours.
pub(super) fn main(args: &ExecArgs) -> Exit {
    match run(args) {
        Ok(code) => std::process::exit(code),
        Err(error) if error.code() == Exit::Usage as i32 => refuse(&error),
        Err(error) => {
            print_error(&error);
            std::process::exit(error.code());
        }
    }
}

/// A server that runs, and its process if it was started for the program.
struct Server {
    running: Running,
    _own: Option<ServeProcess>,
}

fn run(args: &ExecArgs) -> Result<i32, ExecError> {
    let (events, received) = channel();
    let stop = Arc::new(Stop::default());
    catch(&stop, &events).map_err(ExecError::Signals)?;
    let server = match server(args, &stop) {
        // The signal ended the start, so there is no program that it could end.
        Err(ExecError::Broker(_)) if stop.is_requested() => return Ok(after_signal(&received)),
        server => server?,
    };
    let child = spawn(args, &environment(&server.running, args.vm.as_deref())?)?;
    let status = wait(child, events, &received).map_err(ExecError::Wait)?;
    Ok(code(status))
}

/// Finds a server, or starts one. A named one must run.
fn server(args: &ExecArgs, stop: &Arc<Stop>) -> Result<Server, ExecError> {
    if args.netns {
        netns::enter()?;
    } else if args.world.is_none() {
        match args.running.find(FOUND_WITHIN) {
            Err(error) if args.running.data.is_none() && error.is_absence() => {}
            found => return Ok(Server { running: found?, _own: None }),
        }
    }
    let world = args.world.iter();
    let world = world.flat_map(|path| ["--world".to_owned(), path.display().to_string()]);
    // The SDKs for Go and Rust call the real address, or else that of App Service, and no other (ADR 30).
    let endpoint =
        if args.netns { ["--imds", netns::IMDS] } else { ["--app-service", "127.0.0.1:0"] };
    let arguments: Vec<String> = world.chain(endpoint.map(str::to_owned)).collect();
    let own = ServeProcess::start_with(Command::new(this_program()), &arguments, stop)?;
    let running = Running::of(own.folder()?, args.running.secret_files.group())?;
    Ok(Server { running, _own: Some(own) })
}

fn spawn(args: &ExecArgs, environment: &Environment) -> Result<Child, ExecError> {
    let mut words = args.program.iter();
    let program = words.next().cloned().unwrap_or_default();
    let mut command = Command::new(&program);
    command.args(words).envs(environment.set.iter().map(|(name, value)| (*name, value)));
    for name in &environment.cleared {
        command.env_remove(name);
    }
    command.spawn().map_err(|source| ExecError::Program {
        program: program.to_string_lossy().into_owned(),
        source,
    })
}

/// Passes signals to the program until it ends.
fn wait(
    mut child: Child,
    events: Sender<Event>,
    received: &Receiver<Event>,
) -> std::io::Result<ExitStatus> {
    let pid = Pid::from_child(&child);
    // The program is not reaped here, so that no signal goes to another process that got its id.
    let ended = move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = retry_on_intr(|| waitid(WaitId::Pid(pid), options));
        let _ = events.send(Event::Ended);
    };
    std::thread::Builder::new().name("wait".to_owned()).spawn(ended)?;
    for event in received {
        match event {
            Event::Ended => break,
            Event::Signal(signal) if is_shared(signal) => {}
            Event::Signal(signal) => {
                let _ = kill_process(pid, signal);
            }
        }
    }
    child.wait()
}

/// Returns the exit code of a shell for the status of a program.
fn code(status: ExitStatus) -> i32 {
    status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1)
}

/// Returns the exit code after the first signal that asked for an end.
fn after_signal(received: &Receiver<Event>) -> i32 {
    let code = |event| match event {
        Event::Signal(signal) if asks_for_end(signal) => Some(128 + signal.as_raw()),
        _ => None,
    };
    received.try_iter().find_map(code).unwrap_or(Exit::Interrupted as i32)
}
