//! Changes that are made to the broker under load.

use crate::harness::nanos::Nanos;

/// Changes during the measured part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// No changes.
    None,
    /// Identities are removed from VMs and given back.
    Churn {
        /// Maximum number of changes per second.
        per_second: u32,
    },
    /// The token service that our broker asks is killed and started again.
    Outage {
        /// Start of the outage, from the start of the measured part.
        from: Nanos,
        /// Length of the outage.
        length: Nanos,
    },
    /// The signing keys are rotated, and the certificates of all identities are rolled once.
    Rotate {
        /// Number of key rotations, at even distances.
        rotations: u32,
    },
}

/// Token lifetime in a run that rotates keys, in seconds. Tokens are renewed at half of it, so that
/// each key signs enough of them.
pub const ROTATING_TOKEN_LIFETIME_SECONDS: u32 = 4;
