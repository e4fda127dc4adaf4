//! Role assignments (Microsoft.Authorization, `roleAssignments`).

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::base::ids::{ArmId, PrincipalId, RoleAssignmentId, RoleDefinitionId, TenantId};
use crate::service::arm::date;
use crate::service::arm::error::ArmError;
use crate::service::arm::list::Page;
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::arm::request::content::{Content, property, unexpected};
use crate::service::arm::request::filter::{Filter, Term};
use crate::service::arm::request::route::Kind;
use crate::service::arm::tracked;
use crate::service::directory::{Principal, State};
use crate::service::world::record::{Change, Key, Record, RoleAssignment};
use crate::service::world::roles;
use crate::service::world::roles::Scope;

const READ: &str = "Microsoft.Authorization/roleAssignments/read";
pub(crate) const WRITE: &str = "Microsoft.Authorization/roleAssignments/write";
const DELETE: &str = "Microsoft.Authorization/roleAssignments/delete";

/// `GET` of an assignment at its own scope.
pub(crate) fn get(
    call: &Call,
    state: &State,
    scope: &Scope,
    name: &str,
) -> Result<Reply, ArmError> {
    call.require(state, READ, scope.as_str())?;
    let found = name.parse().ok().and_then(|name| state.role_assignment(name));
    let found = found.filter(|own| own.scope == *scope && is_of_tenant(call, state, own));
    Ok(Reply::ok(show(found.ok_or_else(|| ArmError::RoleAssignmentNotFound(hex(name)))?)))
}

/// `GET` of the assignments at a scope and above it and, without `atScope()`, below it.
pub(crate) fn list(call: &Call, state: &State, scope: &Scope) -> Result<Reply, ArmError> {
    call.require(state, READ, scope.as_str())?;
    let filter = Filter::parse(call.query.filter(), is_about_assignments)?;
    let page = Page::of(call)?;
    let after = page.after::<RoleAssignmentId>()?;
    let holds = |term: &Term, own: &RoleAssignment| match term {
        Term::AtScope => own.scope.contains(scope, state),
        Term::Principal(id) | Term::AssignedTo(id) => *id == own.principal_id,
        _ => true,
    };
    let is_near = |own: &RoleAssignment| {
        own.scope.contains(scope, state) || scope.contains(&own.scope, state)
    };
    let fits = |own: &&RoleAssignment| {
        after.is_none_or(|after| own.name > after)
            && is_near(own)
            && filter.passes(|term| holds(term, own))
            && is_of_tenant(call, state, own)
    };
    let found = state.role_assignments().filter(fits);
    Ok(page.reply(call, found, |own| own.name.to_string(), |own| show(own)))
}

const fn is_about_assignments(term: &Term) -> bool {
    matches!(term, Term::AtScope | Term::AtScopeAndBelow | Term::Principal(_) | Term::AssignedTo(_))
}

/// Returns true if the caller's tenant may see the assignment. A scope above all subscriptions does not name
/// a tenant, so there the tenant of the principal counts.
fn is_of_tenant(call: &Call, state: &State, own: &RoleAssignment) -> bool {
    let Some(tenant) = call.actor.tenant_id() else { return true };
    let subscription = own.scope.subscription().and_then(|id| state.subscription(id));
    let by_scope = subscription.map(|subscription| subscription.tenant);
    let by_principal = || state.principal(own.principal_id).map(Principal::tenant_id);
    by_scope.or_else(by_principal).is_none_or(|other| other == tenant)
}

/// Parsed content of a `PUT`.
#[derive(Debug)]
pub(crate) struct Wanted {
    role: RoleDefinitionId,
    principal_id: PrincipalId,
    principal_type: Option<String>,
    description: Option<String>,
}

