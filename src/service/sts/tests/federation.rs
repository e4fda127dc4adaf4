//! Tokens of other issuers, exchanged for tokens of a user-assigned identity.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::service::directory::Principal;
use crate::service::token::{
    Algorithm, ClientProof, ForeignKeys, KeyMaterial, Signer, SigningKey, Subject, TokenSource as _,
};
use crate::service::world::federation::{AUDIENCE, FederatedCredential};
use crate::service::world::record::{Key, UserAssigned};

const ISSUER: &str = "https://issuer.example";
const POD: &str = "system:serviceaccount:shop:web";

/// The key of another issuer.
struct OtherKey {
    algorithm: Algorithm,
    signer: Signer,
    jwk: Value,
}

impl OtherKey {
    fn new(algorithm: Algorithm) -> Self {
        let material = KeyMaterial::generate(algorithm, NOW).unwrap();
        let signer = Signer::new(algorithm, &material.pkcs8).unwrap();
        Self { algorithm, signer, jwk: json!(SigningKey::new(&material).unwrap().jwk()) }
    }

    fn set(&self) -> String {
        json!({ "keys": [self.jwk] }).to_string()
    }

    /// Returns a token with the good claims of the pod, changed by these.
    fn token(&self, changed: &Value) -> String {
        let header = json!({ "alg": self.algorithm.name(), "kid": self.jwk["kid"] });
        self.signed(&header, &pod_claims(changed))
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.signer.sign(message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

fn pod_claims(changed: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "sub": POD, "aud": [AUDIENCE],
        "iat": NOW.0, "nbf": NOW.0, "exp": NOW.0 + 3_600,
    });
    claims.as_object_mut().unwrap().extend(changed.as_object().unwrap().clone());
    claims
}

fn credential(name: &str, issuer: &str, subject: &str) -> FederatedCredential {
    FederatedCredential {
        name: name.to_owned(),
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
    }
}

impl World {
    /// Returns a world in which `demo-app` trusts the pod of the issuer with this key, which is known from a file.
    fn knowing(key: &OtherKey) -> Self {
        let keys = ForeignKeys::parse(key.set().as_bytes()).unwrap();
        let key_sets = vec![(ISSUER.to_owned(), keys)];
        let options = FederationOptions { key_sets, ..FederationOptions::default() };
        let world = Self::federated(Vec::new(), None, options);
        world.trust(vec![credential("kube", ISSUER, POD)]);
        world
    }

    /// Gives `demo-app` these federated credentials and no others.
    fn trust(&self, federated_credentials: Vec<FederatedCredential>) {
        let record = self.demo_app();
        let record = UserAssigned { federated_credentials, ..record };
        self.change(Change::Put(Record::UserAssigned(record)));
    }

    fn demo_app(&self) -> UserAssigned {
        let state = self.directory.read();
        let Some(Principal::ManagedIdentity(own)) = state.client(identity().0) else { panic!() };
        UserAssigned::clone(&state.user_assigned(&own.resource_id).unwrap().record)
    }

    fn change(&self, change: Change) {
        self.directory.write(NOW, |_, _| Ok::<_, DirectoryError>((vec![change], ()))).unwrap();
    }

    /// Exchanges a token for one of `demo-app`, after the keys were fetched.
    fn exchange(&self, jwt: &str) -> Answer {
        let asked =
            request(&format!("/{TENANT}/oauth2/v2.0/token"), &with_assertion(identity().0, jwt));
        let (parts, body) = asked.clone().into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.sts.prepare(&parts, &Body::Read(body.into())));
        self.ask(&asked)
    }
}

/// An issuer at a loopback address, with these pages: path, status and body.
struct Served {
    url: String,
    pages: Arc<Mutex<HashMap<String, (u16, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Served {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = Self { url, pages: Arc::default(), asked: Arc::default() };
        let (pages, asked) = (Arc::clone(&served.pages), Arc::clone(&served.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &pages, &asked);
            }
        });
        served
    }

    /// Serves the discovery document and the keys.
    fn publish(&self, keys: &str) {
        let document = json!({ "issuer": self.url, "jwks_uri": format!("{}/keys", self.url) });
        self.page("/.well-known/openid-configuration", 200, &document.to_string());
        self.page("/keys", 200, keys);
    }

    fn page(&self, path: &str, status: u16, body: &str) {
        self.pages.lock().insert(path.to_owned(), (status, body.to_owned()));
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }

    fn credential(&self) -> FederatedCredential {
        credential("served", &self.url, POD)
    }
}

