//! Waits of requests, which end early when the plan is replaced or the server stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::base::alarm::Alarm;

/// Greatest number of requests that wait at once. Each holds a connection and a timer of the kernel.
const WAITS_MAX: usize = 256;

/// Interval in which a thread that waits looks for the end of its wait.
const LOOK: Duration = Duration::from_millis(20);

/// The waits of all requests.
#[derive(Debug)]
pub(super) struct Waits {
    places: Arc<Semaphore>,
    generation: watch::Sender<u64>,
    left_out: AtomicU64,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(WAITS_MAX)),
            generation: watch::Sender::new(0),
            left_out: AtomicU64::new(0),
        }
    }
}

/// The right of one request to wait.
#[derive(Debug)]
pub(super) struct Wait {
    released: watch::Receiver<u64>,
    _place: OwnedSemaphorePermit,
}

/// End of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// The time is over.
    Over,
    /// The plan was replaced, or the server stops.
    Released,
}

impl Waits {
    /// Ends all waits.
    pub(super) fn release(&self) {
        self.generation.send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    /// Returns a receiver that sees every release from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Takes a place. Returns `None` if too many requests wait, and counts it.
    pub(super) fn enter(&self, released: watch::Receiver<u64>) -> Option<Wait> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        if place.is_none() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
        Some(Wait { released, _place: place? })
    }

    /// Returns the number of waits that were left out.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }
}

impl Wait {
    /// Waits until it is released.
    pub(super) async fn forever(mut self) {
        // An error means that the server has ended, which is a release too.
        let _ = self.released.changed().await;
    }

    /// Waits for `span`.
    pub(super) async fn span(&mut self, alarm: &Alarm, span: Duration) -> Waited {
        tokio::select! {
            biased;
            _ = self.released.changed() => Waited::Released,
            () = alarm.sleep(span) => Waited::Over,
        }
    }

    /// Blocks the thread for `span`, or until it is released.
    pub(super) fn block(self, span: Duration) {
        let mut left = span;
        while !left.is_zero() && matches!(self.released.has_changed(), Ok(false)) {
            let step = left.min(LOOK);
            std::thread::sleep(step);
            left = left.saturating_sub(step);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_limited_and_all_end_at_a_release() {
        let waits = Waits::default();
        let enter = || waits.enter(waits.subscribe());
        let held: Vec<Wait> = std::iter::from_fn(enter).collect();
        assert_eq!((held.len(), waits.left_out()), (WAITS_MAX, 1));
        let threads: Vec<_> = held
            .into_iter()
            .take(3)
            .map(|wait| std::thread::spawn(move || wait.block(Duration::from_hours(1))))
            .collect();
        waits.release();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(enter().is_some());
    }

    #[test]
    fn a_release_before_the_wait_counts_and_a_wait_ends_with_its_time() {
        let waits = Waits::default();
        let released = waits.subscribe();
        waits.release();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let mut wait = waits.enter(released).unwrap();
            let alarm = Alarm::new().unwrap();
            assert_eq!(wait.span(&alarm, Duration::from_hours(1)).await, Waited::Released);
            let mut wait = waits.enter(waits.subscribe()).unwrap();
            assert_eq!(wait.span(&alarm, Duration::from_millis(1)).await, Waited::Over);
            let wait = waits.enter(waits.subscribe()).unwrap();
            waits.release();
            wait.forever().await;
        });
    }
}
