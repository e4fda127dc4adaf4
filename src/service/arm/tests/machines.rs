//! Virtual machines and their identity property.

use super::*;
use crate::base::ids::ArmId;
use crate::service::world::{Selector, Throttle};

fn user_assigned(ids: &[&str]) -> Value {
    let named: serde_json::Map<_, _> = ids.iter().map(|id| ((*id).to_owned(), json!({}))).collect();
    json!({"type": "UserAssigned", "userAssignedIdentities": named})
}

#[test]
fn a_machine_keeps_what_was_said_of_it() {
    let world = world();
    let path = machine_id("vm");
    let body = json!({
        "location": "westus",
        "zones": ["1"],
        "tags": {"env": "test"},
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "osProfile": {"computerName": "vm", "adminUsername": "me", "adminPassword": "hunter2", "CustomData": "c2VjcmV0"},
            "userData": "c2VjcmV0",
            "vmId": "of the client's making",
            "provisioningState": "Failed",
        },
    });
    let made = world.put(&path, &body);
    assert_eq!(made.status, 201);
    let shown = world.get(&path).body;
    assert_eq!(shown, made.body);
    assert_eq!(shown["type"], "Microsoft.Compute/virtualMachines");
    assert_eq!((&shown["zones"], &shown["tags"]), (&json!(["1"]), &json!({"env": "test"})));
    let properties = &shown["properties"];
    assert_eq!(properties["hardwareProfile"]["vmSize"], "Standard_D2s_v5");
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["osProfile"], json!({"computerName": "vm", "adminUsername": "me"}));
    assert!(properties.get("userData").is_none() && shown.get("identity").is_none());
    let vm_id = properties["vmId"].as_str().unwrap();
    assert!(vm_id.parse::<crate::base::ids::VmId>().is_ok());
    let again = world.put(&path, &json!({"location": "westus"}));
    assert_eq!((again.status, again.body["properties"]["vmId"].as_str()), (200, Some(vm_id)));
    assert_eq!(again.body["properties"]["hardwareProfile"]["vmSize"], "Standard_B1s");
}

#[test]
fn a_patch_merges_properties_and_null_removes() {
    let world = world();
    let path = machine_id("vm");
    world.put(&path, &json!({"location": "westus", "tags": {"a": "b"}, "properties": {"x": {"y": 1, "z": 2}, "w": 1}}));
    let patched = world.patch(&path, &json!({"properties": {"x": {"y": 3}, "w": null}}));
    assert_eq!(patched.status, 200);
    assert_eq!(patched.body["properties"]["x"], json!({"y": 3, "z": 2}));
    assert!(patched.body["properties"].get("w").is_none());
    assert_eq!(patched.body["tags"], json!({"a": "b"}));
    assert_eq!(world.patch(&machine_id("none"), &json!({})).refusal(), (404, "ResourceNotFound"));
    let moved = world.patch(&path, &json!({"location": "eastus"}));
    assert_eq!(moved.refusal(), (409, "InvalidResourceLocation"));
}

#[test]
fn writes_name_an_operation_that_is_done_at_once() {
    let world = world();
    let path = machine_id("vm");
    for (method, status) in [("PUT", 201), ("PUT", 200), ("PATCH", 200), ("DELETE", 202)] {
        let answer = world.send("owner", method, &path, &json!({"location": "westus"}));
        assert_eq!((answer.status, answer.header("retry-after")), (status, "0"));
        let url = answer
            .header("azure-asyncoperation")
            .strip_prefix("http://127.0.0.1:8180")
            .unwrap()
            .to_owned();
        assert!(url.starts_with(&format!(
            "{SUB}/providers/Microsoft.Compute/locations/westus/operations/"
        )));
        let operation = world.raw(("owner", "GET", &url), b"", |_| {});
        assert_eq!((operation.status, &operation.body["status"]), (200, &json!("Succeeded")));
        if method == "DELETE" {
            let location =
                answer.header("location").strip_prefix("http://127.0.0.1:8180").unwrap().to_owned();
            assert_eq!(world.raw(("owner", "GET", &location), b"", |_| {}).status, 204);
        }
    }
    assert_eq!(world.delete(&path).status, 204);
    let odd = format!("{SUB}/providers/Microsoft.Compute/locations/westus/operations/x");
    assert_eq!(world.get(&odd).status, 404);
}

