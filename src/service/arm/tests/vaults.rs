//! Key vaults: their settings, deletion, recovery and purging.

use super::*;
use crate::base::ids::ArmId;
use crate::service::world::record::{SecretContent, SecretVersion};
use crate::service::world::vault::vault_address;

const DAY: u64 = 24 * 60 * 60;

fn deleted_path(name: &str) -> String {
    format!("{SUB}/providers/Microsoft.KeyVault/locations/westus/deletedVaults/{name}")
}

fn deleted_list() -> String {
    format!("{SUB}/providers/Microsoft.KeyVault/deletedVaults")
}

fn with(properties: &Value) -> Value {
    json!({"location": "westus", "properties": properties})
}

/// Creates a vault with one secret and returns its resource id.
fn vault_with_secret(world: &World, name: &str, properties: &Value) -> String {
    let path = vault_id(name);
    assert_eq!(world.put(&path, &with(properties)).status, 201);
    let value = serde_json::from_value(json!("eA==")).unwrap();
    let content = SecretContent { value, content_type: None };
    let (vault, name) = (path.parse().unwrap(), "Password".to_owned());
    let secret = SecretVersion::plain(vault, name, "0".repeat(32), content, NOW);
    let change = Change::Put(Record::SecretVersion(secret));
    let written = world.directory.write(world.clock.now(), |_, _| {
        Ok::<_, crate::service::directory::StoreError>((vec![change], ()))
    });
    written.unwrap();
    path
}

fn has_secret(world: &World, vault: &str) -> bool {
    let vault: ArmId = vault.parse().unwrap();
    world.directory.read().secret(&vault, "password").is_some()
}

#[test]
fn a_vault_is_made_read_and_changed() {
    let world = world();
    let path = vault_id("My-vault");
    let body = with(&json!({
        "tenantId": TENANT, "sku": {"family": "A", "name": "standard"}, "accessPolicies": [],
    }));
    let made = world.put(&path, &body);
    assert_eq!(made.status, 201);
    let properties = &made.body["properties"];
    let uri = format!("https://{}:8173/", vault_address("my-vault"));
    assert_eq!(properties["vaultUri"], uri);
    assert_eq!(
        (&properties["tenantId"], &properties["enableRbacAuthorization"]),
        (&json!(TENANT), &json!(true))
    );
    assert_eq!(world.get(&path).body, made.body);
    assert_eq!(world.put(&path, &body).status, 200);
    assert_eq!(world.patch(&path, &json!({"tags": {"a": "b"}})).body["tags"], json!({"a": "b"}));
    let elsewhere = format!("{SUB}/resourceGroups/rg2");
    world.put(&elsewhere, &json!({"location": "westus"}));
    let twin = path.replace(GROUP, &elsewhere).replace("My-vault", "MY-VAULT");
    assert_eq!(world.put(&twin, &body).refusal(), (409, "VaultAlreadyExists"));
    let moved = world.patch(&path, &json!({"location": "eastus"}));
    assert_eq!(moved.refusal(), (409, "InvalidResourceLocation"));
    for name in ["ab", "1abc", "a--b", "ab-", "a_bc", &"a".repeat(25)] {
        let refused = world.put(&vault_id(name), &body);
        assert_eq!(refused.refusal(), (400, "VaultNameNotValid"), "{name}");
    }
}

#[test]
fn a_name_whose_address_another_vault_has_is_refused_also_once_that_is_deleted() {
    let mut names = std::collections::HashMap::new();
    let mut all = (0..).map(|number| format!("kv{number}"));
    let (first, second) = all
        .find_map(|name| Some((names.insert(vault_address(&name), name.clone())?, name)))
        .unwrap();
    let world = world();
    let body = with(&json!({"tenantId": TENANT, "sku": {"family": "A", "name": "standard"}}));
    assert_eq!(world.put(&vault_id(&first), &body).status, 201);
    assert_eq!(world.put(&vault_id(&second), &body).refusal(), (409, "Conflict"));
    assert_eq!(world.delete(&vault_id(&first)).status, 200);
    assert_eq!(world.put(&vault_id(&second), &body).refusal(), (409, "Conflict"));
    assert_eq!(world.put(&vault_id("kv-free"), &body).status, 201);
}