/// `PUT`: creates the assignment. An existing assignment may be sent again, with at most a new description.
pub(crate) fn put(
    call: &Call,
    state: &State,
    (scope, name): (&Scope, &str),
    wanted: Wanted,
) -> Result<(Vec<Change>, Reply), ArmError> {
    call.require(state, WRITE, scope.as_str())?;
    require_scope(state, scope)?;
    let malformed = |_| ArmError::InvalidRoleAssignmentId(name.to_owned());
    let name: RoleAssignmentId = name.parse().map_err(malformed)?;
    let same = |own: &RoleAssignment| {
        own.scope == *scope && own.role == wanted.role && own.principal_id == wanted.principal_id
    };
    if let Some(own) = state.role_assignment(name) {
        if !same(own) {
            return Err(ArmError::RoleAssignmentUpdateNotPermitted);
        }
        if own.description == wanted.description {
            return Ok((Vec::new(), Reply::ok(show(own))));
        }
        let own = RoleAssignment { description: wanted.description, ..own.clone() };
        let reply = Reply::ok(show(&own));
        return Ok((vec![Change::Put(Record::RoleAssignment(own))], reply));
    }
    if let Some(twin) = state.role_assignments_of(wanted.principal_id).find(|own| same(own)) {
        return Err(ArmError::RoleAssignmentExists(hex(&twin.name.to_string())));
    }
    let made = RoleAssignment {
        name,
        scope: scope.clone(),
        role: wanted.role,
        principal_id: wanted.principal_id,
        principal_type: principal_type(call, state, scope, &wanted)?,
        description: wanted.description,
        created: call.now,
        created_by: call.actor.principal_id(),
    };
    let reply = Reply::json(StatusCode::CREATED, show(&made));
    Ok((vec![Change::Put(Record::RoleAssignment(made))], reply))
}

impl Wanted {
    /// Parses the content of a request.
    pub(crate) fn read(content: &Content) -> Result<Self, ArmError> {
        let properties = content.properties();
        let text = |name: &str| {
            let value = property(properties, name).filter(|value| !value.is_null());
            let bad = || unexpected(&format!("properties.{name}"), "a string");
            value.map(|value| value.as_str().map(str::to_owned).ok_or_else(bad)).transpose()
        };
        let missing = |name: &str| unexpected(&format!("properties.{name}"), "there");
        // Ignoring the condition would grant more than was asked for.
        if text("condition")?.is_some_and(|condition| !condition.is_empty()) {
            return Err(ArmError::BadRequest(
                "Conditions on role assignments are not served here.".to_owned(),
            ));
        }
        let role = text("roleDefinitionId")?.ok_or_else(|| missing("roleDefinitionId"))?;
        let principal = text("principalId")?.ok_or_else(|| missing("principalId"))?;
        let malformed = |_| unexpected("properties.principalId", "a GUID");
        Ok(Self {
            role: role_of(&role)?,
            principal_id: principal.parse().map_err(malformed)?,
            principal_type: text("principalType")?,
            description: text("description")?,
        })
    }
}

fn role_of(text: &str) -> Result<RoleDefinitionId, ArmError> {
    let malformed =
        || unexpected("properties.roleDefinitionId", "the resource id of a role definition");
    let id = roles::id_in_resource_id(text).ok_or_else(malformed)?;
    let missing = || ArmError::RoleDefinitionDoesNotExist {
        id: hex(&id.to_string()),
        status: StatusCode::BAD_REQUEST,
    };
    roles::by_id(id).map(|role| role.id).ok_or_else(missing)
}

