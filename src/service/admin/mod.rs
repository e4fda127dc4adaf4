//! Admin endpoint for operators: liveness, readiness, metrics, the certificate authority, rotation of keys on
//! demand, listeners and secrets of single VMs, the whole world, faults, and the tools of a server for tests.

mod faults;
pub(crate) mod hiccups;
mod identity_headers;
mod listeners;
mod metrics;
mod refusals;
mod test_tools;
mod worlds;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::registry::Registry;

pub(crate) use self::listeners::{OpenError, OpenListener};
pub(crate) use self::metrics::MetricSources;
use self::refusals::{failed, not_stored, refused_verb, unauthorized};
pub(crate) use self::test_tools::TestTools;
use crate::base::clock::{Clock, UnixSeconds};
use crate::base::http::{
    HostNames, HostRules, Payload, Peer, Surface, bearer_token, read_body, text_reply,
};
use crate::base::secret::Redacted;
use crate::service::broker::{Broker, CallerSecrets};
use crate::service::directory::{Directory, SigningKeyError};
use crate::service::faults::Faults;

/// Requests that need the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Changes, and everything that shows secrets. Only programs on this machine can call.
    Changes,
    /// Every request, because other machines can call.
    Everything,
}

/// Settings of the admin surface.
#[derive(Debug)]
pub(crate) struct AdminOptions {
    /// Certificate of the authority, for TLS clients.
    pub ca_pem: String,
    /// Host names that callers may use.
    pub names: HostNames,
    /// Secret of callers that may do everything.
    pub secret: Redacted,
    /// Requests that need the secret.
    pub guard: Guard,
    /// Opener of listeners of single VMs.
    pub listeners: Arc<dyn OpenListener>,
    /// Secrets by which programs are known as machines at the App Service endpoint.
    pub caller_secrets: Arc<CallerSecrets>,
    /// Faults on purpose.
    pub faults: Arc<Faults>,
    /// What only a server for tests has.
    pub tools: Option<TestTools>,
}

/// The admin surface.
#[derive(Debug)]
pub(crate) struct Admin {
    registry: Registry,
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    ca_pem: String,
    hosts: HostRules,
    /// SHA-256 of the secret.
    secret_digest: String,
    guard: Guard,
    listeners: Arc<dyn OpenListener>,
    caller_secrets: Arc<CallerSecrets>,
    faults: Arc<Faults>,
    tools: Option<TestTools>,
}

impl Admin {
    /// Creates the surface. It shows the counters of `broker` and of `watched`.
    pub(crate) fn new(
        broker: Arc<Broker>,
        watched: MetricSources,
        clock: Arc<dyn Clock>,
        options: AdminOptions,
    ) -> Self {
        let AdminOptions { ca_pem, names, secret, guard, listeners, caller_secrets, faults, tools } =
            options;
        let mut registry = Registry::default();
        let metrics = metrics::Metrics { broker: Arc::clone(&broker), watched };
        registry.register_collector(Box::new(metrics));
        Self {
            registry,
            broker,
            clock,
            ca_pem,
            hosts: HostRules::local(names),
            secret_digest: secret.digest(),
            guard,
            listeners,
            caller_secrets,
            faults,
            tools,
        }
    }