fn answer(
    mut stream: TcpStream,
    pages: &Mutex<HashMap<String, (u16, String)>>,
    asked: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let (status, body) = pages.lock().get(&path).cloned().unwrap_or((404, String::new()));
    asked.lock().push(path);
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nLocation: /keys\r\nConnection: close\r\n\r\n{body}"
    );
    let _ = stream.write_all(answer.as_bytes());
}

#[test]
fn a_token_of_a_trusted_issuer_is_exchanged_for_one_of_the_identity() {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let key = OtherKey::new(algorithm);
        let world = World::knowing(&key);
        let answer = world.exchange(&key.token(&json!({})));
        let claims = answer.claims();
        let (client_id, principal_id) = identity();
        assert_eq!((&claims["appid"], &claims["aud"]), (&json!(client_id), &json!(VAULT)));
        assert_eq!((&claims["oid"], &claims["appidacr"]), (&json!(principal_id), &json!("2")));
        assert!(claims["xms_mirid"].as_str().unwrap().ends_with("/demo-app"));
        assert_eq!(answer.body["expires_in"], 86_399);
        // One audience without a list, and no optional claim.
        let bare = key.token(&json!({ "aud": AUDIENCE, "nbf": null, "iat": null }));
        assert_eq!(world.exchange(&bare).status, 200, "{algorithm}");
    }
}

#[test]
fn every_refusal_of_a_federated_token_has_its_code() {
    let key = OtherKey::new(Algorithm::Es256);
    let stranger = OtherKey::new(Algorithm::Es256);
    let world = World::knowing(&key);
    let of_stranger = json!({ "alg": "ES256", "kid": stranger.jwk["kid"] });
    let namesake = json!({ "alg": "ES256", "kid": key.jwk["kid"] });
    let good = pod_claims(&json!({}));
    let none = json!({ "alg": "none", "kid": key.jwk["kid"] });
    let rows = [
        (key.token(&json!({ "iss": "https://issuer.example/" })), 401, 700_211),
        (key.token(&json!({ "iss": "https://other.example" })), 401, 700_211),
        (key.token(&json!({ "aud": "api://other" })), 401, 700_212),
        (key.token(&json!({ "aud": [] })), 401, 700_212),
        (key.token(&json!({ "sub": "system:serviceaccount:shop:other" })), 401, 700_213),
        (key.token(&json!({ "sub": POD.to_uppercase() })), 401, 7_002_138),
        (stranger.signed(&of_stranger, &good), 401, 7_000_272),
        (stranger.signed(&namesake, &good), 401, 700_027),
        (key.token(&json!({ "exp": NOW.0 - 300 })), 401, 700_024),
        (key.token(&json!({ "nbf": NOW.0 + 301 })), 401, 700_024),
        (key.token(&json!({ "iat": NOW.0 + 301 })), 401, 700_024),
        (key.signed(&none, &good), 400, 50_027),
        (key.token(&json!({ "exp": null })), 400, 50_027),
        (key.token(&json!({ "sub": null })), 400, 50_027),
    ];
    for (jwt, status, code) in rows {
        let answer = world.exchange(&jwt);
        let refusal = answer.refusal();
        assert_eq!((refusal.0, refusal.2), (status, code), "{}", answer.body);
    }
    let in_leeway = json!({ "iat": NOW.0 + 300, "nbf": NOW.0 + 300, "exp": NOW.0 - 299 });
    assert_eq!(world.exchange(&key.token(&in_leeway)).status, 200);
}

#[test]
fn a_refusal_says_what_was_presented_and_no_more() {
    let key = OtherKey::new(Algorithm::Es256);
    let world = World::knowing(&key);
    let text = |changed: &Value| {
        let answer = world.exchange(&key.token(changed));
        answer.body["error_description"].as_str().unwrap().to_owned()
    };
    let of_issuer = text(&json!({ "iss": "https://other.example" }));
    assert!(
        of_issuer.contains("presented assertion issuer 'https://other.example'"),
        "{of_issuer}"
    );
    let of_audience = text(&json!({ "aud": ["a", "b"] }));
    assert!(of_audience.contains("presented assertion audience 'a, b'"), "{of_audience}");
    for text in [of_issuer, of_audience, text(&json!({ "sub": "x" }))] {
        assert!(!text.contains(POD) && !text.contains(AUDIENCE), "{text}");
    }
}

