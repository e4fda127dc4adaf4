//! Azure Resource Manager: the control plane over HTTP.
//!
//! A request is admitted (`auth`) and led to its resource (`route`, `version`). A read is answered from the
//! state of the directory. A write is planned on that state: the modules of the resources turn a request and
//! a state into changes and a reply, without I/O. A write is authorised, checked and planned on one state,
//! which no other write changes meanwhile. When it is answered, it is durable and in effect.
//!
//! Paths, bodies, statuses and texts are those of Azure (`docs/protocol.md`).

mod assignments;
mod auth;
mod call;
mod content;
mod date;
mod definitions;
mod deleted_vaults;
mod endpoints;
mod error;
mod filter;
mod groups;
mod host;
mod identities;
mod interfaces;
mod list;
mod locations;
mod reply;
mod resources;
mod route;
mod subscriptions;
mod tracked;
mod vault_settings;
mod vaults;
mod version;
mod vm;
mod vm_identity;
mod vm_plan;
mod vm_profile;

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::IF_NONE_MATCH;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};

use crate::base::clock::{Clock, UnixSeconds};
use crate::base::http::{BodyError, HostNames, Payload, Peer, RequestIds, Surface, read_body};
use crate::base::ids::ArmId;
use crate::service::directory::{Directory, Fresh, State};
use crate::service::token::Verifier;
use crate::service::world::record::Change;
use crate::service::world::vault::VaultUris;
pub use auth::AUDIENCE;
use auth::Actor;
use call::{Call, Query};
pub use endpoints::Neighbours;
use error::ArmError;
use reply::{Envelope, Reply};
use route::{Kind, Route};
use tracked::Deed;

/// Largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Authentication of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmAuth {
    /// Callers need a bearer token for Resource Manager, and a role that permits the action.
    Bearer,
    /// Callers are not authenticated, for a machine with a single user. Only requests to an address, to
    /// `localhost` or to an allowed name are answered then, so that a web page in a browser cannot call under
    /// its own host name.
    Off,
}

/// Settings of the control plane.
#[derive(Clone, Debug)]
pub struct ArmOptions {
    /// Authentication of callers.
    pub auth: ArmAuth,
    /// Host names that unauthenticated callers may use beside addresses and `localhost`.
    pub names: HostNames,
    /// Largest number of items on one page of a list.
    pub page_size: usize,
    /// Seed that makes request ids differ from those of other processes.
    pub seed: u128,
    /// Addresses of the other endpoints of this server, for clients.
    pub neighbours: Neighbours,
    /// URIs of the vaults.
    pub vault_uris: VaultUris,
}

/// The control plane. Clones share everything.
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
    /// Creates a control plane for the world of `directory`.
    pub fn new(directory: Arc<Directory>, clock: Arc<dyn Clock>, options: ArmOptions) -> Self {
        let verifier = Verifier::new(directory.ring());
        let request_ids = RequestIds::new(options.seed);
        Self(Arc::new(Inner { directory, verifier, clock, options, request_ids }))
    }

    /// Answers a request. `scheme` is the scheme of the connection, `http` or `https`. `body` is awaited only
    /// once the caller may do the action, and not at all for requests without content.
    ///
    /// A write waits for the disk, so it runs on a blocking thread. This needs a Tokio runtime.
    pub async fn answer(
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
            return read(&call, &self.0.directory.read(), &self.0.options.neighbours);
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
        let base_url = host::base_url(parts, scheme, &self.options)?;
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

/// Returns true if the request changes nothing. This includes `register`: every provider is registered
/// already.
fn is_read(call: &Call) -> bool {
    matches!(call.method, Method::GET | Method::HEAD)
        || matches!(call.route, Route::Register { .. })
}

/// Changes of a write, and its answer once they are done.
type Planned = Result<(Vec<Change>, Reply), ArmError>;

/// A write whose content is parsed and which still has to be planned on a state.
type Plan<'a> = Box<dyn FnOnce(&State, &mut Fresh<'_>) -> Planned + 'a>;

