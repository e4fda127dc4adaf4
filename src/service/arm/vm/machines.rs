//! Virtual machines (Microsoft.Compute, `virtualMachines`): requests and answers.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::identity::IdentityType;
use super::plan::{self, ADDRESS_TAG, THROTTLE_TAG, Wanted};
use super::profile;
use crate::base::ids::ArmId;
use crate::service::arm::error::ArmError;
use crate::service::arm::list::readable;
use crate::service::arm::operations::{self, Place};
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::arm::request::content::property;
use crate::service::arm::request::filter::{Field, Filter, Term};
use crate::service::arm::request::route::Kind;
use crate::service::arm::tracked::{self, Verb, admit, not_found};
use crate::service::arm::version;
use crate::service::directory::{IdSource, State, VmEntry};
use crate::service::world::record::{Change, Record, VirtualMachine};

const KIND: Kind = Kind::VirtualMachine;

/// `GET` of a machine.
pub(crate) fn get(call: &Call, state: &State, id: &ArmId) -> Result<Reply, ArmError> {
    admit(call, state, Verb::Read, KIND, id)?;
    let entry = state.vm(id).ok_or_else(|| not_found(KIND, id))?;
    let mut shown = show(state, &entry.vm.record);
    if wants_instance_view(call)
        && let Some(properties) = shown.pointer_mut("/properties").and_then(Value::as_object_mut)
    {
        let view = profile::instance_view(&entry.vm.record, call.now);
        properties.insert("instanceView".to_owned(), view);
    }
    Ok(Reply::ok(shown))
}

fn wants_instance_view(call: &Call) -> bool {
    let mut expanded = call.query.get("$expand").unwrap_or_default().split(',');
    expanded.any(|name| name.trim().eq_ignore_ascii_case("instanceView"))
}

/// `GET` of the state of a machine.
pub(crate) fn instance_view(call: &Call, state: &State, id: &ArmId) -> Result<Reply, ArmError> {
    call.require(state, "Microsoft.Compute/virtualMachines/instanceView/read", id.as_str())?;
    tracked::group_of(state, id)?;
    let entry = state.vm(id).ok_or_else(|| not_found(KIND, id))?;
    Ok(Reply::ok(profile::instance_view(&entry.vm.record, call.now)))
}

/// `GET` of the machines of a subscription or a resource group.
pub(crate) fn list(call: &Call, state: &State, parent: &ArmId) -> Result<Reply, ArmError> {
    let takes = |term: &Term| matches!(term, Term::Field(Field::ScaleSet, _));
    let filter = Filter::parse(call.query.filter(), takes)?;
    let fits = |entry: &&VmEntry| {
        let scale_set = scale_set(&entry.vm.record);
        filter.passes(|term| matches!(term, Term::Field(_, test) if test.fits(scale_set)))
    };
    readable(
        call,
        state,
        (&Verb::Read.on(KIND), parent.as_str()),
        |after| Box::new(state.vms_below(parent, after).filter(fits)),
        |entry| &entry.vm.record.id,
        |entry| show(state, &entry.vm.record),
    )
}

/// Returns the id of the machine's scale set, or an empty text.
fn scale_set(vm: &VirtualMachine) -> &str {
    let properties = vm.properties.get("properties").and_then(Value::as_object);
    let scale_set = properties.and_then(|own| property(own, "virtualMachineScaleSet"));
    let id = scale_set.and_then(Value::as_object).and_then(|own| property(own, "id"));
    id.and_then(Value::as_str).unwrap_or_default()
}

/// `PUT`: creates the machine, or replaces its properties.
pub(crate) fn put(
    call: &Call,
    state: &State,
    fresh: &mut IdSource<'_>,
    id: &ArmId,
    wanted: Wanted,
) -> Result<(Vec<Change>, Reply), ArmError> {
    let group = admit(call, state, Verb::Write, KIND, id)?;
    let is_inner = |name: &str| !name.ends_with(['.', '-']) && !name.starts_with('_');
    tracked::require_name(KIND, id.name(), 1..=64, is_inner)?;
    let before = state.vm(id).map(|entry| &entry.vm.record);
    if call.only_new && before.is_some() {
        return Err(ArmError::PreconditionFailed("If-None-Match"));
    }
    let blank = match before {
        Some(own) => own.clone(),
        None => VirtualMachine {
            id: tracked::new_id(&group, KIND, id)?,
            vm_id: fresh.vm_id(),
            location: wanted.location(id, None)?.into(),
            tags: BTreeMap::new(),
            address: None,
            listener: None,
            throttle: None,
            system_assigned: None,
            user_assigned: Vec::new(),
            properties: Map::new(),
        },
    };
    let vm = plan::replace(call, state, fresh, blank, wanted)?;
    let reply = Reply::put(before, show(state, &vm));
    let reply = operations::tracked(call, reply, place(&vm));
    Ok((vec![Change::Put(Record::VirtualMachine(vm))], reply))
}

