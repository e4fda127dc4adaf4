//! Azure Resource Manager: the control plane over HTTP.
//!
//! A request is let in (`auth`), led to its resource (`route`, `version`), and then answered from the
//! state of the directory or planned on it: the modules of the resources turn a request and a state into
//! changes and a reply, without I/O. A write is authorised, checked and planned on one state, which no other
//! write changes meanwhile, and is durable and in effect when it is answered.
//!
//! Paths, bodies, statuses and texts are those of Azure (`docs/protocol.md`).

mod assignments;
mod auth;
mod call;
mod content;
mod date;
mod definitions;
mod error;
mod filter;
mod groups;
mod host;
mod identities;
mod list;
mod reply;
mod resources;
mod route;
mod subscriptions;
mod tracked;
mod vaults;
mod version;
mod vm;
mod vm_identity;
mod vm_plan;

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::IF_NONE_MATCH;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use crate::clock::{Clock, UnixSeconds};
use crate::directory::{Directory, Fresh, State};
use crate::http::{BodyError, Payload, Peer, RequestIds, Surface, read_body};
use crate::token::Verifier;
use crate::world::record::Change;
use auth::Actor;
use call::{Call, Query};
use error::ArmError;
use reply::{Envelope, Reply};
use route::{Kind, Route};

/// Longest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Whether callers have to say who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmAuth {
    /// A bearer token for Resource Manager, and a role that permits what is asked.
    Bearer,
    /// Nobody is asked anything: for whoever has the machine to himself. Only requests to an address or to
    /// `localhost` are answered then, so that no page in a browser gets in by a name of its own.
    Off,
}

/// How the control plane is served.
#[derive(Clone, Copy, Debug)]
pub struct ArmOptions {
    /// Whether callers have to say who they are.
    pub auth: ArmAuth,
    /// Most items of one page of a list.
    pub page_size: usize,
    /// Makes request ids differ from those of other processes.
    pub seed: u128,
}

/// The control plane. Copies share everything.
#[derive(Clone, Debug)]
pub struct Arm(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    directory: Arc<Directory>,
    verifier: Verifier,
    clock: Arc<dyn Clock>,
    options: ArmOptions,
    request_ids: RequestIds,
}

impl Arm {
    /// A control plane of the world of `directory`.
    pub fn new(directory: Arc<Directory>, clock: Arc<dyn Clock>, options: ArmOptions) -> Self {
        let verifier = Verifier::new(directory.ring());
        let request_ids = RequestIds::new(options.seed);
        Self(Arc::new(Inner { directory, verifier, clock, options, request_ids }))
    }

    /// Answers a request whose body is read; `scheme` is how it arrived, `http` or `https`.
    ///
    /// A write waits for the disk, so it is done on a thread for what blocks: this needs a Tokio runtime.
    pub async fn answer(
        &self,
        parts: Parts,
        scheme: &'static str,
        body: Result<Bytes, BodyError>,
    ) -> Response<Payload> {
        let request_id = self.0.request_ids.next().to_string();
        if matches!(parts.method, Method::GET | Method::HEAD) {
            return self.0.answer(&parts, scheme, body, &request_id);
        }
        let (inner, id, head) = (Arc::clone(&self.0), request_id.clone(), parts.clone());
        let task =
            tokio::task::spawn_blocking(move || inner.answer(&head, scheme, body, &id)).await;
        task.unwrap_or_else(|_| self.0.seal(&parts, &request_id, Err(ArmError::Interrupted)))
    }
}

impl Surface for Arm {
    type Caller = &'static str;

    fn caller(&self, peer: &Peer) -> &'static str {
        peer.scheme.as_str()
    }

    async fn respond(
        &self,
        scheme: &&'static str,
        request: Request<Incoming>,
    ) -> Response<Payload> {
        let (parts, body) = request.into_parts();
        let body = read_body(body, BODY_BYTES_MAX).await;
        self.answer(parts, scheme, body).await
    }
}

impl Inner {
    fn answer(
        &self,
        parts: &Parts,
        scheme: &str,
        body: Result<Bytes, BodyError>,
        request_id: &str,
    ) -> Response<Payload> {
        self.seal(parts, request_id, self.outcome(parts, scheme, body, request_id))
    }

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

    /// Checks come in the order in which the least is revealed: who calls, before what there is.
    fn outcome(
        &self,
        parts: &Parts,
        scheme: &str,
        body: Result<Bytes, BodyError>,
        request_id: &str,
    ) -> Result<Reply, ArmError> {
        let now = self.clock.now();
        require_verb(&parts.method)?;
        let base_url = host::base_url(parts, scheme, self.options.auth)?;
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let route = Route::of(parts.uri.path(), query.version());
        let actor = self.actor(parts, route.as_ref().ok(), now)?;
        let route = route?;
        route.allows(&parts.method)?;
        query.refuse_repeats()?;
        route.resource_type().require(query.get("api-version"), None)?;
        let body = body.map_err(|error| match error {
            BodyError::TooLarge(max) => ArmError::ContentTooLarge(max),
            BodyError::Broken => ArmError::ContentBroken,
        })?;
        let call = Call {
            method: &parts.method,
            route,
            path: parts.uri.path(),
            query,
            body: &body,
            actor,
            base_url,
            only_new: parts.headers.get(IF_NONE_MATCH).is_some_and(|value| value == "*"),
            operation: request_id.to_owned(),
            page_size: self.options.page_size,
            now,
        };
        self.dispatch(&call)
    }

