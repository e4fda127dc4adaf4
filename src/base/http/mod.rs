//! The code that all HTTP surfaces share: the connection loop with its limits, and small replies.
//!
//! HTTP/1.1 only. A surface identifies the caller once for each connection and then answers requests.

mod activity;
mod allowance;
mod bearer;
mod body;
mod connections;
mod flow;
mod gate;
mod heads;
mod host;
mod listen;
mod refusals;
mod reply;
mod request_ids;
mod responses;
mod tally;
mod transport;
mod unsent;

use std::convert::Infallible;
use std::future::Future;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use activity::UNBOUNDED;
pub use bearer::bearer_token;
pub use body::{BodyError, read_body};
use connections::Connections;
use flow::Flow;
use gate::{Admitted, Full, Place};
pub use gate::{ConnectionLimits, Gate, LEAVING_MAX};
pub use host::{HostNames, sole_host, sole_host_of};
pub use listen::{BindError, bind, bind_all_loopback, bind_group};
pub use refusals::give_reason;
pub use reply::{Payload, json_error, json_reply, text_reply};
pub use request_ids::RequestIds;
pub use responses::Responses;
pub use tally::{Count, Tally};
use transport::Handshake;
pub use transport::{Peer, Scheme, Transport};
use unsent::{Allotment, Unsent};

/// An HTTP surface: one of the listeners of a broker.
pub trait Surface: Send + Sync + 'static {
    /// Caller of a connection, as the surface identifies it.
    type Caller: Send + Sync;

    /// Returns the name of the surface, for the log.
    fn name(&self) -> &'static str;

    /// Identifies `peer`. Called once for each connection.
    fn caller(&self, peer: &Peer) -> Self::Caller;

    /// Answers one request.
    fn respond(
        &self,
        caller: &Self::Caller,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Payload>> + Send;
}

/// Signal that tells connections to finish their current request and close.
pub type Shutdown = watch::Receiver<bool>;

/// Largest request head, in bytes. IMDS requests have about 300 bytes, bearer tokens 2 kB.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Pause of accepting after the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Interval of updating the clock and removing ended connections.
const TICK: Duration = Duration::from_secs(1);

/// Number of ticks between two sweeps.
const SWEEP_TICKS: u32 = 5;

/// Accepts connections that speak `transport` and serves `surface` on them until `shutdown`. Then answers the
/// requests that have already arrived, and returns. `gate` limits the number of connections.
///
/// The caller gives each thread its own `shutdown`: every connection reads it whenever it wakes, and reading
/// takes a lock.
pub async fn serve<S: Surface>(
    listener: TcpListener,
    transport: Transport,
    surface: Arc<S>,
    gate: Arc<Gate>,
    mut shutdown: Shutdown,
) {
    let mut door = Door::new(transport, surface, gate, shutdown.clone());
    let mut tick = tokio::time::interval(TICK);
    for ticks in 0_u32.. {
        loop {
            tokio::select! {
                accepted = listener.accept() => door.open(accepted).await,
                _ = tick.tick() => break,
                () = stopped(&mut shutdown) => return door.close(listener).await,
            }
        }
        door.tick(ticks);
    }
}

/// The accepting side of a listener.
struct Door<S> {
    transport: Transport,
    surface: Arc<S>,
    gate: Arc<Gate>,
    tally: Arc<Tally>,
    unsent: Unsent,
    connections: Connections,
    shutdown: Shutdown,
}

/// A connection and its place among the open ones.
struct Connection<I> {
    stream: I,
    peer: Peer,
    place: Place,
    allotment: Allotment,
}

/// Resolves when the process should end, or when the sender of the signal is dropped.
async fn stopped(shutdown: &mut Shutdown) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

impl<S: Surface> Door<S> {
    fn new(transport: Transport, surface: Arc<S>, gate: Arc<Gate>, shutdown: Shutdown) -> Self {
        let tally = gate.tally(surface.name());
        let unsent = Unsent::new(gate.limits().unsent_bytes);
        let connections = Connections::default();
        Self { transport, surface, gate, tally, unsent, connections, shutdown }
    }

    /// Runs the tasks that are due once a second.
    fn tick(&mut self, ticks: u32) {
        self.gate.clock.tick();
        self.connections.reap();
        if ticks.is_multiple_of(SWEEP_TICKS) {
            self.connections.sweep();
            self.unsent.forget();
        }
    }

