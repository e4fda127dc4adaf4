//! The identity endpoint: its requests, answered through hyper or without it.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use uuid::Uuid;

use super::admission::admit;
use super::direct::Memory;
use super::error::ImdsError;
use super::gateway::GatewayNotice;
use super::parameters::asked;
use super::query::Query;
use super::reply::{REQUEST_ID, mark};
use super::route::Route;
use super::versions;
use crate::base::clock::Clock;
use crate::base::http::{
    HostNames, HostRules, Payload, Peer, PlainAnswer, PlainRequest, RequestIds, Responses, Surface,
    give_reason, json_reply,
};
use crate::service::broker::Broker;
use crate::service::directory::{Called, Caller};
use crate::service::faults::{Asked, Endpoint, Target};
use crate::service::world::{Category, Vm};

/// The identity endpoint of one worker thread.
#[derive(Debug)]
pub struct Imds {
    pub(super) broker: Arc<Broker>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hosts: HostRules,
    pub(super) responses: Arc<Responses>,
    pub(super) request_ids: RequestIds,
    /// Memory for answers without hyper; if `None`, hyper gets every request. Only this worker locks it.
    memory: Option<Mutex<Memory>>,
    /// VM of this listener, if it is the listener of one VM.
    called: Option<Arc<Called>>,
    notice: Option<Arc<GatewayNotice>>,
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
            memory: Some(Mutex::default()),
            called: None,
            notice: None,
        }
    }

    /// Leaves every request to hyper.
    #[must_use]
    pub fn with_hyper_only(self) -> Self {
        Self { memory: None, ..self }
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

    /// Turns an error into its refusal, adds the headers of all answers, and counts the status.
    pub(super) fn finished(
        &self,
        answer: Result<Response<Payload>, ImdsError>,
        request_id: Uuid,
    ) -> Response<Payload> {
        let mut response = answer.unwrap_or_else(|error| {
            let mut refused = error.to_response();
            give_reason(&mut refused, &error);
            refused
        });
        self.responses.count(response.status());
        mark(response.headers_mut(), request_id);
        response
    }

    /// Returns the VM that calls, for an answer other than a token.
    pub(super) fn vm(&self, caller: &Caller, category: Category) -> Result<Arc<Vm>, ImdsError> {
        let vm = self.broker.admitted_vm(caller, category, &*self.clock)?;
        vm.ok_or(ImdsError::UnknownCaller(caller.address))
    }

    fn info(&self, caller: &Caller, query: &Query<'_>) -> Result<Response<Payload>, ImdsError> {
        versions::require(query, versions::IDENTITY_SINCE)?;
        query.refuse_repeats()?;
        let tenant_id = self.vm(caller, Category::Identity)?.tenant.id;
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
        self.finished(answer, request_id)
    }

    fn answers_plain(&self) -> bool {
        self.memory.is_some()
    }

    fn answer_plain<'a>(
        &'a self,
        caller: &'a Caller,
        request: &PlainRequest<'_>,
        answer: &mut Vec<u8>,
    ) -> PlainAnswer<'a> {
        let Some(memory) = &self.memory else { return PlainAnswer::Left };
        self.answer_token(memory, caller, request, answer)
    }
}

impl Target for Imds {
    const ENDPOINT: Endpoint = Endpoint::Imds;

    fn asked(&self, caller: &Caller, request: &Request<Incoming>) -> Asked {
        let now = self.clock.now();
        asked(self.broker.vm(caller, now).as_ref(), request.uri().query().unwrap_or_default(), now)
    }

    fn dress(&self, refusal: &mut Response<Payload>) {
        if !refusal.headers().contains_key(REQUEST_ID) {
            mark(refusal.headers_mut(), self.request_ids.next());
        }
    }
}
