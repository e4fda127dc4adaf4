//! What every HTTP surface shares: the connection loop with its limits, and small replies.
//!
//! HTTP/1.1 only. A surface is asked once for each connection who calls, and then answers requests.

mod bearer;
mod body;
mod connections;
mod host;
mod listen;
mod refusals;
mod reply;
mod request_ids;
mod responses;
mod transport;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;

pub use bearer::bearer_token;
pub use body::{BodyError, read_body};
use connections::{Connections, Pulse, SWEEP};
pub use host::{HostNames, sole_host, sole_host_of};
pub use listen::{BindError, bind, bind_all_loopback, bind_group};
pub use refusals::give_reason;
pub use reply::{Payload, json_error, json_reply, text_reply};
pub use request_ids::RequestIds;
pub use responses::Responses;
use transport::Handshake;
pub use transport::{Peer, Scheme, Transport};

/// An HTTP surface: one of the listeners of a broker.
pub trait Surface: Send + Sync + 'static {
    /// Who calls, as far as the surface cares.
    type Caller: Send + Sync;

    /// The name of the surface in the log.
    fn name(&self) -> &'static str;

    /// Says who `peer` is; asked once for each connection.
    fn caller(&self, peer: &Peer) -> Self::Caller;

    /// Answers one request.
    fn respond(
        &self,
        caller: &Self::Caller,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Payload>> + Send;
}

/// Tells connections to finish the request they are at and close.
pub type Shutdown = watch::Receiver<bool>;

/// Longest head of a request; IMDS requests have about 300 bytes, bearer tokens 2 kB.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Connections of one worker; the next waits in the kernel's backlog.
const CONNECTIONS_MAX: usize = 65_536;

/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections that speak `transport` and serves `surface` on them until `shutdown`, then
/// answers what has already arrived and ends.
///
/// The caller gives each thread a `shutdown` of its own: every connection looks at it whenever it
/// wakes, and looking takes a lock.
pub async fn serve<S: Surface>(
    listener: TcpListener,
    transport: Transport,
    surface: Arc<S>,
    mut shutdown: Shutdown,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = Connections::default();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            _ = sweep.tick() => {
                connections.sweep();
                continue;
            }
            () = stopped(&mut shutdown) => break,
        };
        connections.reap();
        match accepted {
            Ok(accepted) => accepted.start(&mut connections, &transport, &surface, &shutdown),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Closing the socket would reset the connections that wait in its backlog, requests and all.
    while let Ok(Ok(accepted)) = timeout(Duration::ZERO, accept(&listener, &slots)).await {
        accepted.start(&mut connections, &transport, &surface, &shutdown);
    }
    drop(listener);
    connections.finish().await;
}

/// A connection and its place among those that are served.
struct Connection<I> {
    stream: I,
    peer: Peer,
    slot: OwnedSemaphorePermit,
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<Connection<TcpStream>> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, addr) = listener.accept().await?;
    Ok(Connection { stream, peer: Peer { addr, scheme: Scheme::Http }, slot })
}

/// Resolves when the process is to end, also when whoever would say so is gone.
async fn stopped(shutdown: &mut Shutdown) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

impl Connection<TcpStream> {
    /// Starts the task of the connection: a larger one where TLS is spoken, as it has more to hold.
    fn start<S: Surface>(
        self,
        connections: &mut Connections,
        transport: &Transport,
        surface: &Arc<S>,
        shutdown: &Shutdown,
    ) {
        // Without it, Nagle's algorithm holds back the second of two answers; failing costs only speed.
        let _ = self.stream.set_nodelay(true);
        let (surface, shutdown) = (Arc::clone(surface), shutdown.clone());
        match Handshake::of(transport) {
            None => connections.spawn(|pulse| self.serve(pulse, surface, shutdown)),
            Some(handshake) => {
                connections.spawn(|pulse| self.serve_tls(handshake, pulse, surface, shutdown));
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    async fn serve<S: Surface>(self, pulse: Arc<Pulse>, surface: Arc<S>, mut shutdown: Shutdown) {
        let Self { stream, peer, slot: _slot } = self;
        let name = surface.name();
        // One allocation for the connection: requests share it without touching what other threads share.
        let shared = Arc::new((surface.caller(&peer), surface, pulse));
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move {
                let (caller, surface, pulse) = &*shared;
                pulse.beat();
                let asked = refusals::asked(&request);
                let mut response = surface.respond(caller, request).await;
                refusals::log(name, peer.addr, asked, &mut response);
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
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
