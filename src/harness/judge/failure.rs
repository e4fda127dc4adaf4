//! Failed checks of a target, in sentences.

use std::fmt;

use super::ledger::Judgement;
use super::throttle::Share;
use super::verify::Verdict;
use super::verify::key_timeline::KeyTimelineVerdict;
use crate::harness::dialect::outcome::Cause;
use crate::harness::record::broker_counters::Counters;

/// Failed check: the target does not do what it must.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// Sampled answers were wrong.
    Answers(Verdict),
    /// Changes were refused or not answered.
    Changes {
        /// Number of failed changes.
        failed: u64,
        /// Number of all changes.
        total: u64,
        /// Cause of the first failure.
        reason: String,
    },
    /// Tokens or refusals came at the wrong time.
    Churn(Judgement),
    /// More requests failed than allowed.
    Errors {
        /// Requests that failed, warm-up included.
        count: u64,
        /// All requests, warm-up included.
        total: u64,
        /// Most frequent cause in the measured part.
        cause: Option<Cause>,
        /// Allowed share of failed requests.
        share_max: f64,
    },
    /// A herd did not cause exactly one mint.
    HerdMints {
        /// Herds that ran.
        herds: u32,
        /// Tokens minted during the run.
        mints: f64,
    },
    /// Not every caller of a herd got a token.
    HerdTokens {
        /// Callers of all herds.
        callers: u64,
        /// Tokens that came back.
        tokens: u64,
    },
    /// Every request had a key of its own, but the broker did not mint once for each.
    MintCounts {
        /// The broker's counters.
        counted: Counters,
        /// Tokens that came back.
        tokens: u64,
    },
    /// More tokens were minted for callers than there are keys.
    RepeatedMints {
        /// Tokens minted for callers.
        mints: f64,
        /// Maximum number of keys that were requested.
        keys: u64,
    },
    /// New keys were requested, but fewer mints were waited for.
    NewKeys {
        /// Number of different new keys.
        keys: u64,
        /// Requests that started a mint.
        misses: f64,
    },
    /// No mint failed although the token service was away.
    NoFailedMint,
    /// No request met an identity that was away.
    NoRemoval,
    /// All sampled tokens are signed by one key.
    NoRotation {
        /// Number of key rotations.
        rotations: u64,
    },
    /// No certificate was rolled.
    NoCertificateRoll,
    /// There are keys to verify with, but nothing was verified.
    NoVerification,
    /// The published keys could not be read.
    UnreadKeys {
        /// Number of failed reads.
        count: u64,
    },
    /// Fewer tokens were renewed than there are keys.
    Refreshes {
        /// Tokens renewed during the measured part.
        refreshes: f64,
        /// Keys that the warm-up requested.
        keys: u64,
    },
    /// VM 0 did not get what its limit allows.
    Share(Share),
    /// Nothing was throttled.
    NoThrottle,
    /// Sampled tokens were signed with keys that were not published at the time.
    Rotation(KeyTimelineVerdict),
    /// Callers waited for a mint although their tokens were only due for renewal.
    MintWaits {
        /// Requests that waited.
        count: u64,
        /// Number of requests that may wait, because they asked for new keys.
        new: u64,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers(verdict) => write!(f, "of {verdict}"),
            Self::Changes { failed, total, reason } => {
                write!(f, "{failed} of {total} changes failed, the first with: {reason}")
            }
            Self::Churn(judgement) => write!(
                f,
                "{} tokens came after their identity was removed, and {} requests were refused although the identity was there",
                judgement.tokens_after_removal, judgement.refused_wrongly
            ),
            Self::Errors { count, total, cause, share_max } => {
                let percent = share_max * 100.0;
                let cause =
                    cause.as_ref().map(|cause| format!("; the most frequent cause: {cause}"));
                let cause = cause.unwrap_or_default();
                write!(
                    f,
                    "{count} of {total} requests failed, warm-up included, more than {percent:.2} %{cause}"
                )
            }
            Self::HerdMints { herds, mints } => write!(
                f,
                "{herds} herds, each on one cold key, led to {mints} mints instead of {herds}"
            ),
            Self::HerdTokens { callers, tokens } => {
                write!(f, "{callers} callers of the herds got {tokens} tokens")
            }
            Self::MintCounts { counted, tokens } => write!(
                f,
                "every request had a new key, but {tokens} tokens came with {} hits, {} coalesced, {} misses and {} mints",
                counted.hits,
                counted.coalesced,
                counted.misses,
                counted.foreground_mints()
            ),
            Self::UnreadKeys { count } => {
                write!(f, "the published keys could not be read {count} times")
            }
            Self::RepeatedMints { mints, keys } => write!(
                f,
                "{mints} tokens were minted for callers, of {keys} keys at most: some key was minted twice"
            ),
            Self::NewKeys { keys, misses } => write!(
                f,
                "{keys} keys were asked for that nobody had asked for before, and {misses} mints were started"
            ),
            Self::Share(share) => share.fmt(f),
            Self::NoRotation { rotations } => write!(
                f,
                "all sampled tokens are signed by one key although keys rotated {rotations} times, which proves nothing; raise --duration or --samples"
            ),
            Self::Refreshes { refreshes, keys } => write!(
                f,
                "{refreshes} tokens were renewed in the background where each of {keys} keys is due at least once"
            ),
            Self::MintWaits { count, new } => write!(
                f,
                "{count} requests of the measured part waited for a mint, where only the {new} for new keys should"
            ),
            Self::Rotation(keys) => write!(
                f,
                "{} sampled tokens were signed with keys that were not published yet, {} with keys that were withdrawn too soon",
                keys.unpublished, keys.withdrawn
            ),
            plain => f.write_str(plain.as_str()),
        }
    }
}

impl Failure {
    /// Returns the text of a failure without figures; empty for the others.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::NoCertificateRoll => "no certificate was rolled, which proves nothing",
            Self::NoFailedMint => {
                "no mint failed while the token service was away, which proves nothing; let it be away longer, or tokens be renewed sooner (`refresh-at`)"
            }
            Self::NoRemoval => {
                "no request met an identity that was away, which proves nothing; raise --rate, --changes or --duration"
            }
            Self::NoThrottle => {
                "no request of VM 0 was throttled, which proves nothing; raise --rate, or lower the limit"
            }
            Self::NoVerification => "no token came back that could be verified",
            _ => "",
        }
    }
}

/// Returns true if a check that failed on part of a run would also fail on the whole run.
///
/// The other checks compare counts that agree only at the end, or wait for a later event.
pub(super) const fn is_final(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Answers(_)
            | Failure::Changes { .. }
            | Failure::Churn(_)
            | Failure::Errors { .. }
            | Failure::UnreadKeys { .. }
            | Failure::RepeatedMints { .. }
            | Failure::Rotation(_)
            | Failure::MintWaits { .. }
    )
}
