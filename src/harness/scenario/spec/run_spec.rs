//! Definition of a run as plain data.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

use super::bounds::DURATIONS;
use super::catalog::Scenario;
use crate::harness::nanos::Nanos;
use crate::harness::scenario::mix::Share;
use crate::harness::scenario::objective::Objective;
use crate::harness::scenario::phases::Arrivals;
use crate::harness::scenario::phases::{Expectation, Timing};
use crate::harness::scenario::profile::{Bursts, Profile};
use crate::harness::scenario::replay::Trace;
use crate::harness::scenario::run_plan::{Bounds, Pausing};

/// Definition of a run: the load, the target, the world and the generator.
///
/// [`RunSpec::read`] fills it from a scenario file. `None` leaves a choice to [`RunSpec::resolve`].
#[derive(Clone, Debug)]
pub(crate) struct RunSpec {
    /// Scenario that the definition was read from.
    pub(crate) scenario: Scenario,
    /// Address of the measured endpoint; `None` for a broker of our own.
    pub(crate) target: Option<SocketAddr>,
    /// Time from the start of the load to the measured part.
    pub(crate) warmup: Duration,
    /// Rate of the warm-up in requests per second; `None` for the first rate of the first phase.
    pub(crate) warmup_rate: Option<f64>,
    /// Phases of the measured part in order; empty for a herd.
    pub(crate) phases: Vec<PhaseSpec>,
    /// Bursts that replace the phases.
    pub(crate) herd: Option<Herd>,
    /// Changes at our broker during the measured part.
    pub(crate) changes: Option<ChangeSpec>,
    /// Expectations of the result, which hold for our broker.
    pub(crate) expect: Vec<Expectation>,
    /// Objectives of the whole run and of its phases.
    pub(crate) objectives: Vec<Objective>,
    /// Size of the synthetic world.
    pub(crate) world: World,
    /// Identity requests per second that our broker allows each VM, if it limits them.
    pub(crate) limit: Option<NonZeroU32>,
    /// Arguments of `serve` that the scenario needs.
    pub(crate) serve_args: Vec<String>,
    /// Arguments of `serve` that the caller adds.
    pub(crate) extra_serve_args: Vec<String>,
    /// True if the scenario gives our broker arguments that may change how long it keeps tokens.
    pub(crate) tuned: bool,
    /// Token lifetime of our broker, if the scenario sets it.
    pub(crate) token_lifetime: Option<Duration>,
    /// Number of connections, held open throughout.
    pub(crate) connections: Option<u32>,
    /// Number of generator threads.
    pub(crate) threads: Option<usize>,
    /// Cores of the generator's threads, if the target is not our broker.
    pub(crate) cores: Vec<usize>,
    /// Timeout of a request.
    pub(crate) timeout: Duration,
    /// Rule for the bounds of response times.
    pub(crate) bounds: Bounds,
    /// Pauses of the schedule.
    pub(crate) pausing: Pausing,
    /// Length of the pacing test before the load; zero for no test.
    pub(crate) pacer_test: Duration,
    /// Number of answers that are verified after the run.
    pub(crate) samples: usize,
    /// Largest allowed share of failed requests to a foreign target, 0 to 1.
    pub(crate) errors_max: f64,
    /// Seed of everything random.
    pub(crate) seed: u64,
}

/// Phase of a run.
#[derive(Clone, Debug)]
pub(crate) struct PhaseSpec {
    /// Name in results, unique within a run.
    pub(crate) name: String,
    /// Length of the phase.
    pub(crate) duration: Duration,
    /// Spacing of the requests.
    pub(crate) arrivals: Arrivals,
    /// Request rate over time.
    pub(crate) rate: Rate,
    /// Mix of the requested keys.
    pub(crate) mix: Vec<Share>,
    /// True if the token service behind the broker is down during the phase.
    pub(crate) source_down: bool,
}

/// Request rate over time, in requests per second.
#[derive(Clone, Debug)]
pub(crate) enum Rate {
    /// Bursts with pauses between them.
    Bursts(Bursts),
    /// The same rate throughout.
    Constant(f64),
    /// Rate that changes evenly.
    Ramp {
        /// Rate at the start.
        from: f64,
        /// Rate at the end.
        to: f64,
    },
    /// Recorded requests.
    Replay {
        /// The recording.
        trace: Trace,
        /// Speed of the replay: 2 is twice as fast as recorded.
        speed: f64,
    },
    /// Rates of equal length, one after the other.
    Steps(Vec<f64>),
}

