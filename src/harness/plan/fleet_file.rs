//! The fleet file (TOML): its callers, their load, and the nodes that serve them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::simulate::client::Sdk;
use crate::base::files;
use crate::base::files::{ReadError, SETTINGS_BYTES_MAX};
use crate::base::toml_file;
use crate::harness::stats::float::float_of_size;

/// Reasons why a fleet file is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FleetError {
    /// The file cannot be read.
    #[error("the fleet file cannot be used")]
    Read(#[from] ReadError),
    /// The file is not TOML, has unknown or missing keys or keys of a wrong type, or values out of
    /// range.
    #[error(
        "the fleet file `{path}` is refused{problems}",
        path = path.display(), problems = toml_file::listed(problems)
    )]
    Problems {
        /// Path of the file.
        path: PathBuf,
        /// Problems, each with the allowed values.
        problems: Vec<String>,
    },
}

/// Contents of the fleet file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Fleet {
    /// Callers of the fleet.
    #[serde(rename = "fleet")]
    pub(crate) callers: Callers,
    /// Software development kits (SDKs) of the callers, with the share of each.
    #[serde(default, rename = "kits")]
    pub(crate) sdks: BTreeMap<Sdk, f64>,
    /// Boot storm: machines that boot at about the same time.
    pub(crate) storm: Option<Boot>,
    /// Deployment wave: tokens of the whole fleet that age together.
    pub(crate) wave: Option<Wave>,
    /// Nodes that serve the fleet.
    pub(crate) nodes: Nodes,
}

/// Table `[fleet]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Callers {
    /// Number of virtual machines.
    pub(crate) vms: u32,
    /// Identities that each VM uses.
    #[serde(default = "one")]
    pub(crate) identities: u32,
    /// Resources that each VM asks for with each identity.
    #[serde(default = "one")]
    pub(crate) resources: u32,
    /// Lifetime of a token.
    #[serde(default = "day", deserialize_with = "duration")]
    pub(crate) token_lifetime: Duration,
    /// Requests per second of each VM from callers that cache nothing.
    #[serde(default)]
    pub(crate) uncached_per_second: f64,
}

/// Table `[storm]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Boot {
    /// Number of virtual machines that boot.
    pub(crate) vms: u32,
    /// Time within which they boot.
    #[serde(deserialize_with = "duration")]
    pub(crate) within: Duration,
    /// Limit of the 99th percentile of the time to a token.
    #[serde(default = "second", deserialize_with = "duration")]
    pub(crate) p99: Duration,
}

/// Table `[wave]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Wave {
    /// Time within which the whole fleet was deployed.
    #[serde(deserialize_with = "duration")]
    pub(crate) deployed_within: Duration,
}

/// Table `[nodes]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Nodes {
    /// Cores of each node.
    pub(crate) cores: NonZeroUsize,
    /// Number of nodes; without it, the plan is about the number needed.
    pub(crate) count: Option<NonZeroUsize>,
    /// Number of nodes that may be lost at the same time.
    #[serde(default = "lost")]
    pub(crate) lost: usize,
    /// Mint lanes of each node; without it, one for each core.
    pub(crate) lanes: Option<NonZeroUsize>,
    /// Value of `serve --mint-queue`.
    #[serde(default = "mint_queue")]
    pub(crate) mint_queue: NonZeroUsize,
    /// Value of `serve --refresh-at`.
    #[serde(default = "refresh_at")]
    pub(crate) refresh_at: f64,
    /// Efficiency of a core beside others, above 0 to 1. The calibration measures a single core.
    #[serde(default = "whole")]
    pub(crate) efficiency: f64,
}

const fn one() -> u32 {
    1
}

const fn lost() -> usize {
    1
}

const fn day() -> Duration {
    Duration::from_hours(24)
}

const fn second() -> Duration {
    Duration::from_secs(1)
}

/// Returns the default of `serve`.
const fn mint_queue() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(8191)
}

/// Returns the default of `serve`.
const fn refresh_at() -> f64 {
    0.5
}

const fn whole() -> f64 {
    1.0
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!("`{text}` is not a time like 30s: {error}"))
    })
}