#[test]
fn every_setting_of_a_vault_is_kept_until_it_is_changed() {
    let world = world();
    let path = vault_id("guard");
    let asked = json!({
        "tenantId": TENANT.to_uppercase(),
        "sku": {"family": "a", "name": "Premium"},
        "EnabledForDeployment": true,
        "enabledForDiskEncryption": true,
        "enabledForTemplateDeployment": true,
        "enableSoftDelete": true,
        "softDeleteRetentionInDays": 7,
        "enablePurgeProtection": true,
        "enableRbacAuthorization": true,
        "networkAcls": {"bypass": "none", "defaultAction": "Allow", "ipRules": [], "virtualNetworkRules": null},
        "publicNetworkAccess": "enabled",
        "createMode": "default",
    });
    let kept = json!({
        "tenantId": TENANT,
        "sku": {"family": "A", "name": "premium"},
        "accessPolicies": [],
        "enabledForDeployment": true,
        "enabledForDiskEncryption": true,
        "enabledForTemplateDeployment": true,
        "enableSoftDelete": true,
        "softDeleteRetentionInDays": 7,
        "enablePurgeProtection": true,
        "enableRbacAuthorization": true,
        "networkAcls": {"bypass": "None", "defaultAction": "Allow", "ipRules": [], "virtualNetworkRules": []},
        "publicNetworkAccess": "Enabled",
        "provisioningState": "Succeeded",
        "vaultUri": format!("https://{}:8173/", vault_address("guard")),
    });
    assert_eq!(world.put(&path, &with(&asked)).body["properties"], kept);
    assert_eq!(world.get(&path).body["properties"], kept);
    // A client may write back the vault that it read.
    let read = world.get(&path).body;
    assert_eq!(world.put(&path, &read).body, read);
    assert_eq!(world.patch(&path, &json!({"tags": {}})).body["properties"], kept);
    let changed =
        json!({"properties": {"enabledForDeployment": false, "sku": {"name": "standard"}}});
    let properties = world.patch(&path, &changed).body["properties"].clone();
    assert_eq!(
        (&properties["enabledForDeployment"], &properties["sku"]["name"]),
        (&json!(false), &json!("standard"))
    );
    assert_eq!(properties["enabledForDiskEncryption"], true);
    // A setting that can be set only once stays when a PUT omits it. Other settings return to their defaults.
    let replaced = world.put(&path, &with(&json!({}))).body["properties"].clone();
    assert_eq!(
        (&replaced["softDeleteRetentionInDays"], &replaced["enablePurgeProtection"]),
        (&json!(7), &json!(true))
    );
    assert_eq!(
        (&replaced["enabledForDiskEncryption"], replaced.get("networkAcls")),
        (&json!(false), None)
    );
    for properties in
        [json!({"softDeleteRetentionInDays": 8}), json!({"enablePurgeProtection": false})]
    {
        assert_eq!(
            world.patch(&path, &json!({"properties": properties})).refusal(),
            (400, "BadRequest")
        );
    }
}

