//! Format of a scenario file, and the definition that it is read into.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::base::files::ReadError;
use crate::base::toml_file::listed;
use crate::harness::report::slo::Objective;
use crate::harness::scenario::mix::{Identities, Share};
use crate::harness::scenario::phases::{Arrivals, Expectation, Timing};
use crate::harness::scenario::profile::{Bursts, Profile};
use crate::harness::scenario::replay::{Trace, TraceError};

/// Reason why a scenario file is refused.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ScenarioError {
    #[error("the scenario cannot be used")]
    Read(#[from] ReadError),
    #[error("the scenario `{name}` is refused{problems}", problems = listed(problems))]
    Problems { name: String, problems: Vec<String> },
    #[error("the trace cannot be used")]
    ReadTrace(#[source] ReadError),
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// Length of time, written like 500ms or 1m 30s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = humantime::parse_duration(&text);
        parsed.map(Self).map_err(|error| {
            let message = format!(
                "`{text}` is not a length of time: {error}; write one like \"30s\" or \"500ms\""
            );
            serde::de::Error::custom(message)
        })
    }
}

/// Complete scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    #[serde(default)]
    pub(super) warmup: Span,
    pub(super) warmup_rate: Option<f64>,
    pub(super) connections: Option<u32>,
    #[serde(default)]
    pub(super) expect: Vec<Expectation>,
    #[serde(default)]
    pub(super) world: World,
    #[serde(default)]
    pub(super) broker: Broker,
    pub(super) changes: Option<Change>,
    pub(super) herd: Option<Herd>,
    #[serde(default)]
    pub(super) phase: Vec<PhaseEntry>,
}

/// Size of the world.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::cli::run) struct World {
    pub(in crate::cli::run) vms: Option<u32>,
    pub(in crate::cli::run) user_assigned: Option<u32>,
}

/// Settings of our broker.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Broker {
    pub(super) token_lifetime: Option<Span>,
    pub(super) refresh_at: Option<f64>,
    #[serde(default)]
    pub(super) arguments: Vec<String>,
}

/// Change at our broker during the measured part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(in crate::cli::run) enum Change {
    /// Identities are removed from VMs and given back.
    Churn { per_second: Option<u32> },
    /// Keys rotate and certificates roll.
    Rotate { rotations: Option<u32> },
}

/// Bursts of callers, each for a cold key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::cli::run) struct Herd {
    pub(in crate::cli::run) herds: u32,
    pub(in crate::cli::run) callers: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PhaseEntry {
    pub(super) name: String,
    pub(super) duration: Option<Span>,
    #[serde(default = "poisson")]
    pub(super) arrivals: Arrivals,
    pub(super) profile: ProfileEntry,
    pub(super) mix: Vec<MixEntry>,
    #[serde(default)]
    pub(super) slo: Vec<String>,
    pub(super) source: Option<SourceState>,
}

const fn poisson() -> Arrivals {
    Arrivals::Poisson
}

