//! Signals of a program and its parent.

use std::fs;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use rustix::process::Signal;
use tokio::runtime::Builder;
use tokio::signal::unix::{self, SignalKind, signal};

use crate::base::process;
use crate::harness::machine::stop::Stop;

/// Something that happened while the program ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The program ended. It is not reaped yet, so its id is still its own.
    Ended,
    /// This process got a signal.
    Signal(Signal),
}

/// Signals that end the start of a broker, too.
const ENDING: [Signal; 4] = [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT];
/// Signals that a program gives a meaning, and that of a terminal with another size.
const OTHERS: [Signal; 3] = [Signal::USR1, Signal::USR2, Signal::WINCH];
/// Signals that a terminal sends to every program in its foreground.
const OF_TERMINAL: [Signal; 3] = [Signal::INT, Signal::QUIT, Signal::WINCH];

/// Catches signals from now on, and sends each to `events`. The first that asks for an end also ends the start of a
/// broker. A signal that is ignored, as SIGHUP below `nohup`, stays ignored here and by the program.
///
/// # Errors
/// Returns an error when the system refuses.
pub(super) fn catch(stop: &Arc<Stop>, events: &Sender<Event>) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    for own in ENDING.into_iter().chain(OTHERS).filter(|own| !process::ignores(*own)) {
        let received = signal(SignalKind::from_raw(own.as_raw()))?;
        runtime.spawn(forward(received, own, Arc::clone(stop), events.clone()));
    }
    drop(entered);
    let wait = move || runtime.block_on(pending::<()>());
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(())
}

/// Sends each signal of a kind to `events`, until nobody receives it.
async fn forward(mut received: unix::Signal, own: Signal, stop: Arc<Stop>, events: Sender<Event>) {
    while received.recv().await.is_some() {
        // Sent first, because whoever sees the request asks which signal it was.
        let sent = events.send(Event::Signal(own));
        if asks_for_end(own) {
            let _ = stop.request();
        }
        if sent.is_err() {
            return;
        }
    }
}

/// Returns true for a signal that ends the start of a broker.
pub(super) fn asks_for_end(signal: Signal) -> bool {
    ENDING.contains(&signal)
}

/// Returns true if the program got this signal, too, because the terminal sends it to both.
pub(super) fn is_shared(signal: Signal) -> bool {
    OF_TERMINAL.contains(&signal) && is_in_foreground()
}

/// Returns true if the terminal sends its signals, such as Ctrl-C, to this process and so to the program, too:
/// both are in the foreground group of the terminal (fields 5 and 8 of `/proc/self/stat`, proc(5)).
fn is_in_foreground() -> bool {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = fields.split_ascii_whitespace();
    // The state and the parent come first; session and terminal are between the two groups.
    let (own, foreground) = (fields.nth(2), fields.nth(2));
    own.is_some() && own == foreground
}
