//! The permission check.

use super::action::Action;
use super::built_in::by_id;
use super::definition::RoleDefinition;
use super::scope::{Hierarchy, Scope};
use crate::base::ids::RoleDefinitionId;

/// A role held at a scope: the parts of a role assignment that the rules read.
pub(crate) trait Grant {
    /// Returns the role. An unknown role grants nothing.
    fn role(&self) -> RoleDefinitionId;

    /// Returns the scope of the role, which includes everything below.
    fn scope(&self) -> &Scope;
}

/// Returns the first of `grants` that permits `action` at `scope`, if any.
///
/// The caller guarantees that all grants belong to one principal.
pub(crate) fn permits<'g, G: Grant>(
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
