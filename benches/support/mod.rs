//! Builders that keep benches short.

pub(crate) mod keys;
pub(crate) mod memory_connection;
pub(crate) mod threads;
pub(crate) mod tokens;

use mintbench::base::clock::UnixSeconds;

/// The time at which every bench takes place. The clock stands still, so that no bench measures
/// reading it.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
