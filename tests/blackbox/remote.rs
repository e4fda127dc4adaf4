//! Two processes: a broker, and the token service that it asks over TLS, each with its own
//! certificates.

use std::path::Path;

use serde_json::Value;

use crate::broker::Broker;

/// Starts the token service, which knows the same world and trusts the certificates that the broker
/// issues.
fn token_service(folder: &Path, broker_ca: &Path) -> Broker {
    let [folder, ca] = [folder, broker_ca].map(|path| path.to_str().unwrap());
    Broker::serve(&["--data", folder, "--trust-credential-issuer", ca])
}

fn broker(folder: &Path, service: &Broker, service_ca: &Path) -> Broker {
    let url = format!("https://{}", service.address("sts"));
    let [folder, ca] = [folder, service_ca].map(|path| path.to_str().unwrap());
    Broker::serve(&["--data", folder, "--token-source", &url, "--token-source-ca", ca])
}

fn kids(service: &Broker) -> Vec<Value> {
    let keys = service.connect("sts").get("/common/discovery/keys").json();
    keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
}

fn kid(answer: &crate::broker::Answer) -> Value {
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap().into()
}

/// Returns two folders, each with a certificate authority.
fn folders() -> [tempfile::TempDir; 2] {
    [(); 2].map(|()| {
        let folder = tempfile::tempdir().unwrap();
        drop(Broker::serve(&["--data", folder.path().to_str().unwrap()]));
        folder
    })
}

#[test]
fn tokens_come_from_the_token_service_and_its_refusals_are_passed_on() {
    let [front, back] = folders();
    let service = token_service(back.path(), &front.path().join("ca.pem"));
    let broker = broker(front.path(), &service, &back.path().join("ca.pem"));
    for selector in ["", "&client_id=c11e0000-0000-4000-8000-00000000000a"] {
        let query = format!("resource=https://vault.azure.net{selector}");
        let answer = broker.token(&query);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.headers["x-mintbench-cache"], "miss");
        assert!(kids(&service).contains(&kid(&answer)) && !kids(&broker).contains(&kid(&answer)));
        assert_eq!(broker.token(&query).headers["x-mintbench-cache"], "hit");
    }
    // The broker rolls its certificates, and the token service accepts the new ones.
    assert_eq!(broker.post_admin("/credentials/roll").text(), "2 made, 0 removed\n");
    let anew =
        broker.token("resource=https://vault.azure.net&bypass_cache=true&api-version=2023-07-01");
    assert_eq!(anew.status, 400, "two api-versions");
    let target = "/metadata/identity/oauth2/token?api-version=2023-07-01&bypass_cache=true&resource=https://vault.azure.net";
    assert_eq!(broker.imds(target).status, 200);
}

#[test]
fn a_token_service_that_does_not_trust_the_broker_or_is_gone_gives_no_token() {
    let [front, back] = folders();
    let stranger = back.path().join("ca.pem");
    let service = token_service(back.path(), &stranger);
    let broker = broker(front.path(), &service, &stranger);
    let refused = broker.token("resource=https://vault.azure.net");
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(refused.json()["error"], "invalid_client");
    drop(service);
    let failed = broker.token("resource=https://vault.azure.net");
    assert_eq!(failed.status, 500, "{}", failed.text());
    assert_eq!(failed.json()["error"], "server_error");
}