#[test]
fn what_a_vault_does_not_serve_is_refused_and_never_dropped() {
    let world = world();
    for (properties, code) in [
        (json!({"tenantId": FOREIGN_TENANT}), "BadRequest"),
        (json!({"tenantId": 5}), "InvalidRequestContent"),
        (json!({"enableRbacAuthorization": false}), "BadRequest"),
        (json!({"enableRbacAuthorization": "true"}), "InvalidRequestContent"),
        (json!({"accessPolicies": [{"tenantId": TENANT}]}), "BadRequest"),
        (json!({"accessPolicies": {}}), "InvalidRequestContent"),
        (json!({"enableSoftDelete": false}), "BadRequest"),
        (json!({"softDeleteRetentionInDays": 6}), "BadRequest"),
        (json!({"softDeleteRetentionInDays": 91}), "BadRequest"),
        (json!({"softDeleteRetentionInDays": "7"}), "BadRequest"),
        (json!({"enablePurgeProtection": 1}), "InvalidRequestContent"),
        (json!({"enabledForDeployment": "yes"}), "InvalidRequestContent"),
        (json!({"sku": {"family": "B"}}), "InvalidRequestContent"),
        (json!({"sku": {"name": "gold"}}), "InvalidRequestContent"),
        (json!({"sku": {"tier": "1"}}), "BadRequest"),
        (json!({"publicNetworkAccess": "Disabled"}), "BadRequest"),
        (json!({"publicNetworkAccess": "Sometimes"}), "InvalidRequestContent"),
        (json!({"networkAcls": {"defaultAction": "Deny"}}), "BadRequest"),
        (json!({"networkAcls": {"ipRules": [{"value": "10.0.0.0/8"}]}}), "BadRequest"),
        (json!({"networkAcls": {"virtualNetworkRules": [{"id": "x"}]}}), "BadRequest"),
        (json!({"networkAcls": {"serviceTagRules": []}}), "BadRequest"),
        (json!({"createMode": "copy"}), "InvalidRequestContent"),
        (json!({"somethingNew": true}), "BadRequest"),
    ] {
        let refused = world.put(&vault_id("vault-1"), &with(&properties));
        assert_eq!(refused.refusal(), (400, code), "{properties}");
    }
    let foreign = json!({"location": "westus", "identity": {"type": "SystemAssigned"}});
    assert_eq!(world.put(&vault_id("vault-1"), &foreign).refusal(), (400, "BadRequest"));
    assert_eq!(world.get(&vault_id("vault-1")).status, 404);
}

#[test]
fn a_deleted_vault_keeps_its_secrets_and_its_name_until_it_is_purged() {
    let world = world();
    let path = vault_with_secret(&world, "Vault-1", &json!({}));
    world.patch(&path, &json!({"tags": {"a": "b"}}));
    assert_eq!((world.delete(&path).status, world.delete(&path).status), (200, 204));
    assert_eq!(world.get(&path).refusal(), (404, "ResourceNotFound"));
    assert!(has_secret(&world, &path));
    let shown = world.get(&deleted_path("vault-1"));
    assert_eq!(
        shown.body,
        json!({
            "id": deleted_path("Vault-1"), "name": "Vault-1", "type": "Microsoft.KeyVault/deletedVaults",
            "properties": {
                "vaultId": path, "location": "westus", "tags": {"a": "b"},
                "deletionDate": "2027-01-15T08:00:00.0000000Z",
                "scheduledPurgeDate": "2027-04-15T08:00:00.0000000Z",
            },
        })
    );
    assert_eq!(world.get(&deleted_list()).body["value"], json!([shown.body]));
    assert_eq!(world.put(&path, &with(&json!({}))).refusal(), (409, "ConflictError"));
    let purge = format!("{}/purge", deleted_path("vault-1"));
    assert_eq!(world.get(&purge).refusal(), (405, "HttpMethodNotAllowed"));
    let purged = world.send("owner", "POST", &purge, &Value::Null);
    assert_eq!(purged.status, 202);
    // Terraform waits for the one URL, az for both.
    for (header, status) in [("azure-asyncoperation", 200), ("location", 204)] {
        let url = purged.headers[header].to_str().unwrap();
        let path = &url[url.find("/subscriptions").unwrap()..];
        let state = world.raw(("owner", "GET", path), b"", |_| {});
        assert_eq!(state.status, status, "{url}");
        assert!(status == 204 || state.body["status"] == "Succeeded", "{}", state.body);
    }
    assert!(!has_secret(&world, &path));
    for path in [&deleted_path("vault-1"), &deleted_path("never")] {
        assert_eq!(world.get(path).refusal(), (404, "DeletedVaultNotFound"));
    }
    assert_eq!(world.send("owner", "POST", &purge, &Value::Null).status, 404);
    assert_eq!(world.get(&deleted_list()).body["value"], json!([]));
    assert_eq!(world.put(&path, &with(&json!({}))).status, 201);
}

