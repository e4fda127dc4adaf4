//! Fields that several kinds of records have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::secret;
use crate::base::secret::Redacted;

/// Names and values that a user attaches to a resource.
pub type Tags = BTreeMap<String, String>;

/// A secret inside a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredSecret(#[serde(with = "secret::stored")] pub Redacted);
