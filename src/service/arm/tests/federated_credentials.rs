//! Federated credentials of user-assigned identities.

use super::*;
use crate::service::world::federation::CREDENTIALS_MAX;

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api://AzureADTokenExchange";

fn credential_id(identity: &str, name: &str) -> String {
    format!("{identity}/federatedIdentityCredentials/{name}")
}

fn content(subject: &str) -> Value {
    json!({"properties": {"issuer": ISSUER, "subject": subject, "audiences": [AUDIENCE]}})
}

fn names(answer: &Answer) -> Vec<String> {
    let items = answer.body["value"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_credential_is_made_read_listed_changed_and_deleted() {
    let world = world();
    let identity = world.identity("web");
    let id = credential_id(&identity, "Kube-1");
    let made = world.put(&id, &content("system:serviceaccount:shop:web"));
    assert_eq!(made.status, 201, "{}", made.body);
    let expected = json!({
        "id": id, "name": "Kube-1",
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
        "properties": {
            "issuer": ISSUER, "subject": "system:serviceaccount:shop:web", "audiences": [AUDIENCE],
        },
    });
    assert_eq!(made.body, expected);
    assert_eq!(world.get(&id).body, expected);
    assert_eq!(
        world.get(&id.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions")).body,
        expected
    );
    let list = format!("{identity}/federatedIdentityCredentials");
    assert_eq!(world.get(&list).body, json!({"value": [expected]}));

    let changed = world.put(&credential_id(&identity, "kube-1"), &content("other"));
    assert_eq!((changed.status, &changed.body["id"]), (200, &json!(id)));
    assert_eq!(changed.body["properties"]["subject"], "other");
    assert_eq!(names(&world.get(&list)), ["Kube-1"]);

    assert_eq!(world.delete(&id).status, 200);
    assert_eq!(world.delete(&id).status, 204);
    assert_eq!(world.get(&id).refusal(), (404, "ResourceNotFound"));
    assert_eq!(world.get(&list).body, json!({"value": []}));
}

#[test]
fn an_identity_keeps_its_credentials_until_it_ends() {
    let world = world();
    let identity = world.identity("web");
    let id = credential_id(&identity, "kube");
    world.put(&id, &content("a"));
    assert_eq!(
        world.put(&identity, &json!({"location": "westus", "tags": {"a": "b"}})).status,
        200
    );
    assert_eq!(world.patch(&identity, &json!({"tags": {}})).status, 200);
    assert_eq!(world.get(&id).status, 200);
    // A change of a credential is no change of the identity.
    let before = world.get(&identity).body;
    world.put(&credential_id(&identity, "other"), &content("b"));
    assert_eq!(world.get(&identity).body, before);
    world.delete(&identity);
    assert_eq!(world.get(&id).refusal(), (404, "ParentResourceNotFound"));
    world.identity("web");
    assert_eq!(world.get(&id).refusal(), (404, "ResourceNotFound"));
}

#[test]
fn an_identity_has_twenty_credentials_at_most_and_each_pair_once() {
    let world = world();
    let identity = world.identity("web");
    for number in 0..CREDENTIALS_MAX {
        let id = credential_id(&identity, &format!("n-{number:02}"));
        assert_eq!(world.put(&id, &content(&format!("s-{number}"))).status, 201, "{number}");
    }
    let more = world.put(&credential_id(&identity, "more"), &content("more"));
    assert_eq!(more.refusal(), (400, "BadRequest"));
    assert!(more.message().contains("20 Federated Identity Credentials"), "{}", more.message());
    assert_eq!(world.put(&credential_id(&identity, "n-00"), &content("new")).status, 200);
    world.delete(&credential_id(&identity, "n-01"));
    let twice = world.put(&credential_id(&identity, "more"), &content("s-2"));
    assert_eq!(twice.refusal(), (409, "Conflict"));
    assert_eq!(
        twice.message(),
        "Issuer and subject combination already exists for this Managed Identity."
    );
    // Another identity may have the same pair.
    let other = world.identity("other");
    assert_eq!(world.put(&credential_id(&other, "more"), &content("s-2")).status, 201);
}

#[test]
fn what_is_no_credential_is_refused_and_nothing_changes() {
    let world = world();
    let identity = world.identity("web");
    let id = credential_id(&identity, "kube");
    let unexpected = "The request format was unexpected. Federated Identity Credential must specify 'issuer', 'subject' and 'audience'.";
    let properties = |changed: Value| {
        let mut content = content("a");
        let fields = content["properties"].as_object_mut().unwrap();
        for (name, value) in changed.as_object().unwrap() {
            fields.insert(name.clone(), value.clone());
        }
        content
    };
    for missing in [
        json!({}),
        properties(json!({"issuer": null})),
        properties(json!({"subject": ""})),
        properties(json!({"audiences": []})),
        properties(json!({"audiences": [""]})),
    ] {
        let refused = world.put(&id, &missing);
        assert_eq!(refused.refusal(), (400, "BadRequest"), "{missing}");
        assert_eq!(refused.message(), unexpected, "{missing}");
    }
    for (bad, code) in [
        (properties(json!({"issuer": "issuer"})), "BadRequest"),
        (properties(json!({"subject": "a".repeat(601)})), "BadRequest"),
        (properties(json!({"claimsMatchingExpression": {"value": "x"}})), "BadRequest"),
        (properties(json!({"issuer": 1})), "InvalidRequestContent"),
        (properties(json!({"audiences": "a"})), "InvalidRequestContent"),
        (properties(json!({"audiences": [1]})), "InvalidRequestContent"),
        (json!([]), "InvalidRequestContent"),
    ] {
        assert_eq!(world.put(&id, &bad).refusal(), (400, code), "{bad}");
    }
    for name in ["ab", "-abc", "a.bc", &"a".repeat(121)] {
        let refused = world.put(&credential_id(&identity, name), &content("a"));
        assert_eq!(refused.refusal(), (400, "InvalidResourceName"), "{name}");
    }
    assert_eq!(names(&world.get(&format!("{identity}/federatedIdentityCredentials"))), [""; 0]);
}

#[test]
fn paths_versions_and_methods_are_those_of_azure() {
    let world = world();
    let identity = world.identity("web");
    let id = credential_id(&identity, "kube");
    let at = |version: &str, method: &str| {
        let path = format!("{id}?api-version={version}");
        world.raw(("owner", method, &path), content("a").to_string().as_bytes(), |_| {})
    };
    assert_eq!(at("2023-01-31", "PUT").status, 201);
    assert_eq!(at("2024-11-30", "PUT").status, 200);
    assert_eq!(at("2018-11-30", "GET").refusal(), (400, "NoRegisteredProviderFound"));
    assert_eq!(at("2024-11-30", "PATCH").refusal(), (405, "HttpMethodNotAllowed"));
    let absent = credential_id(&identity_id("none"), "kube");
    for answer in [world.put(&absent, &content("a")), world.get(&absent), world.delete(&absent)] {
        assert_eq!(answer.refusal(), (404, "ParentResourceNotFound"));
    }
    let deeper = format!("{id}/x");
    assert_eq!(world.get(&deeper).refusal(), (404, "NotFound"));
    let filtered = format!("{identity}/federatedIdentityCredentials?$filter=x");
    assert_eq!(world.get(&filtered).refusal(), (400, "InvalidFilterInQueryString"));
}

#[test]
fn a_long_list_is_paged() {
    let world = world_with(ArmAuth::Bearer, 2);
    let identity = world.identity("web");
    for name in ["ccc", "AAA", "bbb"] {
        world.put(&credential_id(&identity, name), &content(name));
    }
    let first = world.get(&format!("{identity}/federatedIdentityCredentials"));
    assert_eq!(names(&first), ["AAA", "bbb"]);
    let next = first.body["nextLink"].as_str().unwrap();
    let (_, path) = next.split_once("://127.0.0.1:8180").unwrap();
    let second = world.raw(("owner", "GET", path), b"", |_| {});
    assert_eq!(names(&second), ["ccc"]);
    assert!(second.body["nextLink"].is_null());
}

#[test]
fn a_caller_needs_the_right_to_the_credentials_themselves() {
    let world = world();
    let identity = world.identity("web");
    let id = credential_id(&identity, "kube");
    world.put(&id, &content("a"));
    assert_eq!(world.send("reader", "GET", &id, &Value::Null).status, 200);
    for (name, method) in [("nobody", "GET"), ("reader", "PUT"), ("reader", "DELETE")] {
        let refused = world.send(name, method, &id, &content("b"));
        assert_eq!(refused.refusal(), (403, "AuthorizationFailed"), "{name} {method}");
        assert!(
            refused.message().contains("federatedIdentityCredentials/"),
            "{}",
            refused.message()
        );
    }
    let list = format!("{identity}/federatedIdentityCredentials");
    assert_eq!(world.send("nobody", "GET", &list, &Value::Null).status, 403);
    world.grant(1, "nobody", "Managed Identity Contributor", &identity);
    assert_eq!(world.send("nobody", "PUT", &id, &content("b")).status, 200);
    assert_eq!(world.send("nobody", "DELETE", &id, &Value::Null).status, 200);
}
