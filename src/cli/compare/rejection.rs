//! Reasons why a block of a comparison is not used.

use std::fmt;
use std::mem::discriminant;

use crate::harness::judge::failure::Failure;
use crate::harness::judge::validity::Reason;

/// Reason why a block is not used.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Rejection {
    /// The generator or the host was the bottleneck.
    Generator(Reason),
    /// Too many requests to the endpoint failed.
    Requests(Failure),
    /// No request got a good answer.
    Unanswered,
}

impl Rejection {
    /// Converts a reason, if it affects the comparison. Reasons about the p99.9 do not: no percentile
    /// beyond the p99 is compared, and the p99.9 of a short block is its slowest request.
    pub(super) fn of(reason: &Reason) -> Option<Self> {
        match reason {
            Reason::Hiccup { .. } | Reason::LagTail { .. } | Reason::NoticeTail { .. } => None,
            Reason::Burst { .. }
            | Reason::Busy { .. }
            | Reason::Gaps(_)
            | Reason::HitRatio(_)
            | Reason::Impeded { .. }
            | Reason::Interrupted(_)
            | Reason::Lag { .. }
            | Reason::Median { .. }
            | Reason::NoRequests
            | Reason::Notice { .. }
            | Reason::Paging { .. }
            | Reason::Rate { .. }
            | Reason::Steal { .. }
            | Reason::Throttled { .. }
            | Reason::Unsent { .. }
            | Reason::Unsteady(_) => Some(Self::Generator(reason.clone())),
        }
    }

    pub(super) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Generator(one), Self::Generator(other)) => {
                discriminant(one) == discriminant(other)
            }
            (Self::Requests(one), Self::Requests(other)) => {
                discriminant(one) == discriminant(other)
            }
            (Self::Unanswered, Self::Unanswered) => true,
            (Self::Generator(_) | Self::Requests(_) | Self::Unanswered, _) => false,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generator(reason) => reason.fmt(f),
            Self::Requests(failure) => failure.fmt(f),
            Self::Unanswered => f.write_str("no request got a good answer"),
        }
    }
}

/// Blocks of one side that are not used for the same kind of reason.
#[derive(Clone, Debug)]
pub(super) struct RejectedBlocks {
    pub(super) side: &'static str,
    pub(super) first: Rejection,
    pub(super) blocks: u32,
}

impl fmt::Display for RejectedBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, first, blocks } = self;
        write!(f, "{blocks} of {side}, as in: {first}")
    }
}
