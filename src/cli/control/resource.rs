//! Resources of the management API: their paths and their short names.

use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::args::Traits;
use super::client::{ControlError, Session, text};
use super::render;
use crate::base::ids::ArmId;

/// A type of resource.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Provider and type, such as `Microsoft.Compute/virtualMachines`.
    provider: &'static str,
    api_version: &'static str,
    /// Name in messages.
    noun: &'static str,
    /// Command for this type.
    command: &'static str,
}

pub(super) static IDENTITY: Kind = Kind {
    provider: "Microsoft.ManagedIdentity/userAssignedIdentities",
    api_version: "2023-01-31",
    noun: "identity",
    command: "identity",
};

pub(super) static VM: Kind = Kind {
    provider: "Microsoft.Compute/virtualMachines",
    api_version: "2024-07-01",
    noun: "virtual machine",
    command: "vm",
};

pub(super) static VAULT: Kind = Kind {
    provider: "Microsoft.KeyVault/vaults",
    api_version: "2023-07-01",
    noun: "vault",
    command: "vault",
};

/// API version of resource groups.
pub(super) const GROUP_API: &str = "2021-04-01";

/// The characters of RFC 3986 section 2.3 and parentheses, which are not escaped in a path segment.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'(').remove(b')');

/// Escapes `name` as one segment of a path, or as a value in a query.
pub(super) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

impl Kind {
    /// Returns the path of a resource with the API version.
    pub(super) fn target(&self, id: &str) -> String {
        format!("{id}?api-version={}", self.api_version)
    }

    fn not_found(&self, name: &str) -> ControlError {
        let command = self.command;
        let remedy = format!(
            "see what there is with `mintbench {command} list`, or make it with `mintbench {command} create`"
        );
        ControlError::NotFound { noun: self.noun, name: name.to_owned(), place: "", remedy }
    }

    /// Returns true if `id` is of this kind.
    fn owns(&self, id: &ArmId) -> bool {
        let (namespace, kind) = self.provider.split_once('/').unwrap_or_default();
        id.segment("providers").is_some_and(|own| own.eq_ignore_ascii_case(namespace))
            && id.as_str().split('/').rev().nth(1).is_some_and(|own| own.eq_ignore_ascii_case(kind))
    }

    fn own_id(&self, text: &str) -> Result<ArmId, ControlError> {
        let id: ArmId = text.parse().map_err(|error: crate::base::ids::ParseIdError| {
            ControlError::Usage(error.to_string())
        })?;
        let wrong = || {
            format!("`{id}` is not the id of a {}; those have {} in them", self.noun, self.provider)
        };
        if self.owns(&id) { Ok(id) } else { Err(ControlError::Usage(wrong())) }
    }
}

impl Session {
    /// Returns the path of a resource group.
    pub(super) fn group_path(&self, group: &str) -> Result<String, ControlError> {
        Ok(format!("/subscriptions/{}/resourceGroups/{}", self.subscription()?, segment(group)))
    }

    fn path(&self, kind: &Kind, group: &str, name: &str) -> Result<String, ControlError> {
        let group = self.group_path(group)?;
        Ok(format!("{group}/providers/{}/{}", kind.provider, segment(name)))
    }

    /// Returns the resources of `kind`, of one group or of all.
    pub(super) fn all(&self, kind: &Kind, group: Option<&str>) -> Result<Vec<Value>, ControlError> {
        let parent = match group {
            Some(group) => self.group_path(group)?,
            None => format!("/subscriptions/{}", self.subscription()?),
        };
        self.list(&kind.target(&format!("{parent}/providers/{}", kind.provider)))
    }

    /// Returns the only resource of `kind` with this name or id.
    pub(super) fn find(
        &self,
        kind: &Kind,
        name: &str,
        group: Option<&str>,
    ) -> Result<Value, ControlError> {
        if name.starts_with('/') {
            let id = kind.own_id(name)?;
            return self.get(&kind.target(id.as_str()));
        }
        if let Some(group) = group {
            return self.get(&kind.target(&self.path(kind, group, name)?));
        }
        let mut found = self.all(kind, None)?;
        found.retain(|one| text(one, "/name").eq_ignore_ascii_case(name));
        the_one(name, found).unwrap_or_else(|| Err(kind.not_found(name)))
    }

