//! Authentication, and the permissions of callers.

use super::*;
use crate::base::ids::ArmId;

fn with_token(world: &World, path: &str, token: Option<&str>) -> Answer {
    world.raw(("nobody", "GET", path), b"", |headers| {
        headers.remove("authorization");
        if let Some(token) = token {
            headers.insert("authorization", token.parse().unwrap());
        }
    })
}

#[test]
fn without_a_token_the_answer_is_a_challenge_that_names_the_tenant() {
    let world = world();
    let answer = with_token(&world, &versioned(SUB), None);
    assert_eq!(answer.refusal(), (401, "AuthenticationFailed"));
    assert_eq!(answer.message(), "Authentication failed. The 'Authorization' header is missing.");
    assert_eq!(
        answer.header("www-authenticate"),
        format!(
            "Bearer authorization_uri=\"https://login.windows.net/{TENANT}\", error=\"invalid_token\", error_description=\"The authentication failed because of missing 'Authorization' header.\""
        )
    );
    let foreign = with_token(&world, &versioned(FOREIGN_SUB), None);
    assert!(foreign.header("www-authenticate").contains(FOREIGN_TENANT));
}

#[test]
fn what_there_is_stays_hidden_from_who_is_not_known() {
    let world = world();
    world.identity("one");
    for path in [
        identity_id("one"),
        identity_id("two"),
        format!("{SUB}/resourceGroups/none"),
        "/nowhere".to_owned(),
        "/subscriptions/nope".to_owned(),
        SUB.to_owned(),
    ] {
        let answer = with_token(&world, &path, Some("Bearer x.y.z"));
        assert_eq!(answer.refusal(), (401, "InvalidAuthenticationToken"), "{path}");
    }
}

#[test]
fn a_malformed_header_is_refused() {
    let world = world();
    for header in ["Basic abc", "Bearer", "x"] {
        let answer = with_token(&world, &versioned(SUB), Some(header));
        assert_eq!(answer.refusal(), (401, "AuthenticationFailedInvalidHeader"), "{header}");
    }
    let twice = world.raw(("owner", "GET", &versioned(SUB)), b"", |headers| {
        headers.append("authorization", "Bearer x".parse().unwrap());
    });
    assert_eq!(twice.status, 401);
}

/// Returns the header with a token for the control plane for these ids.
fn token_of(world: &World, tenant: &str, client_id: ClientId, principal_id: PrincipalId) -> String {
    let subject = Subject {
        tenant_id: tenant.parse().unwrap(),
        tenant_created: NOW,
        client_id,
        principal_id,
        resource_id: None,
        caller_id: None,
        proof: ClientProof::Certificate,
    };
    format!("Bearer {}", world.issuer.mint(&subject, ARM, NOW, &[1; 48]).unwrap().jwt())
}

fn owner_of_group(principal_id: &PrincipalId) -> Value {
    json!({"properties": {
        "roleDefinitionId": by_name("Owner").unwrap().resource_id(None),
        "principalId": principal_id.to_string(),
    }})
}

#[test]
fn a_deleted_identity_reads_and_writes_no_more_nor_does_one_of_the_same_name() {
    let world = world();
    let path = world.identity("one");
    let ids = |answer: &Answer| {
        let id = |name: &str| answer.body["properties"][name].as_str().unwrap().to_owned();
        (id("clientId").parse().unwrap(), id("principalId").parse::<PrincipalId>().unwrap())
    };
    let (client_id, principal_id) = ids(&world.get(&path));
    let assignment = assignment_path(GROUP, 1);
    assert_eq!(world.put(&assignment, &owner_of_group(&principal_id)).status, 201);
    let token = token_of(&world, TENANT, client_id, principal_id);
    let write = |number| {
        let (path, body) =
            (versioned(&assignment_path(GROUP, number)), owner_of_group(&principal("nobody")));
        world.raw(("nobody", "PUT", &path), body.to_string().as_bytes(), |headers| {
            headers.insert("authorization", token.parse().unwrap());
        })
    };
    assert_eq!(with_token(&world, &versioned(GROUP), Some(&token)).status, 200);
    assert_eq!(write(2).status, 201);
    world.delete(&assignment_path(GROUP, 2));

    assert_eq!(world.delete(&path).status, 200);
    let refused = || {
        for answer in [with_token(&world, &versioned(GROUP), Some(&token)), write(3)] {
            assert_eq!(answer.refusal(), (401, "InvalidAuthenticationToken"));
            assert!(answer.message().contains("does not exist"), "{}", answer.message());
            assert!(answer.header("www-authenticate").contains(TENANT));
        }
    };
    refused();
    world.identity("one");
    refused();
    let (client_id, again) = ids(&world.get(&path));
    assert_ne!(again, principal_id);
    let token = token_of(&world, TENANT, client_id, again);
    let answer = with_token(&world, &versioned(GROUP), Some(&token));
    assert_eq!(answer.refusal(), (403, "AuthorizationFailed"));
}

