//! Keys of a scenario file.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::run_spec::{ChangeSpec, Herd, World};
use crate::harness::scenario::mix::Identities;
use crate::harness::scenario::phases::Arrivals;
use crate::harness::scenario::phases::Expectation;

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
    pub(super) throttle: Option<Throttle>,
    pub(super) changes: Option<ChangeSpec>,
    pub(super) herd: Option<Herd>,
    #[serde(default)]
    pub(super) phase: Vec<PhaseEntry>,
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

/// Limits of our broker. VM 0 must ask for more.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Throttle {
    /// Identity requests per second of each VM.
    pub(super) identity: NonZeroU32,
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

impl KindName {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Herd => "herd",
            Self::Hit => "hit",
            Self::Mint => "mint",
            Self::Uniform => "uniform",
        }
    }
}
