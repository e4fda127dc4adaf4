//! Ctrl-C and SIGTERM, for the commands that measure.

use std::io;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;
use super::terminal::{Stream, say};
use crate::load::stop::{Request, Stop};

/// The first Ctrl-C (or SIGTERM) ends the load and the broker in order, the second at once.
///
/// Listening has begun when this returns: before there is a broker to leave behind.
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

/// The first Ctrl-C (or SIGTERM) ends the process at once, and its children: for what leaves nothing
/// half done.
///
/// `interrupted` is called before that, to say what is known.
pub(super) fn end_at_once(stop: Arc<Stop>, interrupted: impl FnOnce() + Send + 'static) {
    let Ok(mut signals) = Signals::listen() else { return };
    std::thread::spawn(move || {
        signals.wait();
        // No child is begun from here on.
        let _ = stop.request();
        stop.kill_children();
        interrupted();
        std::process::exit(Exit::Interrupted as i32);
    });
}

/// Says that the user ended the command, and what that means.
pub(super) fn interrupted(consequence: &str) -> Exit {
    say(format_args!("interrupted: {consequence}"));
    Exit::Interrupted
}

/// Prints what is known to `out`, and says that the user ended the command.
pub(super) fn interrupted_after(known: &str, out: Stream, consequence: &str) -> Exit {
    // Whoever went away does not want to know.
    let _ = out.write(known);
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
