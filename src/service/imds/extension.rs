//! Endpoint of the VM extension, deprecated since January 2019. It gives the same tokens at
//! `http://localhost:50342/oauth2/token`, by GET or by POST of a form, without an api-version.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::json;
use uuid::Uuid;

use super::admission::admit;
use super::error::{ImdsError, Refusal, with_hints};
use super::parameters::{Parameters, asked};
use super::query::Query;
use super::reply::token_reply;
use crate::base::clock::Clock;
use crate::base::http::{
    HostNames, HostRules, Payload, Peer, RequestIds, Surface, give_reason, json_reply, read_body,
};
use crate::service::broker::Broker;
use crate::service::directory::Caller;
use crate::service::faults::{Asked, Endpoint, Target};

const ALLOWED: &str = "GET, POST";

/// Longest accepted form; a resource and an identity need less.
const FORM_BYTES_MAX: usize = 8 * 1024;

/// The endpoint of the VM extension.
#[derive(Debug)]
pub(crate) struct Extension {
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    hosts: HostRules,
    request_ids: RequestIds,
    warned: AtomicBool,
}

impl Extension {
    /// Creates an endpoint that answers from `broker` and accepts `names` as `Host`.
    pub(crate) fn new(
        broker: Arc<Broker>,
        clock: Arc<dyn Clock>,
        names: HostNames,
        seed: u128,
    ) -> Self {
        let request_ids = RequestIds::new(seed);
        Self {
            broker,
            clock,
            hosts: HostRules::local(names),
            request_ids,
            warned: AtomicBool::new(false),
        }
    }

    async fn answer(
        &self,
        caller: &Caller,
        request: Request<Incoming>,
        request_id: Uuid,
    ) -> Result<Response<Payload>, ImdsError> {
        if !matches!(request.uri().path(), "/oauth2/token" | "/oauth2/token/") {
            return Err(ImdsError::NotFound);
        }
        admit(&request, &self.hosts)?;
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a program asks the VM extension endpoint, which Azure retired; point it at the identity endpoint (IMDS)"
            );
        }
        let (head, body) = request.into_parts();
        match head.method {
            Method::GET => {
                self.token(caller, head.uri.query().unwrap_or_default(), request_id).await
            }
            Method::POST => {
                let form = read_body(body, FORM_BYTES_MAX).await?;
                // A body that is not UTF-8 counts as empty.
                self.token(caller, std::str::from_utf8(&form).unwrap_or_default(), request_id).await
            }
            _ => Err(ImdsError::MethodNotAllowed(ALLOWED)),
        }
    }

    async fn token(
        &self,
        caller: &Caller,
        parameters: &str,
        request_id: Uuid,
    ) -> Result<Response<Payload>, ImdsError> {
        let query = Query::parse(parameters)?;
        let parameters = Parameters::read_without_version(&query)?;
        let answer = self.broker.token(caller, &parameters.request(), &*self.clock).await;
        let refused = |error| ImdsError::of_token(error, caller, request_id, self.clock.now());
        let answer = answer.map_err(refused)?;
        Ok(token_reply(answer.via, answer.token().body(answer.at)))
    }
}

/// Renders an error in the nested form, which is older than the identity endpoint (`docs/protocol.md`).
fn nested(error: &ImdsError) -> Response<Payload> {
    let Refusal { status, error: code, description } = error.refusal();
    let (status, code) = match error {
        ImdsError::MetadataHeader | ImdsError::MetadataValue => {
            (status, "bad_request_102".to_owned())
        }
        ImdsError::NotFound => (hyper::StatusCode::NOT_FOUND, "not_found".to_owned()),
        _ if status.is_server_error() => (status, "unknown".to_owned()),
        _ => (status, code),
    };
    let body = json!({ "error": { "code": code, "message": description } });
    let mut refused = with_hints(json_reply(status, body.to_string()), ALLOWED);
    give_reason(&mut refused, error);
    refused
}

impl Surface for Extension {
    type Caller = Caller;

    fn name(&self) -> &'static str {
        "vm-extension"
    }

    fn caller(&self, peer: &Peer) -> Caller {
        self.broker.caller(peer.addr.ip())
    }

    async fn respond(&self, caller: &Caller, request: Request<Incoming>) -> Response<Payload> {
        let request_id = self.request_ids.next();
        let answer = self.answer(caller, request, request_id).await;
        answer.unwrap_or_else(|error| nested(&error))
    }
}

impl Target for Extension {
    const ENDPOINT: Endpoint = Endpoint::VmExtension;

    /// A form is not read, so a request by POST names neither identity nor resource.
    fn asked(&self, caller: &Caller, request: &Request<Incoming>) -> Asked {
        let now = self.clock.now();
        asked(self.broker.vm(caller, now).as_ref(), request.uri().query().unwrap_or_default(), now)
    }
}
