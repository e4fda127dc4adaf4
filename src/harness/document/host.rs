//! The build and the machine that a document comes from.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extra::Extra;

/// The build of the program that measured.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Build {
    /// The version of the package.
    pub version: String,
    /// The commit of the source; `unknown` where it is not known, or where merged builds differ.
    #[schemars(regex(pattern = r"^([0-9a-f]{40}|unknown)$"))]
    pub git_commit: String,
    /// True if the source differed from the commit; null where it is not known.
    pub git_dirty: Option<bool>,
    /// The profile of cargo.
    pub profile: String,
    /// The version of the compiler.
    pub rustc: String,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// The machine that measured. A field is null where the system does not tell, or where merged hosts
/// differ.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Host {
    /// The model of the processor.
    pub cpu_model: String,
    /// The number of cores.
    #[schemars(range(min = 1))]
    pub cores: u64,
    /// The name and the release of the kernel.
    pub kernel: String,
    /// The governor of the clock frequency.
    pub governor: String,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Hash of the processor, the cores, the kernel, the governor and the memory.
    #[schemars(regex(pattern = r"^[0-9a-f]{12}$"))]
    pub fingerprint: String,
    /// The share of the machine's time that the hypervisor took; the largest of several runs or legs.
    #[schemars(range(min = 0, max = 1))]
    pub steal_share: f64,
    /// The load average of the last minute, after the measurement.
    pub load_average: Option<f64>,
    /// True if two hardware threads share a core. This field and those below came later, and are no part
    /// of the fingerprint.
    #[serde(default)]
    pub smt: Option<bool>,
    /// True if the clock frequency may exceed its nominal value.
    #[serde(default)]
    pub turbo: Option<bool>,
    /// The idle states that the first core may enter, from the lightest.
    #[serde(default)]
    pub idle_states: Option<Vec<String>>,
    /// The number of memory nodes.
    #[serde(default)]
    pub numa_nodes: Option<u64>,
    /// The number of cores that the control group may use; null without a limit.
    #[serde(default)]
    pub cpu_quota_cores: Option<f64>,
    /// The clock source of the kernel.
    #[serde(default)]
    pub clock_source: Option<String>,
    /// The preemption model of the kernel.
    #[serde(default)]
    pub preemption: Option<String>,
    /// True if the machine is virtual.
    #[serde(default)]
    pub virtualised: Option<bool>,
    /// The longest queue of connections that a listener may have.
    #[serde(default)]
    pub somaxconn: Option<u64>,
    /// The first and the last port that the system chooses itself.
    #[serde(default)]
    pub port_range: Option<[u64; 2]>,
    /// Memory that could be used without swapping, in bytes.
    #[serde(default)]
    pub memory_available_bytes: Option<u64>,
    /// Resident memory of the generator after the measurement, in bytes.
    #[serde(default)]
    pub generator_rss_bytes: Option<u64>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu_model, cores, kernel, fingerprint, .. } = self;
        write!(f, "{cpu_model}, {cores} cores, {kernel}, fingerprint {fingerprint}")
    }
}
