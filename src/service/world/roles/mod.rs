//! Azure RBAC as pure rules: roles, scopes and the permission check.
//!
//! This module owns scopes, the built-in roles and the check whether a set of role assignments permits an
//! action. It does not know who holds an assignment, how it is stored or how long it takes to take effect. It
//! holds no state, so every answer depends only on the grants that were passed in.
//!
//! Assignments are inherited downwards and add up. A role's `notActions` limit that role alone: another role
//! may still grant an operation that this role excludes (Azure RBAC overview, "How Azure RBAC determines if a
//! user has access to a resource"). Deny assignments and conditions do not exist here.

mod action;
mod built_in;
mod definition;
mod pattern;
mod permission;
mod scope;

pub(crate) use action::Action;
pub(crate) use built_in::{built_ins, by_id, by_name};
pub(crate) use definition::{RoleDefinition, id_in_resource_id};
pub(crate) use permission::{Grant, permits};
pub(crate) use scope::{Hierarchy, ParseScopeError, Scope};

#[cfg(test)]
mod tests;
