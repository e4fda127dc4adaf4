//! Clients with their own credentials, at the token service.

use std::fs;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use mintbench::base::clock::{Clock as _, Seconds, SystemClock};
use mintbench::base::ids::ClientId;
use mintbench::service::token::{
    AssertionForm, CertificateKey, ClientAssertion, SelfSigned, certify_client, generate_client_key,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;

use crate::broker::{Answer, Broker};

const TENANT: &str = "72f988bf-0000-4000-8000-000000000001";
const CLIENT_ID: &str = "a0000000-0000-4000-8000-00000000000a";

/// Starts a broker with the demo world and an application of these fields. The folder also holds
/// `certificate`.
fn serve(fields: &str, certificate: &[u8]) -> (Broker, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let demo = include_str!("../../src/service/world/demo.toml");
    let entry = format!(
        "\n[[applications]]\nname = 'app'\ntenant = '{TENANT}'\nclient_id = '{CLIENT_ID}'\n{fields}"
    );
    let world = folder.path().join("world.toml");
    fs::write(&world, format!("{demo}{entry}")).unwrap();
    let base64 = BASE64_STANDARD.encode(certificate);
    let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
    fs::write(folder.path().join("app.pem"), pem).unwrap();
    (Broker::serve(&["--alg", "ES256", "--world", world.to_str().unwrap()]), folder)
}

fn ask(broker: &Broker, path: &str, fields: &[(&str, &str)]) -> Answer {
    let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let form: Vec<_> =
        fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    post(broker, path, &form.join("&"))
}

fn post(broker: &Broker, path: &str, body: &str) -> Answer {
    let mut connection = broker.connect("sts");
    let (host, length) = (broker.address("sts"), body.len());
    let head = format!(
        "POST /{TENANT}/{path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.send(format!("{head}{body}").as_bytes());
    connection.read().unwrap()
}

fn claims(answer: &Answer) -> Value {
    let body = answer.json();
    let jwt = body["access_token"].as_str().unwrap_or_else(|| panic!("{body}"));
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn an_application_of_the_world_file_gets_tokens_for_its_secret() {
    let (broker, _folder) = serve("secret = 'correct horse'", b"");
    let with = |secret| {
        ask(
            &broker,
            "oauth2/v2.0/token",
            &[
                ("grant_type", "client_credentials"),
                ("client_id", CLIENT_ID),
                ("client_secret", secret),
                ("scope", "https://management.azure.com//.default"),
            ],
        )
    };
    let granted = with("correct horse");
    assert_eq!(granted.headers["cache-control"], "no-store, no-cache");
    let claims = claims(&granted);
    assert_eq!(claims["aud"], "https://management.azure.com/");
    assert_eq!((&claims["appid"], &claims["appidacr"]), (&CLIENT_ID.into(), &"1".into()));
    let refused = with("wrong horse");
    assert_eq!((refused.status, &refused.json()["error"]), (401, &"invalid_client".into()));
}

#[test]
fn an_application_of_the_world_file_gets_tokens_for_its_certificate() {
    let (client_id, now): (ClientId, _) = (CLIENT_ID.parse().unwrap(), SystemClock.now());
    let private_key = generate_client_key().unwrap();
    let not_after = now + Seconds(3_600);
    let certificate = certify_client(&SelfSigned, &private_key, client_id, now, not_after).unwrap();
    let key = CertificateKey::new(&certificate, &private_key).unwrap();
    let (broker, _folder) = serve("certificate = 'app.pem'", &certificate);
    let audience = &format!("http://{}/{TENANT}/oauth2/token", broker.address("sts"));
    for form in [AssertionForm::Ps256, AssertionForm::Rs256] {
        let assertion =
            ClientAssertion { client_id: CLIENT_ID, audience, issued_at: now, id: [1; 16] };
        let assertion = assertion.sign(&key, form).unwrap();
        let answer = ask(
            &broker,
            "oauth2/token",
            &[
                ("grant_type", "client_credentials"),
                ("client_id", CLIENT_ID),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &assertion),
                ("resource", "https://vault.azure.net"),
            ],
        );
        assert_eq!(claims(&answer)["appidacr"], "2");
        assert_eq!(answer.json()["expires_in"], "3599");
    }
}

#[test]
fn the_endpoints_that_the_control_plane_tells_lead_to_a_token_for_it() {
    let (broker, _folder) = serve("secret = 'correct horse'", b"");
    let [arm, sts, vault] = ["arm", "sts", "vault"].map(|name| broker.address(name).port());
    let get = |path: &str, header: &str| {
        let mut connection = broker.connect("arm");
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost:{arm}\r\n{header}\r\n");
        connection.send(head.as_bytes());
        connection.read().unwrap()
    };
    let told = get("/metadata/endpoints?api-version=2022-09-01", "").json();
    assert_eq!(told["authentication"]["loginEndpoint"], format!("https://localhost:{sts}"));
    assert_eq!(told["suffixes"]["keyVaultDns"], format!("vault.localhost:{vault}"));
    let resource = told["resourceManager"].as_str().unwrap();
    let granted = ask(
        &broker,
        "oauth2/v2.0/token/",
        &[
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT_ID),
            ("client_secret", "correct horse"),
            ("scope", &format!("openid {resource}.default offline_access profile")),
        ],
    );
    let token = granted.json()["access_token"].as_str().unwrap().to_owned();
    let header = format!("Authorization: Bearer {token}\r\n");
    let answer = get("/subscriptions?api-version=2022-12-01", &header);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(get("/subscriptions?api-version=2022-12-01", "").status, 401);
}

#[test]
fn a_body_that_is_too_large_is_refused_and_the_service_lives_on() {
    let (broker, _folder) = serve("secret = 'correct horse'", b"");
    let large = format!("grant_type={}", "a".repeat(70_000));
    assert_eq!(post(&broker, "oauth2/token", &large).status, 413);
    let mut connection = broker.connect("sts");
    assert_eq!(connection.get(&format!("/{TENANT}/oauth2/token")).status, 405);
    assert_eq!(connection.get("/common/discovery/keys").status, 200);
}
