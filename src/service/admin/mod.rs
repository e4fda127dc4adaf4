//! Admin endpoint for operators: liveness, readiness, metrics, the certificate authority, and rotation of
//! keys on demand.

pub(crate) mod hiccups;
mod metrics;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::registry::Registry;

pub(crate) use self::metrics::MetricSources;
use crate::base::clock::{Clock, UnixSeconds};
use crate::base::http::{
    HostNames, HostRules, Payload, Peer, Surface, bearer_token, pairs, text_reply,
};
use crate::base::ids::ArmId;
use crate::base::secret::Redacted;
use crate::service::broker::{Broker, CallerSecrets};
use crate::service::directory::{Directory, SigningKeyError};

/// The admin surface.
#[derive(Debug)]
pub(crate) struct Admin {
    registry: Registry,
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    ca_pem: String,
    hosts: HostRules,
    /// SHA-256 of the secret that permits changes.
    secret_digest: String,
    caller_secrets: Arc<CallerSecrets>,
}

impl Admin {
    /// Creates the surface. It shows the counters of `broker` and of `watched`, and the certificate of the
    /// authority for TLS clients. Callers that send `secret` may make changes, and get the secrets of machines
    /// (`caller_secrets`).
    pub(crate) fn new(
        broker: Arc<Broker>,
        watched: MetricSources,
        clock: Arc<dyn Clock>,
        ca_pem: String,
        names: HostNames,
        secret: &Redacted,
        caller_secrets: Arc<CallerSecrets>,
    ) -> Self {
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
            caller_secrets,
        }
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
            // No surface answers before everything has started, or while the process hangs. So liveness needs
            // no further check.
            (&Method::GET | &Method::HEAD, "/healthz") => text_reply(StatusCode::OK, "ok\n"),
            (&Method::GET | &Method::HEAD, "/readyz") => self.readiness(),
            (&Method::GET | &Method::HEAD, "/metrics") => self.metrics(),
            (&Method::GET | &Method::HEAD, "/ca.pem") => {
                text_reply(StatusCode::OK, self.ca_pem.clone())
            }
            (&Method::POST, ROTATE) => match request.uri().query() {
                None => self.run_blocking(rotate).await,
                Some("force=true") => self.run_blocking(revoke).await,
                Some(_) => {
                    text_reply(StatusCode::BAD_REQUEST, "the only parameter is force=true\n")
                }
            },
            (&Method::POST, ROLL) => self.run_blocking(roll).await,
            (&Method::POST, IDENTITY_HEADER) => self.identity_header(request.uri().query()),
            (_, "/healthz" | "/readyz" | "/metrics" | "/ca.pem") => refused_verb("GET, HEAD"),
            (_, ROTATE | ROLL | IDENTITY_HEADER) => refused_verb("POST"),
            _ => text_reply(
                StatusCode::NOT_FOUND,
                "try /healthz, /readyz, /metrics, /ca.pem, POST /signing-keys/rotate, POST /credentials/roll or POST /identity-header?vm=NAME\n",
            ),
        }
    }

    /// Returns true if the request only reads, which anybody may do, or has the secret.
    fn may<B>(&self, request: &Request<B>) -> bool {
        let knows = |token: &str| Redacted::new(token.into()).has_digest(&self.secret_digest);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        reads || bearer_token(request.headers()).is_some_and(knows)
    }

    /// Returns true if the request names this machine and has no `Origin`. A web page whose name was rebound
    /// to this address fails this check (DNS rebinding).
    fn is_called_by_name<B>(&self, request: &Request<B>) -> bool {
        let named = self.hosts.check(request.headers(), request.uri()).is_some();
        named && !request.headers().contains_key(ORIGIN)
    }

    /// Runs a change that generates keys, about 100 ms each, on a thread where no request waits for it.
    async fn run_blocking(
        &self,
        change: fn(&Directory, UnixSeconds) -> Response<Payload>,
    ) -> Response<Payload> {
        let (broker, now) = (Arc::clone(&self.broker), self.clock.now());
        let done = tokio::task::spawn_blocking(move || change(broker.directory(), now)).await;
        done.unwrap_or_else(|_| failed("the change ended early"))
    }

    /// Answers the secret by which a program is known as a machine at the App Service endpoint. The machine is
    /// named by its name or its resource id.
    fn identity_header(&self, query: Option<&str>) -> Response<Payload> {
        let named = pairs(query.unwrap_or_default()).find(|(name, _)| name.as_sent() == "vm");
        let Some(named) = named.map(|(_, value)| value.decode_lossy()) else {
            return text_reply(
                StatusCode::BAD_REQUEST,
                "name the virtual machine, as in ?vm=NAME\n",
            );
        };
        let is_it = |id: &ArmId| {
            id.name().eq_ignore_ascii_case(&named) || id.as_str().eq_ignore_ascii_case(&named)
        };
        let state = self.broker.directory().read();
        let mut found = state.vms().map(|entry| &entry.vm.record).filter(|vm| is_it(&vm.id));
        match (found.next(), found.next()) {
            (Some(vm), None) => {
                let secret = self.caller_secrets.of(vm.vm_id);
                text_reply(StatusCode::OK, [secret.expose(), b"\n"].concat())
            }
            (None, _) => text_reply(StatusCode::NOT_FOUND, "there is no such virtual machine\n"),
            (Some(_), Some(_)) => text_reply(
                StatusCode::CONFLICT,
                "several virtual machines have this name; give the resource id\n",
            ),
        }
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

const ROLL: &str = "/credentials/roll";
const ROTATE: &str = "/signing-keys/rotate";
const IDENTITY_HEADER: &str = "/identity-header";

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
            tracing::error!(%error, "the signing keys were not changed");
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
