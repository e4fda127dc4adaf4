//! The rules of the identity endpoint, one by one (docs/protocol.md).

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::broker::{Broker, token_target};

const ARM: &str = "resource=https%3A%2F%2Fmanagement.azure.com%2F";
const SYSTEM: &str = "c11e0000-0000-4000-8000-000000000001";
const APP: &str = "c11e0000-0000-4000-8000-00000000000a";
const APP_ID: &str = "/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourcegroups/DEMO/providers/Microsoft.ManagedIdentity/userAssignedIdentities/demo-app";

fn invalid(description: &str) -> Value {
    json!({ "error": "invalid_request", "error_description": description })
}

/// Sends a raw request and returns the status and the body of its answer.
fn raw(broker: &Broker, head: &str) -> (u16, Value) {
    let mut connection = broker.connect("imds");
    connection.send(head.as_bytes());
    let answer = connection.read().unwrap();
    (answer.status, answer.json())
}

#[test]
fn the_url_of_a_service_of_this_server_stands_for_its_audience() {
    let broker = Broker::serve(&[]);
    for (surface, audience) in
        [("arm", "https://management.azure.com/"), ("vault", "https://vault.azure.net")]
    {
        let port = broker.address(surface).port();
        for host in ["localhost", "127.0.0.1"] {
            let answer = broker.token(&format!("resource=https://{host}:{port}/"));
            assert_eq!(answer.status, 200, "{surface}: {}", answer.text());
            assert_eq!(answer.json()["resource"], audience);
        }
        let unknown = broker.token(&format!("resource=https://elsewhere.example:{port}/"));
        assert_eq!((unknown.status, &unknown.json()["error"]), (400, &json!("invalid_resource")));
    }
}

#[test]
fn a_token_is_eight_strings_in_alphabetical_order() {
    let answer = Broker::serve(&[]).token(ARM);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/json; charset=utf-8");
    assert!(answer.headers["server"].starts_with("IMDS/"));
    assert_eq!(answer.headers["x-ms-request-id"].len(), 36);
    let text = answer.text();
    let body = answer.json();
    let fields: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        [
            "access_token",
            "client_id",
            "expires_in",
            "expires_on",
            "ext_expires_in",
            "not_before",
            "resource",
            "token_type"
        ]
    );
    assert!(fields.windows(2).all(
        |pair| text.find(&format!("\"{}\"", pair[0])) < text.find(&format!("\"{}\"", pair[1]))
    ));
    assert!(body.as_object().unwrap().values().all(Value::is_string));
    assert_eq!(body["resource"], "https://management.azure.com/");
    assert_eq!(body["client_id"], SYSTEM);
    let number = |field: &str| body[field].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(number("not_before") + 86_700, number("expires_on"));
    assert_eq!(number("ext_expires_in"), 86_399);
    assert!((86_398..=86_400).contains(&number("expires_in")));
}

#[test]
fn the_first_answer_is_a_miss_and_the_second_the_same_token_from_the_cache() {
    let broker = Broker::serve(&[]);
    let (first, second) = (broker.token(ARM), broker.token(ARM));
    assert_eq!(first.headers["x-mintbench-cache"], "miss");
    assert_eq!(second.headers["x-mintbench-cache"], "hit");
    assert_eq!(first.json()["access_token"], second.json()["access_token"]);
}

#[test]
fn the_cache_is_bypassed_where_the_api_version_has_it() {
    let broker = Broker::serve(&[]);
    let first = broker.token(ARM).json();
    let ask = |version: &str, value: &str| {
        let path = "/metadata/identity/oauth2/token";
        broker.imds(&format!("{path}?api-version={version}&{ARM}&bypass_cache={value}"))
    };
    assert_eq!(ask("2018-02-01", "true").json()["access_token"], first["access_token"]);
    assert_ne!(ask("2023-07-01", "true").json()["access_token"], first["access_token"]);
    let refused = ask("2023-07-01", "yes");
    assert_eq!(
        (refused.status, refused.json()),
        (400, invalid("the value of 'bypass_cache' is not valid"))
    );
}

#[test]
fn the_metadata_header_is_asked_for_before_anything_else() {
    let broker = Broker::serve(&[]);
    let expected = (400, invalid("Required metadata header not specified"));
    let full = token_target(ARM);
    for target in
        ["/metadata/identity/oauth2/token", &full, "/metadata/instance", "/metadata/versions"]
    {
        let head = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        assert_eq!(raw(&broker, &head), expected, "{head}");
    }
    let head = format!(
        "GET {full} HTTP/1.1\r\nHost: 127.0.0.1\r\nmetadata: true\r\ncontent-type: application/x-www-form-urlencoded\r\n\r\n"
    );
    assert_eq!(raw(&broker, &head).0, 200);
}

