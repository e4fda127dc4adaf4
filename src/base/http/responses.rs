//! Counters that a surface increments and the administration surface reads.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;

/// Number of responses by status, counted by one worker.
#[derive(Debug, Default)]
#[repr(align(128))] // workers count on their own cache lines
pub struct Responses([AtomicU64; Responses::STATUSES.len()]);

impl Responses {
    /// The statuses that the identity endpoint sends.
    pub const STATUSES: [u16; 8] = [200, 400, 403, 404, 405, 429, 500, 503];

    /// Counts one response. Other statuses are not counted.
    pub fn count(&self, status: StatusCode) {
        let position = Self::STATUSES.iter().position(|known| *known == status.as_u16());
        if let Some(counter) = position.and_then(|at| self.0.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns each status with its number of responses.
    pub fn counts(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = self.0.iter().map(|counter| counter.load(Ordering::Relaxed));
        Self::STATUSES.into_iter().zip(counts)
    }
}
