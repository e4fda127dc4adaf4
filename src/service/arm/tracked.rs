//! Rules that all resources in resource groups share.

use std::sync::Arc;

use super::error::ArmError;
use super::request::call::Call;
use super::request::content::Content;
use super::request::route::Kind;
use crate::base::ids::ArmId;
use crate::service::directory::State;
use crate::service::world::record::{Change, Key, ResourceGroup};

/// An operation on a resource, as the last part of the name of an action.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verb {
    Read,
    Write,
    Delete,
}

impl Verb {
    /// Returns the name of the action on a resource type.
    pub(super) fn on(self, kind: Kind) -> String {
        let verb = match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
        };
        format!("{}/{verb}", kind.resource_type().full_name())
    }
}

/// Checks that the caller may do `verb` to the resource and that its resource group exists.
pub(super) fn admit(
    call: &Call,
    state: &State,
    verb: Verb,
    kind: Kind,
    id: &ArmId,
) -> Result<Arc<ResourceGroup>, ArmError> {
    call.require(state, &verb.on(kind), id.as_str())?;
    group_of(state, id)
}

/// Returns the resource group that `id` is or lies in.
pub(super) fn group_of(state: &State, id: &ArmId) -> Result<Arc<ResourceGroup>, ArmError> {
    let name = id.resource_group().unwrap_or_default();
    let missing = || ArmError::ResourceGroupNotFound(name.to_owned());
    let group = format!("/subscriptions/{}/resourceGroups/{name}", id.subscription());
    let group = group.parse::<ArmId>().map_err(|_| missing())?;
    state.group(&group).cloned().ok_or_else(missing)
}

/// Returns the id of a new resource, with the resource group in its original spelling.
pub(super) fn new_id(group: &ResourceGroup, kind: Kind, id: &ArmId) -> Result<ArmId, ArmError> {
    let full_name = kind.resource_type().full_name();
    let text = format!("{}/providers/{full_name}/{}", group.id, id.name());
    text.parse().map_err(|_| ArmError::NoSuchPath)
}

/// Returns the error for a resource that does not exist.
pub(super) fn not_found(kind: Kind, id: &ArmId) -> ArmError {
    ArmError::ResourceNotFound {
        resource: format!("{}/{}", kind.resource_type().full_name(), id.name()),
        group: id.resource_group().unwrap_or_default().to_owned(),
    }
}

/// Returns the location of the resource. A new resource must have one, and it cannot change.
pub(super) fn location(
    content: &Content,
    kind: Kind,
    id: &ArmId,
    existing: Option<&str>,
) -> Result<String, ArmError> {
    let given = content.location(kind.resource_type())?;
    match (given, existing) {
        (Some(given), Some(existing)) if !given.eq_ignore_ascii_case(&short(existing)) => {
            Err(ArmError::ResourceLocation {
                name: id.name().to_owned(),
                existing: existing.to_owned(),
                group: id.resource_group().unwrap_or_default().to_owned(),
                location: given,
            })
        }
        (_, Some(existing)) => Ok(existing.to_owned()),
        (Some(given), None) => Ok(given),
        (None, None) => Err(ArmError::LocationRequired),
    }
}

fn short(location: &str) -> String {
    location.split(' ').collect()
}

/// Checks a name: its length, and its characters.
pub(super) fn require_name(
    kind: Kind,
    name: &str,
    lengths: std::ops::RangeInclusive<usize>,
    fits: impl Fn(&str) -> bool,
) -> Result<(), ArmError> {
    if lengths.contains(&name.len()) && fits(name) {
        return Ok(());
    }
    let (code, kind) = match kind {
        Kind::Vault => ("VaultNameNotValid", "vault"),
        Kind::UserAssigned => ("InvalidResourceName", "user assigned identity"),
        Kind::VirtualMachine => ("InvalidParameter", "virtual machine"),
    };
    let (least, most) = (lengths.start(), lengths.end());
    let message = format!(
        "The {kind} name '{name}' is invalid. A name is {least} to {most} letters, digits and the other characters that its kind allows, and begins with a letter or digit."
    );
    Err(ArmError::InvalidName { code, message })
}

/// Returns the changes that remove a resource and its role assignments. A new resource of the same name does
/// not inherit them.
pub(super) fn removal(call: &Call, state: &State, kind: Kind, id: &ArmId) -> Vec<Change> {
    let mut changes = role_assignments_within(state, id);
    changes.extend(removal_of_one(call, state, kind, id));
    changes
}

/// Returns the changes that remove the resource itself. A vault can be recovered.
pub(super) fn removal_of_one(call: &Call, state: &State, kind: Kind, id: &ArmId) -> Vec<Change> {
    match kind {
        Kind::UserAssigned => vec![Change::Remove(Key::UserAssigned(id.clone()))],
        Kind::VirtualMachine => vec![Change::Remove(Key::VirtualMachine(id.clone()))],
        Kind::Vault => state.vault_deletion(id, call.now),
    }
}

/// Returns the changes that remove the role assignments at `id` and below it.
pub(super) fn role_assignments_within(state: &State, id: &ArmId) -> Vec<Change> {
    let held = state.role_assignments();
    let ended = held.filter(|assignment| is_within(assignment.scope.as_str(), id.as_str()));
    ended.map(|assignment| Change::Remove(Key::RoleAssignment(assignment.name))).collect()
}

/// Returns true if the path `scope` is `id` or lies below it. Both are well-formed already and are not
/// parsed: all role assignments are compared while other writes wait.
fn is_within(scope: &str, id: &str) -> bool {
    let (scope, id) = (scope.as_bytes(), id.as_bytes());
    scope.split_at_checked(id.len()).is_some_and(|(start, rest)| {
        rest.first().is_none_or(|next| *next == b'/') && start.eq_ignore_ascii_case(id)
    })
}

#[cfg(test)]
mod tests {
    use super::is_within;

    #[test]
    fn what_lies_within_a_resource_is_told_by_whole_segments_in_any_case() {
        let id = "/subscriptions/b1/resourceGroups/rg";
        for scope in [id, "/SUBSCRIPTIONS/B1/resourcegroups/RG", &format!("{id}/providers/x/y/z")] {
            assert!(is_within(scope, id), "{scope}");
        }
        for scope in ["/", "/subscriptions/b1", &format!("{id}2"), &format!("{id}-2/providers/x")] {
            assert!(!is_within(scope, id), "{scope}");
        }
    }
}
