//! Azure Resource Manager: the control plane over HTTP.
//!
//! A request is admitted (`auth`) and led to its resource (`route`, `version`). A read is answered from the
//! state of the directory. A write is planned on that state: the modules of the resources turn a request and
//! a state into changes and a reply, without I/O. A write is authorised, checked and planned on one state,
//! which no other write changes meanwhile. When it is answered, it is durable and in effect.
//!
//! Paths, bodies, statuses and texts are those of Azure (`docs/protocol.md`).

mod access;
mod date;
mod dispatch;
mod endpoints;
mod error;
mod list;
mod operations;
mod options;
mod reply;
mod request;
mod resources;
mod tracked;
mod version;
mod vm;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::IF_NONE_MATCH;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use crate::base::clock::{Clock, UnixSeconds};
use crate::base::http::{
    BodyError, HostRules, HostSyntax, Payload, Peer, RequestIds, Surface, read_body,
};
use crate::service::directory::{Directory, State};
use crate::service::faults::{Asked, Endpoint, Target};
use crate::service::token::Verifier;
use dispatch::{is_read, plan, read, require_subscription, written};
pub(crate) use endpoints::ServiceAddresses;
use error::ArmError;
pub(crate) use options::{ArmAuth, ArmOptions};
use reply::{Envelope, Reply};
pub(crate) use request::auth::AUDIENCE;
use request::auth::Actor;
use request::call::{Call, Query};
use request::route::Route;

/// Largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Hosts that links in answers may begin with.
const HOST_SYNTAX: HostSyntax = HostSyntax { bytes_max: 255, punctuation: b"-._:[]" };

/// The control plane. Clones share everything.
#[derive(Clone, Debug)]
pub(crate) struct Arm(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Arc<Directory>,
    verifier: Verifier,
    clock: Arc<dyn Clock>,
    options: ArmOptions,
    hosts: HostRules,
    request_ids: RequestIds,
}

impl Arm {
    /// Creates a control plane for the world of `directory`.
    pub(crate) fn new(
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        options: ArmOptions,
    ) -> Self {
        let verifier = Verifier::new(directory.ring());
        let request_ids = RequestIds::new(options.seed);
        let hosts = match options.auth {
            ArmAuth::Bearer => HostRules::any(),
            ArmAuth::Off => HostRules::local(options.names.clone()),
        };
        let hosts = hosts.with_syntax(HOST_SYNTAX);
        Self(Arc::new(Inner { directory, verifier, clock, options, hosts, request_ids }))
    }

    /// Answers a request. `scheme` is the scheme of the connection, `http` or `https`. `body` is awaited only
    /// once the caller may do the action, and not at all for requests without content.
    ///
    /// A write waits for the disk, so it runs on a blocking thread. This needs a Tokio runtime.
    pub(crate) async fn answer(
        &self,
        parts: Parts,
        scheme: &'static str,
        body: impl Future<Output = Result<Bytes, BodyError>> + Send,
    ) -> Response<Payload> {
        let request_id = self.0.request_ids.next().to_string();
        let outcome = self.outcome(&parts, scheme, body, &request_id).await;
        self.0.seal(&parts, &request_id, outcome)
    }

    async fn outcome(
        &self,
        parts: &Parts,
        scheme: &str,
        body: impl Future<Output = Result<Bytes, BodyError>> + Send,
        request_id: &str,
    ) -> Result<Reply, ArmError> {
        let mut call = self.0.admit(parts, scheme, request_id)?;
        if is_read(&call) {
            return read(&call, &self.0.directory.read(), &self.0.options.service_addresses);
        }
        if let Some((action, scope)) = written(&call) {
            let permitted = |state: &State| {
                require_subscription(&call, state)?;
                call.require(state, &action, scope)
            };
            permitted(&self.0.directory.read())?;
            call.body = body.await.map_err(|error| match error {
                BodyError::TooLarge(max) => ArmError::ContentTooLarge(max),
                BodyError::Broken => ArmError::ContentBroken,
            })?;
            // The caller may have lost its role while the body arrived, so the write checks it again.
            call.now = self.0.clock.now();
        }
        let inner = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || inner.write(&call)).await;
        task.unwrap_or(Err(ArmError::Interrupted))
    }
}

