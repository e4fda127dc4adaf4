//! Changes of the target under load, and what they showed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::harness::document::extra::Extra;
use crate::harness::document::percentiles::Percentiles;

/// Requests that changed the target under load.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Changes {
    /// The number of changes.
    pub count: u64,
    /// Changes that failed.
    pub failed: u64,
    /// From before the request to the whole acknowledgement. A merged result knows only the maximum.
    pub ack_us: Percentiles,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Answers to VMs that lost and got identities.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Churn {
    /// The numbers of right and wrong answers.
    #[serde(flatten)]
    pub counts: ChurnCounts,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// Numbers of right and wrong answers to VMs that lost and got identities.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct ChurnCounts {
    /// Identities that were taken from a VM.
    pub removals: u64,
    /// Refusals of requests that were written after the removal was acknowledged and answered before the
    /// identity was asked back.
    pub refused_rightly: u64,
    /// Refusals while the VM had the identity.
    pub refused_wrongly: u64,
    /// Tokens while the VM had the identity.
    pub tokens_rightly: u64,
    /// Tokens where a refusal was due.
    pub tokens_after_removal: u64,
    /// Answers during a change, when either is right.
    pub undecided: u64,
}

/// Sampled tokens against the key sets of their time.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Rotation {
    /// The number of rotations.
    pub rotations: u64,
    /// Different keys that signed sampled tokens.
    pub signing_keys: u64,
    /// Number of times that the published keys were read.
    pub key_sets: u64,
    /// Number of times that the published keys could not be read.
    pub key_sets_unread: u64,
    /// Certificates of identities that were rolled.
    pub certificates: u64,
    /// Tokens that do not verify with the key set that was read last before their request.
    pub unpublished: u64,
    /// Living tokens that do not verify with the key set that was read next after their answer.
    pub withdrawn: u64,
    /// Tokens for which one of `unpublished` and `withdrawn` cannot be told.
    pub unwatched: u64,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

/// An outage of the token service that the broker asks.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Outage {
    /// Seconds from when the service was killed to when it was ready again.
    pub down_s: f64,
    /// Mints, renewals included, that failed during the measured part; null where the counters are not known.
    pub mint_failures: Option<u64>,
}
