//! The bodies of answers (Key Vault REST API, `SecretBundle`, `KeyBundle` and related types).

use serde::Serialize;

use super::kind::OfKind;
use super::located::Located;
use super::objects::Deleted;
use crate::base::clock::UnixSeconds;
use crate::service::world::record::{
    KeyContent, KeyOperation, ObjectVersion, PublicKey, SecretContent, Tags,
};
use crate::service::world::vault::{RETENTION_DAYS, VaultSettings};

/// A secret or key, one of its versions, or a deleted one. Absent fields are left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bundle<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Jwk<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_date: Option<UnixSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_purge_date: Option<UnixSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    attributes: Attributes,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    tags: &'a Tags,
}

/// The public half of a key with its id.
#[derive(Serialize)]
struct Jwk<'a> {
    kid: String,
    key_ops: &'a [KeyOperation],
    #[serde(flatten)]
    public: &'a PublicKey,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<UnixSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<UnixSeconds>,
    created: UnixSeconds,
    updated: UnixSeconds,
    recovery_level: &'static str,
    recoverable_days: u64,
}

/// A page of a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<'a> {
    pub(super) value: Vec<Bundle<'a>>,
    pub(super) next_link: Option<String>,
}

/// Extent of what is shown of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// In a list: the id of the object, which may get new versions.
    Object,
    /// In a list: the id of the version.
    Version,
    /// The version with the public half of a key, and without the value of a secret.
    Whole,
    /// The version with the value of a secret, for callers that set it or may read it.
    WithValue,
}

/// A content that answers show.
pub(super) trait Shows: OfKind {
    /// Adds the content and the id to a bundle.
    fn show<'a>(&'a self, id: String, shown: Shown, bundle: &mut Bundle<'a>);
}

impl Shows for KeyContent {
    fn show<'a>(&'a self, id: String, shown: Shown, bundle: &mut Bundle<'a>) {
        match shown {
            Shown::Object | Shown::Version => bundle.kid = Some(id),
            Shown::Whole | Shown::WithValue => {
                let (key_ops, public) = (&*self.operations, &self.public);
                bundle.key = Some(Jwk { kid: id, key_ops, public });
            }
        }
    }
}

impl Shows for SecretContent {
    fn show<'a>(&'a self, id: String, shown: Shown, bundle: &mut Bundle<'a>) {
        bundle.id = Some(id);
        bundle.content_type = self.content_type.as_deref();
        if shown == Shown::WithValue {
            // The value arrived as a string, so it is UTF-8.
            bundle.value = std::str::from_utf8(self.value.0.expose()).ok();
        }
    }
}

impl<'a> Bundle<'a> {
    /// Creates the bundle of a version.
    pub(super) fn of<C: Shows>(
        version: &'a ObjectVersion<C>,
        located: &Located,
        shown: Shown,
    ) -> Self {
        let (name, base_url) = (&version.name, &located.base_url);
        let settings = &located.vault.settings;
        let id = match shown {
            Shown::Object => format!("{base_url}/{}/{name}", C::KIND.collection()),
            _ => located.id_of(version),
        };
        let mut bundle = Self {
            value: None,
            key: None,
            recovery_id: None,
            deleted_date: None,
            scheduled_purge_date: None,
            content_type: None,
            id: None,
            kid: None,
            attributes: Attributes {
                enabled: version.enabled,
                nbf: version.not_before,
                exp: version.expires,
                created: version.created,
                updated: version.updated,
                recovery_level: recovery_level(settings),
                recoverable_days: settings.retention_days,
            },
            tags: &version.tags,
        };
        version.content.show(id, shown, &mut bundle);
        bundle
    }

    /// Creates the bundle of a deleted object.
    pub(super) fn of_deleted<C: Shows>(
        deleted: &'a Deleted<C>,
        located: &Located,
        shown: Shown,
    ) -> Self {
        let (record, base_url) = (&deleted.record, &located.base_url);
        let collection = C::KIND.deleted_collection();
        Self {
            recovery_id: Some(format!("{base_url}/{collection}/{}", record.name)),
            deleted_date: Some(record.deleted),
            scheduled_purge_date: Some(record.scheduled_purge),
            ..Self::of(&deleted.last, located, shown)
        }
    }
}

/// Returns the recovery level of deleted objects (`DeletionRecoveryLevel`).
fn recovery_level(settings: &VaultSettings) -> &'static str {
    let is_customized = settings.retention_days != *RETENTION_DAYS.end();
    match (is_customized, settings.purge_protection) {
        (false, false) => "Recoverable+Purgeable",
        (false, true) => "Recoverable",
        (true, false) => "CustomizedRecoverable+Purgeable",
        (true, true) => "CustomizedRecoverable",
    }
}
