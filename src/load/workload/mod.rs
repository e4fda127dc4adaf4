//! What is asked, and when: the traffic of each scenario, a pure function of its seed.
//!
//! Every generator thread walks the whole traffic and keeps what belongs to its connections. That
//! costs some 100 ns per request and thread, and buys two things: the traffic does not depend on
//! how many threads send it, and a Poisson stream split by VM stays a Poisson stream.

use std::sync::Arc;

use super::phases::{Phase, Phases, Staged, Timing};
use crate::world::synthetic::{Synthetic, WELL_KNOWN_RESOURCES};

/// Which identity of a VM is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// No selector is sent: the system-assigned identity, where there is one.
    Default,
    /// The `client_id` of this user-assigned identity of the VM, from 0, is sent.
    UserAssigned(u32),
}

/// One question of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Who asks.
    pub vm: u32,
    /// For which identity.
    pub selector: Selector,
    /// For which of [`WELL_KNOWN_RESOURCES`].
    pub resource: u8,
}

impl Ask {
    /// The audience that the token is asked for.
    pub fn resource(&self) -> &'static str {
        WELL_KNOWN_RESOURCES.get(usize::from(self.resource)).copied().unwrap_or_default()
    }
}

/// One request of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number in the whole traffic, from 0.
    pub index: u64,
    /// When it is meant to start, in nanoseconds from the start of the load.
    pub intended_ns: u64,
    /// What it asks.
    pub ask: Ask,
}

/// Bursts of callers, each burst on one key that nobody has asked for before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Herds {
    /// How many bursts; each takes another user-assigned identity of VM 0.
    pub herds: u32,
    /// Callers of each burst.
    pub callers: u32,
    /// When the first burst is due, in nanoseconds from the start of the load.
    pub first_ns: u64,
    /// From one burst to the next, in nanoseconds.
    pub gap_ns: u64,
}

/// What a scenario sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Workload {
    /// Many callers of one cold key at one instant, several times.
    Herd(Herds),
    /// Phases, each with its own rate over time and its own mix.
    Phases(Arc<Phases>),
}

impl Workload {
    /// The traffic against a world of this shape.
    pub fn traffic(&self, world: &Synthetic) -> Traffic {
        let source = match self {
            Self::Herd(herds) => Source::Herd(*herds),
            Self::Phases(phases) => {
                Source::Staged(Box::new(Staged::new(Arc::clone(phases), world)))
            }
        };
        Traffic { source, next: 0 }
    }

    /// The phases, of what has some.
    pub fn phases(&self) -> Option<&Phases> {
        match self {
            Self::Herd(_) => None,
            Self::Phases(phases) => Some(phases),
        }
    }

    /// How many keys are asked for once at the start, of how many; none where that is not meant.
    pub fn filled(&self, world: &Synthetic) -> Option<(u64, u64)> {
        self.phases()?.filled(world)
    }

    /// VMs that ask anything.
    pub const fn vms(&self, world: &Synthetic) -> u32 {
        match self {
            Self::Herd(_) => 1,
            Self::Phases(_) => world.vms,
        }
    }

    /// The rate in requests per second, where it is the same throughout the measured part.
    pub fn level(&self) -> Option<f64> {
        match self.phases()?.phases.as_slice() {
            [Phase { timing: Timing::Rate(profile), .. }] => profile.level(),
            _ => None,
        }
    }

    /// Where each phase ends, in nanoseconds from the start of the measured part; nothing where one
    /// phase is all of it.
    pub fn ends_ns(&self) -> Vec<u64> {
        self.phases().map_or_else(Vec::new, Phases::ends_ns)
    }

    /// What our broker has to be told for it: arguments of `serve`.
    pub fn serve_args(&self) -> &[String] {
        self.phases().map_or(&[], |phases| &phases.serve_args)
    }
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

/// What a traffic has asked for that nobody had asked for before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Novelty {
    /// Requests of the measured part for such keys.
    pub asks: u64,
    /// Such keys, warm-up included.
    pub keys: u64,
}

impl Traffic {
    /// Goes through what is left, and says what was new in all of it.
    pub fn novelty(mut self) -> Novelty {
        self.by_ref().for_each(drop);
        match &self.source {
            Source::Herd(_) => Novelty::default(),
            Source::Staged(staged) => {
                Novelty { asks: staged.new_measured(), keys: staged.new_keys() }
            }
        }
    }
}

impl Iterator for Traffic {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let index = self.next;
        let (intended_ns, ask) = match &mut self.source {
            Source::Herd(herds) => herd_ask(herds, index)?,
            Source::Staged(staged) => staged.next()?,
        };
        self.next += 1;
        Some(Arrival { index, intended_ns, ask })
    }
}

fn herd_ask(herds: &Herds, index: u64) -> Option<(u64, Ask)> {
    let herd = u32::try_from(index / u64::from(herds.callers.max(1))).ok()?;
    let at = herds.first_ns + u64::from(herd) * herds.gap_ns;
    let ask = Ask { vm: 0, selector: Selector::UserAssigned(herd), resource: 0 };
    (herd < herds.herds).then_some((at, ask))
}

#[cfg(test)]
pub(super) mod tests;
