//! Ctrl-C, SIGTERM and SIGHUP, which stop a server gracefully.

use std::future::{Future, pending};
use std::io;
use std::path::Path;
use std::pin::Pin;

use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::sync::oneshot;

use super::error::ServeError;
use crate::base::files;
use crate::base::files::WORLD_BYTES_MAX;
use crate::base::process::ignores;

/// Signals that are caught instead of ending the process at once.
pub(super) struct StopSignals {
    runtime: Runtime,
    stopped: Pin<Box<dyn Future<Output = ()>>>,
}

impl StopSignals {
    /// Catches signals from now on.
    ///
    /// # Errors
    /// Returns an error when the system refuses.
    pub(super) fn catch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stopped = Box::pin(runtime.block_on(async { stop_signal() })?);
        Ok(Self { runtime, stopped })
    }

    /// Waits for a signal, and runs `beside` until it comes.
    pub(super) fn wait(self, beside: impl Future<Output = ()>) {
        let Self { runtime, stopped } = self;
        let beside = async {
            beside.await;
            // Its end is no signal.
            pending::<()>().await;
        };
        runtime.block_on(async {
            tokio::select! {
                () = stopped => {}
                () = beside => {}
            }
        });
    }

    /// Reads the world file. It may be a pipe without a writer, so a signal ends the wait.
    ///
    /// # Errors
    /// Returns an error when the file cannot be read, or when a signal comes first.
    pub(super) fn read_world(&mut self, path: &Path) -> Result<String, ServeError> {
        let (done, read) = oneshot::channel();
        let file = path.to_owned();
        // Runs on its own thread, which no runtime waits for at the end.
        std::thread::spawn(move || done.send(files::read_text(&file, WORLD_BYTES_MAX)));
        let stopped = || ServeError::Stopped(path.to_owned());
        let Self { runtime, stopped: signal } = self;
        runtime.block_on(async {
            tokio::select! {
                text = read => Ok(text.map_err(|_| stopped())??),
                () = signal => Err(stopped()),
            }
        })
    }
}

/// Sends SIGTERM to this process when standard input ends. The process at the other end of the pipe
/// then never leaves a server behind, also after a SIGKILL.
///
/// # Errors
/// Returns an error when the system has no thread for it.
pub(super) fn end_with_stdin() -> io::Result<()> {
    let stdin = std::thread::Builder::new().name("stdin".to_owned());
    stdin.spawn(|| {
        // An error of standard input is its end, too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = kill_process(getpid(), Signal::TERM);
    })?;
    Ok(())
}

/// Resolves on Ctrl-C, on SIGTERM, and on SIGHUP unless it is ignored.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let hangup = if ignores(Signal::HUP) { None } else { Some(signal(SignalKind::hangup())?) };
    // Caught, so that a store at the file size limit of the process fails one write instead of ending the
    // server.
    let oversize = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    Ok(async move {
        let _oversize = oversize;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = came(hangup) => {}
        }
    })
}

/// Waits for the signal, if it is caught.
async fn came(signal: Option<Signals>) {
    match signal {
        Some(mut signal) => drop(signal.recv().await),
        None => pending().await,
    }
}
