//! Times and effects of changes.

use std::sync::Arc;

use crate::base::clock::{Seconds, UnixSeconds};
use crate::service::world::{Held, Identity};

/// Time of a change, and the time from which the identity endpoint follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChangeTime {
    pub(super) now: UnixSeconds,
    pub(super) effective: UnixSeconds,
}

impl ChangeTime {
    /// Returns true if the identity endpoint does not follow the change yet. If the clock was set back to
    /// before the change, the change counts as effective, so that nobody waits longer.
    pub(super) fn is_pending(self, now: UnixSeconds) -> bool {
        now < self.effective && self.now <= now + LEEWAY
    }
}

/// Greatest lead of a stored time over the current time that is tolerated: clocks are often set back by
/// seconds.
pub(super) const LEEWAY: Seconds = Seconds(300);

/// Something that a change ended. No more tokens of it are issued.
#[derive(Debug)]
pub enum Ended {
    /// An identity, on all its VMs.
    Identity(Arc<Identity>),
    /// An identity on one VM; other VMs may keep it.
    Holding(Held),
    /// The current signing key: verifiers refuse its tokens, whoever their subject is.
    SigningKey,
}
