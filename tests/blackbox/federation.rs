//! Workload identity: tokens of other issuers, exchanged at the token service.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use mintbench::base::clock::{Clock as _, SystemClock};
use mintbench::service::token::{Algorithm, KeyMaterial, Signer, SigningKey};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::broker::{Answer, Broker, log_with, mintbench};

const TENANT: &str = "72f988bf-0000-4000-8000-000000000001";
const APP: &str = "c11e0000-0000-4000-8000-00000000000a";
const VM: &str = "0b1ec700-0000-4000-8000-000000000001";
const AUDIENCE: &str = "api://AzureADTokenExchange";
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const POD: &str = "system:serviceaccount:shop:web";
const APP_ID: &str = "/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourceGroups/demo/providers/Microsoft.ManagedIdentity/userAssignedIdentities/demo-app";

/// The key of an issuer.
struct OtherKey {
    signer: Signer,
    jwk: Value,
}

impl OtherKey {
    fn new() -> Self {
        let material = KeyMaterial::generate(Algorithm::Es256, SystemClock.now()).unwrap();
        let signer = Signer::new(Algorithm::Es256, &material.pkcs8).unwrap();
        Self { signer, jwk: json!(SigningKey::new(&material).unwrap().jwk()) }
    }

    fn set(&self) -> String {
        json!({ "keys": [self.jwk] }).to_string()
    }

