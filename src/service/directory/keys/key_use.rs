//! Times at which this process published and used its signing keys. The store says when a change was planned. If the store
//! failed meanwhile, the change came into effect later.

use crate::base::clock::UnixSeconds;
use crate::service::directory::effective::LEEWAY;
use crate::service::token::Keys;

/// Publication and use of the keys in this process.
#[derive(Debug)]
pub(in super::super) struct KeyUse {
    /// Time from which verifiers can read the next key.
    next_since: UnixSeconds,
    /// Name of the key that signed before the present one, and the time of its last signature.
    retired: Option<(String, UnixSeconds)>,
}

impl KeyUse {
    /// Creates the record of a process that starts at `now`, before it publishes any key.
    pub(in super::super) const fn new(now: UnixSeconds) -> Self {
        Self { next_since: now, retired: None }
    }

    /// Notes that `new` replaces `old` at `now`.
    pub(super) fn note(&mut self, old: &Keys, new: &Keys, now: UnixSeconds) {
        let is_known = |kid: &str| old.published().any(|key| key.jwk().kid == kid);
        if new.published().any(|key| !is_known(&key.jwk().kid)) {
            self.next_since = now;
        }
        let last = &old.current.jwk().kid;
        if *last != new.current.jwk().kid {
            self.retired = Some((last.clone(), now));
        }
    }

    /// Notes that the process starts at `now` with a key that was retired before. The last process may have signed with it
    /// until it ended: the change that retired the key was stored, but perhaps nobody could tell.
    pub(super) fn note_start(&mut self, retired: String, now: UnixSeconds) {
        self.retired = Some((retired, now));
    }

    /// Moves times in the future, left when the clock was set back, to `now`.
    pub(super) fn settle(&mut self, now: UnixSeconds) {
        let retired = self.retired.iter_mut().map(|(_, until)| until);
        let late = retired.chain([&mut self.next_since]).filter(|moment| **moment > now + LEEWAY);
        late.for_each(|moment| *moment = now);
    }

    /// Returns the time from which verifiers can read the next key.
    pub(super) const fn next_since(&self) -> UnixSeconds {
        self.next_since
    }

    /// Returns the time of the last signature of a key, if it is the key that signed before the present one.
    pub(super) fn signed_until(&self, kid: &str) -> Option<UnixSeconds> {
        self.retired.as_ref().filter(|(own, _)| own == kid).map(|(_, until)| *until)
    }
}
