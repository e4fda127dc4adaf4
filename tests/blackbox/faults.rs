//! Faults on purpose: at each endpoint, as a client meets them, and how they end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::broker::{Answer, Broker, DEADLINE, mintbench, poll, token_target};
use crate::cli::file;

const RESOURCE: &str = "resource=https://vault.azure.net";

/// Replaces the faults of a broker.
fn set(broker: &Broker, rules: &Value) {
    let answer = broker.ask_admin("PUT", "/faults", &json!({ "rules": rules }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Returns a rule without conditions.
fn rule(endpoint: &str, fault: &Value) -> Value {
    json!([{ "endpoint": endpoint, "fault": fault }])
}

/// Returns everything that the broker sends on a connection with one token request, and whether it reset the
/// connection.
fn raw(broker: &Broker) -> (String, bool) {
    let mut stream = TcpStream::connect(broker.address("imds")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let target = token_target(RESOURCE);
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata: true\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let is_reset = read.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
    (String::from_utf8(bytes).unwrap(), is_reset)
}

#[test]
fn a_file_of_faults_holds_from_the_start_until_the_admin_endpoint_ends_it() {
    let plan = file(
        "[[rules]]\nendpoint = 'imds'\ncount = 2\nfault = { kind = 'status', status = 429, retry_after = 7 }",
    );
    let broker = Broker::serve(&["--faults", plan.path().to_str().unwrap()]);
    for _ in 0..2 {
        let refused = broker.token(RESOURCE);
        assert_eq!((refused.status, refused.headers["retry-after"].as_str()), (429, "7"));
        assert_eq!(refused.json()["error"], "invalid_request");
        assert!(refused.headers["server"].contains("IMDS/"));
        assert!(refused.headers.contains_key("x-ms-request-id"));
    }
    assert_eq!(broker.token(RESOURCE).status, 200);
    let shown = broker.ask_admin("GET", "/faults", "").json();
    assert_eq!(shown["rules"][0]["fault"]["status"], 429);
    assert_eq!(broker.metric::<u64>(r#"mintbench_faults_total{endpoint="imds",kind="status"}"#), 2);
    assert_eq!(broker.ask_admin("DELETE", "/faults", "").status, 200);
    assert_eq!(broker.ask_admin("GET", "/faults", "").status, 404);
    assert_eq!(broker.token(RESOURCE).status, 200);
}

#[test]
fn each_kind_of_fault_reaches_the_client_as_it_is_described() {
    let broker = Broker::serve(&[]);
    let whole = raw(&broker).0;
    let length = whole.split_once("\r\n\r\n").unwrap().1.len();
    for (fault, expected) in [
        (json!({ "kind": "status", "status": 410 }), "HTTP/1.1 410 Gone\r\n"),
        (json!({ "kind": "status", "status": 503 }), "HTTP/1.1 503 Service Unavailable\r\n"),
        (json!({ "kind": "slow", "delay": "1ms" }), "HTTP/1.1 200 OK\r\n"),
        (json!({ "kind": "trickle", "every": "1ms", "bytes": 100 }), "HTTP/1.1 200 OK\r\n"),
    ] {
        set(&broker, &rule("imds", &fault));
        let (answer, _) = raw(&broker);
        assert!(answer.starts_with(expected), "{fault}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Value>(body).unwrap();
    }
    set(&broker, &rule("imds", &json!({ "kind": "truncated" })));
    let (answer, _) = raw(&broker);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {length}")), "{head}");
    assert_eq!(body.len(), length / 2);
    set(&broker, &rule("imds", &json!({ "kind": "wrong-json" })));
    let answer = broker.token(RESOURCE);
    assert_eq!(answer.status, 200);
    assert!(serde_json::from_str::<Value>(&answer.text()).is_err());
    set(&broker, &rule("imds", &json!({ "kind": "wrong-content-type" })));
    let answer = broker.token(RESOURCE);
    assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(answer.json()["token_type"], "Bearer");
    set(&broker, &rule("imds", &json!({ "kind": "reset" })));
    assert_eq!(raw(&broker), (String::new(), true));
}

#[test]
fn a_connection_in_use_meets_faults_and_is_as_before_when_they_end() {
    let broker = Broker::serve(&[]);
    let mut connection = broker.connect("imds");
    let target = token_target(RESOURCE);
    let statuses = |connection: &mut crate::broker::Connection| {
        [(); 3].map(|()| connection.get(&target).status)
    };
    assert_eq!(statuses(&mut connection), [200; 3]);
    set(&broker, &rule("imds", &json!({ "kind": "status", "status": 500 })));
    assert_eq!(statuses(&mut connection), [500; 3]);
    broker.ask_admin("DELETE", "/faults", "");
    assert_eq!(statuses(&mut connection), [200; 3]);
}

#[test]
fn requests_that_hang_end_with_the_faults_and_with_the_server() {
    let broker = Broker::serve(&[]);
    let hang = rule("imds", &json!({ "kind": "hang" }));
    set(&broker, &hang);
    let ask = || {
        let mut connection = broker.connect("imds");
        let target = token_target(RESOURCE);
        let head = format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata: true\r\n\r\n");
        connection.send(head.as_bytes());
        connection
    };
    let wait_for_hung = |count: u64| {
        let line = format!("mintbench_faults_total{{endpoint=\"imds\",kind=\"hang\"}} {count}\n");
        let shown = || broker.connect("admin").get("/metrics").text().contains(&line);
        poll(|| shown().then_some(()));
    };
    let mut first = ask();
    wait_for_hung(1);
    broker.ask_admin("DELETE", "/faults", "");
    assert!(first.read().is_none());
    set(&broker, &hang);
    let mut second = ask();
    wait_for_hung(2);
    broker.signal(Signal::TERM);
    assert!(second.read().is_none());
    assert_eq!(broker.wait().code(), Some(0));
}

/// Two machines, the first with two identities.
const TWO: &str = "[[tenants]]\nid = '00000000-0000-4000-8000-0000000000a1'\n\
    [[subscriptions]]\nid = '00000000-0000-4000-8000-0000000000b1'\ntenant = '00000000-0000-4000-8000-0000000000a1'\n\
    [[user_assigned]]\nname = 'app'\nsubscription = '00000000-0000-4000-8000-0000000000b1'\nresource_group = 'rg'\nclient_id = '00000000-0000-4000-8000-0000000000c1'\n\
    [[vms]]\nname = 'vm-1'\nsubscription = '00000000-0000-4000-8000-0000000000b1'\nresource_group = 'rg'\naddress = '127.0.0.1'\nsystem_assigned = true\nuser_assigned = ['app']\n\
    [[vms]]\nname = 'vm-2'\nsubscription = '00000000-0000-4000-8000-0000000000b1'\nresource_group = 'rg'\naddress = '127.0.0.2'\nsystem_assigned = true\n";

#[test]
fn a_rule_hits_only_the_machine_the_identity_and_the_resource_that_it_names() {
    let world = file(TWO);
    let broker = Broker::serve(&["--world", world.path().to_str().unwrap()]);
    let other = || broker.connect_from([127, 0, 0, 2].into()).get(&token_target(RESOURCE)).status;
    let own = |query: &str| broker.token(query).status;
    let app = format!("{RESOURCE}&client_id=00000000-0000-4000-8000-0000000000c1");
    let arm = "resource=https://management.azure.com/";
    let refused = json!({ "kind": "status", "status": 500 });
    for (field, name, expected) in [
        ("vms", "VM-1", [500, 500, 500, 200]),
        ("vms", "vm-2", [200, 200, 200, 500]),
        ("identities", "app", [200, 500, 200, 200]),
        ("identities", "00000000-0000-4000-8000-0000000000c1", [200, 500, 200, 200]),
        ("identities", "vm-2", [200, 200, 200, 500]),
        ("resources", "https://vault.azure.net/", [500, 500, 200, 500]),
    ] {
        set(&broker, &json!([{ "endpoint": "imds", field: [name], "fault": refused }]));
        assert_eq!([own(RESOURCE), own(&app), own(arm), other()], expected, "{field} {name}");
    }
}

#[test]
fn the_same_seed_gives_a_machine_the_same_faults_after_a_restart() {
    let plan = file(
        "seed = 3\n[[rules]]\nendpoint = 'imds'\nshare = 0.5\nfault = { kind = 'status', status = 500 }",
    );
    let statuses = || {
        let broker = Broker::serve(&["--faults", plan.path().to_str().unwrap()]);
        let mut connection = broker.connect("imds");
        [(); 40].map(|()| connection.get(&token_target(RESOURCE)).status)
    };
    let first = statuses();
    assert_eq!(first, statuses());
    assert!(first.contains(&200) && first.contains(&500));
}

/// Asks the token service for a token of an application that the world does not have.
fn ask_sts(broker: &Broker) -> Answer {
    let body = "grant_type=client_credentials&client_id=app&client_secret=x&resource=https://vault.azure.net";
    let head = format!(
        "POST /common/oauth2/token HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = broker.connect("sts");
    connection.send(head.as_bytes());
    connection.read().unwrap()
}

#[test]
fn the_other_endpoints_and_the_source_of_tokens_have_faults_in_their_own_form() {
    let broker = Broker::serve(&[]);
    let busy = json!({ "kind": "status", "status": 429 });
    set(&broker, &json!([{ "endpoint": "sts", "identities": ["app"], "fault": busy }]));
    let refused = ask_sts(&broker);
    assert_eq!((refused.status, &refused.json()["error_codes"][0]), (429, &json!(90033)));
    set(&broker, &json!([{ "endpoint": "sts", "identities": ["another"], "fault": busy }]));
    assert_ne!(ask_sts(&broker).status, 429);
    set(&broker, &json!([{ "endpoint": "arm", "resources": ["/subscriptions"], "fault": busy }]));
    let mut arm = broker.connect("arm");
    assert_eq!(arm.get("/metadata/endpoints?api-version=2015-01-01").status, 200);
    let refused = arm.get("/subscriptions?api-version=2022-12-01");
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (429, &json!("TooManyRequests"))
    );
    set(&broker, &rule("token-source", &json!({ "kind": "status", "status": 503 })));
    let refused = broker.token(RESOURCE);
    assert_eq!((refused.status, &refused.json()["error"]), (500, &json!("server_error")));
    broker.ask_admin("DELETE", "/faults", "");
    assert_eq!(broker.token(RESOURCE).status, 200);
    let metric = r#"mintbench_faults_total{endpoint="token-source",kind="status"}"#;
    assert_eq!(broker.metric::<u64>(metric), 1);
}

#[test]
fn a_plan_that_is_wrong_or_not_allowed_changes_nothing() {
    let broker = Broker::serve(&[]);
    set(&broker, &rule("imds", &json!({ "kind": "status", "status": 500 })));
    for (body, status, said) in [
        ("{", 400, "`the request` is no fault plan"),
        (r#"{"rules":[]}"#, 400, "rules: there is none"),
        (
            r#"{"rules":[{"endpoint":"imds","fault":{"kind":"token","flaw":"expired"}}]}"#,
            403,
            "--test-tools",
        ),
    ] {
        let refused = broker.ask_admin("PUT", "/faults", body);
        assert!(refused.status == status && refused.text().contains(said), "{}", refused.text());
    }
    assert_eq!(broker.token(RESOURCE).status, 500);
    let mut admin = broker.connect("admin");
    assert_eq!(admin.get("/faults").status, 401);
    let wrong = file("[[rules]]\nendpoint = 'imds'\nfault = { kind = 'status', status = 1 }");
    let path = wrong.path().to_str().unwrap();
    let output = mintbench().args(["serve", "--faults", path]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("rules[0].fault.status: 1 is no refusal; write 400 to 599"), "{said}");
}
