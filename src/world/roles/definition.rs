//! Role definitions: what a role allows, and its shape on the wire.

use serde::{Serialize, Serializer};

use super::{Action, BUILT_INS, Scope, pattern};
use crate::ids::{RoleDefinitionId, SubscriptionId};

/// The type of the ARM resource that a role definition is.
const RESOURCE_TYPE: &str = "Microsoft.Authorization/roleDefinitions";

/// What a role allows: per plane, what `actions` match and `not_actions` do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// Control-plane operations that the role grants, with wildcards.
    pub actions: &'static [&'static str],
    /// Control-plane operations taken back from `actions`, of this role only.
    pub not_actions: &'static [&'static str],
    /// Data-plane operations that the role grants, with wildcards.
    pub data_actions: &'static [&'static str],
    /// Data-plane operations taken back from `data_actions`, of this role only.
    pub not_data_actions: &'static [&'static str],
}

impl Permissions {
    /// Whether `action` is granted and not taken back.
    ///
    /// The planes are apart: `*` in `actions` reads no secret (Azure RBAC, "Understand role
    /// definitions", control and data actions).
    pub fn allow(&self, action: Action<'_>) -> bool {
        let (granted, taken_back) = match action {
            Action::ControlPlane(_) => (self.actions, self.not_actions),
            Action::DataPlane(_) => (self.data_actions, self.not_data_actions),
        };
        let any =
            |patterns: &[&str]| patterns.iter().any(|one| pattern::matches(one, action.name()));
        any(granted) && !any(taken_back)
    }
}

/// A role that can be assigned. Only built-in ones exist here; they are the same in every tenant.
///
/// Serialises to its ARM resource as seen from the tenant root; [`RoleDefinition::resource`] gives
/// the one that a subscription sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Its id, the `name` of its resource.
    pub id: RoleDefinitionId,
    /// The name that people know it by, such as `Key Vault Reader`.
    pub role_name: &'static str,
    /// What it is for, in Azure's words.
    pub description: &'static str,
    /// What it allows.
    pub permissions: Permissions,
    /// Where it may be assigned; `/`, anywhere, for a built-in role.
    pub assignable_scopes: &'static [&'static str],
}

impl RoleDefinition {
    /// Its resource id, below `subscription` or else below the tenant root.
    pub fn resource_id(&self, subscription: Option<SubscriptionId>) -> String {
        match subscription {
            Some(subscription) => {
                format!("/subscriptions/{subscription}/providers/{RESOURCE_TYPE}/{}", self.id)
            }
            None => format!("/providers/{RESOURCE_TYPE}/{}", self.id),
        }
    }

    /// The ARM resource as seen from `subscription`, or else from the tenant root
    /// (Microsoft.Authorization 2022-04-01, `RoleDefinition`).
    pub fn resource(&self, subscription: Option<SubscriptionId>) -> RoleDefinitionResource<'_> {
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

/// The ARM resource of a role definition; made by [`RoleDefinition::resource`].
#[derive(Clone, Debug, Serialize)]
pub struct RoleDefinitionResource<'a> {
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

/// Every built-in role that is known here; Azure has some hundreds more.
pub fn built_ins() -> &'static [RoleDefinition] {
    BUILT_INS
}

/// The built-in role of this id.
pub fn by_id(id: RoleDefinitionId) -> Option<&'static RoleDefinition> {
    BUILT_INS.iter().find(|role| role.id == id)
}

/// The built-in role of this name, in any letter case.
pub fn by_name(role_name: &str) -> Option<&'static RoleDefinition> {
    BUILT_INS.iter().find(|role| role.role_name.eq_ignore_ascii_case(role_name))
}

/// The id in the resource id of a role definition, as role assignments carry it: below any scope
/// or none, in any letter case. Whether there is such a role is not asked.
pub fn id_in_resource_id(text: &str) -> Option<RoleDefinitionId> {
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
