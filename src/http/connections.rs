//! The connections of one worker, and the end of those that keep silent.
//!
//! A timer for each request head would be armed and disarmed at every request, and would not see a
//! peer that never reads. Here a request leaves a mark, and a sweep every
//! [`SWEEP`] ends the connections that have left none for [`SILENT_SWEEPS`] sweeps: idle ones, ones that
//! bring their head byte by byte, and ones that never read their answer.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::task::{AbortHandle, Id, JoinSet};

/// The time between sweeps.
pub(super) const SWEEP: Duration = Duration::from_secs(15);

/// Two minutes: longer than the keep-alive of the Azure SDKs' HTTP clients, so that they close first.
const SILENT_SWEEPS: u32 = 8;

/// When a connection last began to answer a request, counted in sweeps.
#[derive(Debug)]
pub(super) struct Pulse {
    sweeps: Arc<AtomicU32>,
    last: AtomicU32,
}

impl Pulse {
    /// Marks a request. All of a worker happens on its one thread, so `Relaxed` is enough.
    pub(super) fn beat(&self) {
        self.last.store(self.sweeps.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn is_silent(&self) -> bool {
        let (now, last) = (self.sweeps.load(Ordering::Relaxed), self.last.load(Ordering::Relaxed));
        now.wrapping_sub(last) > SILENT_SWEEPS
    }
}

/// The tasks of all live connections; dropping it ends them.
#[derive(Debug, Default)]
pub(super) struct Connections {
    tasks: JoinSet<()>,
    live: HashMap<Id, (AbortHandle, Arc<Pulse>)>,
    sweeps: Arc<AtomicU32>,
}

impl Connections {
    /// Starts the task of a connection, which is to mark its requests.
    pub(super) fn spawn<F>(&mut self, serve: impl FnOnce(Arc<Pulse>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let last = AtomicU32::new(self.sweeps.load(Ordering::Relaxed));
        let pulse = Arc::new(Pulse { sweeps: Arc::clone(&self.sweeps), last });
        let task = self.tasks.spawn(serve(Arc::clone(&pulse)));
        self.live.insert(task.id(), (task, pulse));
    }

    /// Forgets the connections that have ended.
    pub(super) fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
            self.live.remove(&id);
        }
    }

    /// Ends the connections that have kept silent for too long.
    pub(super) fn sweep(&mut self) {
        self.sweeps.fetch_add(1, Ordering::Relaxed);
        let silent = self.live.values().filter(|(_, pulse)| pulse.is_silent());
        silent.for_each(|(task, _)| task.abort());
    }

    /// Waits until the last connection has ended.
    pub(super) async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_silent_connection_is_ended_and_one_with_requests_lives() {
        let mut connections = Connections::default();
        connections.spawn(|_silent| std::future::pending());
        let mut busy = None;
        connections.spawn(|pulse| {
            busy = Some(pulse);
            std::future::pending()
        });
        for sweep in 0..=SILENT_SWEEPS {
            assert_eq!(connections.live.len(), 2, "after {sweep} sweeps");
            busy.as_ref().unwrap().beat();
            connections.sweep();
            tokio::task::yield_now().await;
            connections.reap();
        }
        assert_eq!(connections.live.len(), 1);
    }
}