    async fn open(&mut self, accepted: std::io::Result<(TcpStream, SocketAddr)>) {
        match accepted {
            Ok((stream, addr)) => {
                self.wait_for_leavers().await;
                if self.start(stream, addr) {
                    // The connection that is closed for this one must be closed before many more arrive.
                    tokio::task::yield_now().await;
                }
            }
            // The peer left before its connection was accepted.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) {
                    self.gate.shed_one();
                }
                self.warn(&format_args!("cannot accept a connection: {error}"), None);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        self.connections.reap();
    }

    /// Waits up to one second while other threads close connections that were told to end.
    async fn wait_for_leavers(&self) {
        for _ in 0..1000 {
            if !self.gate.is_crowded() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Starts to serve a connection. Returns true if another connection is closed for it.
    fn start(&mut self, stream: TcpStream, addr: SocketAddr) -> bool {
        let admitted = self.gate.admit(addr.ip(), &self.tally);
        let refused = |full: &Full| {
            self.warn(&format_args!("a connection was refused: {full}"), Some(addr));
        };
        let Ok(Admitted { place, has_shed }) = admitted.inspect_err(refused) else { return false };
        if has_shed {
            self.warn(&"too many connections; the longest idle one was closed", Some(addr));
        }
        let allotment = self.unsent.allotment(addr.ip().to_canonical());
        let peer = Peer { addr, scheme: Scheme::Http };
        self.spawn(Connection { stream, peer, place, allotment });
        has_shed
    }

    /// Starts the task of the connection. With TLS the task is larger because it holds more.
    fn spawn(&mut self, connection: Connection<TcpStream>) {
        // Disables Nagle's algorithm, which delays the second of two answers. Failure costs only speed.
        let _ = connection.stream.set_nodelay(true);
        let (surface, shutdown) = (Arc::clone(&self.surface), self.shutdown.clone());
        let activity = Arc::clone(&connection.place.activity);
        match Handshake::of(&self.transport) {
            None => self.connections.spawn(&activity, connection.serve_plain(surface, shutdown)),
            Some(handshake) => {
                let served = connection.serve_tls(handshake, surface, shutdown);
                self.connections.spawn(&activity, served);
            }
        }
    }

    /// Serves the connections in the backlog, and returns when the last connection has ended.
    async fn close(mut self, listener: TcpListener) {
        // Closing the socket would reset the connections in its backlog, together with their requests.
        while let Ok(Ok((stream, addr))) = timeout(Duration::ZERO, listener.accept()).await {
            self.start(stream, addr);
        }
        drop(listener);
        self.connections.finish().await;
    }

    /// Writes a log line about a peer, unless there were too many lines.
    fn warn(&self, what: &dyn std::fmt::Display, peer: Option<SocketAddr>) {
        if let Some(left_out) = self.tally.line(refusals::now_ns()) {
            let peer = peer.map(tracing::field::display);
            tracing::warn!(surface = self.surface.name(), peer, left_out, "{what}");
        }
    }
}

impl Connection<TcpStream> {
    /// Serves the connection once its peer has sent a byte. Until then it needs no buffers.
    async fn serve_plain<S: Surface>(self, surface: Arc<S>, mut shutdown: Shutdown) {
        tokio::select! {
            biased;
            first = transport::first_byte(&self.stream) => if first.is_none() { return },
            () = stopped(&mut shutdown) => return,
        }
        // Boxed, here and for TLS, so that a silent connection does not use the memory for it.
        Box::pin(self.serve(surface, shutdown)).await;
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    async fn serve<S: Surface>(self, surface: Arc<S>, mut shutdown: Shutdown) {
        let Self { stream, peer, place, allotment } = self;
        let name = surface.name();
        let flow = Flow::new(stream, Arc::clone(&place.activity));
        // One allocation for the connection: requests share it without touching memory that other threads
        // share.
        let shared = Arc::new((surface.caller(&peer), surface, place, allotment));
        let service = service_fn(move |request: Request<Incoming>| {
            let shared = Arc::clone(&shared);
            let body_bytes = request.body().size_hint().exact().unwrap_or(UNBOUNDED);
            // Runs before the first await, because the length is needed before the next byte is read.
            shared.2.activity.begin(body_bytes);
            async move {
                let (caller, surface, place, allotment) = &*shared;
                let asked = refusals::asked(&request);
                let mut response = if allotment.has_room() {
                    surface.respond(caller, request).await
                } else {
                    place.activity.tally.over_budget.add();
                    Allotment::refusal()
                };
                allotment.charge(response.body_mut());
                if body_bytes == UNBOUNDED {
                    // The start of the next head is unknown.
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                place.activity.finish();
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
