use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::base::assertion::CertificateKey;
use crate::base::clock::UnixSeconds;
use crate::harness::dialect::protocol::{ClientAuth, Dialect, OAuth2, Plain, Proof};

const WORLD: Synthetic = Synthetic { vms: 2, user_assigned: 1, seed: 1 };
const BEGINS: UnixSeconds = UnixSeconds(1_800_000_000);
const KEY: RequestKey = RequestKey { vm: 1, selector: Selector::UserAssigned(0), resource: 2 };

fn writer(url: &str, dialect: Dialect, seconds: u64) -> RequestWriter {
    let target = Target { url: url.parse().unwrap(), dialect: Arc::new(dialect), trusted: None };
    let span = RunSpan { begins: BEGINS, length: Duration::from_secs(seconds) };
    RequestWriter::new(&target, &WORLD, span).unwrap()
}

fn at(writer: &RequestWriter, seconds: u64) -> String {
    let mut out = b"left over".to_vec();
    let session = Redacted::new(b"SESSION==".to_vec());
    writer.write(&KEY, Nanos::from_secs(seconds), Some(&session), &mut out);
    String::from_utf8(out).unwrap()
}

fn request(url: &str, dialect: Dialect) -> String {
    at(&writer(url, dialect, 1), 0)
}

fn client(proof: Proof) -> Dialect {
    let (client_id, scope) = ("app".to_owned(), Some("s".to_owned()));
    Dialect::OAuth2(OAuth2 { client_id, proof, scope, audience: None })
}

fn secret(secret: &[u8], auth: ClientAuth) -> Proof {
    Proof::Secret { secret: Redacted::new(secret.to_vec()), auth }
}

#[test]
fn a_client_with_http_basic_shows_its_secret_in_the_header_alone() {
    assert_eq!(
        request("http://127.0.0.1:9/token", client(secret(b"hush", ClientAuth::Basic))),
        "POST /token HTTP/1.1\r\nHost: 127.0.0.1:9\r\nAccept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 37\r\nAuthorization: Basic YXBwOmh1c2g=\r\n\r\ngrant_type=client_credentials&scope=s"
    );
}

#[test]
fn a_request_names_its_resource_and_its_identity() {
    let id = WORLD.user_assigned(1, 0).client_id;
    assert_eq!(
        request("http://127.0.0.1:9", Dialect::Imds),
        format!(
            "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault%2Eazure%2Enet&client_id={id} HTTP/1.1\r\nHost: 127.0.0.1:9\r\nMetadata: true\r\n\r\n"
        )
    );
    let secret = Redacted::new(b"0123ABCD".to_vec());
    assert_eq!(
        request("http://127.0.0.1:9/MSI/token?x=y", Dialect::AppService { secret }),
        format!(
            "GET /MSI/token?x=y&api-version=2019-08-01&resource=https%3A%2F%2Fvault%2Eazure%2Enet&client_id={id} HTTP/1.1\r\nHost: 127.0.0.1:9\r\nX-IDENTITY-HEADER: 0123ABCD\r\n\r\n"
        )
    );
}

#[test]
fn requests_that_name_nobody_are_all_the_same() {
    assert_eq!(
        request("http://127.0.0.1:9", Dialect::Gce),
        "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\nHost: 127.0.0.1:9\r\nMetadata-Flavor: Google\r\n\r\n"
    );
    let headers = vec!["A: b".parse().unwrap(), "Connection: close".parse().unwrap()];
    assert_eq!(
        request("http://127.0.0.1:9", Dialect::Get(Plain { headers, ..Plain::default() })),
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:9\r\nA: b\r\nConnection: close\r\n\r\n"
    );
    let headers = vec!["host: other".parse().unwrap()];
    assert_eq!(
        request("http://127.0.0.1:9/x?y", Dialect::Get(Plain { headers, ..Plain::default() })),
        "GET /x?y HTTP/1.1\r\nhost: other\r\n\r\n"
    );
}

