//! `mintbench exec`: one program with a managed identity.

mod error;
mod netns;
mod signals;

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use clap::Args;
use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use self::error::ExecError;
use self::signals::{Event, catch, is_in_foreground};
use super::environment::{Environment, environment};
use super::exit::{Exit, print_error, refuse};
use super::running::{FOUND_WITHIN, Running, RunningArgs};
use crate::harness::machine::stop::Stop;
use crate::harness::session::serve_process::{ServeProcess, this_program};

/// Run a program in an environment where managed identity works
///
/// Uses the server that runs, or starts one that ends with the program. Passes on SIGINT, SIGTERM and SIGHUP.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: that of the program; 128 + N after signal N; 127 if there is no such program, 126 if it cannot be run; 2 if there is no server for it."
)]
pub(super) struct ExecArgs {
    #[command(flatten)]
    running: RunningArgs,
    /// Virtual machine, by name or resource id, that the program is; it gets a port of its own [default: the machine with the address of the program, usually 127.0.0.1]
    #[arg(long, value_name = "NAME|ID", env = "MINTBENCH_EXEC_VM")]
    vm: Option<String>,
    /// World file of a server that is started for the program
    #[arg(long, value_name = "FILE", env = "MINTBENCH_EXEC_WORLD")]
    world: Option<PathBuf>,
    /// Run the program and a server of its own in a network namespace where 169.254.169.254 port 80 is the identity endpoint, for SDKs that follow no variable; needs root, and the program reaches no other network
    #[arg(long, env = "MINTBENCH_EXEC_NETNS")]
    netns: bool,
    /// Program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
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
    catch(Arc::clone(&stop), events.clone()).map_err(ExecError::Signals)?;
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
    let imds = ["--imds".to_owned(), netns::IMDS.to_owned()];
    let imds = imds.into_iter().filter(|_| args.netns);
    let arguments: Vec<String> = world.chain(imds).collect();
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
            // The terminal sent it to the program, too.
            Event::Signal(signal) if signal == Signal::INT && is_in_foreground() => {}
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

/// Returns the exit code after the signal that came first.
fn after_signal(received: &Receiver<Event>) -> i32 {
    match received.try_recv() {
        Ok(Event::Signal(signal)) => 128 + signal.as_raw(),
        _ => Exit::Interrupted as i32,
    }
}
