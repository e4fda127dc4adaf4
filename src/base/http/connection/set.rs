//! The connections of one worker, and the closing of silent ones.
//!
//! A timer for each request head would be armed and disarmed at every request, and would not detect a peer
//! that never reads. Instead each connection records its activity, and a sweep ends two kinds of connections.
//! The first kind has begun no new request for two minutes: it is idle, or sends its head byte by byte. The
//! second kind has a peer that has not read its answer for half a minute.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use tokio::task::{Id, JoinSet};

use crate::base::http::limits::Activity;

/// The tasks of all live connections. Dropping it ends them.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    tasks: JoinSet<()>,
    live: HashMap<Id, Arc<Activity>>,
}

impl Connections {
    /// Starts the task of a connection.
    pub(crate) fn spawn(
        &mut self,
        activity: &Arc<Activity>,
        serve: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = self.tasks.spawn(serve);
        self.live.insert(task.id(), Arc::clone(activity));
        activity.served_by(task);
    }

    /// Forgets ended connections.
    pub(crate) fn reap(&mut self) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
            self.live.remove(&id);
        }
        // Frees memory after a flood of connections.
        if self.live.capacity() / 8 > self.live.len() {
            self.live.shrink_to(self.live.len() * 2);
        }
    }

    /// Ends the connections that were silent for too long, or whose peer has not read its answer for too
    /// long.
    pub(crate) fn sweep(&self) {
        for activity in self.live.values() {
            if activity.is_stalled() {
                activity.tally.stalled.add();
                activity.end();
            } else if activity.is_silent() {
                activity.end();
            }
        }
    }

    /// Ends the connections that have no request in flight.
    pub(crate) fn end_all_without_request(&self) {
        self.live.values().filter(|activity| !activity.has_request()).for_each(|live| live.end());
    }

    /// Waits until the last connection has ended.
    pub(crate) async fn finish(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::http::limits::{CoarseClock, SILENT_S, STALLED_S, Tally};

    #[tokio::test]
    async fn a_silent_connection_is_ended_and_one_with_requests_lives() {
        let clock = Arc::new(CoarseClock::start());
        let tally = Arc::new(Tally::new("test"));
        let mut connections = Connections::default();
        let [busy, stalled, _silent] = [0, 1, 2].map(|number| {
            let activity = Arc::new(Activity::new(number, Arc::clone(&tally), Arc::clone(&clock)));
            connections.spawn(&activity, std::future::pending());
            activity
        });
        stalled.mark_unsent();
        let mut live = Vec::new();
        for now_s in [0, STALLED_S, STALLED_S + 1, SILENT_S, SILENT_S + 1] {
            clock.set(now_s);
            busy.begin(0);
            connections.sweep();
            tokio::task::yield_now().await;
            connections.reap();
            live.push(connections.live.len());
        }
        assert_eq!(live, [3, 3, 2, 2, 1]);
        assert_eq!(tally.stalled.get(), 1);
    }

    #[tokio::test]
    async fn a_stop_ends_what_has_no_request_in_flight() {
        let clock = Arc::new(CoarseClock::start());
        let tally = Arc::new(Tally::new("test"));
        let mut connections = Connections::default();
        let [_new, busy, answered, unread] = [0, 1, 2, 3].map(|number| {
            let activity = Arc::new(Activity::new(number, Arc::clone(&tally), Arc::clone(&clock)));
            connections.spawn(&activity, std::future::pending());
            activity
        });
        busy.begin(0);
        answered.finish();
        unread.finish();
        unread.mark_unsent();
        connections.end_all_without_request();
        tokio::task::yield_now().await;
        connections.reap();
        let mut live: Vec<u64> = connections.live.values().map(|live| live.number).collect();
        live.sort_unstable();
        assert_eq!(live, [1, 3]);
    }
}
