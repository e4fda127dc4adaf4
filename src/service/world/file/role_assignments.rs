//! `[[role_assignments]]`: role assignments that exist from the start.

use serde::Deserialize;
use toml::Spanned;

use super::reader::Reader;
use crate::base::clock::UnixSeconds;
use crate::base::ids::{PrincipalId, RoleAssignmentId, RoleDefinitionId};
use crate::base::synthetic::named_guid;
use crate::service::world::record::{Record, RoleAssignment};
use crate::service::world::roles;
use crate::service::world::roles::Scope;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleAssignmentEntry {
    /// The name of a VM, an identity or an application, or an object id.
    principal: Spanned<String>,
    /// The name of a built-in role, or its id.
    role: Spanned<String>,
    scope: Spanned<String>,
}

impl Reader<'_> {
    /// Registers `name`, so that role assignments can name the principal `id`.
    pub(super) fn principal(&mut self, name: &Spanned<String>, id: Option<PrincipalId>) {
        if self.principals.insert(name.get_ref().clone(), id).is_some() {
            // Only a role assignment that uses the name needs it to be unique.
            self.ambiguous.insert(name.get_ref().clone());
        }
    }

    pub(super) fn role_assignment(&mut self, entry: &RoleAssignmentEntry) {
        let principal_id = self.principal_named(&entry.principal);
        let role = self.role(&entry.role);
        let scope = self.parsed::<Scope>(&entry.scope);
        let (Some(principal_id), Some(role), Some(scope)) = (principal_id, role, scope) else {
            return;
        };
        let name = named_guid(&format!("{principal_id} {role} {}", scope.as_str().to_lowercase()));
        let assignment = RoleAssignment {
            name: RoleAssignmentId::from_bytes(name),
            scope,
            role,
            principal_id,
            principal_type: "ServicePrincipal".to_owned(),
            description: None,
            created: UnixSeconds(0),
            created_by: None,
        };
        self.builder.push(Record::RoleAssignment(assignment));
    }

    fn principal_named(&mut self, name: &Spanned<String>) -> Option<PrincipalId> {
        if let Ok(id) = name.get_ref().parse() {
            return Some(id);
        }
        if self.ambiguous.contains(name.get_ref()) {
            let what = format!(
                "the name `{}` is borne by several principals; write the object id",
                name.get_ref()
            );
            self.problem(&name.span(), what);
            return None;
        }
        let known = self.principals.get(name.get_ref()).copied();
        let missing = || {
            format!(
                "`{}` is no identity, VM with a system-assigned identity, or application; add it, or write an object id",
                name.get_ref()
            )
        };
        self.keep(&name.span(), known.ok_or_else(missing)).flatten()
    }

    fn role(&mut self, name: &Spanned<String>) -> Option<RoleDefinitionId> {
        let id = name.get_ref().parse().ok();
        let known = roles::by_name(name.get_ref()).or_else(|| roles::by_id(id?));
        let unknown = || {
            format!(
                "`{}` is not a built-in role; use a name such as Reader, or a role id",
                name.get_ref()
            )
        };
        self.keep(&name.span(), known.map(|role| role.id).ok_or_else(unknown))
    }
}
