//! Subscriptions, resource groups, vaults, lists and headers.

use super::*;
use crate::base::ids::ArmId;

#[test]
fn a_subscription_is_shown_with_the_tenant_that_it_trusts() {
    let world = world();
    let shown = world.get(SUB);
    assert_eq!(shown.status, 200);
    assert_eq!(
        (&shown.body["tenantId"], &shown.body["state"]),
        (&json!(TENANT), &json!("Enabled"))
    );
    assert_eq!(world.get("/subscriptions").body["value"], json!([shown.body]));
    assert_eq!(world.get("/tenants").body["value"][0]["tenantId"], TENANT);
}

#[test]
fn providers_are_registered() {
    let world = world();
    let all = world.get(&format!("{SUB}/providers"));
    assert_eq!(all.body["value"].as_array().unwrap().len(), 5);
    let own = plain_provider(&world, "GET", &format!("{SUB}/providers/microsoft.compute"));
    assert_eq!(own.body["registrationState"], "Registered");
    assert_eq!(own.body["resourceTypes"][0]["apiVersions"][0], "2026-04-01");
    let path = format!("{SUB}/providers/Microsoft.KeyVault/register");
    assert_eq!(plain_provider(&world, "POST", &path).status, 200);
    let none = plain_provider(&world, "GET", &format!("{SUB}/providers/Contoso.Bikes"));
    assert_eq!(none.refusal(), (404, "InvalidResourceNamespace"));
}

fn plain_provider(world: &World, method: &str, path: &str) -> Answer {
    world.raw(("owner", method, &format!("{path}?api-version=2021-04-01")), b"", |_| {})
}

#[test]
fn a_group_is_made_changed_found_and_deleted() {
    let world = world();
    let path = format!("{SUB}/resourceGroups/New-Group");
    assert_eq!(world.send("owner", "HEAD", &path, &Value::Null).status, 404);
    assert_eq!(world.put(&path, &json!({})).refusal(), (400, "LocationRequired"));
    let made = world.put(&path, &json!({"location": "East US", "tags": {"a": "b"}}));
    assert_eq!(made.status, 201);
    assert_eq!(
        made.body,
        json!({
            "id": path, "name": "New-Group", "type": "Microsoft.Resources/resourceGroups",
            "location": "eastus", "tags": {"a": "b"}, "properties": {"provisioningState": "Succeeded"},
        })
    );
    assert_eq!(world.put(&path, &json!({"location": "eastus"})).status, 200);
    let moved = world.put(&path, &json!({"location": "westus"}));
    assert_eq!(moved.refusal(), (409, "InvalidResourceGroupLocation"));
    assert_eq!(world.patch(&path, &json!({"tags": {"c": "d"}})).body["tags"], json!({"c": "d"}));
    let head = world.send(
        "owner",
        "HEAD",
        &path.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions"),
        &Value::Null,
    );
    assert_eq!((head.status, head.body), (204, Value::Null));
    assert_eq!(world.delete(&path).status, 200);
    for method in ["GET", "PATCH", "DELETE"] {
        let gone = world.send("owner", method, &path, &json!({}));
        assert_eq!(gone.refusal(), (404, "ResourceGroupNotFound"));
    }
}

#[test]
fn with_a_group_goes_what_is_in_it_and_nothing_else() {
    let world = world();
    let other = format!("{SUB}/resourceGroups/rg2");
    world.put(&other, &json!({"location": "westus"}));
    let kept = identity_id("kept").replace(GROUP, &other);
    assert_eq!(world.put(&kept, &json!({"location": "westus"})).status, 201);
    let one = world.identity("one");
    let vm = world.machine("vm", &json!({"type": "SystemAssigned"}));
    let vault = vault_id("vault-1");
    assert_eq!(world.put(&vault, &json!({"location": "westus"})).status, 201);
    let principals = [&one, &vm].map(|path| {
        let body = world.get(path).body;
        let id =
            body["properties"]["principalId"].as_str().or(body["identity"]["principalId"].as_str());
        id.unwrap().parse::<PrincipalId>().unwrap()
    });
    let assignment = world.grant(1, "nobody", "Reader", &one);
    assert_eq!(world.delete(GROUP).status, 200);
    assert_eq!(world.put(GROUP, &json!({"location": "westus"})).status, 201);
    for path in [&one, &vm, &vault] {
        assert_eq!(world.get(path).refusal(), (404, "ResourceNotFound"), "{path}");
    }
    assert!(principals.iter().all(|id| world.directory.read().principal(*id).is_none()));
    assert_eq!(world.get(&assignment).status, 404);
    assert_eq!(world.get(&kept).status, 200);
}

