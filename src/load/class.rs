//! How answers are told apart.

use std::fmt;

pub use crate::class::Class;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// With a whole HTTP answer.
    Http(u16),
    /// The connection could not be made, or was lost before the answer was whole.
    Connection,
    /// The answer was not HTTP as this generator reads it.
    Malformed,
    /// No answer within the time limit.
    Timeout,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(status) => status.fmt(f),
            Self::Connection => f.write_str("connection"),
            Self::Malformed => f.write_str("malformed"),
            Self::Timeout => f.write_str("timeout"),
        }
    }
}