#[test]
fn the_system_assigned_identity_of_a_deleted_machine_is_refused() {
    let world = world();
    let path = world.machine("m", &json!({"type": "SystemAssigned"}));
    let identity = world.get(&path).body["identity"].clone();
    let principal_id: PrincipalId = identity["principalId"].as_str().unwrap().parse().unwrap();
    let client_id = world.directory.read().principal(principal_id).unwrap().ids().client_id;
    let token = token_of(&world, TENANT, client_id, principal_id);
    let ask = || with_token(&world, &versioned("/subscriptions"), Some(&token));
    assert_eq!(ask().status, 200);
    assert!(world.delete(&path).status < 300);
    assert_eq!(ask().refusal(), (401, "InvalidAuthenticationToken"));
}

#[test]
fn a_token_is_of_the_client_and_the_tenant_of_its_principal() {
    let world = world();
    let ask = |tenant, client_id| {
        let token = token_of(&world, tenant, client_id, principal("owner"));
        with_token(&world, &versioned("/subscriptions"), Some(&token)).status
    };
    assert_eq!(ask(TENANT, client("owner")), 200);
    assert_eq!(ask(TENANT, client("nobody")), 401);
    assert_eq!(ask(FOREIGN_TENANT, client("owner")), 401);
}

#[test]
fn an_expired_token_is_refused_with_both_times() {
    let world = world();
    world.clock.advance(Seconds(3600 + 300));
    let answer = world.get(SUB);
    assert_eq!(answer.refusal(), (401, "ExpiredAuthenticationToken"));
    assert_eq!(
        answer.message(),
        "The access token expiry UTC time '1/15/2027 9:00:00 AM' is earlier than current UTC time '1/15/2027 9:05:00 AM'."
    );
}

#[test]
fn the_audience_is_taken_to_the_letter() {
    let world = world();
    let answer = |audience: &str| {
        let token = format!("Bearer {}", world.token_for("owner", audience));
        with_token(&world, &versioned(SUB), Some(&token))
    };
    for audience in [
        "https://management.core.windows.net/",
        "https://management.core.windows.net",
        "https://management.azure.com/",
        "https://management.azure.com",
        "797f4846-ba00-4fd7-ba43-dac1f8f63013",
    ] {
        assert_eq!(answer(audience).status, 200, "{audience}");
    }
    for audience in [
        "https://vault.azure.net",
        "https://management.azure.com//",
        "https://Management.azure.com",
    ] {
        let refused = answer(audience);
        assert_eq!(refused.refusal(), (401, "InvalidAuthenticationTokenAudience"));
        assert_eq!(
            refused.message(),
            format!(
                "The access token has been obtained for wrong audience or resource '{audience}'. It should exactly match with one of the allowed audiences 'https://management.core.windows.net/','https://management.core.windows.net','https://management.azure.com/','https://management.azure.com'."
            )
        );
    }
}

#[test]
fn a_token_of_another_tenant_is_refused_even_an_owners() {
    let world = world();
    for path in [SUB.to_owned(), machine_id("vm")] {
        let answer = world.send("foreigner", "GET", &path, &Value::Null);
        assert_eq!(answer.refusal(), (401, "InvalidAuthenticationTokenTenant"));
        assert!(answer.message().starts_with(&format!("The access token is from the wrong issuer 'https://sts.windows.net/{FOREIGN_TENANT}/'. It must match the tenant 'https://sts.windows.net/{TENANT}/' associated with this subscription.")));
        assert!(answer.header("www-authenticate").contains(TENANT));
    }
}