/// Returns the type of the principal, which should be in the directory of the scope. If it is not, the type
/// in the request counts, as in Azure. Without a type, the request is refused.
fn principal_type(
    call: &Call,
    state: &State,
    scope: &Scope,
    wanted: &Wanted,
) -> Result<String, ArmError> {
    const SERVICE_PRINCIPAL: &str = "ServicePrincipal";
    const TYPES: [&str; 5] = [SERVICE_PRINCIPAL, "User", "Group", "ForeignGroup", "Device"];
    let given = wanted.principal_type.as_deref().map(|given| {
        let known = TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(given));
        known.ok_or_else(|| unexpected("properties.principalType", "a type of principal"))
    });
    let given = given.transpose()?;
    let tenant = tenant_of(call, state, scope);
    let not_found = || ArmError::PrincipalNotFound {
        principal: hex(&wanted.principal_id.to_string()),
        tenant: tenant.map(|tenant| tenant.to_string()).unwrap_or_default(),
    };
    match (state.principal(wanted.principal_id), given) {
        (Some(principal), _) if tenant.is_some_and(|own| own != principal.tenant_id()) => {
            Err(not_found())
        }
        (Some(_), None | Some(SERVICE_PRINCIPAL)) => Ok(SERVICE_PRINCIPAL.to_owned()),
        (Some(_), Some(given)) => Err(ArmError::UnmatchedPrincipalType {
            principal: hex(&wanted.principal_id.to_string()),
            given: given.to_owned(),
        }),
        (None, Some(given)) => Ok(given.to_owned()),
        (None, None) => Err(not_found()),
    }
}

fn tenant_of(call: &Call, state: &State, scope: &Scope) -> Option<TenantId> {
    let subscription = scope.subscription().and_then(|id| state.subscription(id));
    subscription.map(|own| own.tenant).or_else(|| call.actor.tenant_id())
}

/// Checks that the scope exists. Scopes inside a resource are not checked.
fn require_scope(state: &State, scope: &Scope) -> Result<(), ArmError> {
    let (Some(_), Some(_)) = (scope.subscription(), scope.resource_group()) else { return Ok(()) };
    let Ok(id) = scope.as_str().parse::<ArmId>() else { return Ok(()) };
    tracked::group_of(state, &id)?;
    let is_there = match Kind::of(&id) {
        Some(Kind::VirtualMachine) => state.vm(&id).is_some(),
        Some(Kind::UserAssigned) => state.user_assigned(&id).is_some(),
        Some(Kind::Vault) => state.vault(&id).is_some(),
        None => true,
    };
    match Kind::of(&id) {
        Some(kind) if !is_there => Err(tracked::not_found(kind, &id)),
        _ => Ok(()),
    }
}

/// `DELETE` of an assignment at its own scope.
pub(crate) fn delete(
    call: &Call,
    state: &State,
    scope: &Scope,
    name: &str,
) -> Result<(Vec<Change>, Reply), ArmError> {
    call.require(state, DELETE, scope.as_str())?;
    let found = name.parse().ok().and_then(|name| state.role_assignment(name));
    Ok(match found.filter(|own| own.scope == *scope && is_of_tenant(call, state, own)) {
        Some(own) => (vec![Change::Remove(Key::RoleAssignment(own.name))], Reply::ok(show(own))),
        None => (Vec::new(), Reply::empty(StatusCode::NO_CONTENT)),
    })
}

/// Returns a GUID without its hyphens, as in the errors of this provider.
fn hex(guid: &str) -> String {
    guid.replace('-', "").to_ascii_lowercase()
}

fn show(assignment: &RoleAssignment) -> Value {
    const TYPE: &str = "Microsoft.Authorization/roleAssignments";
    let scope = assignment.scope.as_str();
    let role = match assignment.scope.subscription() {
        Some(id) => format!("/subscriptions/{id}"),
        None => String::new(),
    };
    let created = date::iso(assignment.created);
    let author = assignment.created_by.map(|id| id.to_string()).unwrap_or_default();
    json!({
        "properties": {
            "roleDefinitionId": format!(
                "{role}/providers/Microsoft.Authorization/roleDefinitions/{}", assignment.role
            ),
            "principalId": assignment.principal_id.to_string(),
            "principalType": assignment.principal_type,
            "scope": scope,
            "condition": null,
            "conditionVersion": null,
            "createdOn": created,
            "updatedOn": created,
            "createdBy": author,
            "updatedBy": author,
            "delegatedManagedIdentityResourceId": null,
            "description": assignment.description,
        },
        "id": format!("{}/providers/{TYPE}/{}", scope.trim_end_matches('/'), assignment.name),
        "type": TYPE,
        "name": assignment.name.to_string(),
    })
}
