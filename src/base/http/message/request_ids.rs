//! Ids of requests, for `x-ms-request-id`.

use std::sync::atomic::{AtomicU64, Ordering};

use uuid::Uuid;

/// GUIDs that no two answers share: a random start, combined with a counter.
#[derive(Debug)]
pub(crate) struct RequestIds {
    seed: u128,
    count: AtomicU64,
}

impl RequestIds {
    /// Creates ids that differ from those of another `seed`.
    pub(crate) const fn new(seed: u128) -> Self {
        Self { seed, count: AtomicU64::new(0) }
    }

    /// Returns the next id.
    pub(crate) fn next(&self) -> Uuid {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let spread = u128::from(count).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        uuid::Builder::from_random_bytes((self.seed ^ spread).to_be_bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_guids_and_differ() {
        let ids = RequestIds::new(7);
        let made: std::collections::HashSet<Uuid> = (0..1000).map(|_| ids.next()).collect();
        assert_eq!(made.len(), 1000);
        assert!(made.iter().all(|id| id.get_version_num() == 4));
    }
}
