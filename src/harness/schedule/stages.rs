//! The requests of all phases of a run, in order: start times and keys.

use std::iter::Peekable;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::arrivals::Schedule;
use super::mixer::{Mixer, NewKeys, NextKey};
use crate::base::synthetic::Synthetic;
use crate::harness::nanos::Nanos;
use crate::harness::scenario::key::{RequestKey, VmKey, nth_key, selector};
use crate::harness::scenario::mix::Share;
use crate::harness::scenario::phases::{Phases, Timing};
use crate::harness::scenario::profile::Profile;
use crate::harness::scenario::replay::Row;

/// The iterator over the arrivals of all phases.
#[derive(Debug)]
pub(super) struct Staged {
    phases: Arc<Phases>,
    world: Synthetic,
    /// The index of the next stage, and its start.
    next: usize,
    begins: Nanos,
    running: Option<Running>,
    /// Numbers of the keys that are asked for once each at the start.
    fill: std::ops::Range<u64>,
    fill_keys: Vec<VmKey>,
    keys: NewKeys,
    new_measured: u64,
}

#[derive(Debug)]
struct Running {
    begins: Nanos,
    measured: bool,
    times: Times,
    mixer: Mixer,
}

#[derive(Debug)]
enum Times {
    Schedule(Schedule),
    Replay(Peekable<std::vec::IntoIter<(Nanos, Row)>>),
}

/// Returns the time from the start of the only phase to its request number `count`, counted from 0;
/// as many requests start before it. `None` if there are several phases or the rate changes.
pub(super) fn length_of(phases: &Phases, count: u64) -> Option<Nanos> {
    let [phase] = phases.phases.as_slice() else { return None };
    let Timing::Rate(profile) = &phase.timing else { return None };
    let endless = Profile::constant(profile.level()?, Nanos::new(u64::MAX));
    let index = phases.stages().count().checked_sub(1)?;
    let mut schedule = Schedule::over(phase.arrivals, endless, seed(phases, index));
    schedule.nth(usize::try_from(count).ok()?)
}

/// Returns the seed of the schedule of stage number `index`.
fn seed(phases: &Phases, index: usize) -> u64 {
    // An odd, irregular factor makes the streams of the stages independent.
    phases.seed.wrapping_add((index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

impl Times {
    fn next(&mut self) -> Option<(Nanos, Option<Row>)> {
        match self {
            Self::Schedule(schedule) => schedule.next().map(|at| (at, None)),
            Self::Replay(rows) => rows.next().map(|(at, row)| (at, Some(row))),
        }
    }
}

impl Staged {
    pub(super) fn new(phases: Arc<Phases>, world: &Synthetic) -> Self {
        let filled = phases.filled(world).map_or(0, |(filled, _)| filled);
        Self {
            world: *world,
            next: 0,
            begins: Nanos::ZERO,
            running: None,
            fill: 0..filled,
            fill_keys: phases.reused_vm_keys(world, Share::returns),
            keys: NewKeys { vm_keys: phases.new_vm_keys(world), next: 0 },
            new_measured: 0,
            phases,
        }
    }

    /// Returns the number of requests for new keys so far, in the measured part.
    pub(super) const fn new_measured(&self) -> u64 {
        self.new_measured
    }

    /// Returns the number of distinct new keys so far, warm-up included.
    pub(super) const fn new_keys(&self) -> u64 {
        self.keys.next
    }

    fn begin(&mut self) -> Option<Running> {
        let phases = Arc::clone(&self.phases);
        let phase = phases.stages().nth(self.next)?;
        let seed = seed(&phases, self.next);
        let times = match &phase.timing {
            Timing::Rate(profile) => {
                Times::Schedule(Schedule::over(phase.arrivals, profile.clone(), seed))
            }
            Timing::Replay { .. } => {
                let rows: Vec<(Nanos, Row)> = phase.replayed().collect();
                Times::Replay(rows.into_iter().peekable())
            }
        };
        // Differs from the stream of the schedule, which uses the seed itself.
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x005A_6970_6600);
        let measured = self.next > 0 || phases.warmup.is_none();
        let mixer = Mixer::new(&phase.mix, &self.world, rng);
        let running = Running { begins: self.begins, measured, times, mixer };
        self.next += 1;
        self.begins += phase.length;
        Some(running)
    }

    /// Returns the next request: its start and its key.
    pub(super) fn next(&mut self) -> Option<(Nanos, RequestKey)> {
        loop {
            if self.running.is_none() {
                self.running = Some(self.begin()?);
            }
            let running = self.running.as_mut()?;
            let Some((at, row)) = running.times.next() else {
                self.running = None;
                continue;
            };
            let at = running.begins + at;
            if let Some(index) = self.fill.next() {
                return Some((at, nth_key(&self.world, &self.fill_keys, index)));
            }
            let NextKey { key, is_new } = running.mixer.next_key(&mut self.keys);
            self.new_measured += u64::from(is_new && running.measured);
            return Some((at, row.map_or(key, |row| recorded(key, &row))));
        }
    }
}

/// Returns the recorded request, with missing fields taken from `mixed`.
fn recorded(mixed: RequestKey, row: &Row) -> RequestKey {
    RequestKey {
        vm: row.vm.unwrap_or(mixed.vm),
        selector: row.identity.map_or(mixed.selector, selector),
        resource: row.resource.unwrap_or(mixed.resource),
    }
}
