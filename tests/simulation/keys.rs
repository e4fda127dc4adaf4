//! What verifiers can know of the signing keys: when each was published first, and whether it still is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mintbench::service::token::{KeyRing, Keys};

use crate::clock::VirtualClock;
use crate::past::StepNumber;

#[derive(Clone, Copy, Debug)]
struct Publication {
    second: u64,
    wall: u64,
    /// Step in which the key was no longer published.
    until: Option<StepNumber>,
}

/// The published keys.
#[derive(Debug, Default)]
pub(crate) struct Published {
    seen: Option<Arc<Keys>>,
    keys: HashMap<String, Publication>,
    /// Keys that may sign at once: the first one of a world, and whichever takes over from a revoked one.
    exempt: HashSet<String>,
    /// Keys that somebody began to revoke.
    revoked: HashSet<String>,
    /// Latest expiry of the tokens that callers have of each key.
    expiries: HashMap<String, u64>,
    /// First step of the write that is on its way. A key that it ends counts as published until it is acknowledged.
    write: Option<StepNumber>,
}

impl Published {
    /// Looks at the published set, as a verifier could. Returns a key that is gone too early.
    pub(crate) fn look(
        &mut self,
        ring: &KeyRing,
        clock: &VirtualClock,
        step: StepNumber,
    ) -> Option<String> {
        let keys = ring.keys();
        if self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &keys)) {
            return None;
        }
        let names: HashSet<&str> = keys.published().map(|key| key.jwk().kid.as_str()).collect();
        let (second, wall) = (clock.second(), clock.wall());
        if self.keys.is_empty() {
            self.exempt.insert(keys.current.jwk().kid.clone());
        }
        for name in &names {
            let new = Publication { second, wall, until: None };
            self.keys.entry((*name).to_owned()).or_insert(new).until = None;
        }
        let mut early = None;
        for (name, key) in &mut self.keys {
            if key.until.is_none() && !names.contains(name.as_str()) {
                key.until = Some(step);
                let lives = self.expiries.get(name).is_some_and(|expiry| *expiry > wall);
                if lives && !self.revoked.contains(name) {
                    early = Some(name.clone());
                }
            }
        }
        drop(names);
        self.seen = Some(keys);
        early
    }

    /// Notes that somebody begins to revoke the current key.
    pub(crate) fn begin_revocation(&mut self, ring: &KeyRing) {
        let keys = ring.keys();
        self.revoked.insert(keys.current.jwk().kid.clone());
        self.exempt.extend(keys.published().map(|key| key.jwk().kid.clone()));
    }

    /// Returns true if verifiers have had time to read the key: by the wall clock or by the time that passed.
    pub(crate) fn may_sign(&self, kid: &str, clock: &VirtualClock, min_distance: u64) -> bool {
        let Some(key) = self.keys.get(kid) else { return false };
        self.exempt.contains(kid)
            || clock.second() - key.second >= min_distance
            || clock.wall().saturating_sub(key.wall) >= min_distance
    }

    /// Returns true if the key was published in this step or later.
    pub(crate) fn was_published_since(&self, kid: &str, step: StepNumber) -> bool {
        let write = self.write.unwrap_or(StepNumber::MAX);
        let is_late = |until: StepNumber| until >= step || until >= write;
        self.keys.get(kid).is_some_and(|key| key.until.is_none_or(is_late))
    }

    pub(crate) fn begin_write(&mut self, step: StepNumber) {
        self.write = Some(step);
    }

    pub(crate) fn end_write(&mut self, step: StepNumber) {
        let Some(write) = self.write.take() else { return };
        let ended = self.keys.values_mut().filter_map(|key| key.until.as_mut());
        ended.filter(|until| **until >= write).for_each(|until| *until = step);
    }

    /// Forgets the tokens that callers have: the clock was set back, and a directory cannot know of tokens of the future.
    pub(crate) fn forget_tokens(&mut self) {
        self.expiries.clear();
    }

    /// Notes a token that a caller got.
    pub(crate) fn given(&mut self, kid: &str, expires: u64) {
        let latest = self.expiries.entry(kid.to_owned()).or_default();
        *latest = (*latest).max(expires);
    }
}
