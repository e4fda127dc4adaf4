//! The traffic of a workload: every request with its start time and its key, a pure function of the seed.
//!
//! Every generator thread walks the whole traffic and keeps the requests of its connections. That
//! costs some 100 ns per request and thread. In return the traffic does not depend on the number of
//! threads, and a Poisson stream split by VM stays a Poisson stream.

use std::sync::Arc;

use super::stages::{self, Staged};
use crate::base::synthetic::Synthetic;
use crate::harness::nanos::Nanos;
use crate::harness::scenario::key::{RequestKey, Selector};
use crate::harness::scenario::phases::Phases;
use crate::harness::scenario::workload::{Herds, Workload};

/// One request of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The number of the request in the whole traffic, from 0.
    pub index: u64,
    /// The intended start, from the start of the load.
    pub intended: Nanos,
    /// The key that is asked for.
    pub key: RequestKey,
}

/// The arrivals of a workload, by intended start.
#[derive(Debug)]
pub struct Traffic {
    source: Source,
    next: u64,
}

#[derive(Debug)]
enum Source {
    Herd(Herds),
    Staged(Box<Staged>),
}

/// The new keys of a traffic: keys that nobody had asked for before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewKeyCounts {
    /// Requests of the measured part for new keys.
    pub requests: u64,
    /// Number of new keys, warm-up included.
    pub keys: u64,
}

impl Traffic {
    /// Returns the traffic of `workload` against a world of this shape.
    pub fn of(workload: &Workload, world: &Synthetic) -> Self {
        let source = match workload {
            Workload::Herd(herds) => Source::Herd(*herds),
            Workload::Phases(phases) => {
                Source::Staged(Box::new(Staged::new(Arc::clone(phases), world)))
            }
        };
        Self { source, next: 0 }
    }

    /// Returns the length of a measured part of one phase in which `count` requests start, which is the
    /// start of the next one. `None` if there are several phases, or if the rate changes.
    pub(crate) fn length_of(phases: &Phases, count: u64) -> Option<Nanos> {
        stages::length_of(phases, count)
    }

    /// Runs through the remaining traffic, and returns the new keys of all of it.
    pub fn new_key_counts(mut self) -> NewKeyCounts {
        self.by_ref().for_each(drop);
        match &self.source {
            Source::Herd(_) => NewKeyCounts::default(),
            Source::Staged(staged) => {
                NewKeyCounts { requests: staged.new_measured(), keys: staged.new_keys() }
            }
        }
    }
}

impl Iterator for Traffic {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let index = self.next;
        let (intended, key) = match &mut self.source {
            Source::Herd(herds) => herd_request(herds, index)?,
            Source::Staged(staged) => staged.next()?,
        };
        self.next += 1;
        Some(Arrival { index, intended, key })
    }
}

fn herd_request(herds: &Herds, index: u64) -> Option<(Nanos, RequestKey)> {
    let herd = u32::try_from(index / u64::from(herds.callers.max(1))).ok()?;
    let at = herds.first + herds.gap * u64::from(herd);
    let key = RequestKey { vm: 0, selector: Selector::UserAssigned(herd), resource: 0 };
    (herd < herds.herds).then_some((at, key))
}

#[cfg(test)]
mod tests;
