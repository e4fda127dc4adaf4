//! Pace of the changes: one after the other, at steady distances, between two signals.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::clock::Monotonic;
use crate::harness::machine::cores;
use crate::harness::nanos::Nanos;

/// Schedule of a thread's actions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Time from the start signal to the first action.
    pub(crate) first: Nanos,
    /// Time from one action to the next; longer if an action takes longer.
    pub(crate) gap: Nanos,
}

/// Thread that acts at a pace, and returns its actor at the end.
#[derive(Debug)]
pub(crate) struct Paced<T> {
    /// Channel to the thread: a message starts the actions, hanging up ends them.
    signal: Sender<()>,
    thread: JoinHandle<T>,
}

/// Error of a thread that has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Panicked;

impl<T: Send + 'static> Paced<T> {
    /// Starts a thread on this core that waits for [`Paced::begin`]. It then lets `actor` act until
    /// `act` breaks or the run ends.
    ///
    /// # Errors
    /// Returns an error when the thread cannot be started.
    pub(crate) fn start(
        pace: Pace,
        core: Option<usize>,
        clock: Monotonic,
        mut actor: T,
        act: impl Fn(&mut T) -> ControlFlow<()> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (signal, signals) = channel();
        let thread = std::thread::Builder::new().name("changes".to_owned());
        let thread = thread.spawn(move || {
            // On the broker's core, so that the generator's cores are not disturbed.
            cores::settle_thread(core);
            if signals.recv().is_ok() {
                go(pace, clock, &signals, || act(&mut actor));
            }
            actor
        })?;
        Ok(Self { signal, thread })
    }

    /// Starts the actions.
    pub(crate) fn begin(&self) {
        // A thread that has ended is found when it is joined.
        let _ = self.signal.send(());
    }

    /// Ends the thread after its current action, and returns the actor.
    pub(crate) fn finish(self) -> Result<T, Panicked> {
        drop(self.signal);
        self.thread.join().map_err(|_| Panicked)
    }
}

fn go(
    pace: Pace,
    clock: Monotonic,
    signals: &Receiver<()>,
    mut act: impl FnMut() -> ControlFlow<()>,
) {
    let mut due = Nanos::now(clock).saturating_add(pace.first);
    loop {
        let wait = Duration::from(due.saturating_sub(Nanos::now(clock)));
        if signals.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) || act().is_break() {
            return;
        }
        // Late actions are not made up for: a slow broker gets fewer changes, not a burst of them.
        due = due.saturating_add(pace.gap).max(Nanos::now(clock));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Pace = Pace { first: Nanos::ZERO, gap: Nanos::from_micros(1) };

    #[test]
    fn nothing_happens_before_the_signal_and_all_of_it_after() {
        let clock = Monotonic::start();
        let count = |acted: &mut u32| {
            *acted += 1;
            if *acted == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let idle = Paced::start(FAST, None, clock, 0_u32, count).unwrap();
        assert_eq!(idle.finish(), Ok(0));
        let (tell, told) = channel();
        let act = move |acted: &mut u32| {
            let flow = count(acted);
            if flow.is_break() {
                tell.send(()).unwrap();
            }
            flow
        };
        let busy = Paced::start(FAST, None, clock, 0_u32, act).unwrap();
        busy.begin();
        told.recv().unwrap();
        assert_eq!(busy.finish(), Ok(3));
    }
}
