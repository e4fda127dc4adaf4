//! Builders of inputs, shared with the micro-benchmarks.

#[path = "../support/keys.rs"]
pub(crate) mod keys;
#[path = "../support/tokens.rs"]
pub(crate) mod tokens;

use mintbench::base::clock::UnixSeconds;

/// The time at which every bench takes place.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
