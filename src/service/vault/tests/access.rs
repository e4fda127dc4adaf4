//! Authentication and authorization, and the texts of refusals.

use super::*;
use crate::service::directory::Principal;

const MISSING: &str = r#"{"error":{"code":"Unauthorized","message":"AKV10000: Request is missing a Bearer or PoP token."}}"#;
const CHALLENGE: &str = r#"Bearer authorization="https://login.microsoftonline.com/72f988bf-0000-4000-8000-000000000001", resource="https://vault.azure.net""#;

#[test]
fn without_a_token_there_is_a_challenge_before_anything_else_is_looked_at() {
    let world = World::new();
    assert_eq!(MISSING.len(), 97, "as seen on the wire");
    for method in ["GET", "PUT", "PATCH", "POST", "DELETE"] {
        for target in ["/secrets/a?api-version=7.4", "/secrets/a_b", "/", "/nowhere/at/all/%ff?&&"]
        {
            let unread = async { panic!("the body is looked at") };
            let answer = world.send_with(Ask::bare(method, target), unread);
            assert_eq!((answer.status, &*answer.text), (401, MISSING), "{method} {target}");
            assert_eq!(answer.headers["www-authenticate"], CHALLENGE);
        }
    }
}

#[test]
fn what_is_no_bearer_token_counts_as_none() {
    let world = World::new();
    let jwt = world.token(OFFICER);
    for value in ["", "Bearer", "Bearer ", "Basic YTpi", &jwt, &format!("PoP {jwt}")] {
        let answer = world.send(Ask::new("GET", "/secrets").authorization(value));
        assert_eq!((answer.status, &*answer.text), (401, MISSING), "{value}");
    }
    let twice = Ask::new("GET", "/secrets").token(&jwt).token(&jwt);
    assert_eq!(world.send(twice).status, 401);
    let lower = Ask::new("GET", "/secrets").authorization(&format!("bearer {jwt}"));
    assert_eq!(world.send(lower).status, 200);
}

#[test]
fn the_audience_is_one_of_two_and_has_no_slash_at_its_end() {
    let world = World::new();
    let ask = |audience| {
        world.send(Ask::new("GET", "/secrets").token(&world.token_for(OFFICER, audience, TENANT)))
    };
    for audience in ["https://vault.azure.net", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"] {
        assert_eq!(ask(audience).status, 200, "{audience}");
    }
    for audience in
        ["https://vault.azure.net/", "https://management.azure.com/", "HTTPS://VAULT.AZURE.NET"]
    {
        let answer = ask(audience);
        assert_eq!(
            (answer.status, answer.text),
            (
                401,
                format!(
                    r#"{{"error":{{"code":"Unauthorized","message":"AKV10022: Invalid audience. Expected https://vault.azure.net, found: {audience}."}}}}"#
                )
            )
        );
        assert_eq!(answer.headers["www-authenticate"], CHALLENGE);
    }
}