    async fn answer(&self, head: &Parts, body: Incoming) -> Response<Payload> {
        if !self.is_called_by_name(head) {
            return text_reply(
                StatusCode::BAD_REQUEST,
                "call this endpoint by an address, localhost or a --host-name\n",
            );
        }
        if !self.may(head) {
            return unauthorized();
        }
        match (&head.method, head.uri.path()) {
            // No surface answers before everything has started, or while the process hangs. So liveness needs
            // no further check.
            (&Method::GET | &Method::HEAD, "/healthz") => text_reply(StatusCode::OK, "ok\n"),
            (&Method::GET | &Method::HEAD, "/readyz") => self.readiness(),
            (&Method::GET | &Method::HEAD, "/metrics") => self.metrics(),
            (&Method::GET | &Method::HEAD, "/ca.pem") => {
                text_reply(StatusCode::OK, self.ca_pem.clone())
            }
            (&Method::POST, ROTATE | ROLL) => self.renew(head).await,
            (&Method::POST, IDENTITY_HEADER) => self.identity_header(head),
            (&Method::POST, LISTENERS) => self.listener(head).await,
            (&Method::GET | &Method::PUT, WORLD) => self.world(head, body).await,
            (&Method::POST, RESET) => self.reset().await,
            (&Method::GET | &Method::PUT | &Method::DELETE, FAULTS) => {
                faults::answer(&self.faults, &head.method, body).await
            }
            (&Method::GET | &Method::PUT, CLOCK) => {
                test_tools::clock(self.tools.as_ref(), &head.method, body).await
            }
            (&Method::POST, BROKEN) => test_tools::broken(self.tools.as_ref(), body).await,
            (_, "/healthz" | "/readyz" | "/metrics" | "/ca.pem") => refused_verb("GET, HEAD"),
            (_, ROTATE | ROLL | IDENTITY_HEADER | LISTENERS | RESET | BROKEN) => {
                refused_verb("POST")
            }
            (_, WORLD | CLOCK) => refused_verb("GET, PUT"),
            (_, FAULTS) => refused_verb("GET, PUT, DELETE"),
            _ => text_reply(
                StatusCode::NOT_FOUND,
                "try /healthz, /readyz, /metrics, /ca.pem, POST /signing-keys/rotate, POST /credentials/roll, POST /identity-header?vm=NAME, POST /listeners?vm=NAME, /world, /faults, /clock, POST /tokens/broken or POST /reset\n",
            ),
        }
    }

    /// Makes new keys or certificates.
    async fn renew(&self, head: &Parts) -> Response<Payload> {
        match (head.uri.path(), head.uri.query()) {
            (ROLL, _) => self.run_blocking(roll).await,
            (_, None) => self.run_blocking(rotate).await,
            (_, Some("force=true")) => self.run_blocking(revoke).await,
            (_, Some(_)) => {
                text_reply(StatusCode::BAD_REQUEST, "the only parameter is force=true\n")
            }
        }
    }

    fn identity_header(&self, head: &Parts) -> Response<Payload> {
        let (directory, now) = (self.broker.directory(), self.clock.now());
        identity_headers::answer(directory, &self.caller_secrets, head.uri.query(), now)
    }

    async fn listener(&self, head: &Parts) -> Response<Payload> {
        let Some(vm) = listeners::vm_named(head.uri.query()) else {
            return text_reply(StatusCode::BAD_REQUEST, "name the virtual machine by ?vm=NAME\n");
        };
        let opener = Arc::clone(&self.listeners);
        self.run_blocking(move |_, _| listeners::open(&*opener, &vm)).await
    }

    async fn world(&self, head: &Parts, body: Incoming) -> Response<Payload> {
        let query = head.uri.query();
        let refused = |said: &'static str| text_reply(StatusCode::BAD_REQUEST, said);
        if head.method == Method::GET {
            return match worlds::secrets(query) {
                Ok(secrets) => {
                    self.run_blocking(move |directory, _| worlds::export(directory, secrets)).await
                }
                Err(said) => refused(said),
            };
        }
        let losses = match worlds::losses(query) {
            Ok(losses) => losses,
            Err(said) => return refused(said),
        };
        match read_body(body, worlds::BYTES_MAX).await {
            Ok(text) => {
                let import =
                    move |directory: &Directory, now| worlds::import(directory, &text, losses, now);
                self.run_blocking(import).await
            }
            Err(error) => worlds::unread(error),
        }
    }

    async fn reset(&self) -> Response<Payload> {
        let Some(TestTools { start, .. }) = self.tools.as_ref() else {
            return text_reply(
                StatusCode::FORBIDDEN,
                "only a server for tests forgets its world; start it with --test-tools\n",
            );
        };
        let start = start.clone();
        self.run_blocking(move |directory, now| worlds::reset(directory, start, now)).await
    }