/// `PATCH`: merges properties into those of the machine.
pub(crate) fn patch(
    call: &Call,
    state: &State,
    fresh: &mut IdSource<'_>,
    id: &ArmId,
    wanted: Wanted,
) -> Result<(Vec<Change>, Reply), ArmError> {
    admit(call, state, Verb::Write, KIND, id)?;
    let before = state.vm(id).ok_or_else(|| not_found(KIND, id))?;
    let own = VirtualMachine::clone(&before.vm.record);
    let vm = plan::merge(call, state, fresh, own, wanted)?;
    let reply = operations::tracked(call, Reply::ok(show(state, &vm)), place(&vm));
    Ok((vec![Change::Put(Record::VirtualMachine(vm))], reply))
}

/// `DELETE`: removes the machine and its system-assigned identity.
pub(crate) fn delete(
    call: &Call,
    state: &State,
    id: &ArmId,
) -> Result<(Vec<Change>, Reply), ArmError> {
    admit(call, state, Verb::Delete, KIND, id)?;
    let Some(entry) = state.vm(id) else {
        return Ok((Vec::new(), Reply::empty(StatusCode::NO_CONTENT)));
    };
    let vm = &entry.vm.record;
    let reply = operations::accepted(call, place(vm));
    Ok((tracked::removal(call, state, KIND, &vm.id), reply))
}

fn place(vm: &VirtualMachine) -> Place<'_> {
    (&version::OPERATIONS, vm.id.subscription(), &vm.location)
}

fn show(state: &State, vm: &VirtualMachine) -> Value {
    let mut shown = vm.properties.clone();
    let mut properties = match shown.remove("properties") {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    };
    profile::complete(&mut properties, vm);
    properties.insert("vmId".to_owned(), vm.vm_id.to_string().into());
    properties.insert("provisioningState".to_owned(), "Succeeded".into());
    let mut tags = vm.tags.clone();
    // A machine from a world file has an address and limits, but no tags for them. Without these tags, a client
    // that reads the machine and writes it back would remove them.
    let tagged = [
        (ADDRESS_TAG, vm.address.map(|address| address.to_string())),
        (THROTTLE_TAG, vm.throttle.map(|throttle| throttle.to_string())),
    ];
    for (name, value) in tagged {
        if let Some(value) = value.filter(|_| plan::tag(&vm.tags, name).is_none()) {
            tags.insert(name.to_owned(), value);
        }
    }
    for (name, value) in [
        ("id", vm.id.as_str().into()),
        ("name", vm.id.name().into()),
        ("type", KIND.resource_type().full_name().into()),
        ("location", (*vm.location).into()),
        ("tags", json!(tags)),
        ("properties", Value::Object(properties)),
    ] {
        shown.insert(name.to_owned(), value);
    }
    if let Some(identity) = show_identity(state, vm) {
        shown.insert("identity".to_owned(), identity);
    }
    Value::Object(shown)
}

/// Returns the `identity` of a machine that has one. A deleted identity is still listed, without ids.
fn show_identity(state: &State, vm: &VirtualMachine) -> Option<Value> {
    let kind = IdentityType {
        system_assigned: vm.system_assigned.is_some(),
        user_assigned: !vm.user_assigned.is_empty(),
    };
    if kind == IdentityType::NONE {
        return None;
    }
    let mut identity = Map::new();
    identity.insert("type".to_owned(), kind.name().into());
    if let Some(own) = vm.system_assigned {
        let tenant = state.tenant_of(&vm.id).map(|tenant| tenant.id.to_string());
        identity.insert("principalId".to_owned(), own.principal_id.to_string().into());
        identity.insert("tenantId".to_owned(), tenant.into());
    }
    let user_assigned = vm.user_assigned.iter().map(|assignment| {
        let entry = state.user_assigned(&assignment.id);
        let ids = entry.map(|entry| entry.record.ids);
        let ids = ids.filter(|ids| ids.principal_id == assignment.principal_id);
        let value = json!({
            "principalId": ids.map(|ids| ids.principal_id.to_string()),
            "clientId": ids.map(|ids| ids.client_id.to_string()),
        });
        (assignment.id.to_string(), value)
    });
    let user_assigned: Map<String, Value> = user_assigned.collect();
    if !user_assigned.is_empty() {
        identity.insert("userAssignedIdentities".to_owned(), Value::Object(user_assigned));
    }
    Some(Value::Object(identity))
}
