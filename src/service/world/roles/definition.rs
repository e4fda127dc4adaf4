//! Role definitions: the permissions of a role, and its JSON form.

use serde::{Serialize, Serializer};

use super::action::Action;
use super::pattern;
use super::scope::Scope;
use crate::base::ids::{RoleDefinitionId, SubscriptionId};

/// The ARM resource type of a role definition.
const RESOURCE_TYPE: &str = "Microsoft.Authorization/roleDefinitions";

/// Permissions of a role. Per plane, an operation is allowed if it matches `actions` and does not match
/// `not_actions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Permissions {
    /// Control-plane operations that the role grants, with wildcards.
    pub actions: &'static [&'static str],
    /// Control-plane operations excluded from `actions`, of this role only.
    pub not_actions: &'static [&'static str],
    /// Data-plane operations that the role grants, with wildcards.
    pub data_actions: &'static [&'static str],
    /// Data-plane operations excluded from `data_actions`, of this role only.
    pub not_data_actions: &'static [&'static str],
}

impl Permissions {
    /// Returns true if `action` is granted and not excluded.
    ///
    /// The planes are separate: `*` in `actions` does not allow reading a secret (Azure RBAC, "Understand
    /// role definitions", control and data actions).
    pub(crate) fn allow(&self, action: Action<'_>) -> bool {
        let (granted, taken_back) = match action {
            Action::ControlPlane(_) => (self.actions, self.not_actions),
            Action::DataPlane(_) => (self.data_actions, self.not_data_actions),
        };
        let any =
            |patterns: &[&str]| patterns.iter().any(|one| pattern::matches(one, action.name()));
        any(granted) && !any(taken_back)
    }
}

/// A role that can be assigned. Only built-in roles exist here. They are the same in every tenant.
///
/// Serializes to its ARM resource as seen from the tenant root. [`RoleDefinition::resource`] returns the one
/// that a subscription sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoleDefinition {
    /// Its id, the `name` of its resource.
    pub id: RoleDefinitionId,
    /// Display name, such as `Key Vault Reader`.
    pub role_name: &'static str,
    /// Purpose of the role, in Azure's words.
    pub description: &'static str,
    /// Its permissions.
    pub permissions: Permissions,
    /// Scopes where it may be assigned: `/`, anywhere, for a built-in role.
    pub assignable_scopes: &'static [&'static str],
}

impl RoleDefinition {
    /// Returns its resource id, below `subscription` or else below the tenant root.
    pub(crate) fn resource_id(&self, subscription: Option<SubscriptionId>) -> String {
        match subscription {
            Some(subscription) => {
                format!("/subscriptions/{subscription}/providers/{RESOURCE_TYPE}/{}", self.id)
            }
            None => format!("/providers/{RESOURCE_TYPE}/{}", self.id),
        }
    }

    /// Returns the ARM resource as seen from `subscription`, or else from the tenant root
    /// (Microsoft.Authorization 2022-04-01, `RoleDefinition`).
    pub(crate) fn resource(
        &self,
        subscription: Option<SubscriptionId>,
    ) -> RoleDefinitionResource<'_> {
        RoleDefinitionResource {
            properties: Properties {
                role_name: self.role_name,
                kind: "BuiltInRole",
                description: self.description,
                assignable_scopes: self.assignable_scopes,
                permissions: [&self.permissions],
            },
            id: self.resource_id(subscription),
            kind: RESOURCE_TYPE,
            name: self.id.to_string(),
        }
    }
}

impl Serialize for RoleDefinition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.resource(None).serialize(serializer)
    }
}

/// The ARM resource of a role definition, created by [`RoleDefinition::resource`].
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RoleDefinitionResource<'a> {
    properties: Properties<'a>,
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Properties<'a> {
    role_name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    description: &'a str,
    assignable_scopes: &'a [&'a str],
    permissions: [&'a Permissions; 1],
}

/// Returns the id in the resource id of a role definition, as in role assignments: below any scope or none,
/// in any letter case. Does not check that the role exists.
pub(crate) fn id_in_resource_id(text: &str) -> Option<RoleDefinitionId> {
    let (rest, id) = text.rsplit_once('/')?;
    let (at, resource_type) =
        rest.split_at_checked(rest.len().checked_sub(RESOURCE_TYPE.len())?)?;
    let keyword = "/providers/";
    let (scope, providers) = at.split_at_checked(at.len().checked_sub(keyword.len())?)?;
    let is_below = scope.is_empty() || scope.parse::<Scope>().is_ok_and(|scope| !scope.is_root());
    let is_definition = is_below
        && providers.eq_ignore_ascii_case(keyword)
        && resource_type.eq_ignore_ascii_case(RESOURCE_TYPE);
    is_definition.then(|| id.parse().ok()).flatten()
}
