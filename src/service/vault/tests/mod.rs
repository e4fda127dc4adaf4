//! Requests to the vaults as a client sends them, without a connection.

mod access;
mod backup;
mod connection;
mod key_roles;
mod key_rotation;
mod key_use;
mod keys;
mod lifecycle;
mod model;
mod threats;
mod waiting;

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hyper::Method;
use hyper::body::Body as _;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;
use crate::base::clock::{ManualClock, Seconds};
use crate::base::http::{ConnectionLimiter, ConnectionLimits, Transport, serve};
use crate::base::ids::{ClientId, PrincipalId, RoleAssignmentId};
use crate::service::directory::tests::{NOW, open};
use crate::service::token::{ClientProof, Issuer, Subject, TokenSource as _};
use crate::service::world::file;
use crate::service::world::record;
use crate::service::world::record::{Change, Key, Record, RoleAssignment};
use crate::service::world::roles::by_name;
use crate::service::world::vault::{VaultSettings, vault_address};

const TENANT: &str = "72f988bf-0000-4000-8000-000000000001";
const VAULT: &str = "/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourceGroups/demo/providers/Microsoft.KeyVault/vaults/demo-vault";
const HOST_NAME: &str = "demo-vault.vault.azure.net:8443";
const BASE_URL: &str = "https://demo-vault.vault.azure.net:8443";

/// Largest number of versions of a secret.
const MAX_VERSIONS: usize = 20;

/// Principal with the role Key Vault Secrets Officer at the vault.
const OFFICER: u8 = 0x01;
/// Principal without roles until a test assigns one.
const OTHER: u8 = 0x0a;

/// A vault that listens. It ends after a value is sent.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    pub(super) stop: watch::Sender<bool>,
    pub(super) served: JoinHandle<()>,
}

/// Serves the vault over plain HTTP on a free port.
pub(super) async fn listen(vault: Vault) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, shutdown) = watch::channel(false);
    let limiter = ConnectionLimiter::new(ConnectionLimits {
        max: 100,
        per_caller: 100,
        unsent_bytes: 1_000_000,
    });
    let served = tokio::spawn(async move {
        let vault = Arc::new(vault);
        serve(listener, Transport::Plain, vault, limiter, shutdown).await.unwrap();
    });
    Listening { address, stop, served }
}

pub(super) struct World {
    pub(super) directory: Arc<Directory>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) vault: Vault,
    issuer: Issuer,
}

#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Returns `code`, and the code of the inner error.
    fn codes(&self) -> (String, Option<String>) {
        let error = &self.json()["error"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        (text(&error["code"]).unwrap(), text(&error["innererror"]["code"]))
    }

    fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }
}

/// A request that is not yet sent.
#[derive(Clone)]
pub(super) struct Ask<'a> {
    method: &'a str,
    target: String,
    hosts: Vec<&'a str>,
    authorization: Vec<String>,
    body: Option<String>,
}

impl World {
    fn new() -> Self {
        Self::of(file::demo().unwrap())
    }

    fn of(records: Vec<Record>) -> Self {
        Self::on(Box::new(crate::service::store::MemoryStore::default()), records)
    }

    fn on(store: Box<dyn crate::service::store::Store>, mut records: Vec<Record>) -> Self {
        records.push(Record::RoleAssignment(assignment(
            OFFICER,
            "Key Vault Secrets Officer",
            VAULT,
        )));
        let directory = Arc::new(open(store, records, Seconds(0)));
        let clock = Arc::new(ManualClock::new(NOW));
        let issuer = Issuer::new(directory.ring(), Seconds(86_400));
        let options = VaultOptions {
            authority: "https://login.microsoftonline.com".to_owned(),
            names: HostNames::default(),
            seed: 7,
            backup_key: Redacted::new(vec![5; 32]),
            max_versions: MAX_VERSIONS,
        };
        let vault = Vault::new(Arc::clone(&directory), Arc::<ManualClock>::clone(&clock), options);
        Self { directory, clock, vault, issuer }
    }

    fn grant(&self, principal: u8, role: &str, scope: &str) {
        let record = Record::RoleAssignment(assignment(principal, role, scope));
        self.change(Change::Put(record));
    }

    fn change(&self, change: Change) {
        let now = self.clock.now();
        self.directory
            .write(now, |_, _| Ok::<_, crate::service::store::StoreError>((vec![change], ())))
            .unwrap();
    }

    fn add_vault(&self, name: &str, settings: VaultSettings) {
        let (id, tags) = (VAULT.replace("demo-vault", name).parse().unwrap(), record::Tags::new());
        let vault = record::Vault { id, location: "x".to_owned(), tags, settings };
        self.change(Change::Put(Record::Vault(vault)));
    }

