//! A server for tests: broken tokens, which every endpoint of this server refuses, and a clock that moves.

use std::path::Path;

use mintbench::base::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::broker::{Broker, mintbench, poll};
use crate::cli::file;
use crate::vaults::asked;

const VAULT: &str = "resource=https://vault.azure.net";
const ARM: &str = "resource=https://management.azure.com/";

const FLAWS: [&str; 9] = [
    "wrong-signature",
    "unknown-key",
    "wrong-issuer",
    "wrong-audience",
    "expired",
    "not-yet-valid",
    "alg-none",
    "hs256-public-key",
    "oversized",
];

/// The demo world, whose machine may read secrets.
const WORLD: &str = concat!(
    include_str!("../../src/service/world/demo.toml"),
    "[[role_assignments]]\nprincipal = 'demo-vm'\nrole = 'Key Vault Secrets User'\n\
     scope = '/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourceGroups/demo'\n"
);

/// Starts a server for tests with a folder.
fn serve(folder: &Path, more: &[&str]) -> Broker {
    let world = file(WORLD);
    let (folder, world) = (folder.to_str().unwrap(), world.path().to_str().unwrap());
    Broker::serve(&[&["--test-tools", "--data", folder, "--world", world], more].concat())
}

fn access_token(broker: &Broker, query: &str) -> String {
    broker.token(query).json()["access_token"].as_str().unwrap().to_owned()
}

/// Returns the status of a vault for a token. A server that reads no head of 300 kB may close the connection before
/// its answer arrives.
fn vault(broker: &Broker, folder: &Path, token: &str) -> u16 {
    let uri = format!("https://{}/", broker.address("vault"));
    let header = format!("Authorization: Bearer {token}\r\n");
    let answer = asked(folder, &uri, "/secrets/demo-secret?api-version=7.4", &header);
    answer.split(' ').nth(1).map_or(HEAD_TOO_LONG, |status| status.parse().unwrap())
}

/// Returns the status of the control plane for a token.
fn arm(broker: &Broker, token: &str) -> u16 {
    let mut arm = broker.connect("arm");
    let head = format!(
        "GET /subscriptions?api-version=2022-12-01 HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    arm.send(head.as_bytes());
    arm.read().map_or(HEAD_TOO_LONG, |answer| answer.status)
}

/// Status of a request whose head is too long to be read.
const HEAD_TOO_LONG: u16 = 431;

/// Status of a request that is refused for its token.
fn refusal(flaw: &str) -> u16 {
    if flaw == "oversized" { HEAD_TOO_LONG } else { 401 }
}

#[test]
fn every_endpoint_refuses_every_broken_token() {
    let folder = tempfile::tempdir().unwrap();
    let broker = serve(&folder.path().join("data"), &[]);
    let folder = folder.path().join("data");
    for (query, is_vault) in [(VAULT, true), (ARM, false)] {
        let good = access_token(&broker, query);
        let answered = |token: &str| {
            if is_vault { vault(&broker, &folder, token) } else { arm(&broker, token) }
        };
        assert_eq!(answered(&good), 200, "{query}");
        let tokens = broker.ask_admin("POST", "/tokens/broken", &good).json();
        assert_eq!(tokens.as_object().unwrap().len(), FLAWS.len());
        for flaw in FLAWS {
            let token = tokens[flaw].as_str().unwrap();
            assert_ne!(token, good, "{flaw}");
            assert_eq!(answered(token), refusal(flaw), "{query} {flaw}");
        }
        assert_eq!(answered(&good), 200, "{query}");
    }
}

#[test]
fn an_unmodified_client_gets_a_broken_token_in_a_good_answer() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let broker = serve(&data, &[]);
    let good = broker.token(VAULT).json();
    for flaw in FLAWS {
        let rule = json!([{ "endpoint": "imds", "fault": { "kind": "token", "flaw": flaw } }]);
        broker.ask_admin("PUT", "/faults", &json!({ "rules": rule }).to_string());
        let answer = broker.token(VAULT);
        assert_eq!(answer.status, 200);
        let answer: Value = answer.json();
        assert_eq!(answer["expires_on"], good["expires_on"], "{flaw}");
        let token = answer["access_token"].as_str().unwrap();
        assert_eq!(vault(&broker, &data, token), refusal(flaw), "{flaw}");
        // Answers without a token are as always.
        assert_eq!(broker.imds("/metadata/versions").status, 200);
    }
    broker.ask_admin("DELETE", "/faults", "");
    assert_eq!(broker.token(VAULT).json()["access_token"], good["access_token"]);
}

#[test]
fn tokens_certificates_and_keys_follow_the_clock_forward_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let broker = serve(&data, &["--clock", "+3h"]);
    let set = |offset: &str| {
        let answer = broker.ask_admin("PUT", "/clock", offset);
        assert!(
            answer.status == 200 && answer.text().trim().ends_with(offset),
            "{}",
            answer.text()
        );
    };
    let ahead = |token: &Value| -> i64 {
        let number = |field: &str| token[field].as_str().unwrap().parse::<i64>().unwrap();
        let now = i64::try_from(SystemClock.now().0).unwrap();
        number("expires_on") - number("expires_in") - now
    };
    let first = broker.token(VAULT).json();
    // A minute of tolerance for a machine that is busy.
    assert!((10_740..=10_860).contains(&ahead(&first)), "{first}");
    let kid = |broker: &Broker| {
        let keys = broker.connect("sts").get("/common/discovery/keys").json();
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect::<Vec<_>>()
    };
    let keys = kid(&broker);
    let opens = |token: &Value| vault(&broker, &data, token["access_token"].as_str().unwrap());
    assert_eq!(opens(&first), 200);
    set("+2days");
    assert_eq!(opens(&first), 401);
    let second = broker.token(VAULT).json();
    assert!(opens(&second) == 200 && second["access_token"] != first["access_token"]);
    // The signing key has signed for 30 days, and so the next one takes over.
    set("+100days");
    poll(|| (kid(&broker) != keys).then_some(()));
    let third = broker.token(VAULT).json();
    assert_eq!((opens(&second), opens(&third)), (401, 200));
    assert!((8_639_940..=8_640_060).contains(&ahead(&third)), "{third}");
    // The server's own certificate is as before: `vault` checks it by the clock of the machine.
    set("-1h");
    assert_eq!(opens(&third), 401);
    poll(|| {
        let fourth = broker.token(VAULT);
        (fourth.status == 200 && opens(&fourth.json()) == 200).then_some(())
    });
}

#[test]
fn only_a_server_for_tests_breaks_tokens_and_moves_its_clock() {
    let broker = Broker::serve(&[]);
    for (method, path) in [("PUT", "/clock"), ("POST", "/tokens/broken")] {
        let refused = broker.ask_admin(method, path, "+1h");
        assert!(refused.status == 403 && refused.text().contains("--test-tools"), "{path}");
    }
    let output = mintbench().args(["serve", "--clock", "+3h"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--clock needs --test-tools"), "{said}");
    let broker = Broker::serve(&["--test-tools"]);
    let refused = broker.ask_admin("PUT", "/clock", "3");
    assert!(refused.status == 400 && refused.text().contains("write +3h, -10m or 0s"));
    let refused = broker.ask_admin("POST", "/tokens/broken", "no token");
    assert!(refused.status == 400 && refused.text().contains("no access token"));
}
