//! Azure RBAC: who may do what where, as pure rules.
//!
//! Owns scopes, the built-in roles and the question whether a set of role assignments permits an
//! action. Knows nothing of who holds an assignment, how it is stored or how long it takes to
//! spread; holds no state, so every answer is true of exactly the grants that were passed in.
//!
//! Assignments are inherited downwards and add up. A role's `notActions` narrow that role alone:
//! what it leaves out, another role may still grant (Azure RBAC overview, "How Azure RBAC
//! determines if a user has access to a resource"). Deny assignments and conditions do not exist
//! here.

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

use crate::ids::RoleDefinitionId;

/// An operation that somebody wants to perform, such as
/// `Microsoft.KeyVault/vaults/secrets/getSecret/action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// On a resource through Azure Resource Manager: `actions` decide.
    ControlPlane(&'a str),
    /// On the data within a resource, through its own endpoint: `dataActions` decide.
    DataPlane(&'a str),
}

impl<'a> Action<'a> {
    /// The name of the operation, in the spelling it was given.
    pub const fn name(self) -> &'a str {
        match self {
            Self::ControlPlane(name) | Self::DataPlane(name) => name,
        }
    }
}

/// A role held at a scope: what of a role assignment the rules read.
pub trait Grant {
    /// The role; an unknown one grants nothing.
    fn role(&self) -> RoleDefinitionId;

    /// Where it holds, and below.
    fn scope(&self) -> &Scope;
}

/// The first of `grants` that permits `action` at `scope`, if any does.
///
/// The caller guarantees that the grants are all of one principal.
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
