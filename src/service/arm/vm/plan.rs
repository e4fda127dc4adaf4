//! Planning of writes to a virtual machine: its identities, its address and its other properties.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::identity::{Identities, IdentityRequest, set};
use crate::base::ids::ArmId;
use crate::service::arm::error::{ArmError, Linked};
use crate::service::arm::request::call::Call;
use crate::service::arm::request::content::{Content, json_bytes, merge as merge_into, strip};
use crate::service::arm::request::route::Kind;
use crate::service::arm::tracked;
use crate::service::directory::{IdSource, State};
use crate::service::world::record::{Assignment, Tags, VirtualMachine};
use crate::service::world::{Address, Throttle};

/// The tag with the source address of a machine's requests. Azure has no property for it.
pub(crate) const ADDRESS_TAG: &str = "mintbench-address";

/// The tag with the limits of a machine's requests, in place of those of the server.
pub(crate) const THROTTLE_TAG: &str = "mintbench-throttle";

const ASSIGN: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action";

/// Fields that are stored separately, and fields that only the service sets.
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

/// Largest size of the properties that are kept for a machine, in bytes of JSON.
const PROPERTIES_BYTES_MAX: usize = 64 * 1024;

/// Properties that Azure accepts and never returns, at any depth.
const SECRETS: [&str; 4] = ["adminPassword", "customData", "userData", "protectedSettings"];

/// Settings of Windows whose `content` contains passwords.
const UNATTEND: &str = "additionalUnattendContent";

/// Parsed content of a write.
#[derive(Debug)]
pub(crate) struct Wanted {
    content: Content,
    /// Fields that are kept as sent, `properties` included.
    rest: Map<String, Value>,
    identity: Option<IdentityRequest>,
}

impl Wanted {
    /// Parses the content of a request.
    pub(crate) fn read(content: Content) -> Result<Self, ArmError> {
        let identity = content.object("identity")?.map(IdentityRequest::parse).transpose()?;
        let mut rest = content.except(&OWN);
        rest.insert("properties".to_owned(), Value::Object(writable(&content)));
        strip_secrets(&mut rest, &SECRETS);
        require_short(&rest)?;
        Ok(Self { content, rest, identity })
    }

    /// Returns the location of the machine.
    pub(crate) fn location(&self, id: &ArmId, existing: Option<&str>) -> Result<String, ArmError> {
        tracked::location(&self.content, Kind::VirtualMachine, id, existing)
    }
}

/// Returns the machine after a `PUT`.
pub(crate) fn replace(
    call: &Call,
    state: &State,
    fresh: &mut IdSource<'_>,
    vm: VirtualMachine,
    wanted: Wanted,
) -> Result<VirtualMachine, ArmError> {
    let location = wanted.location(&vm.id, Some(&vm.location))?.into();
    let tags = wanted.content.tags().cloned().unwrap_or_default();
    let vm = VirtualMachine { location, properties: wanted.rest, ..tagged(state, vm, tags)? };
    let request = wanted.identity;
    let made = request.as_ref().map_or(Ok(Identities::NONE), IdentityRequest::replace)?;
    identified(call, state, fresh, vm, (&made, request.as_ref()))
}

/// Returns the machine after a `PATCH`.
pub(crate) fn merge(
    call: &Call,
    state: &State,
    fresh: &mut IdSource<'_>,
    mut vm: VirtualMachine,
    wanted: Wanted,
) -> Result<VirtualMachine, ArmError> {
    wanted.location(&vm.id, Some(&vm.location))?;
    merge_into(&mut vm.properties, wanted.rest);
    require_short(&vm.properties)?;
    if let Some(tags) = wanted.content.tags() {
        vm = tagged(state, vm, tags.clone())?;
    }
    let Some(request) = wanted.identity else { return Ok(vm) };
    let current = Identities {
        system_assigned: vm.system_assigned.is_some(),
        user_assigned: vm.user_assigned.iter().map(|held| held.id.clone()).collect(),
    };
    let made = request.merge(&current)?;
    identified(call, state, fresh, vm, (&made, Some(&request)))
}

/// Returns the properties that a client may set, without those that only the service sets.
fn writable(content: &Content) -> Map<String, Value> {
    let mut properties = content.properties().clone();
    for name in ["vmId", "provisioningState", "instanceView", "timeCreated"] {
        strip(&mut properties, name);
    }
    properties
}

