//! For operators: liveness, readiness, metrics, the certificate authority, and keys rolled on demand.

pub mod hiccups;
mod metrics;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::registry::Registry;

use self::hiccups::Hiccups;
use crate::broker::Broker;
use crate::clock::{Clock, UnixSeconds};
use crate::directory::Directory;
use crate::http::{Gate, Responses};
use crate::http::{HostNames, Payload, Peer, Surface, sole_host, text_reply};

/// The operators' surface.
#[derive(Debug)]
pub struct Admin {
    registry: Registry,
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    ca_pem: String,
    names: HostNames,
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

/// What changes something wants this header: a form in a page of a browser cannot send it.
const INTENT: HeaderName = HeaderName::from_static("x-mintbench-admin");

impl Admin {
    /// Shows the counters of `broker` and those that are `watched` beside it, and the certificate of the
    /// authority that TLS clients are to trust.
    pub fn new(
        broker: Arc<Broker>,
        watched: Watched,
        clock: Arc<dyn Clock>,
        ca_pem: String,
        names: HostNames,
    ) -> Self {
        let mut registry = Registry::default();
        let metrics = metrics::Metrics { broker: Arc::clone(&broker), watched };
        registry.register_collector(Box::new(metrics));
        Self { registry, broker, clock, ca_pem, names }
    }

    async fn answer<B>(&self, request: &Request<B>) -> Response<Payload> {
        let intended = request.headers().get(INTENT).is_some_and(|value| value == "true");
        if !self.is_called_by_name(request) {
            return text_reply(
                StatusCode::BAD_REQUEST,
                "call this endpoint by an address, localhost or a --host-name\n",
            );
        }
        match (request.method(), request.uri().path()) {
            // A surface is served only once everything has started, so both say the same; a
            // process that hangs answers neither.
            (&Method::GET | &Method::HEAD, "/healthz" | "/readyz") => {
                text_reply(StatusCode::OK, "ok\n")
            }
            (&Method::GET | &Method::HEAD, "/metrics") => self.metrics(),
            (&Method::GET | &Method::HEAD, "/ca.pem") => {
                text_reply(StatusCode::OK, self.ca_pem.clone())
            }
            (&Method::POST, ROTATE | ROLL) if !intended => {
                text_reply(StatusCode::FORBIDDEN, "send the header x-mintbench-admin: true\n")
            }
            (&Method::POST, ROTATE) => self.at_leisure(rotate).await,
            (&Method::POST, ROLL) => self.at_leisure(roll).await,
            (_, "/healthz" | "/readyz" | "/metrics" | "/ca.pem") => refused_verb("GET, HEAD"),
            (_, ROTATE | ROLL) => refused_verb("POST"),
            _ => text_reply(
                StatusCode::NOT_FOUND,
                "try /healthz, /readyz, /metrics, /ca.pem, POST /signing-keys/rotate or POST /credentials/roll\n",
            ),
        }
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
    match directory.rotate_signing_keys(now) {
        Ok(()) => {
            let kid = directory.ring().keys().current.jwk().kid.clone();
            text_reply(StatusCode::OK, format!("{kid}\n"))
        }
        Err(error) => {
            tracing::error!(%error, "the signing keys were not rotated");
            failed("the keys could not be rotated; the log says why")
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
