//! The identity endpoint: routes, and the headers of all answers.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, SERVER};
use hyper::{Method, Request, Response, StatusCode};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::admission::admit;
use super::error::ImdsError;
use super::gateway::GatewayNotice;
use super::query::Query;
use super::versions;
use crate::base::clock::Clock;
use crate::base::http::{
    HostNames, HostRules, Payload, Peer, RequestIds, Responses, Surface, give_reason, json_reply,
};
use crate::service::broker::Broker;
use crate::service::directory::{Called, Caller};

/// The identity endpoint of one worker thread.
#[derive(Debug)]
pub struct Imds {
    pub(super) broker: Arc<Broker>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hosts: HostRules,
    pub(super) responses: Arc<Responses>,
    pub(super) request_ids: RequestIds,
    /// VM of this listener, if it is the listener of one VM.
    called: Option<Arc<Called>>,
    notice: Option<Arc<GatewayNotice>>,
}

/// Target of a path. The first segment ignores case, as in Azure; the others do not. Paths are never decoded,
/// so each has one spelling, except for slashes: an SDK appends one to the token path, and empty segments of
/// instance paths are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    Events,
    Info,
    Instance(&'a str),
    Token,
    Versions,
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        const ROOT: &str = "/metadata";
        let (root, rest) = path.split_at_checked(ROOT.len())?;
        if !root.eq_ignore_ascii_case(ROOT) {
            return None;
        }
        match rest {
            // MSAL for JavaScript appends a slash to the URL of every token endpoint.
            "/identity/oauth2/token" | "/identity/oauth2/token/" => Some(Self::Token),
            "/identity/info" => Some(Self::Info),
            "/scheduledevents" => Some(Self::Events),
            "/versions" => Some(Self::Versions),
            _ => {
                let leaf = rest.strip_prefix("/instance")?;
                (leaf.is_empty() || leaf.starts_with('/')).then_some(Self::Instance(leaf))
            }
        }
    }
}

impl Route<'_> {
    /// Refuses a method that the path does not support. `HEAD` is refused too: Azure documents only `GET`.
    fn admit(self, method: &Method) -> Result<(), ImdsError> {
        match (self, method) {
            (_, &Method::GET) | (Self::Events, &Method::POST) => Ok(()),
            (Self::Events, _) => Err(ImdsError::MethodNotAllowed("GET, POST")),
            _ => Err(ImdsError::MethodNotAllowed("GET")),
        }
    }
}

impl Imds {
    /// Creates a service that answers from `broker` and accepts `names` as `Host`. `seed` makes its request
    /// ids differ from those of other workers.
    pub fn new(broker: Arc<Broker>, clock: Arc<dyn Clock>, names: HostNames, seed: u128) -> Self {
        let request_ids = RequestIds::new(seed);
        Self {
            broker,
            clock,
            hosts: HostRules::local(names),
            responses: Arc::default(),
            request_ids,
            called: None,
            notice: None,
        }
    }

    /// Notices callers behind a gateway.
    #[must_use]
    pub(crate) fn noticing(self, notice: Arc<GatewayNotice>) -> Self {
        Self { notice: Some(notice), ..self }
    }

    /// Makes this the listener of one VM: every caller is the VM. Counts its answers in `responses`.
    #[must_use]
    pub(crate) fn of_vm(self, called: Arc<Called>, responses: Arc<Responses>) -> Self {
        Self { called: Some(called), responses, ..self }
    }

    /// Returns the counters of this worker.
    pub fn responses(&self) -> Arc<Responses> {
        Arc::clone(&self.responses)
    }

    async fn answer(
        &self,
        caller: &Caller,
        request: Request<Incoming>,
        request_id: Uuid,
    ) -> Result<Response<Payload>, ImdsError> {
        let route = Route::of(request.uri().path()).ok_or(ImdsError::NotFound)?;
        route.admit(request.method())?;
        admit(&request, &self.hosts)?;
        if request.method() == Method::POST {
            return self.acknowledge(caller, request).await;
        }
        let query = Query::parse(request.uri().query().unwrap_or_default())?;
        match route {
            Route::Events => self.events(caller, &query),
            Route::Token => self.token(caller, &query, request_id).await,
            Route::Info => self.info(caller, &query),
            Route::Instance(leaf) => self.instance(caller, leaf, &query),
            Route::Versions => Ok(json_reply(StatusCode::OK, versions::document())),
        }
    }

    fn info(&self, caller: &Caller, query: &Query<'_>) -> Result<Response<Payload>, ImdsError> {
        versions::require(query, versions::IDENTITY_SINCE)?;
        query.refuse_repeats()?;
        let vm = self.broker.vm(caller, self.clock.now());
        let vm = vm.ok_or(ImdsError::UnknownCaller(caller.address))?;
        let tenant_id = vm.tenant.id;
        Ok(json_reply(StatusCode::OK, format!(r#"{{"tenantId":"{tenant_id}"}}"#)))
    }
}

impl Surface for Imds {
    type Caller = Caller;

    fn name(&self) -> &'static str {
        "imds"
    }

    fn caller(&self, peer: &Peer) -> Caller {
        let (directory, address) = (self.broker.directory(), peer.addr.ip());
        let caller = match &self.called {
            Some(called) => directory.caller_at(called, address),
            None => self.broker.caller(address),
        };
        if let Some(notice) = &self.notice {
            notice.see(&caller, directory);
        }
        caller
    }

    async fn respond(&self, caller: &Caller, request: Request<Incoming>) -> Response<Payload> {
        let request_id = self.request_ids.next();
        let answer = self.answer(caller, request, request_id).await;
        let mut response = answer.unwrap_or_else(|error| {
            let mut refused = error.to_response();
            give_reason(&mut refused, &error);
            refused
        });
        self.responses.count(response.status());
        let headers = response.headers_mut();
        headers.insert(SERVER, SERVER_NAME);
        let mut text = [0; Hyphenated::LENGTH];
        if let Ok(id) = HeaderValue::from_str(request_id.hyphenated().encode_lower(&mut text)) {
            headers.insert(REQUEST_ID, id);
        }
        response
    }
}

/// Value of `Server`. MSAL.NET recognises the service by `IMDS/`.
const SERVER_NAME: HeaderValue =
    HeaderValue::from_static(concat!("IMDS/150.870.65.0 mintbench/", env!("CARGO_PKG_VERSION")));
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_path_segment_alone_ignores_case() {
        assert_eq!(Route::of("/metadata/identity/oauth2/token"), Some(Route::Token));
        assert_eq!(Route::of("/Metadata/identity/oauth2/token"), Some(Route::Token));
        assert_eq!(Route::of("/metadata/identity/oauth2/token/"), Some(Route::Token));
        assert_eq!(Route::of("/metadata/instance/compute"), Some(Route::Instance("/compute")));
        for path in [
            "/",
            "/metadata",
            "/metadata/identity",
            "/metadata/Identity/oauth2/token",
            "/metadata/identity/oauth2/token//",
            "/metadata/identity/getplatformmetadata",
            "/metadata/instances",
            "/metadata%2Fidentity/oauth2/token",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_the_route_panic(text in "\\PC{0,60}") {
            let _ = Route::of(&text);
        }
    }
}
