//! Instance document. It has every key that its api-version has, even if the value is not known.
//!
//! Agents read keys without checking whether they exist. All values are strings. A value that is not known or
//! does not apply is an empty string, or a list or object of empty strings, as on Azure (`docs/protocol.md`).

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use crate::service::world::record::VirtualMachine;

/// Keys added after 2017-04-02: parent, name, and the api-version that added them (Azure IMDS documentation,
/// 2025). The documentation has the last two keys in its sample only, so their version is a guess.
const LATER: [(&str, &str, &str); 37] = [
    ("/compute", "placementGroupId", "2017-08-01"),
    ("/compute", "resourceGroupName", "2017-08-01"),
    ("/compute", "subscriptionId", "2017-08-01"),
    ("/compute", "tags", "2017-08-01"),
    ("/compute", "vmScaleSetName", "2017-12-01"),
    ("/compute", "zone", "2017-12-01"),
    ("/compute", "plan", "2018-04-02"),
    ("/compute", "publicKeys", "2018-04-02"),
    ("/compute", "azEnvironment", "2018-10-01"),
    ("/compute", "provider", "2018-10-01"),
    ("/compute", "customData", "2019-02-01"),
    ("/compute", "resourceId", "2019-03-11"),
    ("/compute", "storageProfile", "2019-06-01"),
    ("/compute", "tagsList", "2019-06-04"),
    ("/compute", "isHostCompatibilityLayerVm", "2020-06-01"),
    ("/compute", "securityProfile", "2020-06-01"),
    ("/compute", "osProfile", "2020-07-15"),
    ("/compute", "licenseType", "2020-09-01"),
    ("/compute/osProfile", "disablePasswordAuthentication", "2020-10-01"),
    ("/compute", "evictionPolicy", "2020-12-01"),
    ("/compute", "priority", "2020-12-01"),
    ("/compute", "userData", "2021-01-01"),
    ("/compute/storageProfile", "resourceDisk", "2021-02-01"),
    ("/compute", "extendedLocation", "2021-03-01"),
    ("/compute", "virtualMachineScaleSet", "2021-03-01"),
    ("/compute", "platformSubFaultDomain", "2021-10-01"),
    ("/compute", "additionalCapabilities", "2021-11-01"),
    ("/compute/securityProfile", "encryptionAtHost", "2021-11-01"),
    ("/compute/storageProfile/osDisk/encryptionSettings", "diskEncryptionKey", "2021-11-01"),
    ("/compute/storageProfile/osDisk/encryptionSettings", "keyEncryptionKey", "2021-11-01"),
    ("/compute", "host", "2021-11-15"),
    ("/compute", "hostGroup", "2021-11-15"),
    ("/compute/securityProfile", "securityType", "2021-12-13"),
    ("/compute/storageProfile/imageReference", "communityGalleryImageId", "2023-07-01"),
    ("/compute/storageProfile/imageReference", "sharedGalleryImageId", "2023-07-01"),
    ("/compute", "isVmInStandbyPool", "2023-11-15"),
    ("/compute", "physicalZone", "2023-11-15"),
];

/// Returns the document of a VM in the form of an api-version.
pub(super) fn document(vm: &VirtualMachine, version: &str) -> Value {
    let mut document = json!({ "compute": compute(vm), "network": network(vm) });
    for (parent, key, since) in LATER {
        if version < since
            && let Some(Value::Object(object)) = document.pointer_mut(parent)
        {
            object.remove(key);
        }
    }
    document
}

