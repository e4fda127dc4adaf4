//! Why a block of a comparison is no evidence.

use std::fmt;
use std::mem::discriminant;

use crate::load::checks::Failure;
use crate::load::validity::Reason;

/// What makes a block no evidence.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Spoiled {
    /// The generator or the host.
    Generator(Reason),
    /// The endpoint.
    Requests(Failure),
    /// No request got a good answer.
    Unanswered,
}

impl Spoiled {
    /// The same, if it bears on what is compared: nothing beyond the p99 is, and the p99.9 of a short
    /// block is its slowest request.
    pub(super) fn of(reason: &Reason) -> Option<Self> {
        let tail = matches!(
            reason,
            Reason::Hiccup { .. } | Reason::LagTail { .. } | Reason::NoticeTail { .. }
        );
        (!tail).then(|| Self::Generator(reason.clone()))
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
            _ => false,
        }
    }
}

impl fmt::Display for Spoiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generator(reason) => reason.fmt(f),
            Self::Requests(failure) => failure.fmt(f),
            Self::Unanswered => f.write_str("no request got a good answer"),
        }
    }
}

/// Blocks of one side that were spoiled alike: the first, and how many.
#[derive(Clone, Debug)]
pub(super) struct Complaint {
    pub(super) side: &'static str,
    pub(super) first: Spoiled,
    pub(super) blocks: u32,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, first, blocks } = self;
        write!(f, "{blocks} of {side}, as in: {first}")
    }
}