    fn token(&self, principal: u8) -> String {
        self.token_for(principal, "https://vault.azure.net", TENANT)
    }

    fn token_for(&self, principal: u8, audience: &str, tenant: &str) -> String {
        let (client_id, principal_id) = ids(principal);
        let subject = Subject {
            tenant_id: tenant.parse().unwrap(),
            tenant_created: NOW,
            client_id,
            principal_id,
            resource_id: None,
            caller_id: None,
            proof: ClientProof::Certificate,
        };
        let token = self.issuer.mint(&subject, audience, self.clock.now(), &[9; 48]).unwrap();
        token.jwt().to_owned()
    }

    /// Sends a request as the officer, with an API version.
    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.ask_as(OFFICER, method, path, body)
    }

    fn ask_as(&self, principal: u8, method: &str, path: &str, body: &str) -> Answer {
        let ask = Ask::new(method, path).token(&self.token(principal));
        self.send(if body.is_empty() { ask } else { ask.body(body) })
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// Creates the demo world with an officer who may also do everything with keys.
    fn with_keys() -> Self {
        let world = Self::new();
        world.grant(OFFICER, "Key Vault Crypto Officer", VAULT);
        world
    }

    fn create(&self, name: &str, body: &str) -> Answer {
        let created = self.ask("POST", &format!("/keys/{name}/create"), body);
        assert_eq!(created.status, 200, "{body}: {}", created.text);
        created
    }

    fn set(&self, name: &str, value: &str) -> Answer {
        self.ask("PUT", &format!("/secrets/{name}"), &format!(r#"{{"value":"{value}"}}"#))
    }

    fn send(&self, ask: Ask<'_>) -> Answer {
        let body = ask.body.clone().map(Bytes::from);
        self.send_with(ask, async move { Ok(body.unwrap_or_default()) })
    }

    fn send_with(
        &self,
        ask: Ask<'_>,
        body: impl Future<Output = Result<Bytes, BodyError>> + Send,
    ) -> Answer {
        let mut request = Request::builder()
            .method(Method::from_bytes(ask.method.as_bytes()).unwrap())
            .uri(ask.target);
        for host in ask.hosts {
            request = request.header(HOST, host);
        }
        for value in ask.authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let peer = Peer {
            addr: "127.0.0.1:5000".parse().unwrap(),
            scheme: crate::base::http::Scheme::Https,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(self.vault.answer(peer, &parts, body));
        let mut context = Context::from_waker(Waker::noop());
        let (parts, mut payload) = response.into_parts();
        let mut bytes = Vec::new();
        while let Poll::Ready(Some(frame)) = Pin::new(&mut payload).poll_frame(&mut context) {
            bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        let (status, text) = (parts.status.as_u16(), String::from_utf8(bytes).unwrap());
        Answer { status, headers: parts.headers, text }
    }
}

impl<'a> Ask<'a> {
    /// Creates a request to the demo vault by its name, with an API version and without a token.
    fn new(method: &'a str, path: &str) -> Self {
        let separator = if path.contains('?') { '&' } else { '?' };
        Self::bare(method, &format!("{path}{separator}api-version=7.4"))
    }

    fn bare(method: &'a str, target: &str) -> Self {
        Self {
            method,
            target: target.to_owned(),
            hosts: vec![HOST_NAME],
            authorization: Vec::new(),
            body: None,
        }
    }

    fn token(self, jwt: &str) -> Self {
        self.authorization(&format!("Bearer {jwt}"))
    }

    fn authorization(mut self, value: &str) -> Self {
        self.authorization.push(value.to_owned());
        self
    }

    fn hosts(mut self, hosts: &[&'a str]) -> Self {
        self.hosts = hosts.to_vec();
        self
    }

    fn body(mut self, body: &str) -> Self {
        self.body = Some(body.to_owned());
        self
    }
}

/// The ids of `demo.toml` that end with this byte.
fn ids(principal: u8) -> (ClientId, PrincipalId) {
    let id = |head: &str| format!("{head}-0000-4000-8000-0000000000{principal:02x}");
    (id("c11e0000").parse().unwrap(), id("0b1ec700").parse().unwrap())
}

fn assignment(principal: u8, role: &str, scope: &str) -> RoleAssignment {
    let role = by_name(role).unwrap().id;
    let mut name = *role.as_bytes();
    name[0] = principal;
    name[1] = u8::try_from(scope.len() % 251).unwrap();
    RoleAssignment {
        name: RoleAssignmentId::from_bytes(name),
        scope: scope.parse().unwrap(),
        role,
        principal_id: ids(principal).1,
        principal_type: "ServicePrincipal".to_owned(),
        description: None,
        created: NOW,
        created_by: None,
    }
}
