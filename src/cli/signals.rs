//! Ctrl-C and SIGTERM, for the commands that measure.

use std::io;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::Exit;
use super::terminal::{Stream, say};
use crate::harness::machine::stop::{Request, Stop};

/// Starts listening: the first Ctrl-C (or SIGTERM) ends the load and the broker in order, the second
/// ends them at once.
///
/// Listening has begun when this function returns, so no broker can be left behind. Call it after the files of the user
/// are read: without it a signal ends the process at once, also while it waits for a pipe.
pub(super) fn listen(stop: Arc<Stop>) {
    // Without a listener a signal ends the process at once, as it does by default.
    let Ok(mut signals) = Signals::listen() else { return };
    std::thread::spawn(move || {
        loop {
            signals.wait();
            if stop.request() == Request::Repeated {
                stop.kill_children();
                std::process::exit(Exit::Interrupted as i32);
            }
        }
    });
}

/// Starts listening: the first Ctrl-C (or SIGTERM) ends the process and its children at once. For
/// commands that leave nothing half done.
///
/// Calls `interrupted` before the end, to print the results so far.
pub(super) fn end_at_once(stop: Arc<Stop>, interrupted: impl FnOnce() + Send + 'static) {
    let Ok(mut signals) = Signals::listen() else { return };
    std::thread::spawn(move || {
        signals.wait();
        // No child is started from here on.
        let _ = stop.request();
        stop.kill_children();
        interrupted();
        std::process::exit(Exit::Interrupted as i32);
    });
}

/// Reports that the user interrupted the command, and the consequence.
pub(super) fn interrupted(consequence: &str) -> Exit {
    say(format_args!("interrupted: {consequence}"));
    Exit::Interrupted
}

/// Prints the results so far to `out`, and reports that the user interrupted the command.
pub(super) fn interrupted_after(known: &str, out: Stream, consequence: &str) -> Exit {
    // A reader that has gone away does not need the results.
    out.show(known);
    interrupted(consequence)
}

struct Signals {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let entered = runtime.enter();
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        drop(entered);
        Ok(Self { runtime, interrupt, terminate })
    }

    fn wait(&mut self) {
        let Self { runtime, interrupt, terminate } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
    }
}