fn compute(vm: &VirtualMachine) -> Value {
    let stored = Stored(vm);
    let image = stored.filled("/properties/storageProfile/imageReference", image_reference());
    let of_image = |key: &str| image.get(key).cloned().unwrap_or_default();
    let os_type = stored.text("/properties/storageProfile/osDisk/osType");
    let os_type = if os_type.is_empty() { "Linux".to_owned() } else { os_type };
    let id = |id: String| json!({ "id": id });
    json!({
        "additionalCapabilities": stored.filled("/properties/additionalCapabilities", json!({ "hibernationEnabled": "false" })),
        "azEnvironment": "AzurePublicCloud",
        "customData": "",
        "evictionPolicy": stored.text("/properties/evictionPolicy"),
        "extendedLocation": stored.filled("/extendedLocation", json!({ "name": "", "type": "" })),
        "host": id(stored.text("/properties/host/id")),
        "hostGroup": id(stored.text("/properties/hostGroup/id")),
        "isHostCompatibilityLayerVm": "false",
        "isVmInStandbyPool": "",
        "licenseType": stored.text("/properties/licenseType"),
        "location": vm.location,
        "name": vm.id.name(),
        "offer": of_image("offer"),
        "osProfile": os_profile(&stored),
        "osType": os_type,
        "physicalZone": "",
        "placementGroupId": "",
        "plan": stored.filled("/plan", json!({ "name": "", "product": "", "publisher": "" })),
        "platformFaultDomain": "0",
        "platformSubFaultDomain": "",
        "platformUpdateDomain": "0",
        "priority": stored.text("/properties/priority"),
        "provider": "Microsoft.Compute",
        "publicKeys": stored.list("/properties/osProfile/linuxConfiguration/ssh/publicKeys", || json!({ "keyData": "", "path": "" })),
        "publisher": of_image("publisher"),
        "resourceGroupName": vm.id.resource_group().unwrap_or_default(),
        "resourceId": vm.id.as_str(),
        "securityProfile": security_profile(&stored),
        "sku": of_image("sku"),
        "storageProfile": storage_profile(&stored, &image),
        "subscriptionId": vm.id.subscription().to_string(),
        "tags": tags(vm),
        "tagsList": tags_list(vm),
        "userData": "",
        "version": of_image("version"),
        "virtualMachineScaleSet": id(stored.text("/properties/virtualMachineScaleSet/id")),
        "vmId": vm.vm_id.to_string(),
        "vmScaleSetName": "",
        "vmSize": stored.text("/properties/hardwareProfile/vmSize"),
        "zone": stored.text("/zones/0"),
    })
}

fn tags(vm: &VirtualMachine) -> String {
    let tags: Vec<String> = vm.tags.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    tags.join(";")
}

