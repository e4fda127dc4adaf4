//! Keys that the warm-up of a run does not request.

use std::fmt;

use crate::base::synthetic::Synthetic;
use crate::harness::scenario::workload::Workload;

/// Keys that a warm-up leaves cold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shortfall {
    /// Keys that the warm-up requests.
    filled: u64,
    /// Keys that there are.
    keys: u64,
    /// Length of a warm-up that requests all keys, in seconds.
    warmup_s: u64,
}

impl Shortfall {
    /// Returns the shortfall of a workload whose warm-up sends `rate` requests per second; `None`
    /// if there is none.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "keys are far below 2^53"
    )]
    pub(super) fn of(workload: &Workload, world: &Synthetic, rate: f64) -> Option<Self> {
        let (filled, keys) = workload.filled(world)?;
        // Half of the warm-up requests keys; in the other half the mints end.
        let warmup_s = (2.0 * keys as f64 / rate).ceil() as u64;
        (filled < keys).then_some(Self { filled, keys, warmup_s })
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { filled, keys, warmup_s } = self;
        write!(
            f,
            "the warm-up asks for {filled} of {keys} keys, so that requests for the others are misses; use --warmup {warmup_s}s, or lower --vms"
        )
    }
}