    /// Returns true if anybody may send the request, or it has the secret.
    fn may(&self, head: &Parts) -> bool {
        let knows = |token: &str| Redacted::new(token.into()).has_digest(&self.secret_digest);
        let reads = matches!(head.method, Method::GET | Method::HEAD)
            && !matches!(head.uri.path(), WORLD | FAULTS);
        let is_free = reads && self.guard == Guard::Changes;
        is_free || bearer_token(&head.headers).is_some_and(knows)
    }

    /// Returns true if the request names this machine and has no `Origin`. A web page whose name was rebound
    /// to this address fails this check (DNS rebinding).
    fn is_called_by_name(&self, head: &Parts) -> bool {
        let named = self.hosts.check(&head.headers, &head.uri).is_some();
        named && !head.headers.contains_key(ORIGIN)
    }

    /// Runs work that generates keys, about 100 ms each, or waits for the disk, on a thread where no request
    /// waits for it.
    async fn run_blocking(
        &self,
        change: impl FnOnce(&Directory, UnixSeconds) -> Response<Payload> + Send + 'static,
    ) -> Response<Payload> {
        let (broker, now) = (Arc::clone(&self.broker), self.clock.now());
        let done = tokio::task::spawn_blocking(move || change(broker.directory(), now)).await;
        done.unwrap_or_else(|_| failed("the change ended early"))
    }

    /// Answers 200 if changes can be stored. A server whose store is full or lost issues tokens but refuses
    /// changes.
    fn readiness(&self) -> Response<Payload> {
        match self.broker.directory().store_health() {
            Ok(()) => text_reply(StatusCode::OK, "ok\n"),
            Err(fault) => text_reply(StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
        }
    }

    fn metrics(&self) -> Response<Payload> {
        let mut text = String::new();
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            return text_reply(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be written\n",
            );
        }
        let mut response = text_reply(StatusCode::OK, text);
        let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(open_metrics));
        response
    }
}

const BROKEN: &str = "/tokens/broken";
const CLOCK: &str = "/clock";
const FAULTS: &str = "/faults";
const IDENTITY_HEADER: &str = "/identity-header";
const LISTENERS: &str = "/listeners";
const RESET: &str = "/reset";
const ROLL: &str = "/credentials/roll";
const ROTATE: &str = "/signing-keys/rotate";
const WORLD: &str = "/world";

fn rotate(directory: &Directory, now: UnixSeconds) -> Response<Payload> {
    changed(directory, directory.rotate_signing_keys(now))
}

fn revoke(directory: &Directory, now: UnixSeconds) -> Response<Payload> {
    changed(directory, directory.revoke_signing_key(now))
}

/// Returns the name of the current signing key, or the reason why the keys did not change.
fn changed(directory: &Directory, change: Result<(), SigningKeyError>) -> Response<Payload> {
    match change {
        Ok(()) => {
            let kid = directory.ring().keys().current.jwk().kid.clone();
            text_reply(StatusCode::OK, format!("{kid}\n"))
        }
        Err(error @ (SigningKeyError::TooSoon { .. } | SigningKeyError::TooMany { .. })) => {
            let instead = "if the key that signs is compromised, add ?force=true to revoke it";
            text_reply(StatusCode::CONFLICT, format!("{error}; {instead}\n"))
        }
        Err(error) => {
            let is_of_store = matches!(error, SigningKeyError::Store(_));
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the signing keys were not changed");
            if is_of_store {
                return not_stored("the keys");
            }
            failed("the keys could not be changed; the log says why")
        }
    }
}

/// Issues another certificate to every managed identity that has one.
fn roll(directory: &Directory, now: UnixSeconds) -> Response<Payload> {
    let rolled = directory.roll_all(now);
    let text = format!("{} made, {} removed\n", rolled.issued, rolled.removed);
    text_reply(StatusCode::OK, text)
}

impl Surface for Admin {
    type Caller = ();

    fn name(&self) -> &'static str {
        "admin"
    }

    fn caller(&self, _: &Peer) {}

    async fn respond(&self, (): &(), request: Request<Incoming>) -> Response<Payload> {
        let (head, body) = request.into_parts();
        self.answer(&head, body).await
    }
}