#[test]
fn only_the_identity_that_has_the_credential_is_proved() {
    let key = OtherKey::new(Algorithm::Es256);
    let world = World::knowing(&key);
    let jwt = key.token(&json!({}));
    assert_eq!(world.exchange(&jwt).status, 200);
    // An application, and an identity without credentials.
    assert_eq!(world.assert(&jwt).refusal(), (401, "invalid_client", 700_213));
    let backup = "c11e0000-0000-4000-8000-00000000000b".parse().unwrap();
    let answer = world.post(&with_assertion(backup, &jwt));
    assert_eq!(answer.refusal(), (401, "invalid_client", 700_213));
    world.trust(Vec::new());
    assert_eq!(world.exchange(&jwt).refusal(), (401, "invalid_client", 700_213));
    world.trust(vec![credential("kube", ISSUER, POD)]);
    assert_eq!(world.exchange(&jwt).status, 200);
    world.change(Change::Remove(Key::UserAssigned(world.demo_app().id)));
    assert_eq!(world.exchange(&jwt).refusal(), (400, "unauthorized_client", 700_016));
}

#[test]
fn the_longest_remaining_life_of_an_assertion_holds_for_these_tokens_too() {
    let key = OtherKey::new(Algorithm::Es256);
    let keys = ForeignKeys::parse(key.set().as_bytes()).unwrap();
    let key_sets = vec![(ISSUER.to_owned(), keys)];
    let options = FederationOptions { key_sets, ..FederationOptions::default() };
    let world = World::federated(Vec::new(), Some(Seconds(600)), options);
    world.trust(vec![credential("kube", ISSUER, POD)]);
    assert_eq!(world.exchange(&key.token(&json!({ "exp": NOW.0 + 900 }))).status, 200);
    let long = world.exchange(&key.token(&json!({ "exp": NOW.0 + 901 })));
    assert_eq!(long.refusal(), (401, "invalid_client", 700_024));
}

/// Returns a token of this server for the virtual machine of the demo world.
fn own_token(world: &World, audience: &str) -> String {
    let state = world.directory.read();
    let client_id = "c11e0000-0000-4000-8000-000000000001".parse().unwrap();
    let Some(Principal::ManagedIdentity(vm)) = state.client(client_id) else { panic!() };
    let subject = Subject {
        tenant_id: vm.tenant.id,
        tenant_created: vm.tenant.created,
        client_id,
        principal_id: vm.ids.principal_id,
        resource_id: Some(&vm.resource_id),
        caller_id: None,
        proof: ClientProof::Certificate,
    };
    world.sts.managed.mint(&subject, audience, NOW, &[7; 48]).unwrap().jwt().to_owned()
}

#[test]
fn a_token_of_this_server_is_exchanged_without_a_fetch() {
    let world = World::new();
    let principal = "0b1ec700-0000-4000-8000-000000000001";
    let jwt = own_token(&world, AUDIENCE);
    for issuer in [
        format!("https://login.microsoftonline.com/{TENANT}/v2.0"),
        format!("https://sts.windows.net/{TENANT}/"),
    ] {
        world.trust(vec![credential("vm", &issuer, principal)]);
        assert_eq!(world.exchange(&jwt).status, 200, "{issuer}");
    }
    let other = own_token(&world, VAULT);
    assert_eq!(world.exchange(&other).refusal(), (401, "invalid_client", 700_212));
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    let changed = signature.replacen(|it: char| it != 'A', "A", 1);
    let forged = world.exchange(&format!("{message}.{changed}"));
    assert_eq!(forged.refusal(), (401, "invalid_client", 700_027));
    // Another tenant of this directory issues under another name.
    let issuer = format!("https://sts.windows.net/{OTHER_TENANT}/");
    world.trust(vec![credential("vm", &issuer, principal)]);
    assert_eq!(world.exchange(&jwt).refusal(), (401, "invalid_client", 700_211));
}

#[test]
fn a_token_of_this_server_whose_principal_is_gone_proves_nothing() {
    let world = World::new();
    let principal = "0b1ec700-0000-4000-8000-000000000001";
    let issuer = format!("https://sts.windows.net/{TENANT}/");
    world.trust(vec![credential("vm", &issuer, principal)]);
    let jwt = own_token(&world, AUDIENCE);
    assert_eq!(world.exchange(&jwt).status, 200);
    let vm = world.directory.read().vms().next().unwrap().vm.record.id.clone();
    world.change(Change::Remove(Key::VirtualMachine(vm)));
    assert_eq!(world.exchange(&jwt).refusal(), (401, "invalid_client", 700_213));
}