#[test]
fn an_identity_that_is_gone_reads_and_writes_no_secret() {
    let world = World::new();
    let identity = |principal: u8| {
        let state = world.directory.read();
        match state.principal(ids(principal).1) {
            Some(Principal::ManagedIdentity(identity)) => identity.resource_id.clone(),
            other => panic!("{other:?}"),
        }
    };
    world.grant(OTHER, "Key Vault Secrets Officer", VAULT);
    let (machine, user_assigned) = (identity(OFFICER), identity(OTHER));
    for (principal, key) in
        [(OTHER, Key::UserAssigned(user_assigned)), (OFFICER, Key::VirtualMachine(machine))]
    {
        let token = world.token(principal);
        let ask = |method| {
            let ask = Ask::new(method, "/secrets/a").body(r#"{"value":"x"}"#);
            world.send(ask.token(&token))
        };
        assert_eq!(ask("PUT").status, 200);
        world.change(Change::Remove(key));
        for method in ["GET", "PUT", "DELETE"] {
            let answer = ask(method);
            let message = answer.message();
            assert_eq!((answer.status, answer.codes().0.as_str()), (401, "Unauthorized"));
            assert!(message.contains("does not exist any more"), "{message}");
            assert_eq!(answer.headers["www-authenticate"], CHALLENGE);
        }
    }
}

#[test]
fn the_issuer_is_the_tenant_of_the_vaults_subscription() {
    let world = World::new();
    let other = "00000000-0000-4000-8000-0000000000ff";
    let token = world.token_for(OFFICER, "https://vault.azure.net", other);
    let answer = world.send(Ask::new("GET", "/secrets").token(&token));
    assert_eq!(
        (answer.status, answer.message()),
        (
            401,
            format!(
                "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{TENANT}/, found https://sts.windows.net/{other}/."
            )
        )
    );
}

#[test]
fn a_token_that_is_old_torn_or_forged_is_refused_with_a_challenge() {
    let world = World::new();
    let jwt = world.token(OFFICER);
    let message = |jwt: &str| {
        let answer = world.send(Ask::new("GET", "/secrets/demo-secret").token(jwt));
        assert_eq!(answer.status, 401);
        assert_eq!(answer.headers["www-authenticate"], CHALLENGE);
        answer.message()
    };
    let torn = "[BearerReadAccessTokenFailed] Error validating token: 'S2S12005'.";
    assert_eq!(message("x.y.z"), torn);
    let other = world.token(OTHER);
    let (signed, _) = jwt.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", other.rsplit('.').next().unwrap());
    let wrong = "Error validating token: the signature of the token is wrong.";
    assert_eq!(message(&forged), wrong);
    world.clock.advance(Seconds(86_400 + 301));
    assert_eq!(message(&jwt), "[TokenExpired] Error validating token: 'S2S12086'.");
}

/// Requests every operation and returns which ones were answered, in the order of the list.
fn allowed(world: &World, principal: u8) -> String {
    let value = r#"{"value":"x"}"#;
    let asked = [
        ('g', "GET", "/secrets/demo-secret", ""),
        ('l', "GET", "/secrets", ""),
        ('v', "GET", "/secrets/demo-secret/versions", ""),
        ('L', "GET", "/deletedsecrets", ""),
        ('s', "PUT", "/secrets/new", value),
        ('u', "PATCH", "/secrets/demo-secret", "{}"),
        ('d', "DELETE", "/secrets/demo-secret", ""),
        ('D', "GET", "/deletedsecrets/demo-secret", ""),
        ('r', "POST", "/deletedsecrets/demo-secret/recover", ""),
        ('p', "DELETE", "/deletedsecrets/demo-secret", ""),
    ];
    let is_allowed = |(_, method, path, body): &(char, &str, &str, &str)| {
        let answer = world.ask_as(principal, method, path, body);
        let denied = ("Forbidden".to_owned(), Some("ForbiddenByRbac".to_owned()));
        assert_eq!(answer.status == 403, answer.status >= 400 && answer.codes() == denied);
        answer.status != 403
    };
    asked.iter().filter(|asked| is_allowed(asked)).map(|(letter, ..)| letter).collect()
}

#[test]
fn roles_decide_on_the_data_plane_and_those_of_the_control_plane_do_not_count() {
    let subscription = "/subscriptions/5ab5c1de-0000-4000-8000-000000000001";
    for (role, scope, expected) in [
        ("Key Vault Secrets User", VAULT, "glvLD"),
        ("Key Vault Secrets User", subscription, "glvLD"),
        ("Key Vault Secrets User", &format!("{VAULT}/secrets/DEMO-secret"), "gvD"),
        ("Key Vault Secrets User", &format!("{VAULT}/secrets/demo"), ""),
        ("Key Vault Reader", VAULT, "lvLD"),
        ("Key Vault Secrets Officer", VAULT, "glvLsudDrp"),
        ("Key Vault Administrator", subscription, "glvLsudDrp"),
        ("Key Vault Contributor", VAULT, ""),
        ("Contributor", subscription, ""),
        ("Owner", "/", ""),
    ] {
        let world = World::new();
        assert_eq!(allowed(&world, OTHER), "", "without a role");
        world.grant(OTHER, role, scope);
        assert_eq!(allowed(&world, OTHER), expected, "{role} at {scope}");
    }
}

#[test]
fn a_role_that_is_taken_away_is_gone_with_the_next_request() {
    let world = World::new();
    world.grant(OTHER, "Key Vault Secrets User", VAULT);
    assert_eq!(world.ask_as(OTHER, "GET", "/secrets/demo-secret", "").status, 200);
    let name = assignment(OTHER, "Key Vault Secrets User", VAULT).name;
    world.change(Change::Remove(Key::RoleAssignment(name)));
    assert_eq!(world.ask_as(OTHER, "GET", "/secrets/demo-secret", "").status, 403);
}

#[test]
fn a_role_that_goes_while_the_body_is_on_its_way_does_not_count() {
    let world = World::new();
    let slow = async {
        let name = assignment(OFFICER, "Key Vault Secrets Officer", VAULT).name;
        world.change(Change::Remove(Key::RoleAssignment(name)));
        Ok(Bytes::from_static(br#"{"value":"x"}"#))
    };
    let put = Ask::new("PUT", "/secrets/a").token(&world.token(OFFICER));
    assert_eq!(world.send_with(put, slow).status, 403);
    assert_eq!(world.directory.read().all_secrets().count(), 1, "demo-secret alone");
}

#[test]
fn who_may_not_is_told_line_by_line() {
    let world = World::new();
    let (client_id, principal_id) = ids(OTHER);
    let message = |action: &str, secret: &str| {
        [
            "Caller is not authorized to perform action on resource.",
            "If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.",
            &format!("Caller: appid={client_id};oid={principal_id};iss=https://sts.windows.net/{TENANT}/"),
            &format!("Action: 'Microsoft.KeyVault/vaults/secrets/{action}'"),
            &format!("Resource: '/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourcegroups/demo/providers/microsoft.keyvault/vaults/demo-vault{secret}'"),
            "Assignment: (not found)",
            "DenyAssignmentId: null",
            "DecisionReason: 'DeniedWithNoValidRBAC' ",
            "Vault: demo-vault;location=local",
            "",
        ]
        .join("\r\n")
    };
    // The same holds for a missing secret: a caller without the permission does not learn which secrets
    // exist.
    let answer = world.ask_as(OTHER, "GET", "/secrets/Not-There", "");
    assert_eq!(answer.message(), message("getSecret/action", "/secrets/not-there"));
    assert_eq!(answer.codes(), ("Forbidden".to_owned(), Some("ForbiddenByRbac".to_owned())));
    let answer = world.ask_as(OTHER, "GET", "/secrets", "");
    assert_eq!((answer.status, answer.message()), (403, message("readMetadata/action", "")));
    let unread = async { panic!("the body is looked at") };
    let put = Ask::new("PUT", "/secrets/a").token(&world.token(OTHER));
    let answer = world.send_with(put, unread);
    assert_eq!((answer.status, answer.message()), (403, message("setSecret/action", "/secrets/a")));
}

#[test]
fn the_host_says_which_vault() {
    let world = World::new();
    let status = |hosts: &[&'static str]| {
        let ask = Ask::new("GET", "/secrets").token(&world.token(OFFICER));
        world.send(ask.hosts(hosts)).status
    };
    for host in [
        "demo-vault.vault.azure.net",
        "DEMO-VAULT",
        "demo-vault.localhost:1",
        "127.0.0.1:8443",
        "localhost",
        "[::1]:8443",
    ] {
        assert_eq!(status(&[host]), 200, "{host}");
    }
    for host in
        ["other.vault.azure.net", "vault.azure.net", "demo-vault2", "127.0.0.1.evil.example"]
    {
        assert_eq!(status(&[host]), 404, "{host}");
    }
    for hosts in [&[][..], &["demo-vault", "demo-vault"], &["demo-vault\"x"], &[""]] {
        assert_eq!(status(hosts), 400, "{hosts:?}");
    }
    let absolute = |target| {
        let ask = Ask::bare("GET", target).token(&world.token(OFFICER));
        world.send(ask.hosts(&["demo-vault.x"])).status
    };
    assert_eq!(absolute("https://demo-vault.x/secrets?api-version=7.4"), 200);
    assert_eq!(absolute("https://other.x/secrets?api-version=7.4"), 400);
}

#[test]
fn an_address_names_no_vault_when_there_are_two() {
    let world = World::new();
    world.add_vault("second", VaultSettings::default());
    let ask = Ask::new("GET", "/secrets").token(&world.token(OFFICER));
    assert_eq!(world.send(ask.clone().hosts(&["127.0.0.1"])).status, 404);
    let answer = world.send(ask.clone().hosts(&["second.localhost"]));
    assert_eq!(answer.status, 403, "the officer's role ends at the first");
    assert!(answer.message().ends_with("Vault: second;location=x\r\n"));
    assert_eq!(world.send(ask).status, 200);
}

#[test]
fn each_vault_answers_at_its_own_address_and_no_other_vault_does() {
    let world = World::new();
    world.add_vault("second", VaultSettings::default());
    let codes = |address: std::net::Ipv4Addr| {
        let host = format!("{address}:8443");
        let ask = Ask::new("GET", "/secrets").token(&world.token(OFFICER));
        let answer = world.send(ask.hosts(&[&host]));
        (answer.status, answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(codes(vault_address("demo-vault")).0, 200);
    let (status, message) = codes(vault_address("second"));
    assert!(status == 403 && message.ends_with("Vault: second;location=x\r\n"), "{message}");
    let gone = vault_address("second");
    world
        .change(Change::Remove(Key::Vault(VAULT.replace("demo-vault", "second").parse().unwrap())));
    let (status, message) = codes(gone);
    assert!(status == 404 && message.contains(&gone.to_string()), "not the vault that is left");
}

#[test]
fn other_methods_are_refused_and_nothing_is_shared_across_origins() {
    let world = World::new();
    for method in ["OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND", "get"] {
        let answer = world.send(Ask::new(method, "/secrets/a"));
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.headers["allow"], "GET, PUT, PATCH, POST, DELETE");
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    }
    assert_eq!(world.ask("POST", "/secrets/a", "").headers["allow"], "GET, PUT, PATCH, DELETE");
    assert_eq!(world.get("/certificates/a").status, 404);
}

#[test]
fn every_answer_has_the_headers_of_a_vault() {
    let world = World::new();
    for answer in [
        world.get("/secrets/demo-secret"),
        world.get("/secrets/none"),
        world.send(Ask::new("GET", "/secrets")),
        world.send(Ask::new("OPTIONS", "/")),
    ] {
        for (name, value) in [
            ("cache-control", "no-cache"),
            ("pragma", "no-cache"),
            ("expires", "-1"),
            ("strict-transport-security", "max-age=31536000;includeSubDomains"),
            ("x-content-type-options", "nosniff"),
            (
                "x-ms-keyvault-network-info",
                "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;",
            ),
            ("content-type", "application/json; charset=utf-8"),
        ] {
            assert_eq!(answer.headers[name], value, "{name}");
        }
        assert_eq!(answer.headers["x-ms-request-id"].len(), 36);
        assert!(answer.headers.contains_key("x-ms-keyvault-service-version"));
        let is_located = answer.status != 405;
        assert_eq!(answer.headers.contains_key("x-ms-keyvault-region"), is_located);
    }
}
