//! Connection limits. They follow from the number of file descriptors, less those that the store, the workers
//! and the operators need.

use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::base::http::{ConnectionLimiter, ConnectionLimits, LEAVING_MAX};

/// Connections of the admin endpoint. They are reserved, so that operators can always connect.
const ADMIN_CONNECTIONS: usize = 32;

/// File descriptors of the store, the log, `/proc` and the system libraries.
const OWN_DESCRIPTORS: usize = 48;

/// File descriptors of a worker: its listener, its runtime and its two timers.
const WORKER_DESCRIPTORS: usize = 8;

/// Upper bound of the default for connections: about 5 GB of buffers.
const DEFAULT_MAX: usize = 262_144;

/// Lower bound of the defaults for all connections and for those of one caller, even with fewer descriptors.
const DEFAULT_MIN: usize = 16;

/// Divisor for the default limit of one caller: a quarter of the connections.
const CALLERS_PART: usize = 4;

/// Error for a connection limit above the number of file descriptors.
#[derive(Debug, thiserror::Error)]
#[error(
    "--max-connections {asked} needs {needed} file descriptors, and this process may open {descriptors}; use at most {possible}, or raise the limit as in `ulimit -n {needed}`"
)]
pub(crate) struct TooManyConnections {
    asked: usize,
    needed: usize,
    descriptors: usize,
    possible: usize,
}

/// Settings for the connection limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionOptions {
    /// Number of files that the process may open.
    pub descriptors: usize,
    /// Number of threads that answer requests of the identity endpoint.
    pub workers: NonZeroUsize,
    /// Number of connections that this process opens to a token service.
    pub outgoing: usize,
    /// Connections of all endpoints except the admin endpoint; by default as many as the descriptors allow.
    pub max: Option<NonZeroUsize>,
    /// Connections of one IP address; by default a quarter of all, but at least 16.
    pub per_caller: Option<NonZeroUsize>,
    /// Bytes of answers that an endpoint buffers for callers that have not read them.
    pub unsent_bytes: usize,
}

impl ConnectionOptions {
    /// Returns the limits of the endpoints other than the admin endpoint.
    ///
    /// # Errors
    /// Returns `TooManyConnections` when `max` needs more file descriptors than the process may open.
    pub(crate) fn limits(&self) -> Result<ConnectionLimits, TooManyConnections> {
        let Self { descriptors, unsent_bytes, .. } = *self;
        let reserve = self.reserve();
        let possible = descriptors.saturating_sub(reserve);
        let max = match self.max.map(NonZeroUsize::get) {
            Some(asked) if asked > possible => {
                let needed = asked.saturating_add(reserve);
                return Err(TooManyConnections { asked, needed, descriptors, possible });
            }
            Some(asked) => asked,
            None => possible.clamp(DEFAULT_MIN, DEFAULT_MAX),
        };
        let part = (max / CALLERS_PART).max(DEFAULT_MIN);
        let per_caller = self.per_caller.map_or(part, NonZeroUsize::get).min(max);
        Ok(ConnectionLimits { max, per_caller, unsent_bytes })
    }

    fn reserve(&self) -> usize {
        let workers = self.workers.get().saturating_mul(WORKER_DESCRIPTORS);
        let own = OWN_DESCRIPTORS.saturating_add(workers).saturating_add(self.outgoing);
        own.saturating_add(ADMIN_CONNECTIONS + LEAVING_MAX)
    }
}

/// Limiters of the surfaces: one for the admin endpoint, one shared by all others.
#[derive(Clone, Debug)]
pub(super) struct Limiters {
    shared: Arc<ConnectionLimiter>,
    admin: Arc<ConnectionLimiter>,
}

impl Limiters {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        let (max, per_caller) = (ADMIN_CONNECTIONS, ADMIN_CONNECTIONS);
        let admin = ConnectionLimits { max, per_caller, ..limits };
        Self { shared: ConnectionLimiter::new(limits), admin: ConnectionLimiter::new(admin) }
    }

    pub(super) fn of(&self, surface: &str) -> Arc<ConnectionLimiter> {
        Arc::clone(if surface == "admin" { &self.admin } else { &self.shared })
    }

    pub(super) fn all(&self) -> Vec<Arc<ConnectionLimiter>> {
        vec![Arc::clone(&self.shared), Arc::clone(&self.admin)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(descriptors: usize) -> ConnectionOptions {
        let (max, per_caller) = (None, None);
        let workers = NonZeroUsize::new(2).unwrap();
        ConnectionOptions { descriptors, workers, outgoing: 0, max, per_caller, unsent_bytes: 1 }
    }

    fn limits(options: &ConnectionOptions) -> (usize, usize) {
        let ConnectionLimits { max, per_caller, .. } = options.limits().unwrap();
        (max, per_caller)
    }

    #[test]
    fn descriptors_are_left_for_the_process_and_for_operators() {
        let cases = [(0, (16, 16)), (256, (128, 32)), (1024, (896, 224)), (20_000, (19_872, 4968))];
        for (descriptors, wanted) in cases {
            assert_eq!(limits(&options(descriptors)), wanted, "{descriptors}");
        }
        assert_eq!(limits(&options(usize::MAX)), (262_144, 65_536));
    }

    #[test]
    fn more_connections_than_descriptors_are_refused_and_a_caller_has_no_more_than_all() {
        let asked = |count| NonZeroUsize::new(count);
        let few = ConnectionOptions { max: asked(897), ..options(1024) };
        let error = few.limits().unwrap_err().to_string();
        assert!(error.contains("use at most 896") && error.contains("ulimit -n 1025"), "{error}");
        let few = ConnectionOptions { max: asked(100), per_caller: asked(1000), ..options(1024) };
        assert_eq!(limits(&few), (100, 100));
    }
}
