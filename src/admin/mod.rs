//! For operators: liveness, readiness and metrics.

mod metrics;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use prometheus_client::registry::Registry;

use crate::broker::Broker;
use crate::http::Responses;
use crate::http::{Payload, Peer, Surface, text_reply};

/// The operators' surface.
#[derive(Debug)]
pub struct Admin {
    registry: Registry,
}

impl Admin {
    /// Shows the counters of `broker` and of the workers that answer for it.
    pub fn new(broker: Arc<Broker>, workers: Vec<Arc<Responses>>) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(metrics::Metrics { broker, workers }));
        Self { registry }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Payload> {
        match (method, path) {
            // A surface is served only once everything has started, so both say the same; a
            // process that hangs answers neither.
            (&Method::GET, "/healthz" | "/readyz") => text_reply(StatusCode::OK, "ok\n"),
            (&Method::GET, "/metrics") => self.metrics(),
            (_, "/healthz" | "/readyz" | "/metrics") => {
                text_reply(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed\n")
            }
            _ => text_reply(StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n"),
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

impl Surface for Admin {
    type Caller = ();

    fn caller(&self, _: &Peer) {}

    async fn respond(&self, (): &(), request: Request<Incoming>) -> Response<Payload> {
        self.answer(request.method(), request.uri().path())
    }
}
