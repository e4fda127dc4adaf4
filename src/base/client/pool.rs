//! Connection pool: idle connections that wait for their next request.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::connection::Connection;
use super::origin::Origin;

/// Largest number of origins with idle connections. A client has only a few.
const ORIGINS_MAX: usize = 64;

/// Idle connections by origin. The most recently used is last in its list.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<HashMap<Origin, Vec<Connection>>>,
    idle_max: usize,
}

impl Pool {
    /// Creates a pool that keeps `idle_max` connections to each origin.
    pub(super) fn new(idle_max: usize) -> Self {
        Self { idle: Mutex::default(), idle_max }
    }

    /// Takes the most recently used connection that is still open.
    pub(super) async fn take(&self, origin: &Origin) -> Option<Connection> {
        loop {
            // The lock is released before the wait.
            let last = self.idle.lock().get_mut(origin).and_then(Vec::pop);
            let mut connection = last?;
            if connection.is_usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose exchange has ended, if there is room.
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
