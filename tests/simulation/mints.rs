//! Calls of the source: which are under way, and which tokens the cache must hold.

use std::collections::HashMap;

use crate::clock::VirtualClock;
use crate::history::Settings;
use crate::past::{Past, StepNumber};
use crate::source::CallKey;

#[derive(Clone, Debug)]
struct Call {
    lane: usize,
    key: CallKey,
    step: StepNumber,
    wall: u64,
    /// Expiry of the token, once there is one.
    expires: Option<u64>,
}

/// A token that the cache holds until something happens.
#[derive(Clone, Copy, Debug)]
struct Held {
    step: StepNumber,
    /// Wall time at the mint.
    from: u64,
    /// Earliest wall time of its renewal.
    until: u64,
}

/// All calls of one process.
#[derive(Debug, Default)]
pub(crate) struct Mints {
    calls: HashMap<u64, Call>,
    held: HashMap<CallKey, Held>,
    /// Step of the last landing of each token. Of two that overlap, either may be what the cache holds.
    landings: HashMap<CallKey, StepNumber>,
    /// Step from which the job of each lane may have waited.
    taken: HashMap<usize, StepNumber>,
}

impl Mints {
    /// Notes that a lane takes a job, which came in this step or later.
    pub(crate) fn taken(&mut self, lane: usize, step: StepNumber) {
        self.taken.insert(lane, step);
    }

    /// Notes a call that begins, and returns what is wrong with it.
    pub(crate) fn begin(
        &mut self,
        (number, key, lane): (u64, CallKey, usize),
        (step, past): (StepNumber, &Past),
        clock: &VirtualClock,
    ) -> Option<String> {
        let is_calm = |since| past.disturbances_since(since) == 0;
        let same = self.calls.values().filter(|own| own.key == key && own.lane != lane);
        let at_once = same.filter(|own| is_calm(own.step)).count();
        // A job that was taken before may go on.
        let taken = self.taken.get(&lane).copied().unwrap_or(step);
        let held = self.held.get(&key).filter(|held| is_calm(held.step) && held.step < taken);
        let wall = clock.wall();
        let is_held = held.is_some_and(|held| (held.from..held.until).contains(&wall));
        let call = Call { lane, key: key.clone(), step, wall, expires: None };
        self.calls.insert(number, call);
        // A renewal and a flight may go on side by side.
        if at_once > 1 {
            return Some(format!("{key:?} is minted {} times at once", at_once + 1));
        }
        is_held.then(|| format!("{key:?} is minted again while the cache holds it"))
    }

    /// Notes a token, and returns what it is for.
    pub(crate) fn minted(&mut self, number: u64, expires: u64) -> Option<CallKey> {
        let call = self.calls.get_mut(&number)?;
        call.expires = Some(expires);
        Some(call.key.clone())
    }

    pub(crate) fn failed(&mut self, number: u64) {
        self.calls.remove(&number);
    }

    /// Notes that a lane has ended its job: what it minted is in the cache. If other jobs wait, one of them may be a mint of
    /// the same token. A caller wanted it after the old one had expired, while a renewal was on its way.
    pub(crate) fn landed(
        &mut self,
        (lane, others): (usize, u64),
        (step, past): (StepNumber, &Past),
        settings: &Settings,
    ) {
        let taken = self.taken.get(&lane).copied().unwrap_or(step);
        let is_calm = others == 0 && past.disturbances_since(taken) == 0;
        let ended = self.calls.extract_if(|_, call| call.lane == lane);
        for (_, call) in ended {
            let Some(expires) = call.expires else { continue };
            let before = self.landings.insert(call.key.clone(), step);
            if !is_calm || before.is_some_and(|before| before >= taken) {
                self.held.remove(&call.key);
                continue;
            }
            let life = expires.saturating_sub(call.wall);
            let calm = (life * u64::from(settings.refresh_percent - 5) / 100).max(1);
            let held = Held { step, from: call.wall, until: call.wall + calm };
            self.held.insert(call.key, held);
        }
    }
}
