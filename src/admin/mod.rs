//! For operators: liveness, readiness, metrics, the certificate authority, and keys rolled on demand.

pub mod hiccups;
mod metrics;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::registry::Registry;

use self::hiccups::Hiccups;
use crate::broker::Broker;
use crate::clock::{Clock, UnixSeconds};
use crate::directory::{Directory, SigningKeyError};
use crate::http::{Gate, Responses};
use crate::http::{HostNames, Payload, Peer, Surface, bearer_token, sole_host, text_reply};
use crate::secret::Redacted;

/// The operators' surface.
#[derive(Debug)]
pub struct Admin {
    registry: Registry,
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    ca_pem: String,
    names: HostNames,
    /// SHA-256 of the secret that admits changes.
    secret_digest: String,
}

/// What the metrics show beside the counters of the broker.
#[derive(Debug)]
pub struct Watched {
    /// Answers of each worker of the identity endpoint.
    pub workers: Vec<Arc<Responses>>,
    /// Connections of the endpoints.
    pub gates: Vec<Arc<Gate>>,
    /// Counters of a probe, if there is one.
    pub hiccups: Option<Arc<Hiccups>>,
}

impl Admin {
    /// Shows the counters of `broker` and those that are `watched` beside it, and the certificate of the
    /// authority that TLS clients are to trust. Whoever sends `secret` may change something.
    pub fn new(
        broker: Arc<Broker>,
        watched: Watched,
        clock: Arc<dyn Clock>,
        ca_pem: String,
        names: HostNames,
        secret: &Redacted,
    ) -> Self {
        let mut registry = Registry::default();
        let metrics = metrics::Metrics { broker: Arc::clone(&broker), watched };
        registry.register_collector(Box::new(metrics));
        Self { registry, broker, clock, ca_pem, names, secret_digest: secret.digest() }
    }

    async fn answer<B>(&self, request: &Request<B>) -> Response<Payload> {
        if !self.is_called_by_name(request) {
            return text_reply(
                StatusCode::BAD_REQUEST,
                "call this endpoint by an address, localhost or a --host-name\n",
            );
        }
        if !self.may(request) {
            return unauthorized();
        }
        match (request.method(), request.uri().path()) {
            // A surface is served only once everything has started; a process that hangs answers
            // neither.
            (&Method::GET | &Method::HEAD, "/healthz") => text_reply(StatusCode::OK, "ok\n"),
            (&Method::GET | &Method::HEAD, "/readyz") => self.readiness(),
            (&Method::GET | &Method::HEAD, "/metrics") => self.metrics(),
            (&Method::GET | &Method::HEAD, "/ca.pem") => {
                text_reply(StatusCode::OK, self.ca_pem.clone())
            }
            (&Method::POST, ROTATE) => match request.uri().query() {
                None => self.at_leisure(rotate).await,
                Some("force=true") => self.at_leisure(revoke).await,
                Some(_) => {
                    text_reply(StatusCode::BAD_REQUEST, "the only parameter is force=true\n")
                }
            },
            (&Method::POST, ROLL) => self.at_leisure(roll).await,
            (_, "/healthz" | "/readyz" | "/metrics" | "/ca.pem") => refused_verb("GET, HEAD"),
            (_, ROTATE | ROLL) => refused_verb("POST"),
            _ => text_reply(
                StatusCode::NOT_FOUND,
                "try /healthz, /readyz, /metrics, /ca.pem, POST /signing-keys/rotate or POST /credentials/roll\n",
            ),
        }
    }

    /// Whether the request only reads, as everybody may, or its caller knows the secret.
    fn may<B>(&self, request: &Request<B>) -> bool {
        let knows = |token: &str| Redacted::new(token.into()).has_digest(&self.secret_digest);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        reads || bearer_token(request.headers()).is_some_and(knows)
    }

    /// Whether the request names this machine, and so does not come from a page in a browser whose name was
    /// bound to this address.
    fn is_called_by_name<B>(&self, request: &Request<B>) -> bool {
        let named = sole_host(request).is_some_and(|host| self.names.admit(host));
        named && !request.headers().contains_key(ORIGIN)
    }

    /// Does what makes keys, some 100 ms each, where nobody else waits for it.
    async fn at_leisure(
        &self,
        change: fn(&Directory, UnixSeconds) -> Response<Payload>,
    ) -> Response<Payload> {
        let (broker, now) = (Arc::clone(&self.broker), self.clock.now());
        let done = tokio::task::spawn_blocking(move || change(broker.directory(), now)).await;
        done.unwrap_or_else(|_| failed("the change ended early"))
    }

    /// Whether everything can be done: a server whose store is full or lost gives tokens, and takes no change.
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

const ROLL: &str = "/credentials/roll";
const ROTATE: &str = "/signing-keys/rotate";

fn rotate(directory: &Directory, now: UnixSeconds) -> Response<Payload> {
    changed(directory, directory.rotate_signing_keys(now))
}

fn revoke(directory: &Directory, now: UnixSeconds) -> Response<Payload> {
    changed(directory, directory.revoke_signing_key(now))
}

/// The name of the key that signs now, or why it is no other.
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
            tracing::error!(%error, "the signing keys were not changed");
            failed("the keys could not be changed; the log says why")
        }
    }
}

/// Gives every managed identity that has a certificate another one.
fn roll(directory: &Directory, now: UnixSeconds) -> Response<Payload> {
    let rolled = directory.roll_all(now);
    let text = format!("{} made, {} removed\n", rolled.issued, rolled.removed);
    text_reply(StatusCode::OK, text)
}

fn failed(what: &str) -> Response<Payload> {
    text_reply(StatusCode::INTERNAL_SERVER_ERROR, format!("{what}\n"))
}

fn unauthorized() -> Response<Payload> {
    let mut refused = text_reply(
        StatusCode::UNAUTHORIZED,
        "send `Authorization: Bearer SECRET`; the secret is in the file that `mintbench serve` prints after `admin-secret`\n",
    );
    refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refused
}

fn refused_verb(allowed: &'static str) -> Response<Payload> {
    let mut refused =
        text_reply(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed} is allowed\n"));
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    refused
}

impl Surface for Admin {
    type Caller = ();

    fn name(&self) -> &'static str {
        "admin"
    }

    fn caller(&self, _: &Peer) {}

    async fn respond(&self, (): &(), request: Request<Incoming>) -> Response<Payload> {
        self.answer(&request).await
    }
}
