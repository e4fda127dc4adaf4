//! Fields that several kinds of records have.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::secret;
use crate::base::secret::Redacted;

/// Names and values that a user attaches to a resource.
pub type Tags = BTreeMap<String, String>;

/// A region. Copies share their text, because a world has millions of machines in a few regions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Location(Arc<str>);

impl Location {
    /// Returns the equal location among those that are known. If it is new, it becomes known.
    #[must_use]
    pub fn shared(self, known: &mut HashSet<Self>) -> Self {
        if let Some(own) = known.get(&self) {
            return own.clone();
        }
        known.insert(self.clone());
        self
    }
}

impl Deref for Location {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl From<&str> for Location {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Location {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Location> for String {
    fn from(location: Location) -> Self {
        (*location).to_owned()
    }
}

/// A secret inside a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredSecret(#[serde(with = "secret::stored")] pub Redacted);
