//! Reasons why a scenario file or the definition of a run is refused, with advice.

use std::time::Duration;

use super::bounds::{CERTIFICATES_MAX, ROTATION_GAP_MIN, ROTATIONS_MAX};
use super::shortfall::Shortfall;
use crate::base::files::ReadError;
use crate::base::synthetic::SyntheticError;
use crate::base::toml_file::listed;
use crate::harness::scenario::replay::TraceError;

/// Reason why a scenario file is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScenarioError {
    #[error("the scenario cannot be used")]
    Read(#[from] ReadError),
    #[error("the scenario `{name}` is refused{problems}", problems = listed(problems))]
    Problems { name: String, problems: Vec<String> },
    #[error("the trace cannot be used")]
    ReadTrace(#[source] ReadError),
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// Reason why the definition of a run makes no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    #[error("--rate {0} is out of range; use a number above 0, up to 10000000")]
    Rate(f64),
    #[error("--duration {} is out of range; use 100ms to 24h", humantime::format_duration(*.0))]
    Duration(Duration),
    #[error("--warmup {} is out of range; use 0s to 24h", humantime::format_duration(*.0))]
    Warmup(Duration),
    #[error("--timeout {} is out of range; use 1ms to 1h", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("--pacer-test {} is out of range; use 0s to 1m", humantime::format_duration(*.0))]
    PacerTest(Duration),
    #[error("--cores {core} is no processor that this process may use; it may use {allowed:?}")]
    Core { core: usize, allowed: Vec<usize> },
    #[error("--{flag} {value} is out of range; use 1 to {max}")]
    Count { flag: &'static str, value: u64, max: u64 },
    #[error("--max-errors {0} is out of range; use a share of 0 to 1")]
    MaxErrors(f64),
    #[error("--speed {0} is out of range; use 0.001 to 1000")]
    Speed(f64),
    #[error("`{0}` starts a broker of its own, to know its keys and counters; leave out --target")]
    NeedsBroker(String),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(
        "`{scenario}` asks for user-assigned identities and the VMs have none; raise --user-assigned"
    )]
    NoIdentities { scenario: String },
    #[error("`{scenario}` expects hits after the warm-up, but {shortfall}")]
    Unfilled { scenario: String, shortfall: Shortfall },
    #[error("this run needs {needed} distinct keys and the world has {keys}; {remedy}")]
    Keyspace { needed: u64, keys: u64, remedy: &'static str },
    #[error(
        "each of {herds} herds needs a user-assigned identity of its own and there are {user_assigned}; raise --user-assigned or lower --herds"
    )]
    HerdKeys { herds: u32, user_assigned: u32 },
    #[error(
        "{connections} connections need more open files than the limit of {limit}; lower --connections (or --callers), or raise `ulimit -n`"
    )]
    Files { connections: u32, limit: u64 },
    #[error(
        "churn needs VMs with at least 2 user-assigned identities: with fewer, a VM that loses one answers with the other; raise --user-assigned"
    )]
    ChurnIdentities,
    #[error(
        "`{scenario}` makes certificates for each of {identities} identities, each in about a tenth of a second; lower --vms or --user-assigned to {CERTIFICATES_MAX} identities at most"
    )]
    Certificates { scenario: String, identities: u64 },
    #[error(
        "--rotations {rotations} in {} is too often; leave at least {} between two, and rotate {ROTATIONS_MAX} times at most", humantime::format_duration(*.duration), humantime::format_duration(ROTATION_GAP_MIN)
    )]
    Rotations { rotations: u32, duration: Duration },
    #[error("the world cannot be made")]
    World(#[from] SyntheticError),
}
