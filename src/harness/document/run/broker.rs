//! The broker's own counters, and the verification of its answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::harness::document::extra::Extra;

/// The broker's own counters over the measured part.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Broker {
    /// Tokens that were minted.
    pub mints: u64,
    /// Lookups that the cache answered.
    pub hits: u64,
    /// Lookups that waited for their own mint.
    pub misses: u64,
    /// Lookups that waited for the mint of another request.
    pub coalesced: u64,
    /// Tokens that were renewed before they expired.
    pub refreshes: u64,
    /// Processor time per request; null for a merged result.
    pub cpu_us_per_request: Option<f64>,
    /// Resident memory at the end, in bytes; null for a merged result.
    pub rss_bytes: Option<u64>,
    /// Memory without a file behind it (heap and stacks) at the end, in bytes; null where the system does not
    /// tell and for a merged result, absent in files of earlier versions.
    #[serde(default)]
    pub anonymous_bytes: Option<u64>,
    /// The build that the broker reports; null where it reports none.
    #[serde(default)]
    pub build: Option<BrokerBuild>,
    /// Page faults of the broker that waited for a disk; null where the broker does not report them.
    #[serde(default)]
    pub major_faults: Option<u64>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Broker {
    /// Returns the share of lookups that were hits, if there were any.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn hit_ratio(&self) -> Option<f64> {
        let lookups = self.hits + self.misses + self.coalesced;
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }
}

/// The build of a broker.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct BrokerBuild {
    /// The version of the package.
    pub version: String,
    /// The commit of the source.
    pub git_commit: String,
    /// True if the source differed from the commit; null where it is not known.
    pub git_dirty: Option<bool>,
    /// The profile of cargo.
    pub profile: String,
}

/// Sampled answers that were wrong; null where it cannot be known.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Verified {
    /// The number of answers in the sample.
    pub sampled: u64,
    /// Tokens whose signature does not verify.
    pub bad_signature: Option<u64>,
    /// Tokens of another identity than the one asked for.
    pub wrong_identity: Option<u64>,
    /// Tokens for another resource than the one asked for.
    pub wrong_audience: Option<u64>,
    /// Tokens of another issuer.
    pub wrong_issuer: Option<u64>,
    /// Tokens whose expiry is not the one that the answer states.
    pub wrong_expiry: Option<u64>,
    /// Tokens that had expired when they came.
    pub expired: Option<u64>,
    /// Fields of later versions.
    #[serde(flatten)]
    pub extra: Extra,
}

impl Verified {
    /// Returns the number of wrong answers, or none if there were no keys to verify with.
    pub fn faults(&self) -> Option<u64> {
        let known = [
            self.wrong_identity,
            self.wrong_audience,
            self.wrong_issuer,
            self.wrong_expiry,
            self.expired,
        ];
        Some(self.bad_signature? + known.into_iter().flatten().sum::<u64>())
    }
}