/// Removes the named properties at every depth. The case of the names is ignored.
fn strip_secrets(object: &mut Map<String, Value>, secrets: &[&str]) {
    object.retain(|name, _| !secrets.iter().any(|secret| secret.eq_ignore_ascii_case(name)));
    for (name, value) in object {
        if name.eq_ignore_ascii_case(UNATTEND) {
            let [one, two, three, four] = SECRETS;
            strip_secrets_within(value, &[one, two, three, four, "content"]);
        } else {
            strip_secrets_within(value, secrets);
        }
    }
}

fn strip_secrets_within(value: &mut Value, secrets: &[&str]) {
    match value {
        Value::Object(object) => strip_secrets(object, secrets),
        Value::Array(values) => {
            for value in values {
                strip_secrets_within(value, secrets);
            }
        }
        _ => {}
    }
}

/// Checks the size of the kept properties of a machine. They are written, held and listed as a whole.
fn require_short(properties: &Map<String, Value>) -> Result<(), ArmError> {
    if json_bytes(properties) <= PROPERTIES_BYTES_MAX {
        return Ok(());
    }
    Err(ArmError::InvalidParameter {
        message: format!(
            "The properties of the virtual machine exceed the limit of '{PROPERTIES_BYTES_MAX}' bytes."
        ),
        target: "properties".to_owned(),
    })
}

/// Returns the value of a tag. The case of tag names is ignored.
pub(crate) fn tag<'a>(tags: &'a Tags, name: &str) -> Option<&'a str> {
    let found = tags.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// Returns the setting that a tag holds. `what` says what its value must be.
fn setting<T: FromStr>(tags: &Tags, name: &str, what: &str) -> Result<Option<T>, ArmError> {
    let Some(text) = tag(tags, name) else { return Ok(None) };
    let malformed = |_| ArmError::InvalidParameter {
        message: format!("The value '{text}' of the tag '{name}' is {what}."),
        target: format!("tags.{name}"),
    };
    text.trim().parse().map(Some).map_err(malformed)
}

/// Returns the machine with these tags and the settings that they hold.
fn tagged(state: &State, vm: VirtualMachine, tags: Tags) -> Result<VirtualMachine, ArmError> {
    let address: Option<Address> =
        setting(&tags, ADDRESS_TAG, "neither the IP address of a caller nor 'any'")?;
    let throttle: Option<Throttle> = setting(
        &tags,
        THROTTLE_TAG,
        "neither 'azure' nor 'off' nor limits such as 'identity=20/s,concurrent=5,metadata=5/s'",
    )?;
    if let Some(address) = address.filter(|address| state.address_taken(*address, &vm.id)) {
        return Err(ArmError::Conflict(format!(
            "The address '{address}' of the tag '{ADDRESS_TAG}' belongs to another virtual machine."
        )));
    }
    Ok(VirtualMachine { tags, address, throttle, ..vm })
}

/// Returns the machine with these identities. Existing assignments stay unchanged. An identity in the request
/// must exist, and the caller must have the right to assign it.
fn identified(
    call: &Call,
    state: &State,
    fresh: &mut IdSource<'_>,
    vm: VirtualMachine,
    (wanted, request): (&Identities, Option<&IdentityRequest>),
) -> Result<VirtualMachine, ArmError> {
    let named = request.map(IdentityRequest::assigned).unwrap_or_default();
    let held: HashMap<_, _> = vm.user_assigned.iter().map(|held| (&held.id, held)).collect();
    for id in named {
        require_assignable(call, state, &vm.id, id)?;
    }
    let named = set(named);
    let bound =
        wanted.user_assigned.iter().map(|id| match held.get(id).filter(|_| !named.contains(id)) {
            Some(held) => Ok(Assignment::clone(held)),
            None => binding(state, &vm.id, id),
        });
    let user_assigned = bound.collect::<Result<_, _>>()?;
    let system_assigned =
        wanted.system_assigned.then(|| vm.system_assigned.unwrap_or_else(|| fresh.identity_ids()));
    Ok(VirtualMachine { system_assigned, user_assigned, ..vm })
}

/// Checks that the caller may assign an identity: it is in the same tenant, and the caller has the
/// permission.
fn require_assignable(call: &Call, state: &State, vm: &ArmId, id: &ArmId) -> Result<(), ArmError> {
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

/// Returns the assignment of an identity with its current ids.
fn binding(state: &State, vm: &ArmId, id: &ArmId) -> Result<Assignment, ArmError> {
    let missing =
        || ArmError::FailedIdentityOperation { vm: vm.name().to_owned(), identity: id.to_string() };
    let record = &state.user_assigned(id).ok_or_else(missing)?.record;
    Ok(Assignment { id: record.id.clone(), principal_id: record.ids.principal_id })
}
