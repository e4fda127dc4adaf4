//! When changes are made: at a steady pace between two signals, one after the other.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock::Monotonic;
use crate::load::cores;

/// When a thread acts; times in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// From the signal to begin to the first act.
    pub(super) first_ns: u64,
    /// From one act to the next; longer when an act takes longer.
    pub(super) gap_ns: u64,
}

/// A thread that acts at a pace, and gives something back at its end.
#[derive(Debug)]
pub(super) struct Paced<T> {
    /// A message begins, hanging up ends.
    signal: Sender<()>,
    thread: JoinHandle<T>,
}

/// The thread has panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panicked;

impl<T: Send + 'static> Paced<T> {
    /// A thread on this core that waits for [`Paced::begin`], then lets `actor` act until that breaks
    /// or the run ends.
    ///
    /// # Errors
    /// When there is no thread.
    pub(super) fn start(
        pace: Pace,
        core: Option<usize>,
        clock: Monotonic,
        mut actor: T,
        act: impl Fn(&mut T) -> ControlFlow<()> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (signal, signals) = channel();
        let thread = std::thread::Builder::new().name("changes".to_owned());
        let thread = thread.spawn(move || {
            // Beside the broker: the generator's cores are not to be disturbed.
            cores::settle_thread(core);
            if signals.recv().is_ok() {
                go(pace, clock, &signals, || act(&mut actor));
            }
            actor
        })?;
        Ok(Self { signal, thread })
    }

    /// Lets it begin.
    pub(super) fn begin(&self) {
        // A thread that has ended shows so when it is joined.
        let _ = self.signal.send(());
    }

    /// Ends it, after what it is about.
    pub(super) fn finish(self) -> Result<T, Panicked> {
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
    let mut due_ns = clock.now_ns().saturating_add(pace.first_ns);
    loop {
        let wait = Duration::from_nanos(due_ns.saturating_sub(clock.now_ns()));
        if signals.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) || act().is_break() {
            return;
        }
        // What is late is not made up for: a slow broker gets fewer changes, not a heap of them.
        due_ns = due_ns.saturating_add(pace.gap_ns).max(clock.now_ns());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Pace = Pace { first_ns: 0, gap_ns: 1_000 };

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
