//! What a write makes of a virtual machine: its identities, its address, and what else was said of it.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::call::Call;
use super::content::{Content, merge as merge_into, strip};
use super::error::{ArmError, Linked};
use super::route::Kind;
use super::tracked;
use super::vm_identity::{Identities, IdentityRequest};
use crate::directory::{Fresh, State};
use crate::ids::ArmId;
use crate::world::record::{Assignment, Tags, VirtualMachine};

/// The tag that says where the requests of a machine come from, for Azure has no property for it.
pub(super) const ADDRESS_TAG: &str = "mintbench-address";

const ASSIGN: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";

/// What has a record of its own, or is the service's to say.
const OWN: [&str; 10] = [
    "id",
    "name",
    "type",
    "location",
    "tags",
    "identity",
    "properties",
    "etag",
    "resources",
    "systemData",
];

/// The machine after a `PUT`.
pub(super) fn replace(
    call: &Call<'_>,
    state: &State,
    fresh: &mut Fresh<'_>,
    vm: VirtualMachine,
    content: &Content,
) -> Result<VirtualMachine, ArmError> {
    let location = tracked::location(content, Kind::VirtualMachine, &vm.id, Some(&vm.location))?;
    let mut rest = content.except(&OWN);
    rest.insert("properties".to_owned(), Value::Object(writable(content)?));
    let tags = content.tags()?.unwrap_or_default();
    let vm = VirtualMachine { location, properties: rest, ..readdressed(state, vm, tags)? };
    let (wanted, request) = match content.object("identity")? {
        Some(identity) => {
            let request = IdentityRequest::parse(identity)?;
            (request.replace()?, Some(request))
        }
        None => (Identities::NONE, None),
    };
    identified(call, state, fresh, vm, (&wanted, request.as_ref()))
}

/// The machine after a `PATCH`.
pub(super) fn merge(
    call: &Call<'_>,
    state: &State,
    fresh: &mut Fresh<'_>,
    mut vm: VirtualMachine,
    content: &Content,
) -> Result<VirtualMachine, ArmError> {
    tracked::location(content, Kind::VirtualMachine, &vm.id, Some(&vm.location))?;
    let mut rest = content.except(&OWN);
    rest.insert("properties".to_owned(), Value::Object(writable(content)?));
    merge_into(&mut vm.properties, rest);
    if let Some(tags) = content.tags()? {
        vm = readdressed(state, vm, tags)?;
    }
    let Some(identity) = content.object("identity")? else { return Ok(vm) };
    let request = IdentityRequest::parse(identity)?;
    let current = Identities {
        system_assigned: vm.system_assigned.is_some(),
        user_assigned: vm.user_assigned.iter().map(|held| held.id.clone()).collect(),
    };
    let wanted = request.merge(&current)?;
    identified(call, state, fresh, vm, (&wanted, Some(&request)))
}

/// The properties that a client may set: without those that the service says itself, and without secrets,
/// which Azure takes and never gives back.
fn writable(content: &Content) -> Result<Map<String, Value>, ArmError> {
    let mut properties = content.properties()?;
    for name in ["vmId", "provisioningState", "instanceView", "timeCreated", "userData"] {
        strip(&mut properties, name);
    }
    let profiles = properties.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("osProfile"));
    for profile in profiles.filter_map(|(_, value)| value.as_object_mut()) {
        for name in ["adminPassword", "customData"] {
            strip(profile, name);
        }
    }
    Ok(properties)
}

/// The value of the tag that holds an address; names of tags ignore case.
pub(super) fn address_tag(tags: &Tags) -> Option<&str> {
    let found = tags.iter().find(|(name, _)| name.eq_ignore_ascii_case(ADDRESS_TAG));
    found.map(|(_, value)| value.as_str())
}

/// The machine with these tags, and the address that they name.
fn readdressed(state: &State, vm: VirtualMachine, tags: Tags) -> Result<VirtualMachine, ArmError> {
    let Some(text) = address_tag(&tags) else {
        return Ok(VirtualMachine { address: None, tags, ..vm });
    };
    let malformed = || ArmError::InvalidParameter {
        message: format!("The value '{text}' of the tag '{ADDRESS_TAG}' is not an IP address."),
        target: format!("tags.{ADDRESS_TAG}"),
    };
    let address: IpAddr = text.trim().parse().map_err(|_| malformed())?;
    let address = address.to_canonical();
    if address.is_unspecified() || address.is_multicast() {
        return Err(malformed());
    }
    if state.address_taken(address, &vm.id) {
        return Err(ArmError::Conflict(format!(
            "The address '{address}' of the tag '{ADDRESS_TAG}' belongs to another virtual machine."
        )));
    }
    Ok(VirtualMachine { address: Some(address), tags, ..vm })
}

/// The machine with these identities. What it has already stays as it is; what the request names must be
/// there and be the caller's to assign.
fn identified(
    call: &Call<'_>,
    state: &State,
    fresh: &mut Fresh<'_>,
    vm: VirtualMachine,
    (wanted, request): (&Identities, Option<&IdentityRequest>),
) -> Result<VirtualMachine, ArmError> {
    let named = request.map(IdentityRequest::assigned).unwrap_or_default();
    for id in named {
        require_assignable(call, state, &vm.id, id)?;
    }
    let bound = wanted.user_assigned.iter().map(|id| {
        let held = vm.user_assigned.iter().find(|held| held.id == *id);
        match held.filter(|_| !named.contains(id)) {
            Some(held) => Ok(held.clone()),
            None => binding(state, &vm.id, id),
        }
    });
    let user_assigned = bound.collect::<Result<_, _>>()?;
    let system_assigned =
        wanted.system_assigned.then(|| vm.system_assigned.unwrap_or_else(|| fresh.identity_ids()));
    Ok(VirtualMachine { system_assigned, user_assigned, ..vm })
}

/// That the caller may assign an identity: it is of the same tenant, and the caller has the right to.
fn require_assignable(
    call: &Call<'_>,
    state: &State,
    vm: &ArmId,
    id: &ArmId,
) -> Result<(), ArmError> {
    let (own, other) = (state.tenant_of(vm), state.tenant_of(id));
    let own = own.map(|tenant| tenant.id);
    let action = "Microsoft.Compute/virtualMachines/write";
    if other.map(|tenant| tenant.id) != own {
        return Err(ArmError::LinkedTenant {
            action,
            scope: vm.to_string(),
            tenant: own.map(|tenant| tenant.to_string()).unwrap_or_default(),
            subscription: id.subscription().to_string(),
        });
    }
    if call.may(state, ASSIGN, id.as_str()) {
        return Ok(());
    }
    let (client, object) = call.actor.names();
    Err(ArmError::LinkedAuthorizationFailed(Box::new(Linked {
        client,
        object,
        action,
        scope: vm.to_string(),
        action_there: ASSIGN,
        scope_there: id.to_string(),
    })))
}

/// The assignment of an identity as it is now.
fn binding(state: &State, vm: &ArmId, id: &ArmId) -> Result<Assignment, ArmError> {
    let missing =
        || ArmError::FailedIdentityOperation { vm: vm.name().to_owned(), identity: id.to_string() };
    let record = &state.user_assigned(id).ok_or_else(missing)?.record;
    Ok(Assignment { id: record.id.clone(), principal_id: record.ids.principal_id })
}
