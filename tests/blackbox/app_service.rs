//! The endpoint of App Service and Functions (docs/protocol.md).

use std::path::Path;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};

use crate::broker::{Answer, Broker, log_with};

const SYSTEM: &str = "c11e0000-0000-4000-8000-000000000001";
const APP: &str = "c11e0000-0000-4000-8000-00000000000a";
const NEW: &str = "/msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fvault.azure.net";
const OLD: &str = "/msi/token?api-version=2017-09-01&resource=https%3A%2F%2Fvault.azure.net";

fn serve(more: &[&str]) -> Broker {
    Broker::serve(&[&["--app-service", "127.0.0.1:0"], more].concat())
}

/// Sends a GET with these header lines.
fn get(broker: &Broker, target: &str, headers: &str) -> Answer {
    let mut connection = broker.connect("app-service");
    let head = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n");
    connection.send(head.as_bytes());
    connection.read().unwrap()
}

/// Asks as the machine with this secret.
fn ask(broker: &Broker, target: &str, secret: &str) -> Answer {
    let name = if target.contains("2017-09-01") { "Secret" } else { "X-IDENTITY-HEADER" };
    get(broker, target, &format!("{name}: {secret}\r\n"))
}

fn header(broker: &Broker) -> String {
    broker.identity_header.clone().unwrap()
}

