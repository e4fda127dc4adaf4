//! Statuses with which requests end.

use std::fmt;

/// Status with which a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The HTTP answer was complete and has this status.
    Http(u16),
    /// The connection could not be made, or was lost before the answer was complete.
    Connection,
    /// The answer was not HTTP that this generator can parse.
    Malformed,
    /// No answer arrived within the timeout.
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