    /// Returns the id of the only resource of `kind` with this name. An id is returned unchanged.
    pub(super) fn id_of(
        &self,
        kind: &Kind,
        name: &str,
        group: Option<&str>,
    ) -> Result<String, ControlError> {
        if name.starts_with('/') {
            return Ok(kind.own_id(name)?.to_string());
        }
        self.find(kind, name, group).map(|found| text(&found, "/id").to_owned())
    }

    /// Creates or changes a resource in `group`. `body` contains the properties of its kind beside region and
    /// tags.
    pub(super) fn put(
        &self,
        kind: &Kind,
        name: &str,
        group: Option<&str>,
        traits: &Traits,
        body: Map<String, Value>,
    ) -> Result<Value, ControlError> {
        let group = group.ok_or(ControlError::NoGroup { noun: kind.noun })?;
        let location = match &traits.location {
            Some(location) => location.clone(),
            None => self.location(group)?,
        };
        let mut whole = Map::from_iter([("location".to_owned(), location.into())]);
        whole.insert("tags".to_owned(), tags(&traits.tag));
        whole.extend(body);
        let target = kind.target(&self.path(kind, group, name)?);
        Ok(self.arm(&Method::PUT, &target, Some(&Value::Object(whole)))?.body)
    }

    /// Returns an error if the resource exists already, because replacing it would also remove the properties
    /// that the request omits, such as identities.
    pub(super) fn must_be_new(
        &self,
        kind: &Kind,
        name: &str,
        group: Option<&str>,
    ) -> Result<(), ControlError> {
        let Some(group) = group else { return Err(ControlError::NoGroup { noun: kind.noun }) };
        match self.get(&kind.target(&self.path(kind, group, name)?)) {
            Ok(_) => Err(ControlError::Exists { noun: kind.noun, name: name.to_owned() }),
            Err(ControlError::Refused { refusal, .. }) if refusal.code == "ResourceNotFound" => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn location(&self, group: &str) -> Result<String, ControlError> {
        let path = self.group_path(group)?;
        let group = self.get(&format!("{path}?api-version={GROUP_API}"))?;
        Ok(text(&group, "/location").to_owned())
    }

    /// Changes the resource with this id.
    pub(super) fn patch(&self, kind: &Kind, id: &str, body: &Value) -> Result<Value, ControlError> {
        self.arm(&Method::PATCH, &kind.target(id), Some(body))?;
        // The answer to a change may show the state before the change took effect.
        self.get(&kind.target(id))
    }

    /// Removes the only resource of `kind` with this name.
    pub(super) fn remove(
        &self,
        kind: &Kind,
        name: &str,
        group: Option<&str>,
    ) -> Result<render::Output, ControlError> {
        let id = self.id_of(kind, name, group)?;
        self.arm(&Method::DELETE, &kind.target(&id), None)?;
        Ok(removed(kind.noun, &id))
    }
}

/// Returns the only item of `found`, `None` if it is empty, or an error with the ids of all.
pub(super) fn the_one(name: &str, mut found: Vec<Value>) -> Option<Result<Value, ControlError>> {
    if found.len() > 1 {
        let ids = found.iter().map(|one| text(one, "/id").to_owned()).collect();
        return Some(Err(ControlError::Ambiguous { name: name.to_owned(), ids }));
    }
    found.pop().map(Ok)
}

/// Returns the output after a removal.
pub(super) fn removed(noun: &str, id: &str) -> render::Output {
    render::Output::sentence(json!({ "removed": id }), format!("removed the {noun} {id}"))
}

/// Returns the output after a purge.
pub(super) fn purged(noun: &str, id: &str) -> render::Output {
    render::Output::sentence(json!({ "removed": id }), format!("purged the {noun} {id}"))
}

/// Returns the resource group of an id, empty when there is none.
pub(super) fn group_in(id: &str) -> String {
    id.parse::<ArmId>()
        .ok()
        .and_then(|id| id.resource_group().map(str::to_owned))
        .unwrap_or_default()
}

/// Returns the name at the end of an id.
pub(super) fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}

/// Returns tags in the format of the management API.
pub(super) fn tags(tags: &[(String, String)]) -> Value {
    tags.iter()
        .map(|(key, value)| (key.clone(), Value::from(value.clone())))
        .collect::<Map<_, _>>()
        .into()
}

/// Formats tags for people.
pub(super) fn shown_tags(value: &Value) -> String {
    let tags = value.get("tags").and_then(Value::as_object).into_iter().flatten();
    let pairs = tags.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    pairs.collect::<Vec<_>>().join(" ")
}