#[test]
fn a_system_assigned_identity_lives_until_it_is_dropped_or_its_machine_deleted() {
    let world = world();
    let vm = world.machine("vm", &json!({"type": "SystemAssigned"}));
    let shown = world.get(&vm).body["identity"].clone();
    assert_eq!((&shown["type"], &shown["tenantId"]), (&json!("SystemAssigned"), &json!(TENANT)));
    assert!(shown.get("userAssignedIdentities").is_none());
    let id: PrincipalId = shown["principalId"].as_str().unwrap().parse().unwrap();
    let lives = || world.directory.read().principal(id).is_some();
    world.patch(&vm, &json!({"tags": {"a": "b"}}));
    world.patch(&vm, &json!({"identity": {"type": "systemassigned"}}));
    world.put(&vm, &json!({"location": "westus", "identity": {"type": "SystemAssigned"}}));
    assert!(lives() && world.get(&vm).body["identity"] == shown);
    world.patch(&vm, &json!({"identity": {"type": "None"}}));
    assert!(!lives() && world.get(&vm).body.get("identity").is_none());
    world.patch(&vm, &json!({"identity": {"type": "SystemAssigned"}}));
    let second = world.get(&vm).body["identity"]["principalId"].clone();
    assert_ne!(second, shown["principalId"]);
    let second: PrincipalId = second.as_str().unwrap().parse().unwrap();
    assert_eq!(world.delete(&vm).status, 202);
    assert!(world.directory.read().principal(second).is_none());
}

#[test]
fn user_assigned_identities_are_added_and_taken_away_one_by_one() {
    let world = world();
    let (one, two) = (world.identity("one"), world.identity("two"));
    let vm = world.machine("vm", &user_assigned(&[&one]));
    let shown = world.get(&vm).body["identity"].clone();
    assert_eq!(shown["type"], "UserAssigned");
    assert!(shown.get("principalId").is_none());
    let made = world.get(&one).body;
    for id in ["principalId", "clientId"] {
        assert_eq!(shown["userAssignedIdentities"][&one][id], made["properties"][id]);
    }
    let named = |answer: &Answer| {
        let ids = answer.body["identity"]["userAssignedIdentities"].as_object().cloned();
        ids.map(|ids| {
            ids.keys().map(|id| id.parse::<ArmId>().unwrap().name().to_owned()).collect::<Vec<_>>()
        })
    };
    let patch = |identity: Value| world.patch(&vm, &json!({"identity": identity}));
    let both = patch(
        json!({"type": "systemAssigned,userAssigned", "userAssignedIdentities": {two.to_lowercase(): {}}}),
    );
    assert_eq!(both.body["identity"]["type"], "SystemAssigned, UserAssigned");
    assert_eq!(named(&both), Some(vec!["one".to_owned(), "two".to_owned()]));
    let fewer = patch(json!({"type": "UserAssigned", "userAssignedIdentities": {&one: null}}));
    assert_eq!(named(&fewer), Some(vec!["two".to_owned()]));
    assert!(fewer.body["identity"].get("principalId").is_none());
    let system = patch(json!({"type": "SystemAssigned"}));
    assert_eq!(
        (&system.body["identity"]["type"], named(&system)),
        (&json!("SystemAssigned"), None)
    );
    let replaced =
        world.put(&vm, &json!({"location": "westus", "identity": user_assigned(&[&one])}));
    assert_eq!(named(&replaced), Some(vec!["one".to_owned()]));
    assert!(world.put(&vm, &json!({"location": "westus"})).body.get("identity").is_none());
}