    fn actor(
        &self,
        parts: &Parts,
        route: Option<&Route>,
        now: UnixSeconds,
    ) -> Result<Actor, ArmError> {
        if self.options.auth == ArmAuth::Off {
            return Ok(Actor::Anyone);
        }
        let subscription = route.and_then(Route::subscription);
        Actor::of(&parts.headers, &self.verifier, &self.directory.read(), subscription, now)
    }

    fn dispatch(&self, call: &Call<'_>) -> Result<Reply, ArmError> {
        if matches!(*call.method, Method::GET | Method::HEAD | Method::POST) {
            return read(call, &self.directory.read());
        }
        self.directory.write(call.now, |state, fresh| planned(call, state, fresh))
    }
}

/// That the verb is one that some path takes.
fn require_verb(method: &Method) -> Result<(), ArmError> {
    let allowed = "GET, HEAD, POST, PUT, PATCH, DELETE";
    let known = allowed.split(", ").any(|one| one == method.as_str());
    known
        .then_some(())
        .ok_or_else(|| ArmError::MethodNotAllowed { method: method.to_string(), allowed })
}

fn require_subscription(call: &Call<'_>, state: &State) -> Result<(), ArmError> {
    let named = call.route.subscription();
    named.map_or(Ok(()), |id| subscriptions::found(state, id).map(drop))
}

fn read(call: &Call<'_>, state: &State) -> Result<Reply, ArmError> {
    require_subscription(call, state)?;
    match &call.route {
        Route::Tenants => subscriptions::tenants(call, state),
        Route::Subscriptions => subscriptions::list(call, state),
        Route::Subscription(id) => subscriptions::get(call, state, *id),
        Route::Providers { subscription, namespace } => {
            subscriptions::providers(call, state, *subscription, namespace.as_deref())
        }
        Route::Register { subscription, namespace } => {
            subscriptions::providers(call, state, Some(*subscription), Some(namespace))
        }
        Route::Groups(parent) => groups::list(call, state, parent),
        Route::Group(id) => groups::get(call, state, id),
        Route::Resources(parent) => resources::list(call, state, parent),
        Route::List { kind: Kind::UserAssigned, parent } => identities::list(call, state, parent),
        Route::List { kind: Kind::VirtualMachine, parent } => vm::list(call, state, parent),
        Route::List { kind: Kind::Vault, parent } => vaults::list(call, state, parent),
        Route::Resource { kind: Kind::UserAssigned, id } => identities::get(call, state, id),
        Route::Resource { kind: Kind::VirtualMachine, id } => vm::get(call, state, id),
        Route::Resource { kind: Kind::Vault, id } => vaults::get(call, state, id),
        Route::SystemAssigned(owner) => identities::system_assigned(call, state, owner),
        Route::RoleAssignments(scope) => assignments::list(call, state, scope),
        Route::RoleAssignment { scope, name } => assignments::get(call, state, scope, name),
        Route::RoleDefinitions(scope) => definitions::list(call, state, scope),
        Route::RoleDefinition { scope, name } => definitions::get(call, state, scope, name),
        Route::Operation { id, .. } => vm::operation(call, id),
    }
}

/// What a write changes, and how it is answered once that is done.
fn planned(
    call: &Call<'_>,
    state: &State,
    fresh: &mut Fresh<'_>,
) -> Result<(Vec<Change>, Reply), ArmError> {
    require_subscription(call, state)?;
    let refused = || ArmError::MethodNotAllowed {
        method: call.method.to_string(),
        allowed: call.route.allowed(),
    };
    match (call.method.as_str(), &call.route) {
        ("PUT", Route::Group(id)) => groups::put(call, state, id),
        ("PATCH", Route::Group(id)) => groups::patch(call, state, id),
        ("DELETE", Route::Group(id)) => groups::delete(call, state, id),
        ("PUT", Route::Resource { kind, id }) => match kind {
            Kind::UserAssigned => identities::put(call, state, fresh, id),
            Kind::VirtualMachine => vm::put(call, state, fresh, id),
            Kind::Vault => vaults::put(call, state, id),
        },
        ("PATCH", Route::Resource { kind, id }) => match kind {
            Kind::UserAssigned => identities::patch(call, state, id),
            Kind::VirtualMachine => vm::patch(call, state, fresh, id),
            Kind::Vault => vaults::patch(call, state, id),
        },
        ("DELETE", Route::Resource { kind, id }) => match kind {
            Kind::UserAssigned => identities::delete(call, state, id),
            Kind::VirtualMachine => vm::delete(call, state, id),
            Kind::Vault => vaults::delete(call, state, id),
        },
        ("PUT", Route::RoleAssignment { scope, name }) => {
            assignments::put(call, state, scope, name)
        }
        ("DELETE", Route::RoleAssignment { scope, name }) => {
            assignments::delete(call, state, scope, name)
        }
        _ => Err(refused()),
    }
}

#[cfg(test)]
mod tests;