impl Fleet {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// Returns [`FleetError`], which names the key.
    pub(crate) fn read(path: &Path) -> Result<Self, FleetError> {
        let text = files::read_text(path, SETTINGS_BYTES_MAX)?;
        let toml_file::Read { value, faults } = toml_file::read::<Self>(&text);
        let mut problems: Vec<String> =
            faults.iter().map(|fault| fault.of_file(path.display())).collect();
        problems.extend(value.iter().flat_map(Self::out_of_range));
        value
            .filter(|_| problems.is_empty())
            .ok_or_else(|| FleetError::Problems { path: path.to_owned(), problems })
    }

    /// Returns the values that are out of range, each with the allowed range.
    fn out_of_range(&self) -> Vec<String> {
        let counts = "1 to 16000000 in all";
        let shares: f64 = self.sdks.values().sum();
        let sdks_sound = self.sdks.values().all(|share| *share >= 0.0)
            && (self.sdks.is_empty() || (shares - 1.0).abs() < 1e-6);
        let keys = self.keys();
        let storm_vms = self.storm.as_ref().map_or(0, |storm| storm.vms);
        let within_s = self.storm.as_ref().map_or(0.0, |storm| storm.within.as_secs_f64());
        let wave_s = self.wave.as_ref().map_or(0.0, |wave| wave.deployed_within.as_secs_f64());
        let lanes = self.nodes.lanes.map_or(1, NonZeroUsize::get);
        let rules = [
            ("fleet.vms", f64::from(self.callers.vms), (1..=16_000_000).contains(&keys), counts),
            (
                "fleet.uncached-per-second",
                self.callers.uncached_per_second,
                (0.0..=1e6).contains(&self.callers.uncached_per_second),
                "0 to 1000000",
            ),
            (
                "fleet.token-lifetime",
                self.callers.token_lifetime.as_secs_f64(),
                (1.0..=366.0 * 86_400.0).contains(&self.callers.token_lifetime.as_secs_f64()),
                "1s to 366days",
            ),
            ("storm.within", within_s, within_s <= 3600.0, "at most 1h"),
            ("wave.deployed-within", wave_s, wave_s <= 366.0 * 86_400.0, "at most 366days"),
            ("kits", shares, sdks_sound, "shares that add up to 1"),
            ("storm.vms", f64::from(storm_vms), storm_vms <= self.callers.vms, "at most fleet.vms"),
            (
                "nodes.refresh-at",
                self.nodes.refresh_at,
                (0.0..=1.0).contains(&self.nodes.refresh_at),
                "0 to 1",
            ),
            (
                "nodes.efficiency",
                self.nodes.efficiency,
                self.nodes.efficiency > 0.0 && self.nodes.efficiency <= 1.0,
                "above 0, to 1",
            ),
            (
                "nodes.cores",
                float_of_size(self.nodes.cores.get()),
                self.nodes.cores.get() <= CORES_MAX,
                "1 to 256",
            ),
            (
                "nodes.lost",
                float_of_size(self.nodes.lost),
                self.nodes.lost < NODES_MAX,
                "0 to 4095",
            ),
            (
                "nodes.count",
                float_of_size(self.nodes.count.map_or(1, NonZeroUsize::get)),
                self.nodes
                    .count
                    .is_none_or(|count| (self.nodes.lost + 1..=NODES_MAX).contains(&count.get())),
                "more than nodes.lost, to 4096",
            ),
            ("nodes.lanes", float_of_size(lanes), lanes <= CORES_MAX, "1 to 256"),
        ];
        let broken = rules.into_iter().filter(|(_, _, sound, _)| !sound);
        broken
            .map(|(key, value, _, allowed)| format!("`{key}` is {value}; use {allowed}"))
            .collect()
    }

    /// Returns the number of tokens that the fleet holds.
    pub(crate) const fn keys(&self) -> u64 {
        (self.callers.vms as u64).saturating_mul(self.tokens_each())
    }

    /// Returns the number of tokens that each VM holds.
    pub(crate) const fn tokens_each(&self) -> u64 {
        self.callers.identities as u64 * self.callers.resources as u64
    }

