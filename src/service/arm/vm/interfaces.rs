//! Network interfaces (Microsoft.Network, `networkInterfaces`): one for each machine that names no interface
//! of its own. It tells tools the address of the machine, and cannot be changed.

use serde_json::{Value, json};

use super::profile::{has_default_interface, interface_id};
use crate::base::ids::ArmId;
use crate::service::arm::error::ArmError;
use crate::service::arm::list::readable;
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::arm::tracked::group_of;
use crate::service::directory::{State, VmEntry};
use crate::service::world::Address;
use crate::service::world::record::VirtualMachine;

const READ: &str = "Microsoft.Network/networkInterfaces/read";

/// `GET` of the interface of a machine.
pub(crate) fn get(call: &Call, state: &State, id: &ArmId) -> Result<Reply, ArmError> {
    call.require(state, READ, id.as_str())?;
    let group = group_of(state, id)?;
    let is_meant =
        |entry: &&VmEntry| interface_id(&entry.vm.record).eq_ignore_ascii_case(id.as_str());
    let machine = id.name().get(..id.name().len().saturating_sub("-nic".len())).unwrap_or_default();
    let machine = format!("{}/providers/Microsoft.Compute/virtualMachines/{machine}", group.id);
    let entry = machine.parse::<ArmId>().ok().and_then(|machine| state.vm(&machine));
    let entry = entry.filter(is_meant).filter(|entry| has_default_interface(&entry.vm.record));
    let missing = || ArmError::ResourceNotFound {
        resource: format!("Microsoft.Network/networkInterfaces/{}", id.name()),
        group: id.resource_group().unwrap_or_default().to_owned(),
    };
    Ok(Reply::ok(show(&entry.ok_or_else(missing)?.vm.record)))
}

/// `GET` of the interfaces of the machines of a subscription or a resource group.
pub(crate) fn list(call: &Call, state: &State, parent: &ArmId) -> Result<Reply, ArmError> {
    readable(
        call,
        state,
        (READ, parent.as_str()),
        |after| {
            let all = state.vms_below(parent, after);
            Box::new(all.filter(|entry| has_default_interface(&entry.vm.record)))
        },
        |entry| &entry.vm.record.id,
        |entry| show(&entry.vm.record),
    )
}

fn show(vm: &VirtualMachine) -> Value {
    let id = interface_id(vm);
    let configurations = vm.address.and_then(Address::ip).map(|address| {
        json!([{
            "id": format!("{id}/ipConfigurations/ipconfig1"),
            "name": "ipconfig1",
            "properties": {
                "provisioningState": "Succeeded",
                "privateIPAddress": address.to_string(),
                "privateIPAllocationMethod": "Static",
                "privateIPAddressVersion": if address.is_ipv4() { "IPv4" } else { "IPv6" },
                "primary": true,
            },
        }])
    });
    json!({
        "id": id,
        "name": format!("{}-nic", vm.id.name()),
        "type": "Microsoft.Network/networkInterfaces",
        "location": vm.location,
        "tags": {},
        "properties": {
            "provisioningState": "Succeeded",
            "primary": true,
            "ipConfigurations": configurations.unwrap_or_else(|| json!([])),
            "enableAcceleratedNetworking": false,
            "enableIPForwarding": false,
            "virtualMachine": {"id": vm.id.as_str()},
        },
    })
}
