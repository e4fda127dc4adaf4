//! Connections that wait for their next request.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::connection::Connection;
use super::origin::Origin;

/// Origins with idle connections; a client knows a handful.
const ORIGINS_MAX: usize = 64;

/// Idle connections by origin, the one used last at the end of its list.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<HashMap<Origin, Vec<Connection>>>,
    idle_max: usize,
}

impl Pool {
    /// A pool that keeps `idle_max` connections to each origin.
    pub(super) fn new(idle_max: usize) -> Self {
        Self { idle: Mutex::default(), idle_max }
    }

    /// The connection used last that is still open.
    pub(super) async fn take(&self, origin: &Origin) -> Option<Connection> {
        loop {
            // The lock is let go before the wait.
            let last = self.idle.lock().get_mut(origin).and_then(Vec::pop);
            let mut connection = last?;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose exchange is over, if there is room.
    pub(super) fn keep(&self, origin: &Origin, connection: Connection) {
        let mut idle = self.idle.lock();
        if idle.len() >= ORIGINS_MAX && !idle.contains_key(origin) {
            idle.retain(|_, kept| {
                kept.retain(|connection| !connection.is_closed());
                !kept.is_empty()
            });
        }
        if idle.len() >= ORIGINS_MAX && !idle.contains_key(origin) {
            return;
        }
        let kept = idle.entry(origin.clone()).or_default();
        kept.retain(|connection| !connection.is_closed());
        if kept.len() < self.idle_max {
            kept.push(connection);
        }
    }
}
