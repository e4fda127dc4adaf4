//! Tests of the token service, with the demo world.

use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair};
use base64::engine::GeneralPurpose;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD, Engine as _};
use http_body_util::BodyExt as _;
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderValue, PRAGMA,
    X_CONTENT_TYPE_OPTIONS,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use serde_json::{Value, json};

mod discovery;
mod federation;
mod grants;
mod refusals;
mod threats;

use super::*;
use crate::base::clock::ManualClock;
use crate::base::ids::{ClientId, PrincipalId};
use crate::base::secret::Redacted;
use crate::service::directory::DirectoryError;
use crate::service::directory::tests::{NOW, of};
use crate::service::token::{
    AssertionForm, CertificateKey, ClientAssertion, PRIVATE_KEY, Verifier, certificate_key,
};
use crate::service::world::OwnServices;
use crate::service::world::file;
use crate::service::world::record::{Application, Change, Credential, Record};

const TENANT: &str = "72f988bf-0000-4000-8000-000000000001";
const OTHER_TENANT: &str = "72f988bf-0000-4000-8000-000000000002";
const SECRET: &str = "correct horse & battery";
const ARM: &str = "https://management.azure.com/";
const VAULT: &str = "https://vault.azure.net";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn app() -> ClientId {
    "a0000000-0000-4000-8000-00000000000a".parse().unwrap()
}

/// Returns the ids of the identity `demo-app` of `demo.toml`.
fn identity() -> (ClientId, PrincipalId) {
    let client_id = "c11e0000-0000-4000-8000-00000000000a".parse().unwrap();
    (client_id, "0b1ec700-0000-4000-8000-00000000000a".parse().unwrap())
}

fn application(client_id: ClientId, tenant: &str) -> Application {
    Application {
        client_id,
        principal_id: PrincipalId::from_bytes(*client_id.as_bytes()),
        tenant: tenant.parse().unwrap(),
        display_name: "app".to_owned(),
        secret_digests: vec![
            Redacted::new(b"another secret".to_vec()).digest(),
            Redacted::new(SECRET.as_bytes().to_vec()).digest(),
        ],
    }
}

fn foreign() -> ClientId {
    "a0000000-0000-4000-8000-00000000000f".parse().unwrap()
}

/// A token service of the demo world, with one application in its tenant and one in another tenant.
struct World {
    sts: Sts,
    clock: Arc<ManualClock>,
    directory: Arc<Directory>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn refusal(&self) -> (u16, &str, u64) {
        let code = self.body["error_codes"][0].as_u64().unwrap_or(0);
        (self.status, self.body["error"].as_str().unwrap_or(""), code)
    }

    fn claims(&self) -> Value {
        let jwt = self.body["access_token"].as_str().unwrap_or_else(|| panic!("{}", self.body));
        let payload = jwt.split('.').nth(1).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
    }
}

impl World {
    fn new() -> Self {
        Self::trusting(Vec::new())
    }

    fn trusting(trusted_issuers: Vec<Certificate>) -> Self {
        Self::with(trusted_issuers, None)
    }

    fn with(trusted_issuers: Vec<Certificate>, max_assertion_lifetime: Option<Seconds>) -> Self {
        Self::federated(trusted_issuers, max_assertion_lifetime, FederationOptions::default())
    }

    fn federated(
        trusted_issuers: Vec<Certificate>,
        max_assertion_lifetime: Option<Seconds>,
        federation: FederationOptions,
    ) -> Self {
        let mut records = file::demo().unwrap();
        let id = OTHER_TENANT.parse().unwrap();
        records.push(Record::Tenant(crate::service::world::record::Tenant { id, created: NOW }));
        records.push(Record::Application(application(app(), TENANT)));
        records.push(Record::Application(application(foreign(), OTHER_TENANT)));
        let directory = Arc::new(of(records, Seconds(0)));
        let clock = Arc::new(ManualClock::new(NOW));
        let managed = Arc::new(Issuer::new(directory.ring(), Seconds(86_400)));
        let names = ["sts.localhost", "127.0.0.1", "::1", "*.vault.localhost"];
        let names: Vec<String> = names.map(str::to_owned).into();
        let services = vec![(8_180, ARM), (443, VAULT)];
        directory.serve(OwnServices { names: names.clone(), services });
        let options = StsOptions {
            names,
            base_url: "http://127.0.0.1:1".to_owned(),
            application_token_lifetime: Seconds(3_600),
            max_assertion_lifetime,
            trusted_issuers,
            federation: Arc::new(Federation::new(federation).unwrap()),
            seed: [3; 32],
        };
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        Self { sts: Sts::new(Arc::clone(&directory), managed, shared, options), clock, directory }
    }