impl Surface for Arm {
    type Caller = &'static str;

    fn name(&self) -> &'static str {
        "arm"
    }

    fn caller(&self, peer: &Peer) -> &'static str {
        peer.scheme.as_str()
    }

    async fn respond(
        &self,
        scheme: &&'static str,
        request: Request<Incoming>,
    ) -> Response<Payload> {
        let (parts, body) = request.into_parts();
        self.answer(parts, scheme, read_body(body, BODY_BYTES_MAX)).await
    }
}

impl Target for Arm {
    const ENDPOINT: Endpoint = Endpoint::Arm;

    fn asked(&self, _: &&'static str, request: &Request<Incoming>) -> Asked {
        let path = request.uri().path().to_owned();
        Asked::of_bearer(request.headers(), &self.0.directory.read(), path)
    }
}

impl Inner {
    fn seal(
        &self,
        parts: &Parts,
        request_id: &str,
        outcome: Result<Reply, ArmError>,
    ) -> Response<Payload> {
        let path = parts.uri.path().trim_start_matches('/');
        let root = path.split('/').next().unwrap_or_default();
        let envelope = Envelope {
            request_id,
            method: &parts.method,
            request: &parts.headers,
            has_subscription: root.eq_ignore_ascii_case("subscriptions") && path.contains('/'),
            now: self.clock.now(),
        };
        envelope.seal(outcome)
    }

    /// Admits a request. The checks run in the order that reveals least: the caller is checked before the
    /// resource.
    fn admit(&self, parts: &Parts, scheme: &str, request_id: &str) -> Result<Call, ArmError> {
        let now = self.clock.now();
        require_verb(&parts.method)?;
        let host = self.hosts.check(&parts.headers, &parts.uri).ok_or(ArmError::Host)?;
        let base_url = format!("{scheme}://{}", host.as_str());
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let route = Route::of(parts.uri.path(), query.version());
        let actor = self.actor(parts, route.as_ref().ok(), now)?;
        let route = route?;
        route.allows(&parts.method)?;
        query.refuse_repeats()?;
        if let Some(filter) = query.filter().filter(|_| route.takes_no_filter()) {
            return Err(ArmError::InvalidFilter(filter.to_owned()));
        }
        route.require_version(query.get("api-version"))?;
        Ok(Call {
            method: parts.method.clone(),
            route,
            path: parts.uri.path().to_owned(),
            query,
            body: Bytes::new(),
            actor,
            base_url,
            only_new: parts.headers.get(IF_NONE_MATCH).is_some_and(|value| value == "*"),
            operation: request_id.to_owned(),
            page_size: self.options.page_size,
            vault_uris: self.options.vault_uris.clone(),
            now,
        })
    }

    fn actor(
        &self,
        parts: &Parts,
        route: Option<&Route>,
        now: UnixSeconds,
    ) -> Result<Actor, ArmError> {
        if self.options.auth == ArmAuth::Off || route == Some(&Route::Endpoints) {
            return Ok(Actor::Anyone);
        }
        let subscription = route.and_then(Route::subscription);
        Actor::of(&parts.headers, &self.verifier, &self.directory.read(), subscription, now)
    }

    /// Runs a write. Its content is parsed before it blocks other writes.
    fn write(&self, call: &Call) -> Result<Reply, ArmError> {
        let plan = plan(call)?;
        self.directory.write(call.now, |state, fresh| {
            require_subscription(call, state)?;
            plan(state, fresh)
        })
    }
}

/// Checks that at least one path allows the verb.
fn require_verb(method: &Method) -> Result<(), ArmError> {
    let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE";
    let known = allowed.split(", ").any(|one| one == method.as_str());
    known
        .then_some(())
        .ok_or_else(|| ArmError::MethodNotAllowed { method: method.to_string(), allowed })
}

#[cfg(test)]
mod tests;