/// Size of the synthetic world.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct World {
    /// Number of VMs.
    pub(crate) vms: Option<u32>,
    /// Number of user-assigned identities of each VM.
    pub(crate) user_assigned: Option<u32>,
}

/// Bursts of callers, each for a cold key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Herd {
    /// Number of bursts.
    pub(crate) herds: u32,
    /// Number of callers of each burst.
    pub(crate) callers: u32,
}

/// Changes at our broker during the measured part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(crate) enum ChangeSpec {
    /// Identities are removed from VMs and assigned again.
    Churn {
        /// Maximum number of changes per second.
        per_second: Option<u32>,
    },
    /// Keys rotate and certificates roll.
    Rotate {
        /// Number of key rotations.
        rotations: Option<u32>,
    },
}

impl RunSpec {
    /// Returns the same run against the endpoint at `address`.
    ///
    /// The world and the connections of the scenario are those of our broker, so they are dropped.
    #[must_use]
    pub(crate) fn against(self, address: SocketAddr) -> Self {
        Self { target: Some(address), world: World::default(), connections: None, ..self }
    }

    /// Returns the same run with this constant rate, also in the warm-up.
    #[must_use]
    pub(crate) fn at_rate(mut self, rate: f64) -> Self {
        self.warmup_rate = Some(rate);
        self.phases.iter_mut().for_each(|phase| phase.rate = Rate::Constant(rate));
        self
    }

    /// Returns the same run with phases of this length.
    #[must_use]
    pub(crate) fn lasting(mut self, duration: Duration) -> Self {
        self.phases.iter_mut().for_each(|phase| phase.duration = duration);
        self
    }

    /// Returns the same run with this spacing of the requests in all phases.
    #[must_use]
    pub(crate) fn spaced(mut self, arrivals: Arrivals) -> Self {
        self.phases.iter_mut().for_each(|phase| phase.arrivals = arrivals);
        self
    }

    /// Returns the same run with traces replayed at this speed.
    #[must_use]
    pub(crate) fn replayed_at(mut self, new_speed: f64) -> Self {
        for phase in &mut self.phases {
            if let Rate::Replay { speed, .. } = &mut phase.rate {
                *speed = new_speed;
            }
        }
        self
    }

    /// Returns the only phase, if there is just one.
    pub(crate) const fn single_phase(&self) -> Option<&PhaseSpec> {
        match self.phases.as_slice() {
            [phase] => Some(phase),
            _ => None,
        }
    }

    /// Returns the rate of a run of one phase with a constant rate.
    pub(crate) fn constant_rate(&self) -> Option<f64> {
        match self.single_phase()?.rate {
            Rate::Constant(rate) => Some(rate),
            _ => None,
        }
    }

    /// Returns the length of all phases together.
    pub(crate) fn duration(&self) -> Duration {
        self.phases.iter().map(|phase| phase.duration).sum()
    }

    /// Returns true if a phase may have this length.
    pub(crate) fn allows(length: Duration) -> bool {
        DURATIONS.contains(&length)
    }

    /// Returns true if the run needs our own broker, whose keys and counters are known.
    pub(crate) fn needs_broker(&self) -> bool {
        self.herd.is_some()
            || self.changes.is_some()
            || self.has_outage()
            || !self.expect.is_empty()
            || !self.serve_args.is_empty()
            || self.shares().any(Share::is_new)
    }

    /// Returns true if the token service behind the broker goes down in a phase.
    pub(super) fn has_outage(&self) -> bool {
        self.phases.iter().any(|phase| phase.source_down)
    }

    /// Returns true if a phase replays a trace.
    pub(crate) fn replays(&self) -> bool {
        self.phases.iter().any(|phase| matches!(phase.rate, Rate::Replay { .. }))
    }

    /// Returns the shares of all phases.
    pub(super) fn shares(&self) -> impl Iterator<Item = &Share> {
        self.phases.iter().flat_map(|phase| &phase.mix)
    }
}

impl Rate {
    /// Returns the timing of the requests over this length of time.
    pub(super) fn over(&self, length: Nanos) -> Timing {
        Timing::Rate(match self {
            Self::Bursts(bursts) => Profile::bursts(*bursts, length),
            Self::Constant(rate) => Profile::constant(*rate, length),
            Self::Ramp { from, to } => Profile::ramp(*from, *to, length),
            Self::Replay { trace, speed } => {
                return Timing::Replay { trace: trace.clone(), speed: *speed };
            }
            Self::Steps(rates) => Profile::steps(rates, length),
        })
    }
}