    fn ask(&self, request: &Request<Vec<u8>>) -> Answer {
        let (parts, body) = request.clone().into_parts();
        let response = self.sts.answer(Scheme::Http, &parts, &Body::Read(body.into()));
        let (parts, body) = response.into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(body.collect()).unwrap().to_bytes();
        Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {body:?}")),
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&Request::get(path).header(HOST, "sts.localhost:8170").body(Vec::new()).unwrap())
    }

    /// Posts `fields` to the token endpoint of version 2; fields without a value are left out.
    fn post(&self, fields: &[(&str, &str)]) -> Answer {
        self.post_to(&format!("/{TENANT}/oauth2/v2.0/token"), fields)
    }

    fn post_to(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask(&request(path, fields))
    }

    /// Registers a certificate of the application.
    fn register(&self, key: &CertificateKey) {
        let certificate = key.certificate();
        let credential = Credential {
            principal_id: PrincipalId::from_bytes(*app().as_bytes()),
            thumbprint: certificate.thumbprint(),
            certificate: BASE64_STANDARD.encode(certificate.der()),
            private_key: None,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        };
        let change = Change::Put(Record::Credential(credential));
        self.directory.write(NOW, |_, _| Ok::<_, DirectoryError>((vec![change], ()))).unwrap();
    }

    fn assert(&self, jwt: &str) -> Answer {
        self.post(&with_assertion(app(), jwt))
    }
}

fn request(path: &str, fields: &[(&str, &str)]) -> Request<Vec<u8>> {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    let form: Vec<_> = fields.map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let builder = Request::post(path).header(HOST, "sts.localhost:8170");
    let builder = builder.header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8");
    builder.body(form.join("&").into_bytes()).unwrap()
}

/// Returns a good request of the application with its secret, with these fields changed.
fn with<'a>(changed: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", "a0000000-0000-4000-8000-00000000000a"),
        ("client_secret", SECRET),
        ("scope", "https://vault.azure.net/.default"),
    ];
    let is_changed = |name: &str| changed.iter().any(|(other, _)| *other == name);
    let kept = good.into_iter().filter(|(name, _)| !is_changed(name));
    kept.chain(changed.iter().copied()).collect()
}

fn with_assertion(client_id: ClientId, jwt: &str) -> Vec<(&str, &str)> {
    let client_id: &str = Box::leak(client_id.to_string().into_boxed_str());
    with(&[
        ("client_id", client_id),
        ("client_secret", ""),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", jwt),
    ])
}

fn audience() -> String {
    format!("http://sts.localhost:8170/{TENANT}/oauth2/v2.0/token")
}

fn signed(key: &CertificateKey, client_id: ClientId, form: AssertionForm) -> String {
    let (client_id, audience) = (&client_id.to_string(), &audience());
    ClientAssertion { client_id, audience, issued_at: NOW, id: [1; 16] }.sign(key, form).unwrap()
}

/// Encodes any header and claims, signed with the private key that all test certificates share.
fn forged(header: &Value, claims: &Value) -> String {
    encoded(&BASE64_URL_SAFE_NO_PAD, header, claims)
}

/// Encodes them in the same way, with each part in this kind of base64.
fn encoded(base64: &GeneralPurpose, header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| base64.encode(value.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let key = RsaKeyPair::from_pkcs8(PRIVATE_KEY.expose()).unwrap();
    let padding = if header["alg"] == "RS256" { &RSA_PKCS1_SHA256 } else { &RSA_PSS_SHA256 };
    let mut signature = vec![0; key.public_modulus_len()];
    let rng = aws_lc_rs::rand::SystemRandom::new();
    key.sign(padding, &rng, message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", base64.encode(signature))
}

fn claims(changed: &Value) -> Value {
    let mut claims = json!({
        "iss": app().to_string(), "sub": app().to_string(), "aud": audience(),
        "nbf": NOW.0, "exp": NOW.0 + 600, "jti": "1",
    });
    let fields = changed.as_object().unwrap().clone();
    claims.as_object_mut().unwrap().extend(fields);
    claims
}