/// Returns action and scope of a write with content.
fn written(call: &Call) -> Option<(String, &str)> {
    match (call.method.as_str(), &call.route) {
        ("PUT" | "PATCH", Route::Group(id)) => Some((groups::WRITE.to_owned(), id.as_str())),
        ("PUT" | "PATCH", Route::Resource { kind, id }) => {
            Some((Deed::Write.on(*kind), id.as_str()))
        }
        ("PUT", Route::RoleAssignment { scope, .. }) => {
            Some((assignments::WRITE.to_owned(), scope.as_str()))
        }
        _ => None,
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

fn require_subscription(call: &Call, state: &State) -> Result<(), ArmError> {
    let named = call.route.subscription();
    named.map_or(Ok(()), |id| subscriptions::found(state, id).map(drop))
}

fn read(call: &Call, state: &State, neighbours: &Neighbours) -> Result<Reply, ArmError> {
    require_subscription(call, state)?;
    match &call.route {
        Route::Endpoints => endpoints::get(call, neighbours),
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
        Route::Locations(id) => locations::list(call, state, *id),
        Route::InstanceView(id) => vm::instance_view(call, state, id),
        Route::Interfaces(parent) => interfaces::list(call, state, parent),
        Route::Interface(id) => interfaces::get(call, state, id),
        Route::Unpopulated { resource_type, scope } => {
            resources::none(call, state, resource_type, scope)
        }
        Route::Absent { resource_type, id } => resources::absent(call, state, resource_type, id),
        Route::DeletedVaults(subscription) => deleted_vaults::list(call, state, *subscription),
        Route::DeletedVault(path) => deleted_vaults::get(call, state, path),
        Route::PurgeVault(_) => Err(refused(call)),
        Route::SystemAssigned(owner) => identities::system_assigned(call, state, owner),
        Route::RoleAssignments(scope) => assignments::list(call, state, scope),
        Route::RoleAssignment { scope, name } => assignments::get(call, state, scope, name),
        Route::RoleDefinitions(scope) => definitions::list(call, state, scope),
        Route::RoleDefinition { scope, name } => definitions::get(call, state, scope, name),
        Route::Operation { id, .. } => vm::operation(call, id),
    }
}

fn plan(call: &Call) -> Result<Plan<'_>, ArmError> {
    match (call.method.as_str(), &call.route) {
        ("PUT", Route::Group(id)) => {
            let content = call.content()?;
            Ok(Box::new(move |state, _| groups::put(call, state, id, &content)))
        }
        ("PATCH", Route::Group(id)) => {
            let content = call.content()?;
            Ok(Box::new(move |state, _| groups::patch(call, state, id, &content)))
        }
        ("DELETE", Route::Group(id)) => {
            Ok(Box::new(move |state, _| groups::delete(call, state, id)))
        }
        (_, Route::Resource { kind, id }) => plan_resource(call, *kind, id),
        ("POST", Route::PurgeVault(path)) => {
            Ok(Box::new(move |state, _| deleted_vaults::purge(call, state, path)))
        }
        ("PUT", Route::RoleAssignment { scope, name }) => {
            let wanted = assignments::Wanted::read(&call.content()?)?;
            Ok(Box::new(move |state, _| assignments::put(call, state, (scope, name), wanted)))
        }
        ("DELETE", Route::RoleAssignment { scope, name }) => {
            Ok(Box::new(move |state, _| assignments::delete(call, state, scope, name)))
        }
        _ => Err(refused(call)),
    }
}

fn plan_resource<'a>(call: &'a Call, kind: Kind, id: &'a ArmId) -> Result<Plan<'a>, ArmError> {
    let is_put = match call.method {
        Method::PUT => true,
        Method::PATCH => false,
        Method::DELETE => {
            return Ok(Box::new(move |state, _| match kind {
                Kind::UserAssigned => identities::delete(call, state, id),
                Kind::VirtualMachine => vm::delete(call, state, id),
                Kind::Vault => vaults::delete(call, state, id),
            }));
        }
        _ => return Err(refused(call)),
    };
    let content = call.content()?;
    if kind == Kind::VirtualMachine {
        let wanted = vm_plan::Wanted::read(content)?;
        let planned = if is_put { vm::put } else { vm::patch };
        return Ok(Box::new(move |state, fresh| planned(call, state, fresh, id, wanted)));
    }
    Ok(Box::new(move |state, fresh| match (kind, is_put) {
        (Kind::UserAssigned, true) => identities::put(call, state, fresh, id, &content),
        (Kind::UserAssigned, false) => identities::patch(call, state, id, &content),
        (_, true) => vaults::put(call, state, id, &content),
        (_, false) => vaults::patch(call, state, id, &content),
    }))
}

fn refused(call: &Call) -> ArmError {
    let (method, allowed) = (call.method.to_string(), call.route.allowed());
    ArmError::MethodNotAllowed { method, allowed }
}

#[cfg(test)]
mod tests;
