//! User-assigned identities, and the system-assigned one of a machine.

use super::*;

#[test]
fn an_identity_is_made_read_and_deleted() {
    let world = world();
    let id = identity_id("one");
    let body = json!({"location": "West US", "tags": {"a": "b"}, "properties": {"isolationScope": "regional"}});
    let made = world.put(&id, &body);
    assert_eq!(made.status, 201);
    assert_eq!(made.body["id"], id);
    assert_eq!(made.body["name"], "one");
    assert_eq!(made.body["type"], "Microsoft.ManagedIdentity/userAssignedIdentities");
    assert_eq!(made.body["location"], "westus");
    assert_eq!(made.body["tags"], json!({"a": "b"}));
    assert_eq!(made.body["properties"]["tenantId"], TENANT);
    assert_eq!(made.body["properties"]["isolationScope"], "Regional");
    assert_eq!(world.get(&id).body, made.body);
    assert_eq!(world.delete(&id).status, 200);
    assert_eq!(world.delete(&id).status, 204);
    assert_eq!(world.get(&id).refusal(), (404, "ResourceNotFound"));
}

#[test]
fn a_put_keeps_the_principal_and_a_new_one_of_the_name_has_another() {
    let world = world();
    let id = world.identity("one");
    let principal = |answer: &Answer| answer.body["properties"]["principalId"].clone();
    let first = world.get(&id);
    let again = world.put(&id, &json!({"location": "westus", "tags": {"x": "y"}}));
    assert_eq!((again.status, principal(&again)), (200, principal(&first)));
    assert_eq!(again.body["properties"]["clientId"], first.body["properties"]["clientId"]);
    world.delete(&id);
    world.identity("one");
    assert_ne!(principal(&world.get(&id)), principal(&first));
}

#[test]
fn ids_ignore_case_and_the_first_spelling_is_kept() {
    let world = world();
    let id = world.identity("One-a");
    for path in [id.to_lowercase(), id.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions")] {
        assert_eq!(world.get(&path).body["id"], id);
        let again = world.put(&path, &json!({"location": "westus"}));
        assert_eq!((again.status, &again.body["id"]), (200, &json!(id)));
    }
    let other = identity_id("two").replace("/rg/", "/RG/");
    let made = world.put(&other, &json!({"location": "westus"}));
    assert_eq!(made.body["id"], identity_id("two"));
}

#[test]
fn a_patch_sets_what_it_names() {
    let world = world();
    let id = world.identity("one");
    let patched = world.patch(&id, &json!({"tags": {"a": "b"}}));
    assert_eq!((patched.status, &patched.body["tags"]), (200, &json!({"a": "b"})));
    let patched = world.patch(&id, &json!({"properties": {"isolationScope": "None"}}));
    assert_eq!(patched.body["tags"], json!({"a": "b"}));
    assert_eq!(patched.body["properties"]["isolationScope"], "None");
    assert_eq!(world.patch(&identity_id("none"), &json!({})).refusal(), (404, "ResourceNotFound"));
    let moved = world.patch(&id, &json!({"location": "eastus"}));
    assert_eq!(moved.refusal(), (409, "InvalidResourceLocation"));
}

#[test]
fn a_location_is_required_and_does_not_change() {
    let world = world();
    let id = identity_id("one");
    let answer = world.put(&id, &json!({}));
    assert_eq!(answer.refusal(), (400, "LocationRequired"));
    assert_eq!(answer.message(), "The location property is required for this definition.");
    world.identity("one");
    let moved = world.put(&id, &json!({"location": "eastus"}));
    assert_eq!(moved.refusal(), (409, "InvalidResourceLocation"));
    assert_eq!(
        moved.message(),
        "The resource 'one' already exists in location 'westus' in resource group 'rg'. A resource with the same name cannot be created in location 'eastus'. Please select a new resource name."
    );
    assert_eq!(world.put(&id, &json!({"location": "WEST us"})).status, 200);
}

#[test]
fn names_and_properties_are_checked() {
    let world = world();
    let good = json!({"location": "westus"});
    for name in ["ab", "-abc", "a.b.c", &"a".repeat(129)] {
        assert_eq!(
            world.put(&identity_id(name), &good).refusal(),
            (400, "InvalidResourceName"),
            "{name}"
        );
    }
    for bad in [
        json!({"location": "westus", "properties": {"isolationScope": "Global"}}),
        json!({"location": "westus", "properties": []}),
        json!({"location": 7}),
        json!({"location": "westus", "tags": {"a": 1}}),
        json!([]),
    ] {
        assert_eq!(
            world.put(&identity_id("one"), &bad).refusal(),
            (400, "InvalidRequestContent"),
            "{bad}"
        );
    }
    assert_eq!(world.get(&identity_id("one")).status, 404);
}

#[test]
fn the_system_assigned_identity_of_a_machine_is_read_at_its_scope() {
    let world = world();
    let vm = world.machine("vm", &json!({"type": "SystemAssigned"}));
    let path = format!("{vm}/providers/Microsoft.ManagedIdentity/identities/default");
    let found = world.get(&path);
    assert_eq!(found.status, 200);
    let shown = &world.get(&vm).body["identity"];
    assert_eq!(found.body["properties"]["principalId"], shown["principalId"]);
    assert_eq!(found.body["properties"]["tenantId"], TENANT);
    assert_eq!(found.body["type"], "Microsoft.ManagedIdentity/identities");
    let url = found.body["properties"]["clientSecretUrl"].as_str().unwrap();
    assert!(url.starts_with("https://control-westus.identity.azure.net/subscriptions/"));
    world.patch(&vm, &json!({"identity": {"type": "None"}}));
    assert_eq!(world.get(&path).refusal(), (404, "ResourceNotFound"));
    let none = path.replace("/vm/", "/none/");
    assert_eq!(world.get(&none).refusal(), (404, "ResourceNotFound"));
}

#[test]
fn what_was_granted_at_a_deleted_identity_does_not_pass_to_its_namesake() {
    let world = world();
    let id = world.identity("one");
    let assignment = world.grant(1, "nobody", "Reader", &id);
    world.delete(&id);
    world.identity("one");
    assert_eq!(world.get(&assignment).refusal(), (404, "RoleAssignmentNotFound"));
    assert_eq!(world.send("nobody", "GET", &id, &Value::Null).status, 403);
}
