//! Fields that a later version added to a document.

use serde_json::{Map, Value};

/// Fields that this version does not know. They are kept, so that they survive a rewrite.
pub type Extra = Map<String, Value>;
