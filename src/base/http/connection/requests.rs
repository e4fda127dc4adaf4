//! The requests of one connection.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::stream::MonitoredStream;
use crate::base::http::limits::{AfterAnswer, ConnectionBudget, ConnectionSlot, Turn, UNBOUNDED};
use crate::base::http::message::{Cut, Payload};
use crate::base::http::refusals;
use crate::base::http::surface::{Peer, Shutdown, Surface, stopped};

/// Largest request head, in bytes. IMDS requests have about 300 bytes, bearer tokens 2 kB.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A connection and its slot among the open ones.
pub(crate) struct Connection<I> {
    pub(crate) stream: I,
    pub(crate) peer: Peer,
    pub(crate) slot: ConnectionSlot,
    pub(crate) budget: ConnectionBudget,
    /// Makes the system reset the connection when the stream is dropped.
    pub(crate) reset: fn(&I),
}

/// The two sides of a connection, and its limits. Requests share it without touching memory that other
/// threads share.
pub(super) struct Exchange<S: Surface> {
    pub(super) caller: S::Caller,
    pub(super) surface: Arc<S>,
    pub(super) peer: Peer,
    pub(super) slot: ConnectionSlot,
    pub(super) budget: ConnectionBudget,
}

/// Makes the system reset the connection when `stream` is dropped, and discard what was not sent.
pub(crate) fn reset_when_dropped(stream: &TcpStream) {
    // A connection that has ended needs no reset.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Returns the first byte of a connection without consuming it.
pub(super) async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut first = [0];
    let len = stream.peek(&mut first).await.ok()?;
    first.into_iter().take(len).next()
}

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    /// Serves the connection with hyper.
    pub(super) async fn serve<S: Surface>(self, surface: Arc<S>, mut shutdown: Shutdown) {
        let (exchange, stream) = self.begin(surface);
        // hyper had no turn, so it gives nothing back.
        let _none = exchange.serve_with_hyper(stream, &mut shutdown, None).await;
    }

    /// Identifies the caller.
    pub(super) fn begin<S: Surface>(
        self,
        surface: Arc<S>,
    ) -> (Arc<Exchange<S>>, MonitoredStream<I>) {
        let Self { stream, peer, slot, budget, reset } = self;
        let stream = MonitoredStream::new(stream, Arc::clone(&slot.activity), reset);
        let caller = surface.caller(&peer);
        (Arc::new(Exchange { caller, surface, peer, slot, budget }), stream)
    }
}

impl<S: Surface> Exchange<S> {
    /// Serves the connection with hyper until it ends, or until hyper's turn is over. In the second case
    /// returns the stream. `refusal` answers the first request, if it was refused before hyper saw it.
    pub(super) async fn serve_with_hyper<I: AsyncRead + AsyncWrite + Unpin>(
        self: &Arc<Self>,
        stream: MonitoredStream<I>,
        shutdown: &mut Shutdown,
        refusal: Option<Box<Response<Payload>>>,
    ) -> Option<MonitoredStream<I>> {
        let refusal = Cell::new(refusal);
        let service = service_fn(move |request: Request<Incoming>| {
            let exchange = Arc::clone(self);
            let body_bytes = request.body().size_hint().exact().unwrap_or(UNBOUNDED);
            // Runs before the first await, because the length is needed before the next byte is read.
            exchange.slot.activity.begin(body_bytes);
            let refusal = refusal.take();
            async move { exchange.answer(request, body_bytes, refusal).await }
        });
        let mut connection = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let turn = &self.slot.activity.turn;
        let ended = tokio::select! {
            biased;
            ended = poll_fn(|context| poll_hyper(&mut connection, turn, context)) => Some(ended),
            () = stopped(shutdown) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            // hyper would wait for the rest of a head: in each turn it takes the first request for that of the
            // connection.
            None if turn.is_waiting() && self.slot.activity.has_answered() => {
                connection.into_parts().io.into_inner().close().await;
                return None;
            }
            None => {
                Pin::new(&mut connection).graceful_shutdown();
                poll_fn(|context| poll_hyper(&mut connection, turn, context)).await
            }
        };
        if let Err(error) = ended {
            match Cut::of(&error) {
                Some(cut) => connection.into_parts().io.into_inner().cut(cut).await,
                None => self.log_end(&error),
            }
            return None;
        }
        let parts = connection.into_parts();
        // hyper has no bytes left, because it got whole heads and no bodies.
        (turn.is_over() && parts.read_buf.is_empty()).then(|| parts.io.into_inner())
    }

    fn log_end(&self, error: &hyper::Error) {
        if error.is_parse() {
            refusals::log_connection(self.surface.name(), self.peer.addr, error);
        } else {
            tracing::debug!(peer = %self.peer.addr, %error, "a connection ended early");
        }
    }

    /// Answers one request of hyper, within the limits of the connection. An error ends the connection on purpose.
    async fn answer(
        &self,
        request: Request<Incoming>,
        body_bytes: u64,
        refusal: Option<Box<Response<Payload>>>,
    ) -> Result<Response<Payload>, Cut> {
        let Self { caller, surface, peer, slot, budget } = self;
        let asked = refusals::asked(&request);
        let turn = &slot.activity.turn;
        let mut response = if let Some(refusal) = refusal {
            *refusal
        } else if budget.has_room() {
            surface.respond(caller, request).await
        } else {
            slot.activity.tally.over_budget.add();
            ConnectionBudget::refusal()
        };
        if let Some(cut) = response.body().as_cut() {
            return Err(cut);
        }
        let is_plain = response.body().is_plain();
        budget.charge(response.body_mut());
        if body_bytes == UNBOUNDED {
            // The start of the next head is unknown.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        turn.answer(if is_plain { AfterAnswer::GiveBack } else { AfterAnswer::GoOn });
        slot.activity.finish();
        refusals::log(surface.name(), peer.addr, asked, &mut response);
        Ok(response)
    }
}

/// Polls hyper's connection, and again after an answer that lets hyper read: hyper waits for its stream to wake
/// it, and the stream does not.
fn poll_hyper<C: Future + Unpin>(
    connection: &mut C,
    turn: &Turn,
    context: &mut Context<'_>,
) -> Poll<C::Output> {
    loop {
        let polled = Pin::new(&mut *connection).poll(context);
        // Each round has answered a request, and tokio limits the bytes that a task reads in one go.
        if polled.is_ready() || !turn.take_demand() {
            return polled;
        }
    }
}
