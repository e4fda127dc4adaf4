//! The load of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::harness::document::extra::Extra;

/// The load of a run.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Load {
    /// Spacing of the requests; `mixed` where phases differ in it.
    #[schemars(extend("enum" = ["burst", "constant", "mixed", "poisson", "replay"]))]
    pub arrivals: String,
    /// Planned requests per second; null where it is not one rate throughout.
    pub rate_target: Option<f64>,
    /// Requests per second that were sent within the measured part; null for bursts.
    pub rate_achieved: Option<f64>,
    /// Answers per second within the measured part, whenever they were asked for.
    pub rate_answered: f64,
    /// Time of the measured part in which the schedule stood still, because something else than the target stopped
    /// the generator, in seconds; the rates are without it. Null for merged results and in files of earlier versions.
    #[serde(default)]
    pub paused_s: Option<f64>,
    /// Requests that were scheduled within the measured part.
    pub scheduled: u64,
    /// The measured part in seconds.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub duration_s: f64,
    /// The warm-up in seconds.
    pub warmup_s: f64,
    /// The number of connections.
    #[schemars(range(min = 1))]
    pub connections: u64,
    /// The number of virtual machines.
    #[schemars(range(min = 1))]
    pub vms: u64,
    /// User-assigned identities of each virtual machine.
    pub user_assigned: u64,
    /// The number of generator threads.
    #[schemars(range(min = 1))]
    pub threads: u64,
    /// Connections that were opened again under load. Their connect time is part of the response time.
    pub reconnects: u64,
    /// Keys that are asked for again and again; null where there are none, or where they are cold on purpose.
    pub keys: Option<u64>,
    /// The keys that the warm-up asks for once each; null where `keys` is null.
    pub keys_filled: Option<u64>,
    /// The name of the scenario's file; null where the scenario is built in, or where merged runs differ.
    #[serde(default)]
    pub scenario_file: Option<String>,
    /// Arguments of `mintbench serve`, beyond those of the world and of the changes, that the broker of the
    /// run was started with; null where merged runs differ.
    #[serde(default)]
    pub serve_args: Option<Vec<String>>,
    /// The address and port that requests went to; null where merged runs differ.
    #[serde(default)]
    pub target_address: Option<String>,
    /// Further addresses of the target's host, to which no request went; null where merged runs differ.
    #[serde(default)]
    pub target_other_addresses: Option<Vec<String>>,
    /// True if the target's certificate was not checked (`--insecure`); null where merged runs differ.
    #[serde(default)]
    pub insecure: Option<bool>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}