/// State of the token service that the broker asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SourceState {
    Down,
    Up,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ProfileEntry {
    pub(super) rate: Option<f64>,
    pub(super) ramp: Option<Ramp>,
    pub(super) steps: Option<Vec<f64>>,
    pub(super) bursts: Option<BurstsEntry>,
    pub(super) replay: Option<PathBuf>,
    pub(super) speed: Option<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ramp {
    pub(super) from: f64,
    pub(super) to: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BurstsEntry {
    pub(super) rate: f64,
    pub(super) on: Span,
    pub(super) off: Span,
    #[serde(default)]
    pub(super) base: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct MixEntry {
    #[serde(default = "one")]
    pub(super) weight: f64,
    pub(super) kind: KindName,
    pub(super) exponent: Option<f64>,
    pub(super) repeat: Option<u32>,
    pub(super) callers: Option<u32>,
    pub(super) identities: Option<Identities>,
    pub(super) resource: Option<String>,
}

const fn one() -> f64 {
    1.0
}

/// Method by which a share chooses its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindName {
    Boot,
    Herd,
    Hit,
    Mint,
    Uniform,
}

/// Scenario as its file defines it, before flags change it.
#[derive(Clone, Debug)]
pub(in crate::cli::run) struct Definition {
    pub(in crate::cli::run) warmup: Duration,
    /// Rate of the warm-up; `None` for the rate at which the first phase begins.
    pub(in crate::cli::run) warmup_rate: Option<f64>,
    pub(in crate::cli::run) connections: Option<u32>,
    pub(in crate::cli::run) expect: Vec<Expectation>,
    pub(in crate::cli::run) world: World,
    pub(in crate::cli::run) serve_args: Vec<String>,
    /// True if the file passes `arguments` to our broker, which may change how long it keeps
    /// tokens.
    pub(in crate::cli::run) tuned: bool,
    /// Token lifetime, if the file sets it.
    pub(in crate::cli::run) token_lifetime: Option<Duration>,
    pub(in crate::cli::run) changes: Option<Change>,
    pub(in crate::cli::run) herd: Option<Herd>,
    /// Phases; empty for a herd.
    pub(in crate::cli::run) phases: Vec<PhaseDefinition>,
}

/// Phase of a scenario.
#[derive(Clone, Debug)]
pub(in crate::cli::run) struct PhaseDefinition {
    pub(in crate::cli::run) name: String,
    pub(in crate::cli::run) duration: Duration,
    pub(in crate::cli::run) arrivals: Arrivals,
    pub(in crate::cli::run) rate: Rate,
    pub(in crate::cli::run) mix: Vec<Share>,
    pub(in crate::cli::run) slo: Vec<Objective>,
    /// True if the token service is down during the phase.
    pub(in crate::cli::run) source_down: bool,
}

/// Request rate over time.
#[derive(Clone, Debug)]
pub(in crate::cli::run) enum Rate {
    Bursts(Bursts),
    Constant(f64),
    Ramp { from: f64, to: f64 },
    Replay { trace: Trace, speed: f64 },
    Steps(Vec<f64>),
}

impl Rate {
    /// Returns the timing of the requests over this length of time.
    pub(in crate::cli::run) fn over(&self, length_ns: u64) -> Timing {
        Timing::Rate(match self {
            Self::Bursts(bursts) => Profile::bursts(*bursts, length_ns),
            Self::Constant(rate) => Profile::constant(*rate, length_ns),
            Self::Ramp { from, to } => Profile::ramp(*from, *to, length_ns),
            Self::Replay { trace, speed } => {
                return Timing::Replay { trace: trace.clone(), speed: *speed };
            }
            Self::Steps(rates) => Profile::steps(rates, length_ns),
        })
    }
}

impl Definition {
    /// Returns true if the scenario needs our own broker, whose keys and counters are known.
    pub(in crate::cli::run) fn needs_broker(&self) -> bool {
        self.herd.is_some()
            || self.changes.is_some()
            || self.source_is_apart()
            || !self.expect.is_empty()
            || !self.serve_args.is_empty()
            || self.shares().any(Share::is_new)
    }

    /// Returns true if tokens come from a service in another process.
    pub(in crate::cli::run) fn source_is_apart(&self) -> bool {
        self.phases.iter().any(|phase| phase.source_down)
    }

    /// Returns true if a phase replays a trace.
    pub(in crate::cli::run) fn replays(&self) -> bool {
        self.phases.iter().any(|phase| matches!(phase.rate, Rate::Replay { .. }))
    }

    pub(in crate::cli::run) fn shares(&self) -> impl Iterator<Item = &Share> {
        self.phases.iter().flat_map(|phase| &phase.mix)
    }

    /// Returns the objectives of all phases, each bound to its own phase.
    pub(in crate::cli::run) fn objectives(&self) -> Vec<Objective> {
        let bound = self.phases.iter().enumerate().flat_map(|(index, phase)| {
            phase.slo.iter().map(move |objective| objective.clone().of_phase(index, &phase.name))
        });
        bound.collect()
    }
}