#[test]
fn a_metadata_header_of_another_value_is_told_what_the_value_must_be() {
    let broker = Broker::serve(&[]);
    let text = "Required metadata header is not 'true'; send the header 'Metadata: true' once, in lower case";
    for header in [
        "Metadata: True\r\n",
        "Metadata: false\r\n",
        "Metadata:\r\n",
        "Metadata: true\r\nMetadata: true\r\n",
    ] {
        for target in [&token_target(ARM), "/metadata/instance"] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n");
            assert_eq!(raw(&broker, &head), (400, invalid(text)), "{head}");
        }
    }
}

#[test]
fn azures_own_services_are_known_by_every_name_and_others_are_not() {
    let broker = Broker::serve(&[]);
    for (asked, named) in [
        ("https://database.windows.net/", "https://database.windows.net/"),
        ("https://ossrdbms-aad.database.windows.net", "https://ossrdbms-aad.database.windows.net"),
        ("https://servicebus.azure.net", "https://servicebus.azure.net"),
        ("https://cosmos.azure.com", "https://cosmos.azure.com"),
        ("https://cognitiveservices.azure.com/", "https://cognitiveservices.azure.com/"),
        ("https://ai.azure.com", "https://ai.azure.com"),
        ("https://monitor.azure.com", "https://monitor.azure.com"),
        ("https://containerregistry.azure.net", "https://containerregistry.azure.net"),
        ("api://AzureADTokenExchange", "api://AzureADTokenExchange"),
        ("6DAE42F8-4368-4678-94FF-3960E28E3630", "6dae42f8-4368-4678-94ff-3960e28e3630"),
        ("2ff814a6-3304-4ab8-85cb-cd0e6f879c1d", "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"),
        ("HTTPS://vault.azure.net", "https://vault.azure.net"),
        ("https://store.azconfig.io", "https://store.azconfig.io"),
        ("https://account.blob.core.windows.net/", "https://account.blob.core.windows.net/"),
    ] {
        let answer = broker.token(&format!("resource={asked}"));
        assert_eq!((answer.status, &answer.json()["resource"]), (200, &json!(named)), "{asked}");
    }
    for unknown in [
        "https://nobody.example",
        "https://account.blob.core.windows.net.nobody.example",
        "00000000-0000-4000-8000-00000000ffff",
        "api://nobody",
    ] {
        let answer = broker.token(&format!("resource={unknown}"));
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_resource")));
    }
}

#[test]
fn a_target_and_a_host_that_differ_by_the_default_port_alone_are_one_authority() {
    let broker = Broker::serve(&["--host-name", "mintbench"]);
    let full = token_target(ARM);
    for (target, host, status) in [
        ("http://127.0.0.1:80", "127.0.0.1", 200),
        ("http://127.0.0.1", "127.0.0.1:80", 200),
        ("http://LOCALHOST", "localhost:80", 200),
        ("http://[::1]", "[0:0:0:0:0:0:0:1]:80", 200),
        ("", "mintbench:8169", 200),
        ("", "MINTBENCH", 200),
        ("http://127.0.0.1:81", "127.0.0.1", 400),
        ("http://127.0.0.1", "localhost", 400),
        ("", "evil.example", 400),
        ("", "mintbench.evil.example", 400),
    ] {
        let head = format!("GET {target}{full} HTTP/1.1\r\nHost: {host}\r\nMetadata: true\r\n\r\n");
        assert_eq!(raw(&broker, &head).0, status, "{target} {host}");
    }
}

#[test]
fn a_name_that_the_operator_gave_is_taken_on_every_surface() {
    let broker = Broker::serve(&[
        "--host-name",
        "mintbench",
        "--vm-extension",
        "127.0.0.1:0",
        "--arm-auth",
        "off",
    ]);
    let token = token_target(ARM);
    for (surface, target, refused) in [
        ("imds", token.as_str(), 400),
        ("admin", "/healthz", 400),
        ("vm-extension", &format!("/oauth2/token?{ARM}"), 400),
        ("arm", "/subscriptions?api-version=2022-12-01", 400),
    ] {
        for (host, status) in [("mintbench:1", 200), ("other:1", refused)] {
            let mut connection = broker.connect(surface);
            let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nMetadata: true\r\n\r\n");
            connection.send(head.as_bytes());
            assert_eq!(connection.read().unwrap().status, status, "{surface} {host}");
        }
    }
}

