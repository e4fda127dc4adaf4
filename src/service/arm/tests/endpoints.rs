//! The document that clients read before they have a token.

use super::*;

fn ask(world: &World, method: &str, query: &str) -> Answer {
    let path = format!("/metadata/endpoints{query}");
    world.raw(("nobody", method, &path), b"", |headers| {
        headers.remove("authorization");
        headers.insert("host", "localhost:8180".parse().unwrap());
    })
}

#[test]
fn the_endpoints_are_told_without_a_token_as_the_reader_calls_this_server() {
    let answer = ask(&world(), "GET", "?api-version=2022-09-01");
    assert_eq!((answer.status, &answer.body["name"]), (200, &json!("AzureCloud")));
    for own in ["resourceManager", "microsoftGraphResourceId"] {
        assert_eq!(answer.body[own], "https://localhost:8180/", "{own}");
    }
    assert_eq!(answer.body["suffixes"]["keyVaultDns"], "vault.example:8190");
    assert_eq!(
        answer.body["authentication"],
        json!({
            "loginEndpoint": "https://localhost:8170",
            "audiences": ["https://management.core.windows.net/", ARM],
            "tenant": "common",
            "identityProvider": "AAD",
        })
    );
}

#[test]
fn older_versions_are_a_list_and_the_oldest_names_four_endpoints() {
    let world = world();
    let newest = ask(&world, "GET", "?api-version=2022-09-01").body;
    for version in ["2019-05-01", "2020-06-01"] {
        let list = ask(&world, "GET", &format!("?api-version={version}")).body;
        assert_eq!(list, json!([newest]), "{version}");
    }
    for version in ["1.0", "2015-01-01"] {
        let brief = ask(&world, "GET", &format!("?api-version={version}")).body;
        let login = &newest["authentication"]["loginEndpoint"];
        assert_eq!(&brief["authentication"]["loginEndpoint"], login, "{version}");
        assert_eq!(brief["graphEndpoint"], "https://graph.windows.net/");
    }
}

#[test]
fn the_audiences_that_clients_are_told_are_taken() {
    let world = world();
    let told = ask(&world, "GET", "?api-version=2022-09-01").body;
    let audiences = told["authentication"]["audiences"].as_array().unwrap().clone();
    for audience in audiences {
        let token = world.token_for("reader", audience.as_str().unwrap());
        let answer = world.raw(("reader", "GET", &versioned(SUB)), b"", |headers| {
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        });
        assert_eq!(answer.status, 200, "{audience}");
    }
}

#[test]
fn a_version_is_asked_for_before_a_token_and_nothing_else_is_open() {
    let world = world();
    assert_eq!(ask(&world, "GET", "").refusal(), (400, "MissingApiVersionParameter"));
    let malformed = ask(&world, "GET", "?api-version=latest");
    assert_eq!(malformed.refusal(), (400, "InvalidApiVersionParameter"));
    let posted = ask(&world, "POST", "?api-version=2022-09-01");
    assert_eq!((posted.status, posted.header("allow")), (405, "GET, HEAD"));
    assert_eq!(ask(&world, "GET", "/more?api-version=2022-09-01").status, 401);
}