#[test]
fn keys_are_fetched_once_and_again_when_a_token_names_another() {
    let (first, second) = (OtherKey::new(Algorithm::Es256), OtherKey::new(Algorithm::Es256));
    let (world, served) = (World::new(), Served::start());
    world.trust(vec![served.credential()]);
    served.publish(&first.set());
    let of = |key: &OtherKey| key.token(&json!({ "iss": served.url }));
    for _ in 0..3 {
        assert_eq!(world.exchange(&of(&first)).status, 200);
    }
    assert_eq!(*served.asked.lock(), ["/.well-known/openid-configuration", "/keys"]);
    // The issuer rolls its key. Its new name is asked for at a bounded pace.
    served.publish(&second.set());
    for _ in 0..3 {
        let refused = world.exchange(&of(&second));
        assert_eq!(refused.refusal(), (401, "invalid_client", 7_000_272));
    }
    assert_eq!(served.asked(), 2);
    world.clock.advance(Seconds(30));
    assert_eq!(world.exchange(&of(&second)).status, 200);
    assert_eq!(served.asked(), 4);
    let gone = world.exchange(&of(&first));
    assert_eq!(gone.refusal(), (401, "invalid_client", 7_000_272));
}

#[test]
fn an_issuer_is_asked_only_for_a_token_that_a_credential_fits() {
    let key = OtherKey::new(Algorithm::Es256);
    let (world, served) = (World::new(), Served::start());
    served.publish(&key.set());
    let jwt = key.token(&json!({ "iss": served.url }));
    assert_eq!(world.exchange(&jwt).status, 401);
    world.trust(vec![served.credential()]);
    for changed in [
        json!({ "iss": served.url, "sub": "other" }),
        json!({ "iss": served.url, "aud": "other" }),
        json!({ "iss": format!("{}/", served.url) }),
    ] {
        assert_eq!(world.exchange(&key.token(&changed)).status, 401, "{changed}");
    }
    assert_eq!(served.asked(), 0);
    assert_eq!(world.exchange(&jwt).status, 200);
}

#[test]
fn who_sends_a_token_does_not_learn_why_its_issuer_gives_no_keys() {
    let key = OtherKey::new(Algorithm::Es256);
    let discovery = "/.well-known/openid-configuration";
    let served = Served::start();
    let elsewhere = json!({ "issuer": served.url, "jwks_uri": "https://keys.example/" });
    let rows = [
        (discovery, 404, String::new()),
        (discovery, 302, String::new()),
        (discovery, 200, "{}".to_owned()),
        (discovery, 200, elsewhere.to_string()),
        ("/keys", 500, String::new()),
        ("/keys", 200, r#"{"keys":[]}"#.to_owned()),
    ];
    for (path, status, body) in rows {
        let world = World::new();
        world.trust(vec![served.credential()]);
        served.publish(&key.set());
        served.page(path, status, &body);
        let jwt = key.token(&json!({ "iss": served.url }));
        let answer = world.exchange(&jwt);
        assert_eq!(answer.refusal(), (400, "invalid_request", 50_166), "{path} {status}");
        assert!(unavailable(&answer, &served.url), "{path} {status}: {}", answer.body);
        // The issuer is mended, and asked again after some seconds.
        served.publish(&key.set());
        world.clock.advance(Seconds(5));
        assert_eq!(world.exchange(&jwt).status, 200);
    }
}

/// Returns true if the description says that the keys of an issuer cannot be fetched, and no more.
fn unavailable(answer: &Answer, issuer: &str) -> bool {
    let said = answer.body["error_description"].as_str().unwrap();
    let expected = format!(
        "Request to External OIDC endpoint failed. The keys of '{issuer}' cannot be fetched; the log of this server says why."
    );
    let text =
        said.split_once(": ").map(|(_, text)| text).and_then(|text| text.split(" Trace ID").next());
    text == Some(&expected)
}

#[test]
fn an_issuer_on_another_machine_is_not_asked_over_plain_http() {
    let key = OtherKey::new(Algorithm::Es256);
    let world = World::new();
    let issuer = "http://issuer.invalid";
    world.trust(vec![credential("far", issuer, POD)]);
    let answer = world.exchange(&key.token(&json!({ "iss": issuer })));
    assert_eq!(answer.refusal(), (400, "invalid_request", 50_166));
    assert!(unavailable(&answer, issuer), "{}", answer.body);
}