#[test]
fn nothing_is_scheduled_and_nothing_can_be_acknowledged() {
    let broker = Broker::serve(&[]);
    let path = "/metadata/scheduledevents";
    for version in ["2017-08-01", "2019-01-01", "2020-07-01", "2021-12-13"] {
        let answer = broker.imds(&format!("{path}?api-version={version}"));
        let expected = json!({ "DocumentIncarnation": 1, "Events": [] });
        assert_eq!((answer.status, answer.json()), (200, expected), "{version}");
    }
    for version in ["", "2017-03-01", "1"] {
        assert_eq!(broker.imds(&format!("{path}?api-version={version}")).status, 400);
    }
    let post = |body: &str, metadata: &str| {
        let mut connection = broker.connect("imds");
        let length = body.len();
        let head = format!(
            "POST {path}?api-version=2020-07-01 HTTP/1.1\r\nHost: 127.0.0.1\r\n{metadata}Content-Length: {length}\r\n\r\n{body}"
        );
        connection.send(head.as_bytes());
        connection.read().unwrap()
    };
    let metadata = "Metadata: true\r\n";
    assert_eq!(post(r#"{"StartRequests":[]}"#, metadata).status, 200);
    let unknown = post(r#"{"StartRequests":[{"EventId":"e-1"}]}"#, metadata);
    assert_eq!((unknown.status, unknown.json()), (400, invalid("no event 'e-1' is planned")));
    for body in ["", "[]", "{}", r#"{"StartRequests":"e-1"}"#, &"x".repeat(20_000)] {
        assert_eq!(post(body, metadata).status, 400, "{body}");
    }
    assert_eq!(post(r#"{"StartRequests":[]}"#, "").json()["error"], "invalid_request");
    let mut connection = broker.connect("imds");
    connection.send(format!("PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes());
    let refused = connection.read().unwrap();
    assert_eq!((refused.status, refused.headers["allow"].as_str()), (405, "GET, POST"));
}

#[test]
fn an_operators_page_answers_head_as_get_without_the_body() {
    let broker = Broker::serve(&[]);
    for (surface, path) in [
        ("admin", "/healthz"),
        ("admin", "/readyz"),
        ("admin", "/metrics"),
        ("admin", "/ca.pem"),
        ("sts", "/common/discovery/keys"),
    ] {
        let mut connection = broker.connect(surface);
        for method in ["HEAD", "GET"] {
            connection
                .send(format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").as_bytes());
            let answer = if method == "HEAD" { connection.read_head() } else { connection.read() };
            let answer = answer.unwrap();
            assert_eq!(answer.status, 200, "{method} {path}");
            assert_ne!(answer.headers["content-length"], "0", "{method} {path}");
        }
    }
}

#[test]
fn requests_through_a_proxy_or_for_a_foreign_name_are_refused() {
    let broker = Broker::serve(&[]);
    let full = token_target(ARM);
    let forwarded = format!(
        "GET {full} HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata: true\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"
    );
    assert_eq!(raw(&broker, &forwarded), (400, invalid("the request came through a proxy")));
    for host in ["Host: evil.example\r\n", "", "Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n"] {
        let head = format!("GET {full} HTTP/1.1\r\n{host}Metadata: true\r\n\r\n");
        assert_eq!(raw(&broker, &head).0, 400, "{host}");
    }
}

#[test]
fn queries_that_are_not_right_get_the_documented_bodies() {
    let broker = Broker::serve(&[]);
    let version_body = json!({
        "error": "Bad request. api-version is invalid or was not specified in the request. For more information refer to aka.ms/azureimds",
        "newest-versions": ["2025-04-07", "2024-07-17", "2024-03-15"],
    });
    let path = "/metadata/identity/oauth2/token";
    for query in
        ["", "?resource=https://vault.azure.net", "?api-version=2017-12-01", "?api-version=1"]
    {
        let answer = broker.imds(&format!("{path}{query}"));
        assert_eq!((answer.status, answer.json()), (400, version_body.clone()), "{query}");
    }
    let cases = [
        ("", "Required query variable 'resource' is missing"),
        ("resource=", "Required query variable 'resource' is missing"),
        ("resource=a&resource=b", "the query repeats the parameter 'resource'"),
        ("resource=a&x=1&x=1", "the query repeats the parameter 'x'"),
        (
            "resource=a&client_id=1&object_id=2",
            "at most one of client_id, object_id and msi_res_id may be given",
        ),
        (
            "resource=a&msi_res_id=1&mi_res_id=1",
            "at most one of client_id, object_id and msi_res_id may be given",
        ),
        ("client%5Fid=1&resource=a", "the query encodes the name of a parameter"),
        ("resource=https://vault.azure.net&client_id=nobody", "Identity not found"),
        (
            "resource=https://vault.azure.net&client_id=00000000-0000-0000-0000-000000000000",
            "Identity not found",
        ),
    ];
    for (query, description) in cases {
        let answer = broker.token(query);
        assert_eq!((answer.status, answer.json()), (400, invalid(description)), "{query}");
    }
}

#[test]
fn an_unknown_resource_gets_the_directorys_own_words() {
    let answer = Broker::serve(&[]).token("resource=https://nowhere.example/%22%0d%0a");
    let body = answer.json();
    assert_eq!((answer.status, &body["error"]), (400, &json!("invalid_resource")));
    let text = body["error_description"].as_str().unwrap();
    assert!(text.starts_with("AADSTS500011: The resource principal named https://nowhere.example/\"\r\n was not found in the tenant named 72f988bf-0000-4000-8000-000000000001. "), "{text}");
    assert!(text.contains("\r\nTrace ID: ") && text.contains("\r\nTimestamp: 20"), "{text}");
}

#[test]
fn other_paths_and_methods_are_refused() {
    let broker = Broker::serve(&[]);
    for path in [
        "/",
        "/metadata/identity",
        "/metadata/identity/getplatformmetadata?cred-api-version=2.0",
        "/metadata/identity/oauth2/token/x",
    ] {
        assert_eq!(
            (broker.imds(path).status, broker.imds(path).json()),
            (404, json!({ "error": "Not Found" })),
            "{path}"
        );
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"] {
        let mut connection = broker.connect("imds");
        connection.send(format!("{method} /metadata/identity/oauth2/token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
        let answer = connection.read_head().unwrap();
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "GET"), "{method}");
    }
}

#[test]
fn every_selector_finds_its_identity() {
    let broker = Broker::serve(&[]);
    let cases = [
        (String::new(), SYSTEM),
        (format!("&client_id={SYSTEM}"), SYSTEM),
        (format!("&client_id={}", APP.to_uppercase()), APP),
        ("&object_id=0b1ec700-0000-4000-8000-00000000000a".to_owned(), APP),
        (format!("&msi_res_id={APP_ID}"), APP),
        (format!("&mi_res_id={}", APP_ID.replace('/', "%2F")), APP),
        ("&msi-res-id=ignored&unknown=1".to_owned(), SYSTEM),
    ];
    for (selector, client_id) in cases {
        let answer = broker.token(&format!("{ARM}{selector}"));
        assert_eq!(
            (answer.status, &answer.json()["client_id"]),
            (200, &json!(client_id)),
            "{selector}"
        );
    }
}

#[test]
fn each_vm_has_its_own_identity_and_an_unknown_caller_none() {
    let broker = Broker::serve(&["--synthetic", "vms=2,user-assigned=1"]);
    let client_id = |last: u8| {
        let answer =
            broker.connect_from(Ipv4Addr::new(127, 1, 0, last).into()).get(&token_target(ARM));
        assert_eq!(answer.status, 200);
        answer.json()["client_id"].clone()
    };
    assert_ne!(client_id(1), client_id(2));
    let stranger = broker.token(ARM);
    let text = "The caller 127.0.0.1 is not a virtual machine known to this service";
    let expected = json!({ "error": "forbidden", "error_description": text });
    assert_eq!((stranger.status, stranger.json()), (403, expected));
    let others = client_id(2);
    let mut vm_1 = broker.connect_from(Ipv4Addr::new(127, 1, 0, 1).into());
    let refused = vm_1.get(&token_target(&format!("{ARM}&client_id={}", others.as_str().unwrap())));
    assert_eq!((refused.status, refused.json()), (400, invalid("Identity not found")));
}

#[test]
fn the_other_routes_answer_as_far_as_sdks_look() {
    let broker = Broker::serve(&[]);
    let info = broker.imds("/metadata/identity/info?api-version=2018-02-01");
    assert_eq!(
        (info.status, info.json()),
        (200, json!({ "tenantId": "72f988bf-0000-4000-8000-000000000001" }))
    );
    let versions = broker.imds("/metadata/versions").json();
    assert!(versions["apiVersions"].as_array().unwrap().contains(&json!("2018-02-01")));
    let name = broker.imds("/metadata/instance/compute/name?api-version=2021-02-01&format=text");
    assert_eq!((name.status, name.text()), (200, "demo-vm".to_owned()));
    let compute = broker.imds("/metadata/instance/compute?api-version=2021-02-01").json();
    assert_eq!(compute["resourceGroupName"], "demo");
    let oldest = broker.imds("/metadata/instance/compute?api-version=2017-04-02").json();
    assert_eq!((&oldest["vmSize"], oldest.get("storageProfile")), (&json!(""), None));
    let caching = "/metadata/instance/compute/storageProfile/osDisk/caching";
    let caching = broker.imds(&format!("{caching}?api-version=2021-02-01&format=text"));
    assert_eq!((caching.status, caching.text()), (200, String::new()));
    for leaf in
        ["/compute/name?api-version=2021-02-01", "/compute?api-version=2021-02-01&format=text"]
    {
        assert_eq!(broker.imds(&format!("/metadata/instance{leaf}")).status, 400, "{leaf}");
    }
    assert_eq!(broker.imds("/metadata/instance/nowhere?api-version=2021-02-01").status, 404);
}