fn tags_list(vm: &VirtualMachine) -> Vec<Value> {
    vm.tags.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn os_profile(stored: &Stored<'_>) -> Value {
    let password = "/properties/osProfile/linuxConfiguration/disablePasswordAuthentication";
    let template = json!({
        "adminUsername": "",
        "computerName": "",
        "disablePasswordAuthentication": stored.text(password),
    });
    stored.filled("/properties/osProfile", template)
}

fn security_profile(stored: &Stored<'_>) -> Value {
    let flag = |key: &str| match stored.text(&format!("/properties/securityProfile/{key}")) {
        unknown if unknown.is_empty() => "false".to_owned(),
        known => known,
    };
    json!({
        "encryptionAtHost": flag("encryptionAtHost"),
        "secureBootEnabled": flag("uefiSettings/secureBootEnabled"),
        "securityType": stored.text("/properties/securityProfile/securityType"),
        "virtualTpmEnabled": flag("uefiSettings/vTpmEnabled"),
    })
}

fn storage_profile(stored: &Stored<'_>, image: &Value) -> Value {
    let data_disk = || {
        let mut disk = disk();
        if let Some(disk) = disk.as_object_mut() {
            for key in
                ["bytesPerSecondThrottle", "diskCapacityBytes", "lun", "opsPerSecondThrottle"]
            {
                disk.insert(key.to_owned(), "".into());
            }
            for key in ["isSharedDisk", "isUltraDisk"] {
                disk.insert(key.to_owned(), "false".into());
            }
        }
        disk
    };
    json!({
        "dataDisks": stored.list("/properties/storageProfile/dataDisks", data_disk),
        "imageReference": image,
        "osDisk": stored.filled("/properties/storageProfile/osDisk", disk()),
        "resourceDisk": { "size": "0" },
    })
}

fn image_reference() -> Value {
    json!({
        "communityGalleryImageId": "",
        "id": "",
        "offer": "",
        "publisher": "",
        "sharedGalleryImageId": "",
        "sku": "",
        "version": "",
    })
}

fn disk() -> Value {
    json!({
        "caching": "",
        "createOption": "",
        "diffDiskSettings": { "option": "" },
        "diskSizeGB": "",
        "encryptionSettings": {
            "diskEncryptionKey": { "secretUrl": "", "sourceVault": { "id": "" } },
            "enabled": "false",
            "keyEncryptionKey": { "keyUrl": "", "sourceVault": { "id": "" } },
        },
        "image": { "uri": "" },
        "managedDisk": { "id": "", "storageAccountType": "" },
        "name": "",
        "osType": "",
        "vhd": { "uri": "" },
        "writeAcceleratorEnabled": "false",
    })
}

fn network(vm: &VirtualMachine) -> Value {
    let own = vm.address.and_then(crate::service::world::Address::ip);
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = own.into_iter().partition(IpAddr::is_ipv4);
    // A machine without an IPv4 address has the entry too: agents read the first one.
    let v4 = v4.first().map(ToString::to_string).unwrap_or_default();
    let v6: Vec<Value> =
        v6.iter().map(|address| json!({ "privateIpAddress": address.to_string() })).collect();
    json!({
        "interface": [{
            "ipv4": {
                "ipAddress": [{ "privateIpAddress": v4, "publicIpAddress": "" }],
                "subnet": [{ "address": "", "prefix": "" }],
            },
            "ipv6": { "ipAddress": v6 },
            "macAddress": "",
        }],
    })
}

/// Properties of a VM that a client of the control plane wrote, in the shape of the VM resource.
struct Stored<'a>(&'a VirtualMachine);

impl Stored<'_> {
    fn at(&self, pointer: &str) -> Option<&Value> {
        let (first, rest) = pointer.strip_prefix('/')?.split_once('/').unwrap_or((pointer, ""));
        let first = first.trim_start_matches('/');
        let value = self.0.properties.get(first)?;
        if rest.is_empty() { Some(value) } else { value.pointer(&format!("/{rest}")) }
    }

    /// Returns the value as a string; empty if it is missing, or is a list or an object.
    fn text(&self, pointer: &str) -> String {
        self.at(pointer).and_then(scalar).unwrap_or_default()
    }

    /// Returns the template with the stored values filled in.
    fn filled(&self, pointer: &str, template: Value) -> Value {
        match self.at(pointer) {
            Some(known) => fill(template, known),
            None => template,
        }
    }

    /// Returns a list with one filled template per stored element.
    fn list(&self, pointer: &str, template: impl Fn() -> Value) -> Vec<Value> {
        let known = self.at(pointer).and_then(Value::as_array);
        known.into_iter().flatten().map(|one| fill(template(), one)).collect()
    }
}