#[test]
fn without_a_role_the_action_and_the_scope_are_named() {
    let world = world();
    let path = machine_id("vm");
    for (method, verb) in
        [("GET", "read"), ("PUT", "write"), ("PATCH", "write"), ("DELETE", "delete")]
    {
        let answer = world.send("nobody", method, &path, &json!({"location": "westus"}));
        assert_eq!(answer.refusal(), (403, "AuthorizationFailed"));
        assert_eq!(
            answer.message(),
            format!(
                "The client '{}' with object id '{}' does not have authorization to perform action 'Microsoft.Compute/virtualMachines/{verb}' over scope '{path}' or the scope is invalid. If access was recently granted, please refresh your credentials.",
                client("nobody"),
                principal("nobody")
            )
        );
    }
}

#[test]
fn every_resource_names_its_own_actions() {
    let world = world();
    for (method, path, action) in [
        ("GET", GROUP.to_owned(), "Microsoft.Resources/subscriptions/resourceGroups/read"),
        ("PUT", GROUP.to_owned(), "Microsoft.Resources/subscriptions/resourceGroups/write"),
        ("DELETE", GROUP.to_owned(), "Microsoft.Resources/subscriptions/resourceGroups/delete"),
        ("GET", SUB.to_owned(), "Microsoft.Resources/subscriptions/read"),
        ("PUT", identity_id("one"), "Microsoft.ManagedIdentity/userAssignedIdentities/write"),
        ("DELETE", vault_id("one"), "Microsoft.KeyVault/vaults/delete"),
        ("PUT", assignment_path(GROUP, 1), "Microsoft.Authorization/roleAssignments/write"),
        ("DELETE", assignment_path(GROUP, 1), "Microsoft.Authorization/roleAssignments/delete"),
        (
            "GET",
            format!("{GROUP}/providers/Microsoft.Authorization/roleDefinitions"),
            "Microsoft.Authorization/roleDefinitions/read",
        ),
        (
            "GET",
            format!("{}/providers/Microsoft.ManagedIdentity/identities/default", machine_id("m")),
            "Microsoft.ManagedIdentity/identities/read",
        ),
    ] {
        let answer = world.send("nobody", method, &path, &json!({}));
        assert_eq!(answer.refusal(), (403, "AuthorizationFailed"), "{method} {path}");
        assert!(answer.message().contains(&format!("'{action}'")), "{}", answer.message());
    }
}

#[test]
fn a_reader_reads_and_changes_nothing() {
    let world = world();
    let id = world.identity("one");
    assert_eq!(world.send("reader", "GET", &id, &Value::Null).status, 200);
    for method in ["PUT", "PATCH", "DELETE"] {
        let answer = world.send("reader", method, &id, &json!({"location": "westus"}));
        assert_eq!(answer.status, 403, "{method}");
    }
    assert_eq!(world.get(&id).status, 200);
}

#[test]
fn to_assign_an_identity_takes_the_right_to_it() {
    let world = world();
    let (id, path) = (world.identity("one"), machine_id("vm"));
    let body = json!({"location": "westus", "identity": {"type": "UserAssigned", "userAssignedIdentities": {&id: {}}}});
    let answer = world.send("machinist", "PUT", &path, &body);
    assert_eq!(answer.refusal(), (403, "LinkedAuthorizationFailed"));
    assert_eq!(
        answer.message(),
        format!(
            "The client '{}' with object id '{}' has permission to perform action 'Microsoft.Compute/virtualMachines/write' on scope '{path}'; however, it does not have permission to perform action(s) 'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action' on the linked scope(s) '{id}' (respectively) or the linked scope(s) are invalid.",
            client("machinist"),
            principal("machinist")
        )
    );
    // The answer does not reveal whether the identity exists.
    let missing = json!({"location": "westus", "identity": {"type": "UserAssigned", "userAssignedIdentities": {identity_id("none"): {}}}});
    assert_eq!(world.send("machinist", "PUT", &path, &missing).code(), "LinkedAuthorizationFailed");
    assert_eq!(world.get(&path).status, 404);
    world.grant(1, "machinist", "Managed Identity Operator", &id);
    assert_eq!(world.send("machinist", "PUT", &path, &body).status, 201);
}

