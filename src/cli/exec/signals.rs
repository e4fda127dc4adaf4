//! Signals of a program and its parent.

use std::fs;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use rustix::process::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{self, SignalKind, signal};

use crate::harness::machine::stop::Stop;

/// Something that happened while the program ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The program ended. It is not reaped yet, so its id is still its own.
    Ended,
    /// This process got a signal.
    Signal(Signal),
}

/// Catches SIGINT, SIGTERM and SIGHUP from now on, and sends each to `events`. The first also ends the start of
/// a broker. A signal that is ignored, as SIGHUP below `nohup`, stays ignored here and by the program.
///
/// # Errors
/// Returns an error when the system refuses.
pub(super) fn catch(stop: Arc<Stop>, events: Sender<Event>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let ignored = ignored();
    let caught = |kind: SignalKind, own: Signal| {
        let is_ignored = ignored & (1 << (own.as_raw() - 1)) != 0;
        if is_ignored { Ok(None) } else { signal(kind).map(Some) }
    };
    let mut interrupt = caught(SignalKind::interrupt(), Signal::INT)?;
    let mut terminate = caught(SignalKind::terminate(), Signal::TERM)?;
    let mut hangup = caught(SignalKind::hangup(), Signal::HUP)?;
    drop(entered);
    let wait = async move {
        loop {
            let signal = tokio::select! {
                () = next(&mut interrupt) => Signal::INT,
                () = next(&mut terminate) => Signal::TERM,
                () = next(&mut hangup) => Signal::HUP,
            };
            let _ = stop.request();
            if events.send(Event::Signal(signal)).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(wait))?;
    Ok(())
}

async fn next(signal: &mut Option<unix::Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    pending::<()>().await;
}

/// Returns the signals that this process ignores, as a bit mask (`SigIgn` of proc(5)).
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// Returns true if the terminal sends its signals, such as Ctrl-C, to this process and so to the program, too:
/// both are in the foreground group of the terminal (fields 5 and 8 of `/proc/self/stat`, proc(5)).
pub(super) fn is_in_foreground() -> bool {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = fields.split_ascii_whitespace();
    // The state and the parent come first; session and terminal are between the two groups.
    let (own, foreground) = (fields.nth(2), fields.nth(2));
    own.is_some() && own == foreground
}
