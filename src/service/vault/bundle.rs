//! The bodies of answers (Key Vault REST API, `SecretBundle` and related types).

use serde::Serialize;

use super::located::Located;
use super::secrets::Deleted;
use crate::base::clock::UnixSeconds;
use crate::service::world::record::{SecretVersion, Tags};
use crate::service::world::vault::{RETENTION_DAYS, VaultSettings};

/// A secret, one of its versions, or a deleted secret. Absent fields are left out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bundle<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_date: Option<UnixSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scheduled_purge_date: Option<UnixSeconds>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    id: String,
    attributes: Attributes,
    #[serde(skip_serializing_if = "Tags::is_empty")]
    tags: &'a Tags,
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

/// Kind of id that a secret is shown with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The id of the secret, which may get new versions.
    Secret,
    /// The id of the version.
    Version,
}

impl<'a> Bundle<'a> {
    /// Creates a bundle without the value.
    pub(super) fn of(version: &'a SecretVersion, located: &Located, shown: Shown) -> Self {
        let (name, base_url) = (&version.name, &located.base_url);
        let settings = &located.vault.settings;
        let id = match shown {
            Shown::Secret => format!("{base_url}/secrets/{name}"),
            Shown::Version => format!("{base_url}/secrets/{name}/{}", version.version),
        };
        Self {
            value: None,
            recovery_id: None,
            deleted_date: None,
            scheduled_purge_date: None,
            content_type: version.content_type.as_deref(),
            id,
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
        }
    }

    /// Creates a bundle with the value, for callers that set it or may read it.
    pub(super) fn with_value(version: &'a SecretVersion, located: &Located) -> Self {
        // The value arrived as a string, so it is UTF-8.
        let value = std::str::from_utf8(version.value.0.expose()).ok();
        Self { value, ..Self::of(version, located, Shown::Version) }
    }

    /// Creates the bundle of a deleted secret.
    pub(super) fn of_deleted(deleted: &'a Deleted, located: &Located, shown: Shown) -> Self {
        let (record, base_url) = (&deleted.record, &located.base_url);
        Self {
            recovery_id: Some(format!("{base_url}/deletedsecrets/{}", record.name)),
            deleted_date: Some(record.deleted),
            scheduled_purge_date: Some(record.scheduled_purge),
            ..Self::of(&deleted.last, located, shown)
        }
    }
}

/// Returns the recovery level of deleted secrets (`DeletionRecoveryLevel`).
fn recovery_level(settings: &VaultSettings) -> &'static str {
    let is_customized = settings.retention_days != *RETENTION_DAYS.end();
    match (is_customized, settings.purge_protection) {
        (false, false) => "Recoverable+Purgeable",
        (false, true) => "Recoverable",
        (true, false) => "CustomizedRecoverable+Purgeable",
        (true, true) => "CustomizedRecoverable",
    }
}
