//! The traffic of each scenario, its keys and start times: a pure function of the seed.
//!
//! Every generator thread walks the whole traffic and keeps the requests of its connections. That
//! costs some 100 ns per request and thread. In return the traffic does not depend on the number of
//! threads, and a Poisson stream split by VM stays a Poisson stream.

use std::sync::Arc;

use super::phases::{Phase, Phases, Staged, Timing};
use crate::base::synthetic::{Synthetic, WELL_KNOWN_RESOURCES};

/// The selected identity of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// No selector is sent: the system-assigned identity, if there is one.
    Default,
    /// The `client_id` of this user-assigned identity of the VM is sent; numbered from 0.
    UserAssigned(u32),
}

/// The key of a request: VM, identity and resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// The VM that asks.
    pub vm: u32,
    /// The selected identity.
    pub selector: Selector,
    /// The index of the resource in [`WELL_KNOWN_RESOURCES`].
    pub resource: u8,
}

impl Ask {
    /// Returns the audience for which the token is requested.
    pub fn resource(&self) -> &'static str {
        WELL_KNOWN_RESOURCES.get(usize::from(self.resource)).copied().unwrap_or_default()
    }
}

/// One request of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The number of the request in the whole traffic, from 0.
    pub index: u64,
    /// The intended start, in nanoseconds from the start of the load.
    pub intended_ns: u64,
    /// The key that is asked for.
    pub ask: Ask,
}

/// Bursts of callers, each on one key that nobody has asked for before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Herds {
    /// Number of bursts. Each uses another user-assigned identity of VM 0.
    pub herds: u32,
    /// Number of callers of each burst.
    pub callers: u32,
    /// Start of the first burst, in nanoseconds from the start of the load.
    pub first_ns: u64,
    /// Time from one burst to the next, in nanoseconds.
    pub gap_ns: u64,
}

/// The traffic that a scenario sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Workload {
    /// Repeated bursts of many callers that ask for one cold key at one instant.
    Herd(Herds),
    /// Phases, each with its own rate over time and its own mix.
    Phases(Arc<Phases>),
}

impl Workload {
    /// Returns the traffic against a world of this shape.
    pub fn traffic(&self, world: &Synthetic) -> Traffic {
        let source = match self {
            Self::Herd(herds) => Source::Herd(*herds),
            Self::Phases(phases) => {
                Source::Staged(Box::new(Staged::new(Arc::clone(phases), world)))
            }
        };
        Traffic { source, next: 0 }
    }

    /// Returns the phases, if the workload has any.
    pub fn phases(&self) -> Option<&Phases> {
        match self {
            Self::Herd(_) => None,
            Self::Phases(phases) => Some(phases),
        }
    }

    /// Returns how many keys are asked for once at the start, and the number of all such keys.
    /// Returns `None` if no keys are filled.
    pub fn filled(&self, world: &Synthetic) -> Option<(u64, u64)> {
        self.phases()?.filled(world)
    }

    /// Returns the number of VMs that send requests.
    pub const fn vms(&self, world: &Synthetic) -> u32 {
        match self {
            Self::Herd(_) => 1,
            Self::Phases(_) => world.vms,
        }
    }

    /// Returns the rate in requests per second if it is constant throughout the measured part.
    pub fn level(&self) -> Option<f64> {
        match self.phases()?.phases.as_slice() {
            [Phase { timing: Timing::Rate(profile), .. }] => profile.level(),
            _ => None,
        }
    }

    /// Returns the end of each phase in nanoseconds from the start of the measured part, or nothing
    /// if there is one phase only.
    pub fn ends_ns(&self) -> Vec<u64> {
        self.phases().map_or_else(Vec::new, Phases::ends_ns)
    }

    /// Returns the further arguments of `serve` that the workload needs.
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

/// The new keys of a traffic: keys that nobody had asked for before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Novelty {
    /// Requests of the measured part for new keys.
    pub asks: u64,
    /// Number of new keys, warm-up included.
    pub keys: u64,
}

impl Traffic {
    /// Runs through the remaining traffic, and returns the new keys of all of it.
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
pub(crate) mod tests;
