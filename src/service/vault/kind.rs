//! The two kinds of objects in a vault, secrets and keys, and the words for them.

use std::fmt;

use crate::service::directory::Content;
use crate::service::world::record::{KeyContent, SecretContent};

/// Kind of an object. `Display` writes the noun, as in `secret`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    Secret,
}

impl Kind {
    /// Returns the noun at the beginning of a sentence.
    pub(super) const fn capital(self) -> &'static str {
        match self {
            Self::Key => "Key",
            Self::Secret => "Secret",
        }
    }

    /// Returns the first segment of the paths of live objects.
    pub(super) const fn collection(self) -> &'static str {
        match self {
            Self::Key => "keys",
            Self::Secret => "secrets",
        }
    }

    /// Returns the first segment of the paths of deleted objects.
    pub(super) const fn deleted_collection(self) -> &'static str {
        match self {
            Self::Key => "deletedkeys",
            Self::Secret => "deletedsecrets",
        }
    }

    /// Returns the error code for an object that is not there.
    pub(super) const fn not_found_code(self) -> &'static str {
        match self {
            Self::Key => "KeyNotFound",
            Self::Secret => "SecretNotFound",
        }
    }

    /// Returns the inner error code for an object that is disabled.
    pub(super) const fn disabled_code(self) -> &'static str {
        match self {
            Self::Key => "KeyDisabled",
            Self::Secret => "SecretDisabled",
        }
    }

    /// Returns the label that separates backups of this kind from other uses of the same key.
    pub(super) const fn backup_label(self) -> &'static [u8] {
        match self {
            Self::Key => b"mintbench key backup 1",
            Self::Secret => b"mintbench secret backup 1",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Secret => "secret",
        })
    }
}

/// A content with its kind.
pub(super) trait OfKind: Content {
    const KIND: Kind;
}

impl OfKind for KeyContent {
    const KIND: Kind = Kind::Key;
}

impl OfKind for SecretContent {
    const KIND: Kind = Kind::Secret;
}
