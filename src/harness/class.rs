//! Classes of answers: cache hits, misses, refusals and failures.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Class of a request. Reports never mix the latencies of different classes.
///
/// Failed requests have their own classes, so that the other classes hold good answers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Served from the cache.
    Hit,
    /// Waited for its own mint.
    Miss,
    /// Waited for the mint of another request.
    Coalesced,
    /// Refused with status 400, in a run that takes identities away, because the identity is
    /// missing.
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

    /// Returns the name for files, tables and tags.
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

    /// Returns the class with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }

    /// Returns true if requests of this class failed.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Throttled | Self::Error)
    }

    /// Returns true if requests of this class received a token.
    pub const fn is_token(self) -> bool {
        matches!(self, Self::Hit | Self::Miss | Self::Coalesced | Self::All)
    }

    /// Returns the position in [`Class::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl JsonSchema for Class {
    fn schema_name() -> Cow<'static, str> {
        "Class".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": Self::ALL.map(Self::as_str) })
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
