//! Side requests of tools: az, Terraform, Prometheus.

use super::*;

fn names(answer: &Answer) -> Vec<String> {
    let value = answer.body["value"].as_array().unwrap_or_else(|| panic!("{}", answer.body));
    value.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

fn query(path: &str, filter: &str) -> String {
    format!("{path}?$filter={}", filter.replace(' ', "%20"))
}

#[test]
fn resources_are_found_by_the_filters_of_tools() {
    let world = world();
    let other = format!("{SUB}/resourceGroups/rg2");
    world.put(&other, &json!({"location": "westus"}));
    let tagged = json!({"location": "eastus", "tags": {"env": "dev"}});
    world.put(&vault_id("kv-one"), &tagged);
    world.put(&vault_id("kv-two").replace(GROUP, &other), &json!({"location": "westus"}));
    world.machine("kv-vm", &json!({"type": "None"}));
    let found = |filter: &str| names(&world.get(&query(&format!("{SUB}/resources"), filter)));
    for (filter, expected) in [
        ("resourceType eq 'Microsoft.KeyVault/vaults' and name eq 'KV-one'", vec!["kv-one"]),
        ("resourceType eq 'Microsoft.KeyVault/vaults' and name eq 'x'", vec![]),
        ("resourceGroup eq 'RG2'", vec!["kv-two"]),
        ("tagName eq 'env' and tagValue eq 'dev'", vec!["kv-one"]),
        ("tagname eq 'env' and tagvalue eq 'prod'", vec![]),
        ("startswith(tagname, 'e')", vec!["kv-one"]),
        ("substringof('ONE', name)", vec!["kv-one"]),
        ("startswith(name, 'KV-v')", vec!["kv-vm"]),
        ("location eq 'eastus'", vec!["kv-one"]),
        ("location ne 'eastus' and resourceGroup eq 'rg'", vec!["kv-vm"]),
        ("name eq 'kv-one' or name eq 'kv-two'", vec!["kv-one", "kv-two"]),
    ] {
        assert_eq!(found(filter), expected, "{filter}");
    }
    let expanded =
        format!("{SUB}/resources?$expand=createdTime,changedTime,provisioningState&$top=1");
    assert_eq!(world.get(&expanded).body["value"][0]["provisioningState"], "Succeeded");
    let unknown = format!("{SUB}/resources?$expand=everything");
    assert_eq!(world.get(&unknown).refusal(), (400, "InvalidQueryParameterValue"));
}

#[test]
fn groups_are_found_by_their_tags() {
    let world = world();
    let body = json!({"location": "westus", "tags": {"team": "a"}});
    world.put(&format!("{SUB}/resourceGroups/tagged"), &body);
    let found = |filter: &str| names(&world.get(&query(&format!("{SUB}/resourceGroups"), filter)));
    assert_eq!(found("tagname eq 'team' and tagvalue eq 'a'"), ["tagged"]);
    assert_eq!(found("tagname eq 'team' and tagvalue eq 'b'"), [""; 0]);
}

#[test]
fn a_list_that_takes_no_filter_refuses_one() {
    let world = world();
    let list = |kind: &str| format!("{SUB}/providers/{kind}");
    for path in [
        "/subscriptions".to_owned(),
        "/tenants".to_owned(),
        list("Microsoft.KeyVault/vaults"),
        list("Microsoft.KeyVault/deletedVaults"),
        list("Microsoft.ManagedIdentity/userAssignedIdentities"),
        list("Microsoft.Network/networkInterfaces"),
        list("Microsoft.Compute/virtualMachines"),
    ] {
        let refused = world.raw(("owner", "GET", &api(&query(&path, "name eq 'x'"))), b"", |_| {});
        assert_eq!(refused.refusal(), (400, "InvalidFilterInQueryString"), "{path}");
    }
}

/// Like `versioned`, also for network types.
fn api(path: &str) -> String {
    if !path.contains("Microsoft.Network") {
        return versioned(path);
    }
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}api-version=2024-05-01")
}

#[test]
fn types_of_which_there_are_none_have_empty_lists_and_no_members() {
    let world = world();
    for (kind, version) in [
        ("Microsoft.Compute/virtualMachineScaleSets", "2022-08-01"),
        ("microsoft.compute/VIRTUALMACHINESCALESETS", "2099-01-01"),
        ("Microsoft.Compute/availabilitySets", "2024-07-01"),
        ("Microsoft.Compute/disks", "2024-03-02"),
        ("Microsoft.Network/publicIPAddresses", "2024-05-01"),
        ("Microsoft.KeyVault/deletedManagedHSMs", "2023-07-01"),
        ("Microsoft.Authorization/denyAssignments", "2022-04-01"),
    ] {
        for parent in [SUB, GROUP] {
            let path = format!("{parent}/providers/{kind}?api-version={version}");
            let list = world.raw(("group-reader", "GET", &path), b"", |_| {});
            assert_eq!((list.status, &list.body), (200, &json!({"value": []})), "{path}");
            let refused = world.raw(("nobody", "GET", &path), b"", |_| {});
            assert_eq!(refused.refusal(), (403, "AuthorizationFailed"), "{path}");
        }
        let one = format!("{GROUP}/providers/{kind}/x?api-version={version}");
        let missing = world.raw(("reader", "GET", &one), b"", |_| {});
        assert_eq!(missing.refusal(), (404, "ResourceNotFound"), "{one}");
        let made = world.raw(("owner", "PUT", &one), b"{}", |_| {});
        assert_eq!(made.refusal(), (405, "HttpMethodNotAllowed"), "{one}");
    }
    let disks = format!("{SUB}/providers/Microsoft.Compute/disks");
    for (query, code) in
        [("", "MissingApiVersionParameter"), ("?api-version=x", "InvalidApiVersionParameter")]
    {
        let refused = world.raw(("owner", "GET", &format!("{disks}{query}")), b"", |_| {});
        assert_eq!(refused.refusal(), (400, code));
    }
    let elsewhere = format!(
        "{SUB}/resourceGroups/none/providers/Microsoft.Compute/disks?api-version=2024-03-02"
    );
    let missing = world.raw(("owner", "GET", &elsewhere), b"", |_| {});
    assert_eq!(missing.refusal(), (404, "ResourceGroupNotFound"));
}

