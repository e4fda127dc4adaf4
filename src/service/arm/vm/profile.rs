//! Members that every Azure machine has and that a request or a world file may omit: size, disk, network,
//! state. Tools read these members without a check.

use serde_json::{Map, Value, json};

use crate::base::clock::UnixSeconds;
use crate::service::arm::date;
use crate::service::arm::request::content::property;
use crate::service::world::record::VirtualMachine;

/// Default size of a machine.
const SIZE: &str = "Standard_B1s";

/// Adds missing members to the properties of a machine.
pub(crate) fn complete(properties: &mut Map<String, Value>, vm: &VirtualMachine) {
    let name = vm.id.name();
    let os = member(properties, "osProfile", json!({"computerName": name}));
    let is_windows = os.is_some_and(|os| property(os, "windowsConfiguration").is_some());
    let os_type = if is_windows { "Windows" } else { "Linux" };
    if let Some(hardware) = member(properties, "hardwareProfile", json!({})) {
        member(hardware, "vmSize", SIZE.into());
    }
    if let Some(storage) = member(properties, "storageProfile", json!({})) {
        if let Some(disk) = member(storage, "osDisk", json!({})) {
            for (member_name, value) in [
                ("osType", os_type.into()),
                ("name", format!("{name}_OsDisk").into()),
                ("createOption", "FromImage".into()),
            ] {
                member(disk, member_name, value);
            }
        }
        member(storage, "dataDisks", json!([]));
    }
    if let Some(network) = member(properties, "networkProfile", json!({})) {
        let id = interface_id(vm);
        let own = json!([{"id": id, "properties": {"primary": true}}]);
        member(network, "networkInterfaces", own);
    }
}

/// Adds a member to an object unless it is there. Returns the member if it is an object.
fn member<'a>(
    object: &'a mut Map<String, Value>,
    name: &str,
    missing: Value,
) -> Option<&'a mut Map<String, Value>> {
    let spelt = object.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
    let value = object.entry(spelt.unwrap_or_else(|| name.to_owned())).or_insert(Value::Null);
    if value.is_null() {
        *value = missing;
    }
    value.as_object_mut()
}

/// Returns the id of the default interface of a machine.
pub(crate) fn interface_id(vm: &VirtualMachine) -> String {
    let group = vm.id.as_str().split("/providers/").next().unwrap_or_default();
    format!("{group}/providers/Microsoft.Network/networkInterfaces/{}-nic", vm.id.name())
}

/// Returns true if the machine names no interfaces of its own.
pub(crate) fn has_default_interface(vm: &VirtualMachine) -> bool {
    let properties = vm.properties.get("properties").and_then(Value::as_object);
    let network = properties.and_then(|own| property(own, "networkProfile"));
    let named =
        network.and_then(Value::as_object).and_then(|own| property(own, "networkInterfaces"));
    named.is_none_or(Value::is_null)
}

/// Returns the state of a machine, which is always running.
pub(crate) fn instance_view(vm: &VirtualMachine, now: UnixSeconds) -> Value {
    let status = |code: &str, text: &str| json!({"code": code, "level": "Info", "displayStatus": text, "time": date::iso(now)});
    json!({
        "computerName": vm.id.name(),
        "disks": [],
        "statuses": [
            status("ProvisioningState/succeeded", "Provisioning succeeded"),
            status("PowerState/running", "VM running"),
        ],
    })
}
