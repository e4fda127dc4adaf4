//! The token service of `mintbench serve` under load: by secret and by certificate, with and
//! without TLS.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;
use tempfile::TempDir;

use crate::scripted::{Scripted, whole};
use crate::{Run, mintbench, run, write_secret};

const TENANT: &str = "72f988bf-0000-4000-8000-000000000001";
const CLIENT: &str = "a0000000-0000-4000-8000-00000000000a";
const SCOPE: &str = "--scope=https://vault.azure.net/.default";
const AUDIENCE: &str = "--audience=https://vault.azure.net";

/// A server with one application, which ends when this value is dropped.
struct Served {
    child: Child,
    /// Authority of the token service, without its scheme.
    sts: String,
    folder: TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client certificate and its key, as PEM.
static CREDENTIAL: LazyLock<(String, String)> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
});

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

impl Served {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let world = format!(
            "{}\n[[applications]]\nname = 'app'\ntenant = '{TENANT}'\nclient_id = '{CLIENT}'\nsecret = 'correct & horse'\ncertificate = 'app.pem'\n",
            include_str!("../../src/service/world/demo.toml")
        );
        fs::write(path("world.toml"), world).unwrap();
        fs::write(path("app.pem"), &CREDENTIAL.0).unwrap();
        write_secret(&path("app.key"), &CREDENTIAL.1);
        write_secret(&path("secret"), "correct & horse\n");
        let anywhere =
            ["imds", "sts", "arm", "vault", "admin"].map(|name| format!("--{name}=127.0.0.1:0"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_mintbench"))
            .args(["serve", "--alg=ES256", "--data"])
            .arg(path("data"))
            .arg("--world")
            .arg(path("world.toml"))
            .args(anywhere)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let lines: Vec<String> = lines.take_while(|line| line != "ready").collect();
        let sts = lines.iter().find_map(|line| line.strip_prefix("sts "));
        let sts = sts.unwrap_or_else(|| panic!("{lines:?}")).split_once("://").unwrap().1;
        let sts = sts.to_owned();
        Self { child, sts, folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs briefly against the token endpoint and verifies the tokens.
    fn run(&self, scheme: &str, args: &[&str]) -> Run {
        let target = format!("oauth2+{scheme}://{}/{TENANT}/oauth2/v2.0/token", self.sts);
        let jwks = format!("{scheme}://{}/{TENANT}/discovery/v2.0/keys", self.sts);
        let fixed = ["--rate=50", "--duration=1s", "--warmup=0s", "--arrivals=constant", SCOPE];
        let (client, target) = (["--client-id", CLIENT], ["--target", &target, "--jwks", &jwks]);
        let few = ["--connections=4", "--samples=20"];
        run(&[&target[..], &fixed, &client, &few, args].concat())
    }
}

fn all_verified(run: &Run) {
    run.has_result();
    assert_eq!(run.json["statuses"], serde_json::json!({ "200": 50 }), "{}", run.json["statuses"]);
    let verified = &run.json["verified"];
    assert_eq!(verified["sampled"], 20);
    for fault in ["bad_signature", "wrong_expiry", "expired"] {
        assert_eq!(verified[fault], 0, "{fault}: {verified}");
    }
}

#[test]
fn an_application_gets_verified_tokens_by_secret_and_by_certificate_plain_and_in_tls() {
    let served = Served::start();
    let (secret, ca) = (served.path("secret"), served.path("data/ca.pem"));
    let by_secret = ["--client-secret-file", &secret];
    let plain = served.run("http", &[&by_secret[..], &[AUDIENCE]].concat());
    all_verified(&plain);
    assert_eq!(plain.json["verified"]["wrong_audience"], 0);
    // No audience was given, so none is checked.
    let unjudged = served.run("https", &[&by_secret[..], &["--ca", &ca]].concat());
    all_verified(&unjudged);
    assert_eq!(unjudged.json["verified"]["wrong_audience"], Value::Null);
    assert_eq!(unjudged.json["load"]["reconnects"], 0);

    let (certificate, key) = (served.path("app.pem"), served.path("app.key"));
    let by_certificate = ["--client-certificate", &certificate, "--client-key", &key];
    let certified = served.run("https", &[&by_certificate[..], &["--ca", &ca, AUDIENCE]].concat());
    all_verified(&certified);
    assert_eq!(certified.json["verified"]["wrong_audience"], 0);

    let wrong = served.run("http", &[&by_secret[..], &["--audience=https://other"]].concat());
    assert_eq!(wrong.json["verified"]["wrong_audience"], 20);
    assert_eq!(wrong.output.status.code(), Some(1), "{}", wrong.json["checks"]);
}

#[test]
fn a_certificate_that_does_not_count_is_refused_before_the_run_with_what_to_do() {
    let served = Served::start();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let other = served.path("other.pem");
    fs::write(&other, pem("CERTIFICATE", params.self_signed(&key).unwrap().der())).unwrap();
    let target = format!("get+https://{}/{TENANT}/discovery/v2.0/keys", served.sts);
    for trust in [&["--ca", &other][..], &[]] {
        let output = mintbench(&[&["--target", &target, "--out=target/never"], trust].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("name its authority's certificate with --ca"), "{stderr}");
        assert!(stderr.contains("--insecure measures without"), "{stderr}");
    }
    assert!(!Path::new("target/never").exists());
}

#[test]
fn connections_are_made_anew_in_tls_for_every_request_where_they_are_closed() {
    let served = Served::start();
    let target = format!("get+https://{}/{TENANT}/discovery/v2.0/keys", served.sts);
    let ca = served.path("data/ca.pem");
    let fixed = ["--rate=50", "--duration=1s", "--warmup=0s", "--arrivals=constant"];
    let closing = ["--ca", &ca, "--header=Connection: close", "--connections=2"];
    let run = run(&[&["--target", &target], &fixed[..], &closing].concat());
    run.has_result();
    assert_eq!(run.json["statuses"], serde_json::json!({ "200": 50 }), "{}", run.json["statuses"]);
    assert_eq!(run.json["load"]["reconnects"], 48);
}

/// Starts a token service that accepts the secret of a client by HTTP Basic only.
fn basic_only() -> Scripted {
    Scripted::serve(|request| {
        // `me` and `p&w`, encoded as in a form.
        let right = format!("Authorization: Basic {}", BASE64_STANDARD.encode("me:p%26w"));
        let body = "grant_type=client_credentials";
        if request.headers.contains(&right) && request.body == body {
            whole("200 OK", r#"{"access_token":"opaque","expires_in":9}"#)
        } else {
            whole("401 Unauthorized", r#"{"error":"invalid_client"}"#)
        }
    })
}

#[test]
fn a_server_that_takes_http_basic_alone_is_measured_by_a_flag_that_the_result_names() {
    let server = basic_only();
    let target = format!("OAuth2+HTTP://{}/token", server.authority);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    write_secret(&secret, "\u{feff}p&w\r\n");
    let secret = secret.to_str().unwrap();
    let fixed = ["--rate=50", "--duration=500ms", "--warmup=0s", "--arrivals=constant"];
    let client = ["--target", &target, "--client-id=me", "--client-secret-file", secret];
    let ask = |args: &[&str]| run(&[&client[..], &fixed, args].concat());
    let basic = ask(&["--client-auth=basic"]);
    basic.has_result();
    assert_eq!(basic.json["statuses"]["200"], 25, "{:?}", server.asked().first());
    let post = ask(&[]);
    assert_eq!(post.json["statuses"]["401"], 25);
    assert!(post.json["notes"].to_string().contains("--client-auth basic"), "{}", post.json);
}

#[test]
fn the_secret_of_a_client_is_in_the_form_and_nowhere_else() {
    let server =
        Scripted::serve(|_| whole("200 OK", r#"{"access_token":"opaque","expires_in":9}"#));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("target.toml");
    let text = format!(
        "target = 'oauth2+http://{}/token'\nclient-id = 'me'\nclient-secret-file = 'secret'\nscope = 'a b'\n",
        server.authority
    );
    fs::write(&file, text).unwrap();
    write_secret(&folder.path().join("secret"), "p&w");
    let fixed = ["--rate=50", "--duration=500ms", "--warmup=0s", "--arrivals=constant"];
    let run = run(&[&["--target", file.to_str().unwrap()], &fixed[..]].concat());
    run.has_result();
    assert_eq!(run.json["statuses"]["200"], 25);
    let asked = server.asked();
    assert_eq!(asked.len(), 25);
    for request in asked {
        assert_eq!(request.line, "POST /token HTTP/1.1");
        let other: Vec<&str> = request.headers[1..].iter().map(String::as_str).collect();
        assert_eq!(
            other,
            [
                "Accept: application/json",
                "Content-Type: application/x-www-form-urlencoded",
                "Content-Length: 74"
            ]
        );
        assert_eq!(
            request.body,
            "grant_type=client_credentials&scope=a%20b&client_id=me&client_secret=p%26w"
        );
    }
    for entry in fs::read_dir(run.folder.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(3).any(|part| part == b"p&w"));
    }
}
