//! The traffic that a scenario sends.

use std::sync::Arc;

use super::phases::{Phase, Phases, Timing};
use crate::base::synthetic::Synthetic;
use crate::harness::nanos::Nanos;

/// Bursts of callers, each on one key that nobody has asked for before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Herds {
    /// Number of bursts. Each uses another user-assigned identity of VM 0.
    pub herds: u32,
    /// Number of callers of each burst.
    pub callers: u32,
    /// Start of the first burst, from the start of the load.
    pub first: Nanos,
    /// Time from one burst to the next.
    pub gap: Nanos,
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

    /// Returns the end of each phase from the start of the measured part, or nothing if there
    /// is one phase only.
    pub fn ends(&self) -> Vec<Nanos> {
        self.phases().map_or_else(Vec::new, Phases::ends)
    }

    /// Returns the further arguments of `serve` that the workload needs.
    pub fn serve_args(&self) -> &[String] {
        self.phases().map_or(&[], |phases| &phases.serve_args)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::harness::scenario::mix::{Identities, Kind, Share};
    use crate::harness::scenario::phases::Arrivals;
    use crate::harness::scenario::profile::Profile;

    pub(crate) const SECOND: Nanos = Nanos::SECOND;

    pub(crate) fn share(kind: Kind) -> Share {
        Share { weight: 1.0, kind, identities: Identities::All, resource: 0 }
    }

    /// Returns a phase of one second with equal spacing.
    pub(crate) fn phase(name: &str, rate: f64, kind: Kind) -> Phase {
        Phase {
            name: name.to_owned(),
            arrivals: Arrivals::Constant,
            timing: Timing::Rate(Profile::constant(rate, SECOND)),
            length: SECOND,
            mix: vec![share(kind)],
        }
    }

    pub(crate) fn phases(warmup: Option<Phase>, phases: Vec<Phase>) -> Phases {
        Phases {
            warmup,
            phases,
            expect: Vec::new(),
            serve_args: Vec::new(),
            limit: None,
            tokens_outlive_run: true,
            seed: 9,
        }
    }

    pub(crate) fn workload(warmup: Option<Phase>, all: Vec<Phase>) -> Workload {
        Workload::Phases(Arc::new(phases(warmup, all)))
    }

    /// Returns a workload of one phase of a second, without a warm-up.
    pub(crate) fn one(rate: f64, kind: Kind) -> Workload {
        workload(None, vec![phase("one", rate, kind)])
    }
}
