//! The operation of each route: reads, and the planning of writes.

use hyper::Method;

use super::access::{assignments, definitions};
use super::endpoints::{self, ServiceAddresses};
use super::error::ArmError;
use super::operations;
use super::reply::Reply;
use super::request::call::Call;
use super::request::route::{Kind, Route};
use super::resources::{
    deleted_vaults, every, federated_credentials, groups, identities, locations, subscriptions,
    vaults,
};
use super::tracked::Verb;
use super::vm::{interfaces, machines, plan as machine_plan};
use crate::base::ids::ArmId;
use crate::service::directory::{IdSource, State};
use crate::service::world::record::Change;

/// Returns true if the request changes nothing. This includes `register`: every provider is registered
/// already.
pub(super) fn is_read(call: &Call) -> bool {
    matches!(call.method, Method::GET | Method::HEAD)
        || matches!(call.route, Route::Register { .. })
}

/// Changes of a write, and its answer once they are done.
type Planned = Result<(Vec<Change>, Reply), ArmError>;

/// A write whose content is parsed and which still has to be planned on a state.
type Plan<'a> = Box<dyn FnOnce(&State, &mut IdSource<'_>) -> Planned + 'a>;

/// Returns action and scope of a write with content.
pub(super) fn written(call: &Call) -> Option<(String, &str)> {
    match (call.method.as_str(), &call.route) {
        ("PUT" | "PATCH", Route::Group(id)) => Some((groups::WRITE.to_owned(), id.as_str())),
        ("PUT" | "PATCH", Route::Resource { kind, id }) => {
            Some((Verb::Write.on(*kind), id.as_str()))
        }
        ("PUT", Route::RoleAssignment { scope, .. }) => {
            Some((assignments::WRITE.to_owned(), scope.as_str()))
        }
        ("PUT", Route::FederatedCredential { id, .. }) => {
            Some((federated_credentials::WRITE.to_owned(), id.as_str()))
        }
        _ => None,
    }
}

pub(super) fn require_subscription(call: &Call, state: &State) -> Result<(), ArmError> {
    let named = call.route.subscription();
    named.map_or(Ok(()), |id| subscriptions::found(state, id).map(drop))
}

pub(super) fn read(
    call: &Call,
    state: &State,
    service_addresses: &ServiceAddresses,
) -> Result<Reply, ArmError> {
    require_subscription(call, state)?;
    match &call.route {
        Route::Endpoints => endpoints::get(call, service_addresses),
        Route::Tenants => subscriptions::tenants(call, state),
        Route::Subscriptions => subscriptions::list(call, state),
        Route::Subscription(id) => subscriptions::get(call, state, *id),
        Route::Providers { subscription, namespace } => {
            subscriptions::providers(call, state, *subscription, namespace.as_deref())
        }
        Route::Register { subscription, namespace } => {
            subscriptions::providers(call, state, Some(*subscription), Some(namespace))
        }
        Route::Groups(parent) => groups::list(call, state, parent),
        Route::Group(id) => groups::get(call, state, id),
        Route::Resources(parent) => every::list(call, state, parent),
        Route::List { kind: Kind::UserAssigned, parent } => identities::list(call, state, parent),
        Route::List { kind: Kind::VirtualMachine, parent } => machines::list(call, state, parent),
        Route::List { kind: Kind::Vault, parent } => vaults::list(call, state, parent),
        Route::Resource { kind: Kind::UserAssigned, id } => identities::get(call, state, id),
        Route::Resource { kind: Kind::VirtualMachine, id } => machines::get(call, state, id),
        Route::Resource { kind: Kind::Vault, id } => vaults::get(call, state, id),
        Route::Locations(id) => locations::list(call, state, *id),
        Route::InstanceView(id) => machines::instance_view(call, state, id),
        Route::Interfaces(parent) => interfaces::list(call, state, parent),
        Route::Interface(id) => interfaces::get(call, state, id),
        Route::Unpopulated { resource_type, scope } => {
            every::none(call, state, resource_type, scope)
        }
        Route::Absent { resource_type, id } => every::absent(call, state, resource_type, id),
        Route::DeletedVaults(subscription) => deleted_vaults::list(call, state, *subscription),
        Route::DeletedVault(path) => deleted_vaults::get(call, state, path),
        Route::PurgeVault(_) => Err(refused(call)),
        Route::FederatedCredentials(identity) => federated_credentials::list(call, state, identity),
        Route::FederatedCredential { identity, id } => {
            federated_credentials::get(call, state, identity, id)
        }
        Route::SystemAssigned(owner) => identities::system_assigned(call, state, owner),
        Route::RoleAssignments(scope) => assignments::list(call, state, scope),
        Route::RoleAssignment { scope, name } => assignments::get(call, state, scope, name),
        Route::RoleDefinitions(scope) => definitions::list(call, state, scope),
        Route::RoleDefinition { scope, name } => definitions::get(call, state, scope, name),
        Route::Operation { id, .. } => operations::get(call, id),
    }
}