/// Replaces the template's values with those of `known`, key by key. Keys that the template lacks are left
/// out.
fn fill(template: Value, known: &Value) -> Value {
    match template {
        Value::Object(template) => {
            let filled = template.into_iter().map(|(key, value)| {
                let value = match known.get(&key) {
                    Some(known) => fill(value, known),
                    None => value,
                };
                (key, value)
            });
            Value::Object(filled.collect::<Map<_, _>>())
        }
        Value::String(unknown) => scalar(known).unwrap_or(unknown).into(),
        other => other,
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::VmId;

    fn vm(properties: Value) -> VirtualMachine {
        let Value::Object(properties) = properties else { panic!("not an object") };
        let group = "/subscriptions/00000000-0000-4000-8000-000000000001/resourceGroups/rg";
        VirtualMachine {
            id: format!("{group}/providers/Microsoft.Compute/virtualMachines/vm").parse().unwrap(),
            vm_id: VmId::from_bytes([1; 16]),
            location: "local".into(),
            tags: [("a".to_owned(), "b".to_owned())].into(),
            address: Some("127.0.0.5".parse().unwrap()),
            listener: None,
            throttle: None,
            system_assigned: None,
            user_assigned: Vec::new(),
            properties,
        }
    }

    fn leaves(value: &Value) -> Vec<&Value> {
        match value {
            Value::Object(object) => object.values().flat_map(leaves).collect(),
            Value::Array(list) => list.iter().flat_map(leaves).collect(),
            leaf => vec![leaf],
        }
    }

    #[test]
    fn every_value_is_a_string_and_every_key_is_there_without_anything_being_known() {
        let document = document(&vm(json!({})), "2025-04-07");
        assert!(leaves(&document).into_iter().all(Value::is_string), "{document}");
        for (parent, key, _) in LATER {
            assert!(document.pointer(parent).unwrap().get(key).is_some(), "{parent}/{key}");
        }
        assert_eq!(document.pointer("/compute/storageProfile/dataDisks"), Some(&json!([])));
        assert_eq!(
            document.pointer("/network/interface/0/ipv4/ipAddress/0/privateIpAddress").unwrap(),
            "127.0.0.5"
        );
    }

    #[test]
    fn a_version_has_the_keys_that_came_with_it_and_no_later_ones() {
        let vm = vm(json!({}));
        for (parent, key, since) in LATER {
            let has = |version: &str| {
                document(&vm, version).pointer(parent).is_some_and(|at| at.get(key).is_some())
            };
            let before = format!("{}!", since.get(..since.len() - 1).unwrap());
            assert!(has(since) && !has(&before), "{key} {since}");
        }
        let oldest = document(&vm, "2017-04-02");
        let keys: Vec<_> = oldest["compute"].as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "location",
                "name",
                "offer",
                "osType",
                "platformFaultDomain",
                "platformUpdateDomain",
                "publisher",
                "sku",
                "version",
                "vmId",
                "vmSize"
            ]
        );
    }

    #[test]
    fn what_a_client_said_of_the_machine_is_shown_in_strings() {
        let said = json!({
            "zones": ["2"],
            "plan": { "name": "p", "product": "q", "publisher": "r", "promotionCode": "hush" },
            "properties": {
                "hardwareProfile": { "vmSize": "Standard_B1s" },
                "osProfile": {
                    "computerName": "host",
                    "linuxConfiguration": {
                        "disablePasswordAuthentication": true,
                        "ssh": { "publicKeys": [{ "path": "/p", "keyData": "ssh-rsa 0" }] },
                    },
                },
                "storageProfile": {
                    "imageReference": { "offer": "o", "publisher": "u", "sku": "s", "version": "1" },
                    "osDisk": { "osType": "Windows", "diskSizeGB": 30, "managedDisk": { "id": "/d" } },
                    "dataDisks": [{ "lun": 1, "name": "data" }],
                },
            },
        });
        let document = document(&vm(said), "2025-04-07");
        for (pointer, value) in [
            ("/zone", "2"),
            ("/plan/product", "q"),
            ("/vmSize", "Standard_B1s"),
            ("/osProfile/computerName", "host"),
            ("/osProfile/disablePasswordAuthentication", "true"),
            ("/publicKeys/0/keyData", "ssh-rsa 0"),
            ("/offer", "o"),
            ("/storageProfile/imageReference/sku", "s"),
            ("/osType", "Windows"),
            ("/storageProfile/osDisk/diskSizeGB", "30"),
            ("/storageProfile/osDisk/managedDisk/id", "/d"),
            ("/storageProfile/dataDisks/0/lun", "1"),
            ("/storageProfile/dataDisks/0/isUltraDisk", "false"),
        ] {
            assert_eq!(document["compute"].pointer(pointer).unwrap(), value, "{pointer}");
        }
        assert!(!document.to_string().contains("hush"));
        assert!(leaves(&document).into_iter().all(Value::is_string), "{document}");
    }
}
