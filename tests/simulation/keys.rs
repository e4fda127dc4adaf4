//! Knowledge that verifiers can have of the signing keys: the time of first publication, and the present set.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mintbench::service::token::{KeyRing, Keys};

use crate::clock::VirtualClock;
use crate::past::StepNumber;
use crate::token::Claims;

#[derive(Clone, Copy, Debug)]
struct Publication {
    second: u64,
    wall: u64,
    /// Step in which the key was no longer published.
    until: Option<StepNumber>,
}

/// Begin of a write.
#[derive(Clone, Copy, Debug)]
struct Begun {
    step: StepNumber,
    second: u64,
    wall: u64,
}

/// The published keys.
#[derive(Debug, Default)]
pub(crate) struct Published {
    seen: Option<Arc<Keys>>,
    keys: HashMap<String, Publication>,
    /// Keys that may sign: the first one of a world, whichever takes over from a revoked one, and those that were published
    /// long enough before they took over.
    trusted: HashSet<String>,
    /// Keys that may go at any time: somebody began to revoke them, or retired them while the clock was set.
    excused: HashSet<String>,
    /// Latest expiry of the tokens that callers have of each key.
    expiries: HashMap<String, u64>,
    /// Keys that were current when the clock was set during a change of the keys.
    spoiled: HashSet<String>,
    /// Tokens whose keys the directory must keep.
    tokens: HashSet<String>,
    /// Write that is on its way. A key that it publishes counts as published from its begin, and a key that it ends until
    /// it is acknowledged.
    write: Option<Begun>,
}

impl Published {
    /// Looks at the published set, as a verifier could. Returns a key that is gone too early.
    pub(crate) fn look(
        &mut self,
        ring: &KeyRing,
        clock: &VirtualClock,
        (step, min_distance): (StepNumber, u64),
    ) -> Option<String> {
        let keys = ring.keys();
        if self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &keys)) {
            return None;
        }
        let names: HashSet<&str> = keys.published().map(|key| key.jwk().kid.as_str()).collect();
        let wall = clock.wall();
        let (second, begin) =
            self.write.map_or((clock.second(), wall), |own| (own.second, own.wall));
        if self.keys.is_empty() {
            self.trusted.insert(keys.current.jwk().kid.clone());
        }
        for name in &names {
            let new = Publication { second, wall: begin, until: None };
            self.keys.entry((*name).to_owned()).or_insert(new).until = None;
        }
        let mut early = None;
        for (name, key) in &mut self.keys {
            if key.until.is_none() && !names.contains(name.as_str()) {
                key.until = Some(step);
                let lives = self.expiries.get(name).is_some_and(|expiry| *expiry > wall);
                if lives && !self.excused.contains(name) {
                    early = Some(name.clone());
                }
            }
        }
        drop(names);
        // What counts is the moment at which the key takes over: later, the clock may be set back.
        let current = &keys.current.jwk().kid;
        if self.is_old(current, clock, min_distance) {
            self.trusted.insert(current.clone());
        }
        self.seen = Some(keys);
        early
    }

    /// Notes that somebody begins to revoke the current key.
    pub(crate) fn begin_revocation(&mut self, ring: &KeyRing) {
        let keys = ring.keys();
        self.excused.insert(keys.current.jwk().kid.clone());
        self.trusted.extend(keys.published().map(|key| key.jwk().kid.clone()));
    }

    /// Notes that the clock is set far while somebody changes the keys: the times of this change then mean nothing.
    pub(crate) fn set_during_write(&mut self, ring: &KeyRing) {
        self.begin_revocation(ring);
        self.spoiled.insert(ring.keys().current.jwk().kid.clone());
    }

    /// Returns true if verifiers had time to read the key before it took over.
    pub(crate) fn may_sign(&self, kid: &str) -> bool {
        self.trusted.contains(kid)
    }

    /// Returns true if the key was published long ago: by the wall clock or by the time that passed.
    fn is_old(&self, kid: &str, clock: &VirtualClock, min_distance: u64) -> bool {
        // The directory decided when the write began.
        let wall = self.write.map_or(0, |own| own.wall).max(clock.wall());
        self.keys.get(kid).is_some_and(|key| {
            clock.second() - key.second >= min_distance
                || wall.saturating_sub(key.wall) >= min_distance
        })
    }

    /// Returns true if the key was published in this step or later.
    pub(crate) fn was_published_since(&self, kid: &str, step: StepNumber) -> bool {
        let write = self.write.map_or(StepNumber::MAX, |own| own.step);
        let is_late = |until: StepNumber| until >= step || until >= write;
        self.keys.get(kid).is_some_and(|key| key.until.is_none_or(is_late))
    }

    pub(crate) fn begin_write(&mut self, step: StepNumber, clock: &VirtualClock) {
        self.write = Some(Begun { step, second: clock.second(), wall: clock.wall() });
    }

    pub(crate) fn end_write(&mut self, step: StepNumber) {
        let Some(write) = self.write.take() else { return };
        let ended = self.keys.values_mut().filter_map(|key| key.until.as_mut());
        ended.filter(|until| **until >= write.step).for_each(|until| *until = step);
    }

    /// Forgets all tokens: the clock was set back to `wall`, and a directory cannot know of tokens from the future.
    /// Publications in the future count as of now.
    pub(crate) fn set_back(&mut self, wall: u64) {
        self.expiries.clear();
        self.tokens.clear();
        self.keys.values_mut().for_each(|key| key.wall = key.wall.min(wall));
    }

    /// Notes a new token, unless it is from the future.
    pub(crate) fn minted(&mut self, claims: &Claims, jwt: String, clock: &VirtualClock) {
        if claims.not_before <= clock.wall() {
            self.tokens.insert(jwt);
        }
    }

    /// Returns true if the directory must keep the key of this token: it was minted since the clock was set back.
    pub(crate) fn must_keep(&self, claims: &Claims, jwt: &str) -> bool {
        self.tokens.contains(jwt) && !self.spoiled.contains(&claims.kid)
    }

    /// Notes a token that a caller got.
    pub(crate) fn given(&mut self, claims: &Claims) {
        let latest = self.expiries.entry(claims.kid.clone()).or_default();
        *latest = (*latest).max(claims.expires);
    }
}