#[test]
fn a_list_comes_in_pages_that_lead_to_each_other() {
    let world = world_with(ArmAuth::Bearer, 3);
    let mut made: Vec<String> = (0..7).map(|n| world.identity(&format!("id-{n}"))).collect();
    made.sort();
    let list = format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities");
    for (query, sizes) in
        [("", vec![3, 3, 1]), ("?%24top=2", vec![2, 2, 2, 1]), ("?$top=50", vec![3, 3, 1])]
    {
        let (mut seen, mut found) = (Vec::new(), Vec::new());
        let mut next = Some(versioned(&format!("{list}{query}")));
        while let Some(path) = next {
            let page = world.raw(("reader", "GET", &path), b"", |_| {});
            let value = page.body["value"].as_array().unwrap();
            found.push(value.len());
            seen.extend(value.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
            next = page.body["nextLink"].as_str().map(|link| {
                assert!(link.contains("api-version=2024-11-30"), "{link}");
                link.strip_prefix("http://127.0.0.1:8180").unwrap().to_owned()
            });
        }
        assert_eq!((seen, found), (made.clone(), sizes));
    }
    for bad in ["$top=0", "$top=x", "$skiptoken=%21", "$skiptoken=", "$skiptoken=YQ"] {
        let answer = world.get(&format!("{list}?{bad}"));
        assert_eq!(answer.refusal(), (400, "InvalidQueryParameterValue"), "{bad}");
    }
}

#[test]
fn the_link_to_the_next_page_names_the_host_that_was_asked() {
    let world = world_with(ArmAuth::Bearer, 1);
    world.identity("one");
    world.identity("two");
    let list =
        versioned(&format!("{SUB}/providers/Microsoft.ManagedIdentity/userAssignedIdentities"));
    let page = world.raw(("owner", "GET", &list), b"", |headers| {
        headers.insert("host", "management.azure.com".parse().unwrap());
    });
    assert!(
        page.body["nextLink"]
            .as_str()
            .unwrap()
            .starts_with("http://management.azure.com/subscriptions/")
    );
}

#[test]
fn every_answer_carries_the_headers_of_resource_manager() {
    let world = world();
    for (method, path, kind) in [
        ("GET", GROUP.to_owned(), "subscription-reads"),
        ("PATCH", GROUP.to_owned(), "subscription-writes"),
        ("DELETE", identity_id("none"), "subscription-deletes"),
        ("GET", "/tenants".to_owned(), "tenant-reads"),
        ("GET", "/nowhere".to_owned(), "tenant-reads"),
    ] {
        let answer = world.send("owner", method, &path, &json!({}));
        let id = answer.header("x-ms-request-id");
        assert!(uuid::Uuid::try_parse(id).is_ok());
        assert_eq!(answer.header("x-ms-correlation-request-id"), id);
        assert_eq!(
            answer.header("x-ms-routing-request-id"),
            format!("LOCAL:20270115T080000Z:{id}")
        );
        assert!(
            !answer.header(&format!("x-ms-ratelimit-remaining-{kind}")).is_empty(),
            "{method} {path}"
        );
        for (name, value) in [
            ("cache-control", "no-cache"),
            ("pragma", "no-cache"),
            ("expires", "-1"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), value);
        }
    }
}

#[test]
fn ids_that_the_client_gives_are_sent_back() {
    let world = world();
    let send = |wants: &str, id: &str| {
        world.raw(("owner", "GET", &versioned(GROUP)), b"", |headers| {
            headers.insert("x-ms-correlation-request-id", id.parse().unwrap());
            headers.insert("x-ms-client-request-id", id.parse().unwrap());
            headers.insert("x-ms-return-client-request-id", wants.parse().unwrap());
        })
    };
    let answer = send("true", "abc-1");
    assert_eq!(answer.header("x-ms-correlation-request-id"), "abc-1");
    assert_eq!(answer.header("x-ms-client-request-id"), "abc-1");
    assert_eq!(send("false", "abc-1").header("x-ms-client-request-id"), "");
    let long = "a".repeat(129);
    assert_ne!(send("true", &long).header("x-ms-correlation-request-id"), long);
}

#[test]
fn resources_of_all_kinds_come_in_one_list_in_pages() {
    let world = world_with(ArmAuth::Bearer, 2);
    let other = format!("{SUB}/resourceGroups/a-first");
    world.put(&other, &json!({"location": "westus"}));
    let mut made = vec![
        world.identity("one"),
        world.machine("vm", &json!({"type": "None"})),
        world.machine("vm2", &json!({"type": "None"})),
    ];
    made.push(vault_id("vault-1"));
    made.push(identity_id("two").replace(GROUP, &other));
    for path in &made[3..] {
        assert_eq!(world.put(path, &json!({"location": "westus"})).status, 201);
    }
    let listed = |path: &str| {
        let (mut seen, mut next) = (Vec::new(), Some(format!("{path}api-version=2021-04-01")));
        while let Some(path) = next {
            let page = world.raw(("reader", "GET", &path), b"", |_| {}).body;
            let value = page["value"].as_array().cloned().unwrap();
            seen.extend(value.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
            let link = page["nextLink"].as_str();
            next = link.map(|link| link.strip_prefix("http://127.0.0.1:8180").unwrap().to_owned());
        }
        seen
    };
    made.sort_by_key(|id| id.parse::<ArmId>().unwrap());
    assert_eq!(listed(&format!("{SUB}/resources?")), made);
    assert_eq!(listed(&format!("{GROUP}/resources?")), made[1..]);
    let vms =
        format!("{SUB}/resources?$filter=resourceType%20eq%20'microsoft.compute/virtualmachines'&");
    assert_eq!(listed(&vms), [machine_id("vm"), machine_id("vm2")]);
    let odd = format!("{SUB}/resources?$filter=atScope()");
    assert_eq!(world.get(&odd).refusal(), (400, "InvalidFilterInQueryString"));
}
