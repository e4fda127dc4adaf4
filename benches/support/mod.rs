//! Builders, so that a bench is about one sentence.

pub(crate) mod keys;
pub(crate) mod memory_connection;
pub(crate) mod threads;
pub(crate) mod tokens;

use mintbench::clock::UnixSeconds;

/// When every bench happens. Clocks stand still: reading one is not what is measured.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
