//! A surface whose answers may be faulty.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Request, Response};

use super::asked::Asked;
use super::document::Endpoint;
use super::injector::Faults;
use crate::base::http::{Payload, Peer, PlainAnswer, PlainRequest, Surface};

/// A surface whose requests rules can tell apart by their heads.
pub(crate) trait Target: Surface {
    /// Name of the surface in rules.
    const ENDPOINT: Endpoint;

    /// Returns what a request asks for.
    fn asked(&self, caller: &Self::Caller, request: &Request<Incoming>) -> Asked;

    /// Adds the headers of all answers of the surface to a refusal.
    fn dress(&self, _refusal: &mut Response<Payload>) {}
}

/// A surface with faults.
#[derive(Debug)]
pub(crate) struct Faulty<S> {
    surface: S,
    faults: Arc<Faults>,
}

impl<S> Faulty<S> {
    /// Wraps a surface.
    pub(crate) const fn new(surface: S, faults: Arc<Faults>) -> Self {
        Self { surface, faults }
    }
}

impl<S: Target> Surface for Faulty<S> {
    type Caller = S::Caller;

    fn name(&self) -> &'static str {
        self.surface.name()
    }

    fn caller(&self, peer: &Peer) -> S::Caller {
        self.surface.caller(peer)
    }

    async fn respond(&self, caller: &S::Caller, request: Request<Incoming>) -> Response<Payload> {
        if !self.faults.is_on() {
            return self.surface.respond(caller, request).await;
        }
        let asked = self.surface.asked(caller, &request);
        let answer = self.surface.respond(caller, request);
        // Boxed, because this part is large and only requests of a server with faults need it.
        let mut response = Box::pin(self.faults.around(S::ENDPOINT, &asked, answer)).await;
        if response.status().is_client_error() || response.status().is_server_error() {
            self.surface.dress(&mut response);
        }
        response
    }

    fn answers_plain(&self) -> bool {
        self.surface.answers_plain()
    }

    #[inline]
    fn answer_plain<'a>(
        &'a self,
        caller: &'a S::Caller,
        request: &PlainRequest<'_>,
        answer: &mut Vec<u8>,
    ) -> PlainAnswer<'a> {
        // With a plan, every request goes through `respond`.
        if self.faults.is_on() {
            return PlainAnswer::Left;
        }
        self.surface.answer_plain(caller, request, answer)
    }
}
