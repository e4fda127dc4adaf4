//! The requests of one connection.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::stream::MonitoredStream;
use crate::base::http::limits::{ConnectionBudget, ConnectionSlot, UNBOUNDED};
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
}

/// Returns the first byte of a connection without consuming it.
pub(super) async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut first = [0];
    let len = stream.peek(&mut first).await.ok()?;
    first.into_iter().take(len).next()
}

impl Connection<TcpStream> {
    /// Serves the connection once its peer has sent a byte. Until then it needs no buffers.
    pub(crate) async fn serve_plain<S: Surface>(self, surface: Arc<S>, mut shutdown: Shutdown) {
        tokio::select! {
            biased;
            first = first_byte(&self.stream) => if first.is_none() { return },
            () = stopped(&mut shutdown) => return,
        }
        // Boxed, here and for TLS, so that a silent connection does not use the memory for it.
        Box::pin(self.serve(surface, shutdown)).await;
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    pub(super) async fn serve<S: Surface>(self, surface: Arc<S>, mut shutdown: Shutdown) {
        let Self { stream, peer, slot, budget } = self;
        let name = surface.name();
        let flow = MonitoredStream::new(stream, Arc::clone(&slot.activity));
        // One allocation for the connection: requests share it without touching memory that other threads
        // share.
        let shared = Arc::new((surface.caller(&peer), surface, slot, budget));
        let service = service_fn(move |request: Request<Incoming>| {
            let shared = Arc::clone(&shared);
            let body_bytes = request.body().size_hint().exact().unwrap_or(UNBOUNDED);
            // Runs before the first await, because the length is needed before the next byte is read.
            shared.2.activity.begin(body_bytes);
            async move {
                let (caller, surface, slot, budget) = &*shared;
                let asked = refusals::asked(&request);
                let mut response = if budget.has_room() {
                    surface.respond(caller, request).await
                } else {
                    slot.activity.tally.over_budget.add();
                    ConnectionBudget::refusal()
                };
                budget.charge(response.body_mut());
                if body_bytes == UNBOUNDED {
                    // The start of the next head is unknown.
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                slot.activity.finish();
                refusals::log(name, peer.addr, asked, &mut response);
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(flow), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = stopped(&mut shutdown) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        match ended {
            Err(error) if error.is_parse() => refusals::log_connection(name, peer.addr, &error),
            Err(error) => tracing::debug!(peer = %peer.addr, %error, "a connection ended early"),
            Ok(()) => {}
        }
    }
}
