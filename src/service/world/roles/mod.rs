//! Azure RBAC as pure rules: roles, scopes and the permission check.
//!
//! This module owns scopes, the built-in roles and the check whether a set of role assignments permits an
//! action. It does not know who holds an assignment, how it is stored or how long it takes to take effect. It
//! holds no state, so every answer depends only on the grants that were passed in.
//!
//! Assignments are inherited downwards and add up. A role's `notActions` limit that role alone: another role
//! may still grant an operation that this role excludes (Azure RBAC overview, "How Azure RBAC determines if a
//! user has access to a resource"). Deny assignments and conditions do not exist here.

mod built_in;
mod definition;
mod pattern;
mod scope;

use built_in::BUILT_INS;
pub use definition::{
    Permissions, RoleDefinition, RoleDefinitionResource, built_ins, by_id, by_name,
    id_in_resource_id,
};
pub use scope::{Hierarchy, NoManagementGroups, ParseScopeError, Scope};

use crate::base::ids::RoleDefinitionId;

/// An operation to be checked, such as `Microsoft.KeyVault/vaults/secrets/getSecret/action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Operation on a resource through Azure Resource Manager: `actions` decide.
    ControlPlane(&'a str),
    /// Operation on the data within a resource, through its own endpoint: `dataActions` decide.
    DataPlane(&'a str),
}

impl<'a> Action<'a> {
    /// Returns the name of the operation in its given spelling.
    pub const fn name(self) -> &'a str {
        match self {
            Self::ControlPlane(name) | Self::DataPlane(name) => name,
        }
    }
}

/// A role held at a scope: the parts of a role assignment that the rules read.
pub trait Grant {
    /// Returns the role. An unknown role grants nothing.
    fn role(&self) -> RoleDefinitionId;

    /// Returns the scope of the role, which includes everything below.
    fn scope(&self) -> &Scope;
}

/// Returns the first of `grants` that permits `action` at `scope`, if any.
///
/// The caller guarantees that all grants belong to one principal.
pub fn permits<'g, G: Grant>(
    grants: impl IntoIterator<Item = &'g G>,
    action: Action<'_>,
    scope: &Scope,
    hierarchy: &impl Hierarchy,
) -> Option<&'g G> {
    let permitting = |grant: &&G| {
        let allows = |role: &RoleDefinition| role.permissions.allow(action);
        by_id(grant.role()).is_some_and(allows) && grant.scope().contains(scope, hierarchy)
    };
    grants.into_iter().find(permitting)
}

#[cfg(test)]
mod tests;