    /// Returns the token that an issuer projects into a pod.
    fn token(&self, issuer: &str, subject: &str) -> String {
        let now = SystemClock.now().0;
        let header = json!({ "alg": "ES256", "kid": self.jwk["kid"] });
        let claims = json!({
            "iss": issuer, "sub": subject, "aud": [AUDIENCE],
            "iat": now, "nbf": now, "exp": now + 3_600,
        });
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let signature = self.signer.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Exchanges a token for one of `demo-app`.
fn exchange(broker: &Broker, assertion: &str) -> Answer {
    let fields = [
        ("grant_type", "client_credentials"),
        ("client_id", APP),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", assertion),
        ("scope", "https://vault.azure.net/.default"),
    ];
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let form: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let (form, host) = (form.join("&"), broker.address("sts"));
    let head = format!(
        "POST /{TENANT}/oauth2/v2.0/token HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    let mut connection = broker.connect("sts");
    connection.send(format!("{head}{form}").as_bytes());
    connection.read().unwrap()
}

/// Returns the client that a token was issued to.
fn client(answer: &Answer) -> String {
    let body = answer.json();
    let jwt = body["access_token"].as_str().unwrap_or_else(|| panic!("{body}"));
    let payload = BASE64_URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    claims["appid"].as_str().unwrap().to_owned()
}

fn code(answer: &Answer) -> u64 {
    answer.json()["error_codes"][0].as_u64().unwrap_or(0)
}

/// Sends a request to the control plane, which runs without authentication.
fn control(broker: &Broker, method: &str, name: &str, content: &Value) -> u16 {
    let body = if content.is_null() { String::new() } else { content.to_string() };
    let path = format!("{APP_ID}/federatedIdentityCredentials/{name}?api-version=2023-01-31");
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = broker.connect("arm");
    connection.send(head.as_bytes());
    connection.read().unwrap().status
}

fn credential(issuer: &str, subject: &str) -> Value {
    json!({ "properties": { "issuer": issuer, "subject": subject, "audiences": [AUDIENCE] } })
}

/// Writes the built-in world with a federated credential of `demo-app`.
fn world(folder: &Path, issuer: &str) -> String {
    let demo = include_str!("../../src/service/world/demo.toml");
    let (before, after) = demo.split_once("\n[[user_assigned]]\nname = \"demo-backup\"").unwrap();
    let entry = format!(
        "\n[[user_assigned.federated_credentials]]\nname = 'kube'\nissuer = '{issuer}'\nsubject = '{POD}'\n"
    );
    let path = folder.join("world.toml");
    let text = format!("{before}{entry}\n[[user_assigned]]\nname = \"demo-backup\"{after}");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Serves discovery document and keys of an issuer, and returns its URL. `keys` may change.
fn issuer(keys: &Arc<Mutex<String>>) -> String {
    issuer_with(keys, |url| format!("{url}/keys"))
}

/// Like [`issuer`], with the `jwks_uri` of its document made of its URL.
fn issuer_with(keys: &Arc<Mutex<String>>, jwks_uri: impl Fn(&str) -> String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let document = json!({ "issuer": url, "jwks_uri": jwks_uri(&url) }).to_string();
    let keys = Arc::clone(keys);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut lines = String::new();
            while !lines.ends_with("\r\n\r\n") && stream.read_line(&mut lines).unwrap() > 0 {}
            let body = match lines.split(' ').nth(1) {
                Some("/.well-known/openid-configuration") => document.clone(),
                Some("/keys") => keys.lock().unwrap().clone(),
                _ => String::new(),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.get_mut().write_all(format!("{head}{body}").as_bytes());
        }
    });
    url
}

#[test]
fn a_kubernetes_token_is_exchanged_with_the_keys_of_a_file() {
    let (folder, key) = (tempfile::tempdir().unwrap(), OtherKey::new());
    let world = world(folder.path(), ISSUER);
    let keys = folder.path().join("keys.json");
    fs::write(&keys, key.set()).unwrap();
    let keys = format!("{ISSUER}={}", keys.display());
    let broker = Broker::serve(&["--alg", "ES256", "--world", &world, "--issuer-keys", &keys]);
    let granted = exchange(&broker, &key.token(ISSUER, POD));
    assert_eq!((granted.status, client(&granted).as_str()), (200, APP));
    for (jwt, expected) in [
        (key.token(ISSUER, "system:serviceaccount:shop:other"), 700_213),
        (key.token("https://other.example", POD), 700_211),
        (OtherKey::new().token(ISSUER, POD), 7_000_272),
        ("x.y.z".to_owned(), 50_027),
    ] {
        assert_eq!(code(&exchange(&broker, &jwt)), expected);
    }
}

#[test]
fn the_keys_come_from_the_discovery_document_of_the_issuer() {
    let (folder, key) = (tempfile::tempdir().unwrap(), OtherKey::new());
    let published = Arc::new(Mutex::new(key.set()));
    let url = issuer(&published);
    let world = world(folder.path(), &url);
    let broker = Broker::serve(&["--alg", "ES256", "--world", &world]);
    let jwt = key.token(&url, POD);
    let granted = exchange(&broker, &jwt);
    assert_eq!((granted.status, client(&granted).as_str()), (200, APP), "{}", granted.text());
    // What is held is used while the issuer says something else.
    published.lock().unwrap().clear();
    assert_eq!(exchange(&broker, &jwt).status, 200);
}

/// Starts a broker whose log goes to a file in `folder`.
fn logged(folder: &Path, flags: &[&str]) -> Broker {
    let log = fs::File::create(folder.join("log")).unwrap();
    Broker::serve_with(flags, |command| {
        command.stderr(log);
    })
}

#[test]
fn keys_at_another_host_than_the_issuer_are_not_asked_for_unless_it_was_named() {
    let (folder, key) = (tempfile::tempdir().unwrap(), OtherKey::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let inner = listener.local_addr().unwrap();
    let published = Arc::new(Mutex::new(key.set()));
    let url = issuer_with(&published, |_| format!("http://{inner}/secret"));
    let path = world(folder.path(), &url);
    let broker = logged(folder.path(), &["--alg", "ES256", "--world", &path]);
    let refused = exchange(&broker, &key.token(&url, POD));
    assert_eq!((refused.status, code(&refused)), (400, 50_166));
    let said = refused.text();
    assert!(
        said.contains("the log of this server says why") && !said.contains(&inner.to_string()),
        "{said}"
    );
    let asked = listener.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(asked, Err(std::io::ErrorKind::WouldBlock));
    log_with(&folder.path().join("log"), &format!("start with --issuer-keys-host {inner}"));

    let keys = issuer(&published);
    let place = keys.strip_prefix("http://").unwrap();
    let url = issuer_with(&published, |_| format!("{keys}/keys"));
    let path = world(folder.path(), &url);
    let flags = ["--alg", "ES256", "--world", &path, "--issuer-keys-host", place];
    let granted = exchange(&Broker::serve(&flags), &key.token(&url, POD));
    assert_eq!(granted.status, 200, "{}", granted.text());
}

#[test]
fn an_issuer_that_cannot_be_reached_is_named() {
    let (folder, key) = (tempfile::tempdir().unwrap(), OtherKey::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let world = world(folder.path(), &url);
    let broker = logged(folder.path(), &["--alg", "ES256", "--world", &world]);
    let refused = exchange(&broker, &key.token(&url, POD));
    assert_eq!((refused.status, code(&refused)), (400, 50_166));
    assert!(refused.text().contains(&format!("The keys of '{url}' cannot")), "{}", refused.text());
    log_with(&folder.path().join("log"), &format!("cannot connect to {url}"));
    // The other endpoints answer meanwhile.
    assert_eq!(broker.token("resource=https%3A%2F%2Fvault.azure.net").status, 200);
}

#[test]
fn a_credential_of_the_control_plane_is_stored_and_ends_at_once() {
    let (folder, key) = (tempfile::tempdir().unwrap(), OtherKey::new());
    let url = issuer(&Arc::new(Mutex::new(key.set())));
    let data = folder.path().join("data");
    let start = || {
        let data = data.to_str().unwrap();
        Broker::serve(&["--alg", "ES256", "--arm-auth", "off", "--data", data])
    };
    let broker = start();
    let jwt = key.token(&url, POD);
    assert_eq!(code(&exchange(&broker, &jwt)), 700_213);
    assert_eq!(control(&broker, "PUT", "kube", &credential(&url, POD)), 201);
    assert_eq!(exchange(&broker, &jwt).status, 200);
    assert_eq!(control(&broker, "PUT", "twin", &credential(&url, POD)), 409);
    // Killed, and started again.
    drop(broker);
    let broker = start();
    assert_eq!(exchange(&broker, &jwt).status, 200);
    assert_eq!(control(&broker, "GET", "kube", &Value::Null), 200);
    assert_eq!(control(&broker, "DELETE", "kube", &Value::Null), 200);
    assert_eq!(code(&exchange(&broker, &jwt)), 700_213);
}

#[test]
fn a_token_of_a_virtual_machine_is_exchanged_for_one_of_another_identity() {
    let broker = Broker::serve(&["--alg", "ES256", "--arm-auth", "off"]);
    let issuer = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    assert_eq!(control(&broker, "PUT", "machine", &credential(&issuer, VM)), 201);
    let token = |resource: &str| {
        let body = broker.token(&format!("resource={resource}")).json();
        body["access_token"].as_str().unwrap().to_owned()
    };
    let granted = exchange(&broker, &token(AUDIENCE));
    assert_eq!((granted.status, client(&granted).as_str()), (200, APP));
    assert_eq!(code(&exchange(&broker, &token("https://vault.azure.net"))), 700_212);
}

#[test]
fn a_key_file_or_an_issuer_that_is_no_use_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.json");
    fs::write(&empty, r#"{"keys":[]}"#).unwrap();
    let empty = format!("{ISSUER}={}", empty.display());
    for (flags, expected) in [
        (["--issuer-keys", &empty], "has no public key for signatures"),
        (["--issuer-keys", "https://a=none.json"], "none.json"),
        (["--issuer-keys", "issuer=keys.json"], "write ISSUER=FILE"),
        (["--issuer-keys-host", "https://a"], "write a host"),
        (["--issuer-keys-host", "a/keys"], "write a host"),
        (["--issuer-http", "never"], "use loopback or any"),
        (["--issuer-ca", "none.pem"], "none.pem"),
    ] {
        let output = mintbench().arg("serve").args(flags).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(expected), "{flags:?}: {said}");
    }
}