#[test]
fn a_recovered_vault_is_as_it_was_but_for_its_role_assignments() {
    let world = world();
    let settings = json!({"softDeleteRetentionInDays": 30, "enabledForDeployment": true});
    let path = vault_with_secret(&world, "vault-1", &settings);
    world.patch(&path, &json!({"tags": {"a": "b"}}));
    let before = world.get(&path).body;
    let assignment = world.grant(1, "nobody", "Reader", &path);
    let recover = with(&json!({"tenantId": TENANT, "createMode": "recover"}));
    world.delete(&path);
    let moved = json!({"location": "eastus", "properties": {"createMode": "recover"}});
    assert_eq!(world.put(&path, &moved).refusal(), (409, "InvalidResourceLocation"));
    let recovered = world.put(&path, &recover);
    assert_eq!((recovered.status, &recovered.body), (200, &before));
    assert_eq!(world.get(&path).body, before);
    assert!(has_secret(&world, &path));
    assert_eq!(world.get(&assignment).status, 404);
    let never = world.put(&vault_id("vault-2"), &recover);
    assert_eq!(never.refusal(), (404, "DeletedVaultNotFound"));
}

#[test]
fn nobody_purges_a_protected_vault_before_its_time() {
    // Authentication is off because a token would expire in the meantime.
    let world = world_with(ArmAuth::Off, 100);
    let settings = json!({"enablePurgeProtection": true, "softDeleteRetentionInDays": 7});
    let path = vault_with_secret(&world, "vault-1", &settings);
    world.delete(&path);
    let shown = world.get(&deleted_path("vault-1")).body;
    assert_eq!(shown["properties"]["purgeProtectionEnabled"], true);
    let purge = format!("{}/purge", deleted_path("vault-1"));
    let refused = world.send("owner", "POST", &purge, &Value::Null);
    assert_eq!(refused.refusal(), (405, "MethodNotAllowed"));
    assert!(refused.message().starts_with("Operation 'DeletedVaultPurge' is not allowed."));
    assert!(has_secret(&world, &path));
    world.clock.advance(Seconds(7 * DAY));
    assert_eq!(world.get(&deleted_path("vault-1")).status, 404);
    // The name is free at once. The secrets of the old vault do not come back.
    assert_eq!(world.put(&path, &with(&json!({}))).status, 201);
    assert!(!has_secret(&world, &path));
}

#[test]
fn vaults_of_a_deleted_group_can_be_recovered_when_the_group_is_there_again() {
    let world = world();
    let path = vault_with_secret(&world, "vault-1", &json!({}));
    assert_eq!(world.delete(GROUP).status, 200);
    let recover = with(&json!({"createMode": "recover"}));
    assert_eq!(world.put(&path, &recover).refusal(), (404, "ResourceGroupNotFound"));
    world.put(GROUP, &json!({"location": "westus"}));
    assert_eq!(world.put(&path, &recover).status, 200);
    assert!(has_secret(&world, &path));
}

#[test]
fn deleted_vaults_are_shown_and_purged_by_those_who_may() {
    let world = world();
    let path = vault_with_secret(&world, "vault-1", &json!({}));
    world.grant(1, "nobody", "Key Vault Contributor", SUB);
    world.delete(&path);
    let purge = format!("{}/purge", deleted_path("vault-1"));
    for (name, listed, purged) in
        [("reader", 200, 403), ("nobody", 200, 403), ("group-reader", 403, 403)]
    {
        assert_eq!(world.send(name, "GET", &deleted_list(), &Value::Null).status, listed, "{name}");
        let shown = world.send(name, "GET", &deleted_path("vault-1"), &Value::Null);
        assert_eq!(shown.status, listed, "{name}");
        assert_eq!(world.send(name, "POST", &purge, &Value::Null).status, purged, "{name}");
    }
    let elsewhere = deleted_path("vault-1").replace(SUB, FOREIGN_SUB);
    let foreign = world.send("foreigner", "GET", &elsewhere, &Value::Null);
    assert_eq!(foreign.refusal(), (404, "DeletedVaultNotFound"));
    assert!(has_secret(&world, &path));
}