#[test]
fn a_plain_request_has_the_method_and_the_body_that_were_asked_for() {
    let plain = |method: &str, headers: &[&str], body: &[u8]| {
        Dialect::Get(Plain {
            method: method.parse().unwrap(),
            headers: headers.iter().map(|text| text.parse().unwrap()).collect(),
            body: Some(Redacted::new(body.to_vec())),
            ..Plain::default()
        })
    };
    assert_eq!(
        request("http://127.0.0.1:9/x", plain("post", &["A: b"], b"a=b&c")),
        "POST /x HTTP/1.1\r\nHost: 127.0.0.1:9\r\nA: b\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 5\r\n\r\na=b&c"
    );
    assert_eq!(
        request("http://127.0.0.1:9", plain("PUT", &["content-type: text/plain"], b"a\r\n\r\nb")),
        "PUT / HTTP/1.1\r\nHost: 127.0.0.1:9\r\ncontent-type: text/plain\r\nContent-Length: 6\r\n\r\na\r\n\r\nb"
    );
    let dialect = plain("POST", &["A: hush"], b"hush");
    let of_dialect = format!("{dialect:?}");
    let printed = format!("{of_dialect} {:?}", writer("http://127.0.0.1:9", dialect, 1));
    assert!(!printed.contains("hush") && !printed.contains("104, 117"), "{printed}");
}

#[test]
fn a_session_is_opened_by_put_and_its_secret_is_shown_by_every_get() {
    let writer = writer("http://127.0.0.1:9", Dialect::Aws { role: Some("web".to_owned()) }, 1);
    assert_eq!(
        writer.opening(),
        Some(&b"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1:9\r\nX-aws-ec2-metadata-token-ttl-seconds: 21600\r\nContent-Length: 0\r\n\r\n"[..])
    );
    assert_eq!(
        at(&writer, 0),
        "GET /latest/meta-data/iam/security-credentials/web HTTP/1.1\r\nHost: 127.0.0.1:9\r\nX-aws-ec2-metadata-token: SESSION==\r\n\r\n"
    );
    assert!(
        request("http://127.0.0.1:9/other", Dialect::Aws { role: None }).starts_with("GET /other ")
    );
}

#[test]
fn a_client_with_a_secret_posts_a_form() {
    let proof = secret(b"hush hush", ClientAuth::Post);
    let body = "grant_type=client_credentials&scope=s&client_id=app&client_secret=hush%20hush";
    assert_eq!(
        request("http://127.0.0.1:9/token", client(proof)),
        format!(
            "POST /token HTTP/1.1\r\nHost: 127.0.0.1:9\r\nAccept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    );
}

/// Returns the claims of the assertion in a request.
fn claims(request: &str) -> serde_json::Value {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    let assertion = request.split_once("&client_assertion=").unwrap().1;
    let claims = assertion.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[test]
fn assertions_are_valid_throughout_a_long_run_and_are_made_before_it() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    let pkcs8 = Redacted::new(key.serialize_der());
    let key = CertificateKey::new(certificate.der(), &pkcs8).unwrap();
    let hour = writer("http://127.0.0.1:9/t", client(Proof::Certificate(Arc::new(key))), 3600);
    let mut ids = std::collections::HashSet::new();
    for second in (0..=3600).step_by(10) {
        let claims = claims(&at(&hour, second));
        let now = BEGINS.0 + second;
        let number = |name: &str| claims[name].as_u64().unwrap();
        // A tolerance of one minute for the clock of the server, in either direction.
        assert!(number("nbf") + 60 <= now && now + 60 <= number("exp"), "{second}: {claims}");
        assert_eq!(
            (&claims["aud"], &claims["iss"]),
            (&"http://127.0.0.1:9/t".into(), &"app".into())
        );
        ids.insert(claims["jti"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 13);
}

#[test]
fn nothing_that_is_printed_for_debugging_shows_a_secret() {
    for auth in [ClientAuth::Basic, ClientAuth::Post] {
        let writer = writer("http://127.0.0.1:9/t", client(secret(b"hush", auth)), 1);
        let printed = format!("{writer:?}");
        assert!(!printed.contains("hush") && !printed.contains("104, 117"), "{printed}");
    }
}