#[test]
fn a_machine_of_which_nothing_was_said_has_the_members_that_tools_read() {
    let world = world();
    let path = world.machine("vm", &json!({"type": "None"}));
    let list = world.get(&format!("{SUB}/providers/Microsoft.Compute/virtualMachines"));
    let properties = &list.body["value"][0]["properties"];
    assert_eq!(properties["storageProfile"]["osDisk"]["osType"], "Linux");
    assert_eq!(properties["storageProfile"]["dataDisks"], json!([]));
    assert_eq!(properties["hardwareProfile"]["vmSize"], "Standard_B1s");
    assert_eq!(properties["osProfile"]["computerName"], "vm");
    let interfaces = properties["networkProfile"]["networkInterfaces"].as_array().unwrap();
    assert_eq!(interfaces.len(), 1);
    let view = world.get(&format!("{path}?$expand=instanceView"));
    let statuses = &view.body["properties"]["instanceView"]["statuses"];
    assert_eq!(statuses[1]["code"], "PowerState/running");
    assert_eq!(&world.get(&format!("{path}/instanceView")).body["statuses"], statuses);
}

#[test]
fn what_was_said_of_a_machine_is_completed_and_not_replaced() {
    let world = world();
    let path = machine_id("vm");
    let said = json!({"location": "westus", "properties": {
        "StorageProfile": {"osDisk": {"name": "mine"}, "imageReference": {"sku": "x"}},
        "osProfile": {"computerName": "pc", "windowsConfiguration": {}},
        "networkProfile": {"networkInterfaces": [{"id": "/x"}]},
        "hardwareProfile": null,
    }});
    let properties = world.put(&path, &said).body["properties"].clone();
    let storage = &properties["StorageProfile"];
    assert_eq!(
        (&storage["osDisk"]["name"], &storage["osDisk"]["osType"]),
        (&json!("mine"), &json!("Windows"))
    );
    assert_eq!(storage["imageReference"], json!({"sku": "x"}));
    assert_eq!(properties["networkProfile"]["networkInterfaces"], json!([{"id": "/x"}]));
    assert_eq!(properties["hardwareProfile"]["vmSize"], "Standard_B1s");
    let interfaces = format!("{SUB}/providers/Microsoft.Network/networkInterfaces");
    let list = world.raw(("reader", "GET", &api(&interfaces)), b"", |_| {});
    assert_eq!(list.body["value"], json!([]), "the machine names another interface");
}

#[test]
fn the_interface_of_a_machine_has_its_address() {
    let world = world();
    let body = json!({"location": "westus", "tags": {"mintbench-address": "127.0.0.9"}});
    world.put(&machine_id("vm"), &body);
    let shown = world.get(&machine_id("vm")).body;
    let id = shown["properties"]["networkProfile"]["networkInterfaces"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let get = |path: &str| world.raw(("reader", "GET", &api(path)), b"", |_| {});
    let interface = get(&format!("{id}?$expand=IPConfigurations/PublicIPAddress"));
    assert_eq!(interface.status, 200, "{}", interface.body);
    let properties = &interface.body["properties"];
    assert_eq!(properties["primary"], true);
    assert_eq!(properties["ipConfigurations"][0]["properties"]["privateIPAddress"], "127.0.0.9");
    assert_eq!(properties["virtualMachine"]["id"], machine_id("vm"));
    let list = get(&format!("{GROUP}/providers/Microsoft.Network/networkInterfaces"));
    assert_eq!(list.body["value"], json!([interface.body]));
    for other in ["vm-ni", "vm", "-nic", "nic", "other-nic"] {
        let path = format!("{GROUP}/providers/Microsoft.Network/networkInterfaces/{other}");
        assert_eq!(get(&path).refusal(), (404, "ResourceNotFound"), "{other}");
    }
}

#[test]
fn machines_are_found_by_their_scale_set() {
    let world = world();
    let set = format!("{GROUP}/providers/Microsoft.Compute/virtualMachineScaleSets/s");
    let member =
        json!({"location": "westus", "properties": {"virtualMachineScaleSet": {"id": set}}});
    world.put(&machine_id("member"), &member);
    world.machine("single", &json!({"type": "None"}));
    let list = format!("{SUB}/providers/Microsoft.Compute/virtualMachines");
    let found = world.get(&query(&list, &format!("'virtualMachineScaleSet/id' eq '{set}'")));
    assert_eq!(names(&found), ["member"]);
}

#[test]
fn the_locations_of_a_subscription_are_azures_and_its_own() {
    let world = world();
    world.put(&format!("{SUB}/resourceGroups/home"), &json!({"location": "local"}));
    let list = world.get(&format!("{SUB}/locations"));
    let listed = names(&list);
    for name in ["westeurope", "eastus", "local"] {
        assert!(listed.iter().any(|one| one == name), "{name}");
    }
    let mut sorted = listed.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(listed, sorted, "each once, in order");
    let west = list.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["name"] == "westeurope")
        .unwrap();
    assert_eq!(west["displayName"], "West Europe");
    assert_eq!(world.send("nobody", "GET", &format!("{SUB}/locations"), &Value::Null).status, 403);
}
