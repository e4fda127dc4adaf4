//! How answers are told apart.

use std::fmt;

/// The class of a request: latencies of different work are never mixed.
///
/// Requests that failed have classes of their own, so that the others hold good answers only.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Served from the cache.
    Hit,
    /// Waited for its own mint.
    Miss,
    /// Waited for the mint of another request.
    Coalesced,
    /// Refused for want of the identity, in a run that takes identities away (status 400).
    Refused,
    /// Failed: refused by a limit (status 429).
    Throttled,
    /// Failed for any other cause.
    Error,
    /// Good answers of a target whose classes are unknown.
    All,
}

impl Class {
    /// Every class, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::Hit,
        Self::Miss,
        Self::Coalesced,
        Self::Refused,
        Self::Throttled,
        Self::Error,
        Self::All,
    ];

    /// The name in files, tables and tags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Refused => "refused",
            Self::Throttled => "throttled",
            Self::Error => "error",
            Self::All => "all",
        }
    }

    /// The class of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// Whether requests of this class failed.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Throttled | Self::Error)
    }

    /// Whether requests of this class got what they asked for.
    pub const fn is_token(self) -> bool {
        matches!(self, Self::Hit | Self::Miss | Self::Coalesced | Self::All)
    }

    /// The position in [`Class::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_stands_at_its_index() {
        for (index, class) in Class::ALL.into_iter().enumerate() {
            assert_eq!(class.index(), index);
        }
    }
}