#[test]
fn contradictions_and_unknown_identities_are_refused_in_azures_words() {
    let world = world();
    let one = world.identity("one");
    let path = machine_id("vm");
    let put =
        |identity: Value| world.put(&path, &json!({"location": "westus", "identity": identity}));
    let answer = put(json!({"type": "SystemAssigned", "userAssignedIdentities": {&one: {}}}));
    assert_eq!(answer.refusal(), (400, "InvalidParameter"));
    assert_eq!(
        answer.message(),
        "ResourceIdentity identityIds should not be provided if the type is \"SystemAssigned\"."
    );
    assert_eq!(answer.body["error"]["target"], "resourceIdentity.identityIds");
    assert_eq!(put(json!({"type": "Both"})).refusal(), (400, "InvalidParameter"));
    let none = identity_id("none");
    let answer = put(user_assigned(&[&one, &none]));
    assert_eq!(answer.refusal(), (400, "FailedIdentityOperation"));
    assert_eq!(
        answer.message(),
        format!(
            "Identity operation for resource 'vm' failed with error 'Failed to perform resource identity operation. Status: 'BadRequest'. Response: '{{\"error\":{{\"code\":\"BadRequest\",\"message\":\"Resource '{none}' was not found.\"}}}}'.'."
        )
    );
    assert_eq!(put(user_assigned(&["x"])).refusal(), (400, "LinkedInvalidPropertyId"));
    assert_eq!(put(json!([])).refusal(), (400, "InvalidRequestContent"));
    assert_eq!(world.get(&path).status, 404);
}

#[test]
fn a_deleted_identity_stays_listed_without_ids_until_it_is_taken_away() {
    let world = world();
    let (one, two) = (world.identity("one"), world.identity("two"));
    let vm = world.machine("vm", &user_assigned(&[&one, &two]));
    world.delete(&one);
    let listed = || world.get(&vm).body["identity"]["userAssignedIdentities"][&one].clone();
    let nulls = json!({"principalId": null, "clientId": null});
    assert_eq!(listed(), nulls);
    // A new identity of the same name is not the assigned one.
    world.identity("one");
    assert_eq!(listed(), nulls);
    assert_eq!(world.patch(&vm, &json!({"tags": {"a": "b"}})).status, 200);
    assert_eq!(
        world.patch(&vm, &json!({"identity": {"userAssignedIdentities": {&two: null}}})).status,
        200
    );
    assert_eq!(listed(), nulls);
    let again = world.patch(&vm, &json!({"identity": user_assigned(&[&one])}));
    assert_eq!(again.status, 200);
    assert_eq!(listed()["principalId"], world.get(&one).body["properties"]["principalId"]);
}

#[test]
fn the_address_follows_the_tag() {
    let world = world();
    let vm = world.machine("vm", &json!({"type": "SystemAssigned"}));
    let reaches = |address: [u8; 4]| {
        let caller = world.directory.caller(address.into());
        caller.with_vm(&world.directory, NOW, |vm| vm.select(None::<&Selector>, NOW).is_ok())
    };
    let tag = |address: &str| json!({"tags": {"mintbench-address": address}});
    assert_eq!(reaches([10, 0, 0, 4]), None);
    assert_eq!(world.patch(&vm, &tag("10.0.0.4")).status, 200);
    assert_eq!(reaches([10, 0, 0, 4]), Some(true));
    assert_eq!(world.patch(&vm, &json!({"properties": {"a": 1}})).status, 200);
    assert_eq!(reaches([10, 0, 0, 4]), Some(true));
    assert_eq!(world.patch(&vm, &tag("10.0.0.5")).status, 200);
    assert_eq!((reaches([10, 0, 0, 4]), reaches([10, 0, 0, 5])), (None, Some(true)));
    for bad in [
        "here",
        "",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
        "::ffff:255.255.255.255",
        "10.0.0.0/8",
    ] {
        assert_eq!(world.patch(&vm, &tag(bad)).refusal(), (400, "InvalidParameter"), "{bad}");
    }
    let mut other = tag("::ffff:10.0.0.5");
    other["location"] = json!("westus");
    assert_eq!(world.put(&machine_id("other"), &other).refusal(), (409, "Conflict"));
    assert_eq!(world.patch(&vm, &json!({"tags": {}})).status, 200);
    assert_eq!(reaches([10, 0, 0, 5]), None);
    assert_eq!(world.put(&machine_id("other"), &other).status, 201);
}