    /// Returns the SDKs and their shares. Without any, all callers use azure-identity for Python.
    pub(crate) fn sdks(&self) -> Vec<(Sdk, f64)> {
        if self.sdks.is_empty() {
            return vec![(Sdk::Python, 1.0)];
        }
        self.sdks.iter().map(|(sdk, share)| (*sdk, *share)).collect()
    }
}

/// Maximum number of cores and lanes, more than any broker has.
const CORES_MAX: usize = 256;
/// Maximum number of nodes, more than any fleet has.
pub(super) const NODES_MAX: usize = 4096;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::harness::plan) fn parse(text: &str) -> Result<Fleet, FleetError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Fleet::read(file.path())
    }

    fn refused(text: &str, part: &str) {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }

    #[test]
    fn a_small_file_is_completed_by_what_serve_would_do() {
        let fleet = parse("[fleet]\nvms = 10\n[nodes]\ncores = 4\n").unwrap();
        assert_eq!((fleet.keys(), fleet.nodes.mint_queue.get(), fleet.nodes.lost), (10, 8192, 1));
        assert_eq!(fleet.sdks(), [(Sdk::Python, 1.0)]);
        assert_eq!(fleet.callers.token_lifetime, Duration::from_hours(24));
    }

    #[test]
    fn a_whole_file_is_read() {
        let fleet = parse(
            "[fleet]\nvms = 40000\nidentities = 2\nresources = 3\ntoken-lifetime = \"24h\"\n\
             uncached-per-second = 0.1\n[kits]\ngo = 0.25\nmsal-python = 0.75\n[storm]\nvms = 4000\n\
             within = \"30s\"\np99 = \"2s\"\n[wave]\ndeployed-within = \"10m\"\n[nodes]\ncores = 8\n\
             count = 3\nlost = 1\nlanes = 4\nmint-queue = 100\nrefresh-at = 0.8\nefficiency = 0.9\n",
        );
        let fleet = fleet.unwrap();
        assert_eq!(fleet.keys(), 240_000);
        assert_eq!(fleet.sdks(), [(Sdk::Go, 0.25), (Sdk::MsalPython, 0.75)]);
        assert_eq!(fleet.storm.unwrap().p99, Duration::from_secs(2));
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused("[fleet]\nvms = 10\n", "nodes");
        refused("[fleet]\nvms = 0\n[nodes]\ncores = 1\n", "fleet.vms");
        refused("[fleet]\nvms = 1\nvm = 2\n[nodes]\ncores = 1\n", "`vm`");
        refused("[fleet]\nvms = 1\n[nodes]\ncores = 0\n", "cores");
        refused("[fleet]\nvms = 1\n[nodes]\ncores = 1\nrefresh-at = 2\n", "nodes.refresh-at");
        refused("[fleet]\nvms = 1\n[nodes]\ncores = 1\ncount = 1\n", "nodes.count");
        refused("[fleet]\nvms = 1\n[nodes]\ncores = 1\nlost = 5000\n", "nodes.lost");
        refused("[fleet]\nvms = 1\n[nodes]\ncores = 1\ncount = 5000\n", "nodes.count");
        refused("[fleet]\nvms = 1\n[nodes]\ncores = 1\nlanes = 5000\n", "nodes.lanes");
        let many = "[fleet]\nvms = 4000000000\nidentities = 4000000000\nresources = 4000000000\n";
        refused(&format!("{many}[nodes]\ncores = 1\n"), "fleet.vms");
        let long = "[storm]\nvms = 1\nwithin = \"2days\"\n";
        refused(&format!("[fleet]\nvms = 1\n{long}[nodes]\ncores = 1\n"), "storm.within");
        refused("[fleet]\nvms = 1\n[kits]\ngo = 0.5\n[nodes]\ncores = 1\n", "`kits`");
        refused("[fleet]\nvms = 1\n[kits]\nperl = 1\n[nodes]\ncores = 1\n", "perl");
        let storm = "[storm]\nvms = 2\nwithin = \"soon\"\n";
        refused(&format!("[fleet]\nvms = 1\n{storm}[nodes]\ncores = 1\n"), "within");
    }
}
