//! The bodies of answers (Key Vault REST API, `SecretBundle` and its kin).

use serde::Serialize;

use super::secrets::{Deleted, RECOVERABLE_DAYS};
use crate::clock::UnixSeconds;
use crate::world::record::{SecretVersion, Tags};

/// A secret, one of its versions, or a deleted secret. What is not there is left out.
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

/// Which id a secret is shown with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Its own, for it may get new versions.
    Secret,
    /// That of the version.
    Version,
}

impl<'a> Bundle<'a> {
    /// Without the value.
    pub(super) fn of(version: &'a SecretVersion, base_url: &str, shown: Shown) -> Self {
        let name = &version.name;
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
                recovery_level: "Recoverable+Purgeable",
                recoverable_days: RECOVERABLE_DAYS,
            },
            tags: &version.tags,
        }
    }

    /// With the value: for who sets it and for who may read it.
    pub(super) fn with_value(version: &'a SecretVersion, base_url: &str) -> Self {
        // It came as a string.
        let value = std::str::from_utf8(version.value.0.expose()).ok();
        Self { value, ..Self::of(version, base_url, Shown::Version) }
    }

    /// A deleted secret.
    pub(super) fn of_deleted(deleted: &'a Deleted, base_url: &str, shown: Shown) -> Self {
        let record = &deleted.record;
        Self {
            recovery_id: Some(format!("{base_url}/deletedsecrets/{}", record.name)),
            deleted_date: Some(record.deleted),
            scheduled_purge_date: Some(record.scheduled_purge),
            ..Self::of(&deleted.last, base_url, shown)
        }
    }
}

/// The text of a body.
pub(super) fn json(body: &impl Serialize) -> String {
    // Strings, numbers and maps with string keys always serialise.
    serde_json::to_string(body).unwrap_or_default()
}