#[test]
fn one_machine_at_most_answers_any_caller_and_not_where_another_was() {
    let world = world();
    let [one, two] = ["one", "two"].map(|name| world.machine(name, &json!({"type": "None"})));
    let answers = |last: u8| {
        let caller = world.directory.caller([10, 0, 0, last].into());
        caller.with_vm(&world.directory, NOW, |vm| vm.record.id.name().to_owned())
    };
    let tag = |address: &str| json!({"tags": {"mintbench-address": address}});
    assert_eq!(answers(4), None);
    assert_eq!(world.patch(&one, &tag(" Any ")).status, 200);
    assert_eq!(answers(4).as_deref(), Some("one"));
    assert_eq!(world.patch(&two, &tag("any")).refusal(), (409, "Conflict"));
    assert_eq!(world.patch(&one, &tag("any")).status, 200);
    assert_eq!(world.patch(&two, &tag("10.0.0.4")).status, 200);
    assert_eq!((answers(4).as_deref(), answers(5).as_deref()), (Some("two"), Some("one")));
    assert_eq!(world.delete(&two).status, 202);
    assert_eq!((answers(4), answers(5).as_deref()), (None, Some("one")));
    assert_eq!(world.patch(&one, &json!({"tags": {}})).status, 200);
    assert_eq!(answers(5), None);
}

#[test]
fn a_machine_of_a_world_file_shows_address_and_limits_so_that_a_round_trip_keeps_them() {
    let world = world();
    let vm = world.machine("vm", &json!({"type": "SystemAssigned"}));
    let id: ArmId = vm.parse().unwrap();
    let record = world.directory.read().vm(&id).unwrap().vm.record.clone();
    let seeded = crate::service::world::record::VirtualMachine {
        address: Some("10.0.0.9".parse().unwrap()),
        throttle: Some(Throttle::AZURE),
        ..record
    };
    let change = Change::Put(Record::VirtualMachine(seeded));
    world
        .directory
        .write(NOW, |_, _| Ok::<_, crate::service::directory::StoreError>((vec![change], ())))
        .unwrap();
    let shown = world.get(&vm).body;
    assert_eq!(shown["tags"]["mintbench-address"], "10.0.0.9");
    assert_eq!(shown["tags"]["mintbench-throttle"], "azure");
    assert_eq!(world.put(&vm, &shown).status, 200);
    let record = world.directory.read().vm(&id).unwrap().vm.record.clone();
    assert_eq!(record.address, Some("10.0.0.9".parse().unwrap()));
    assert_eq!(record.throttle, Some(Throttle::AZURE));
}

#[test]
fn the_limits_follow_the_tag() {
    let world = world();
    let vm = world.machine("vm", &json!({"type": "None"}));
    let id: ArmId = vm.parse().unwrap();
    let limits = || {
        let state = world.directory.read();
        let vm = &state.vm(&id).unwrap().vm;
        (vm.record.throttle.map(|throttle| throttle.to_string()), vm.meter.is_some())
    };
    let tag = |limits: &str| json!({"tags": {"MINTBENCH-throttle": limits}});
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(limits(), (None, false));
    let text = "identity=7/s,concurrent=5,metadata=5/s";
    assert_eq!(world.patch(&vm, &tag("identity=7")).status, 200);
    assert_eq!(limits(), (some(text), true));
    assert_eq!(world.patch(&vm, &json!({"properties": {"a": 1}})).status, 200);
    assert_eq!(limits(), (some(text), true));
    assert_eq!(world.patch(&vm, &tag("off")).status, 200);
    assert_eq!(limits(), (some("off"), false));
    assert_eq!(world.patch(&vm, &tag("fast")).refusal(), (400, "InvalidParameter"));
    assert_eq!(world.patch(&vm, &json!({"tags": {}})).status, 200);
    assert_eq!(limits(), (None, false));
}

#[test]
fn only_a_new_machine_is_made_when_the_client_says_so() {
    let world = world();
    let path = versioned(&machine_id("vm"));
    let put = || {
        world.raw(("owner", "PUT", &path), br#"{"location":"westus"}"#, |headers| {
            headers.insert("if-none-match", "*".parse().unwrap());
        })
    };
    assert_eq!(put().status, 201);
    assert_eq!(put().refusal(), (412, "PreconditionFailed"));
}

#[test]
fn no_spelling_of_a_profile_keeps_a_password() {
    let world = world();
    let path = machine_id("vm");
    let profile = json!({"adminPassword": "hunter2", "ADMINPASSWORD": "hunter2"});
    let properties = json!({"osProfile": profile, "OSProfile": profile, "osprofile": profile});
    let made = world.put(&path, &json!({"location": "westus", "properties": properties}));
    assert_eq!(made.status, 201);
    let patched = world.patch(&path, &json!({"properties": properties}));
    assert!(!made.body.to_string().contains("hunter2"));
    assert!(!patched.body.to_string().contains("hunter2"));
}