#[test]
fn an_identity_of_another_tenant_is_not_assigned() {
    let world = world();
    let id = identity_id("one").replace(SUB, FOREIGN_SUB);
    let made = world.send("foreigner", "PUT", &id, &json!({"location": "westus"}));
    assert_eq!(made.status, 201);
    let body = json!({"location": "westus", "identity": {"type": "UserAssigned", "userAssignedIdentities": {&id: {}}}});
    let answer = world.put(&machine_id("vm"), &body);
    assert_eq!(answer.refusal(), (403, "LinkedAuthorizationFailed"));
    assert!(answer.message().contains(&format!(
        "the current tenant '{TENANT}' is not authorized to access linked subscription"
    )));
}

#[test]
fn lists_show_what_the_caller_may_read() {
    let world = world();
    let other = format!("{SUB}/resourceGroups/other");
    assert_eq!(world.put(&other, &json!({"location": "westus"})).status, 201);
    for group in [GROUP, &other] {
        let id = identity_id("one").replace(GROUP, group);
        assert_eq!(world.put(&id, &json!({"location": "westus"})).status, 201);
    }
    let list = format!("{SUB}/providers/Microsoft.ManagedIdentity/userAssignedIdentities");
    let count = |name: &str, path: &str| {
        let answer = world.send(name, "GET", path, &Value::Null);
        answer.body["value"].as_array().map(Vec::len).ok_or_else(|| answer.code().to_owned())
    };
    assert_eq!(count("reader", &list), Ok(2));
    assert_eq!(count("group-reader", &list), Ok(1));
    assert_eq!(count("nobody", &list), Err("AuthorizationFailed".to_owned()));
    let in_other = format!("{other}/providers/Microsoft.ManagedIdentity/userAssignedIdentities");
    assert_eq!(count("group-reader", &in_other), Err("AuthorizationFailed".to_owned()));
    let groups = format!("{SUB}/resourceGroups");
    assert_eq!(count("reader", &groups), Ok(2));
    assert_eq!(count("group-reader", &groups), Ok(1));
    assert_eq!(count("reader", "/subscriptions"), Ok(1));
    assert_eq!(count("group-reader", "/subscriptions"), Ok(1));
    assert_eq!(count("nobody", "/subscriptions"), Ok(0));
    // An owner at the root scope sees nothing of another tenant.
    assert_eq!((count("owner", "/subscriptions"), count("owner", "/tenants")), (Ok(1), Ok(1)));
}

#[test]
fn a_role_that_is_taken_away_no_longer_permits() {
    let world = world();
    let assignment = world.grant(1, "nobody", "Reader", GROUP);
    let read = || world.send("nobody", "GET", GROUP, &Value::Null).status;
    assert_eq!(read(), 200);
    assert_eq!(world.delete(&assignment).status, 200);
    assert_eq!(read(), 403);
}

#[test]
fn a_role_at_a_management_group_holds_below_it() {
    let world = world();
    let scope = "/providers/Microsoft.Management/managementGroups/TOP";
    world.grant(1, "nobody", "Reader", scope);
    assert_eq!(world.send("nobody", "GET", GROUP, &Value::Null).status, 200);
}

#[test]
fn with_authentication_off_anyone_at_a_local_name_may_do_everything() {
    let world = world_with(ArmAuth::Off, 100);
    assert_eq!(with_token(&world, &versioned(GROUP), None).status, 200);
    let answer = world.raw(("owner", "GET", &versioned(GROUP)), b"", |headers| {
        headers.insert("host", "evil.example".parse().unwrap());
    });
    assert_eq!(answer.refusal(), (400, "InvalidHostHeader"));
    let assignment = world.grant(1, "nobody", "Reader", GROUP);
    assert_eq!(world.get(&assignment).body["properties"]["createdBy"], "");
    let id: ArmId = GROUP.parse().unwrap();
    assert!(world.directory.read().group(&id).is_some());
}