pub(super) fn plan(call: &Call) -> Result<Plan<'_>, ArmError> {
    match (call.method.as_str(), &call.route) {
        ("PUT", Route::Group(id)) => {
            let content = call.content()?;
            Ok(Box::new(move |state, _| groups::put(call, state, id, &content)))
        }
        ("PATCH", Route::Group(id)) => {
            let content = call.content()?;
            Ok(Box::new(move |state, _| groups::patch(call, state, id, &content)))
        }
        ("DELETE", Route::Group(id)) => {
            Ok(Box::new(move |state, _| groups::delete(call, state, id)))
        }
        (_, Route::Resource { kind, id }) => plan_resource(call, *kind, id),
        ("POST", Route::PurgeVault(path)) => {
            Ok(Box::new(move |state, _| deleted_vaults::purge(call, state, path)))
        }
        ("PUT", Route::RoleAssignment { scope, name }) => {
            let wanted = assignments::Wanted::read(&call.content()?)?;
            Ok(Box::new(move |state, _| assignments::put(call, state, (scope, name), wanted)))
        }
        ("PUT", Route::FederatedCredential { identity, id }) => {
            let wanted = federated_credentials::Wanted::read(&call.content()?)?;
            Ok(Box::new(move |state, _| {
                federated_credentials::put(call, state, (identity, id), wanted)
            }))
        }
        ("DELETE", Route::FederatedCredential { identity, id }) => {
            Ok(Box::new(move |state, _| federated_credentials::delete(call, state, identity, id)))
        }
        ("DELETE", Route::RoleAssignment { scope, name }) => {
            Ok(Box::new(move |state, _| assignments::delete(call, state, scope, name)))
        }
        _ => Err(refused(call)),
    }
}

fn plan_resource<'a>(call: &'a Call, kind: Kind, id: &'a ArmId) -> Result<Plan<'a>, ArmError> {
    let is_put = match call.method {
        Method::PUT => true,
        Method::PATCH => false,
        Method::DELETE => {
            return Ok(Box::new(move |state, _| match kind {
                Kind::UserAssigned => identities::delete(call, state, id),
                Kind::VirtualMachine => machines::delete(call, state, id),
                Kind::Vault => vaults::delete(call, state, id),
            }));
        }
        _ => return Err(refused(call)),
    };
    let content = call.content()?;
    if kind == Kind::VirtualMachine {
        let wanted = machine_plan::Wanted::read(content)?;
        let planned = if is_put { machines::put } else { machines::patch };
        return Ok(Box::new(move |state, fresh| planned(call, state, fresh, id, wanted)));
    }
    Ok(Box::new(move |state, fresh| match (kind, is_put) {
        (Kind::UserAssigned, true) => identities::put(call, state, fresh, id, &content),
        (Kind::UserAssigned, false) => identities::patch(call, state, id, &content),
        (_, true) => vaults::put(call, state, id, &content),
        (_, false) => vaults::patch(call, state, id, &content),
    }))
}

fn refused(call: &Call) -> ArmError {
    let (method, allowed) = (call.method.to_string(), call.route.allowed());
    ArmError::MethodNotAllowed { method, allowed }
}