fn claims(answer: &Answer) -> Value {
    let body = answer.json();
    let jwt = body["access_token"].as_str().unwrap_or_else(|| panic!("{body}"));
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn fields(answer: &Answer) -> Vec<String> {
    answer.json().as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_program_with_the_header_gets_a_token_in_the_form_of_each_version() {
    let broker = serve(&[]);
    let secret = header(&broker);
    let new = ask(&broker, NEW, &secret);
    assert_eq!(new.status, 200, "{}", new.text());
    let expected =
        ["access_token", "client_id", "expires_on", "not_before", "resource", "token_type"];
    assert_eq!(fields(&new), expected);
    let (body, claims) = (new.json(), claims(&new));
    assert!(body.as_object().unwrap().values().all(Value::is_string), "{body}");
    assert_eq!((&body["client_id"], &body["token_type"]), (&json!(SYSTEM), &json!("Bearer")));
    assert_eq!(body["expires_on"], claims["exp"].to_string());
    assert_eq!(body["not_before"], claims["nbf"].to_string());
    assert_eq!(claims["aud"], "https://vault.azure.net");

    let old = ask(&broker, OLD, &secret);
    assert_eq!(fields(&old), ["access_token", "expires_on", "resource", "token_type"]);
    let (body, date) = (old.json(), old.json()["expires_on"].as_str().unwrap().to_owned());
    assert_eq!(body["access_token"], new.json()["access_token"], "it is the same cached token");
    assert_eq!(old.headers["x-mintbench-cache"], "hit");
    let shape: String = date.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
    assert_eq!(shape, "00/00/0000 00:00:00 +00:00");
}

#[test]
fn the_token_is_the_one_of_the_identity_endpoint() {
    let broker = serve(&[]);
    let imds = broker.token("resource=https%3A%2F%2Fvault.azure.net").json();
    let own = ask(&broker, NEW, &header(&broker));
    assert_eq!(own.headers["x-mintbench-cache"], "hit");
    for field in ["access_token", "client_id", "expires_on", "not_before", "resource"] {
        assert_eq!(own.json()[field], imds[field], "{field}");
    }
}

#[test]
fn without_the_right_header_nobody_gets_a_token() {
    let broker = serve(&[]);
    let secret = header(&broker);
    let wrong = format!("{}A", &secret[..63]);
    let wrong = if wrong == secret { format!("{}B", &secret[..63]) } else { wrong };
    for (target, headers) in [
        (NEW, String::new()),
        (NEW, "X-IDENTITY-HEADER: \r\n".to_owned()),
        (NEW, format!("X-IDENTITY-HEADER: {wrong}\r\n")),
        (NEW, format!("X-IDENTITY-HEADER: {secret}\r\nX-IDENTITY-HEADER: {secret}\r\n")),
        // Each version has a header of its own.
        (NEW, format!("Secret: {secret}\r\n")),
        (OLD, format!("X-IDENTITY-HEADER: {secret}\r\n")),
        (OLD, "Metadata: true\r\n".to_owned()),
    ] {
        let refused = get(&broker, target, &headers);
        assert_eq!(
            (refused.status, &refused.json()["statusCode"]),
            (401, &json!(401)),
            "{headers}"
        );
        assert!(!refused.text().contains("access_token"));
        assert_eq!(refused.json()["correlationId"], refused.headers["x-correlation-id"]);
    }
}

#[test]
fn requests_that_are_not_right_are_refused_in_the_form_of_app_service() {
    let broker = serve(&[]);
    let secret = header(&broker);
    let unloaded = "Unable to load the proper Managed Identity.";
    for (end, status, message) in [
        ("&client_id=00000000-0000-0000-0000-000000000000", 400, unloaded),
        ("&client_id=nobody", 400, unloaded),
        ("&client_id=a&principal_id=b", 400, "at most one of"),
        ("&x=1&x=2", 400, "the query repeats the parameter 'x'"),
    ] {
        let refused = ask(&broker, &format!("{NEW}{end}"), &secret);
        let body = refused.json();
        assert_eq!((refused.status, &body["statusCode"]), (status, &json!(status)), "{end}");
        assert!(body["message"].as_str().unwrap().contains(message), "{end} {body}");
    }
    let bare = "/msi/token?api-version=2019-08-01";
    let missing = ask(&broker, bare, &secret);
    assert_eq!((missing.status, missing.json()["statusCode"].clone()), (400, json!(400)));
    let unknown = ask(&broker, &format!("{bare}&resource=api://nobody"), &secret);
    assert_eq!(unknown.status, 500, "{}", unknown.text());
    for version in ["", "api-version=2018-02-01&"] {
        let refused = ask(&broker, &format!("/msi/token?{version}resource=api://x"), &secret);
        let code = refused.json()["error"]["code"].clone();
        assert_eq!((refused.status, code), (400, json!("UnsupportedApiVersion")));
    }
    assert_eq!(ask(&broker, &NEW.replace("/msi/", "/msx/"), &secret).status, 404);
    let proxied = format!("X-IDENTITY-HEADER: {secret}\r\nX-Forwarded-For: 10.0.0.1\r\n");
    assert_eq!(get(&broker, NEW, &proxied).status, 400);
    let mut rebound = broker.connect("app-service");
    let head =
        format!("GET {NEW} HTTP/1.1\r\nHost: evil.example\r\nX-IDENTITY-HEADER: {secret}\r\n\r\n");
    rebound.send(head.as_bytes());
    assert_eq!(rebound.read().unwrap().status, 400);
    let mut posted = broker.connect("app-service");
    let head = format!("POST {NEW} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n");
    posted.send(head.as_bytes());
    let posted = posted.read().unwrap();
    assert_eq!((posted.status, posted.headers["allow"].as_str()), (405, "GET"));
}

#[test]
fn every_selector_of_a_version_finds_its_identity() {
    let broker = serve(&[]);
    let secret = header(&broker);
    let object = "0b1ec700-0000-4000-8000-00000000000a";
    let resource = "/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourcegroups/DEMO/providers/Microsoft.ManagedIdentity/userAssignedIdentities/demo-app";
    for (target, end) in [
        (NEW, format!("&client_id={APP}")),
        (NEW, format!("&principal_id={object}")),
        (NEW, format!("&object_id={object}")),
        (NEW, format!("&mi_res_id={resource}")),
        (OLD, format!("&clientid={APP}")),
    ] {
        let answer = ask(&broker, &format!("{target}{end}"), &secret);
        assert_eq!(claims(&answer)["appid"], APP, "{end}");
    }
}

#[test]
fn programs_of_two_machines_on_one_host_are_told_apart_by_their_secrets() {
    let broker = serve(&["--synthetic", "vms=2,user-assigned=1"]);
    assert_eq!(broker.identity_header, None, "no machine calls from 127.0.0.1");
    let secret = |vm: &str| {
        let answer = broker.post_admin(&format!("/identity-header?vm={vm}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().trim().to_owned()
    };
    let secrets = ["vm-0", "VM-1"].map(secret);
    let tokens = secrets.each_ref().map(|secret| claims(&ask(&broker, NEW, secret)));
    assert_ne!(tokens[0]["appid"], tokens[1]["appid"]);
    let vm = tokens[1]["xms_mirid"].as_str().unwrap();
    assert!(vm.ends_with("/virtualMachines/vm-1"), "{vm}");
    let others = tokens[0]["appid"].as_str().unwrap();
    let refused = ask(&broker, &format!("{NEW}&client_id={others}"), &secrets[1]);
    assert_eq!(refused.status, 400, "{}", refused.text());
    let by_address = broker.post_admin("/identity-header?address=127.1.0.1");
    assert_eq!(by_address.text().trim(), secrets[0]);
    for (query, status) in [
        ("", 400),
        ("?vm=", 404),
        ("?vm=none", 404),
        ("?address=here", 400),
        ("?address=127.0.0.1", 404),
    ] {
        assert_eq!(broker.post_admin(&format!("/identity-header{query}")).status, status);
    }
    assert_eq!(broker.connect("admin").get("/identity-header?vm=vm-0").status, 405);
    let mut admin = broker.connect("admin");
    admin.send(
        b"POST /identity-header?vm=vm-0 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(admin.read().unwrap().status, 401);
}

#[test]
fn the_secret_outlives_the_process_and_is_in_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let start = |log: &Path| {
        let log = std::fs::File::create(log).unwrap();
        let data = folder.path().join("data");
        let flags = ["--app-service", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        Broker::serve_with(&flags, |command| {
            command.env("MINTBENCH_LOG", "trace").stderr(log);
        })
    };
    let log = folder.path().join("log");
    let first = start(&log);
    let secret = header(&first);
    assert_eq!(ask(&first, NEW, &secret).status, 200);
    assert_eq!(ask(&first, &format!("{NEW}&client_id=x"), &secret).status, 400);
    let text = log_with(&log, "was refused");
    drop(first);
    assert!(!text.contains(&secret), "{text}");
    let second = start(&log);
    assert_eq!(header(&second), secret);
    let other = serve(&[]);
    assert_ne!(header(&other), secret);
    assert_eq!(ask(&other, NEW, &secret).status, 401);
}
