//! What every HTTP surface shares: the connection loop with its limits, and small replies.
//!
//! HTTP/1.1 only. A surface is asked once for each connection who calls, and then answers requests.

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

/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The time between looks at the clock and at the connections that have ended.
const TICK: Duration = Duration::from_secs(1);

/// Ticks between sweeps.
const SWEEP_TICKS: u32 = 5;

/// Accepts connections that speak `transport` and serves `surface` on them until `shutdown`, then
/// answers what has already arrived and ends. `gate` says how many connections there may be.
///
/// The caller gives each thread a `shutdown` of its own: every connection looks at it whenever it
/// wakes, and looking takes a lock.
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

/// The end of a listener at which connections come in.
struct Door<S> {
    transport: Transport,
    surface: Arc<S>,
    gate: Arc<Gate>,
    tally: Arc<Tally>,
    unsent: Unsent,
    connections: Connections,
    shutdown: Shutdown,
}

/// A connection and its place among those that are served.
struct Connection<I> {
    stream: I,
    peer: Peer,
    place: Place,
    allotment: Allotment,
}

/// Resolves when the process is to end, also when whoever would say so is gone.
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

    /// Does what is due once a second.
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
                    // The one that goes has to be closed before many more come.
                    tokio::task::yield_now().await;
                }
            }
            // The peer has left before it was its turn.
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

    /// Waits, for a second at most, while other threads close connections that were told to end.
    async fn wait_for_leavers(&self) {
        for _ in 0..1000 {
            if !self.gate.is_crowded() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Starts to serve a connection; returns whether another one is closed for it.
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

    /// Starts the task of the connection: a larger one where TLS is spoken, as it has more to hold.
    fn spawn(&mut self, connection: Connection<TcpStream>) {
        // Without it, Nagle's algorithm holds back the second of two answers; failing costs only speed.
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

    /// Serves those that wait in the backlog, and returns when the last connection has ended.
    async fn close(mut self, listener: TcpListener) {
        // Closing the socket would reset the connections that wait in its backlog, requests and all.
        while let Ok(Ok((stream, addr))) = timeout(Duration::ZERO, listener.accept()).await {
            self.start(stream, addr);
        }
        drop(listener);
        self.connections.finish().await;
    }

    /// Writes a line, unless there were many; it names the peer that gave rise to it.
    fn warn(&self, what: &dyn std::fmt::Display, peer: Option<SocketAddr>) {
        if let Some(left_out) = self.tally.line(refusals::now_ns()) {
            let peer = peer.map(tracing::field::display);
            tracing::warn!(surface = self.surface.name(), peer, left_out, "{what}");
        }
    }
}

impl Connection<TcpStream> {
    /// Serves the connection once its peer has sent something: until then it needs no buffers.
    async fn serve_plain<S: Surface>(self, surface: Arc<S>, mut shutdown: Shutdown) {
        tokio::select! {
            biased;
            first = transport::first_byte(&self.stream) => if first.is_none() { return },
            () = stopped(&mut shutdown) => return,
        }
        // Boxed, here and where TLS is spoken, so that a silent connection does without the room for it.
        Box::pin(self.serve(surface, shutdown)).await;
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> Connection<I> {
    async fn serve<S: Surface>(self, surface: Arc<S>, mut shutdown: Shutdown) {
        let Self { stream, peer, place, allotment } = self;
        let name = surface.name();
        let flow = Flow::new(stream, Arc::clone(&place.activity));
        // One allocation for the connection: requests share it without touching what other threads share.
        let shared = Arc::new((surface.caller(&peer), surface, place, allotment));
        let service = service_fn(move |request: Request<Incoming>| {
            let shared = Arc::clone(&shared);
            let body_bytes = request.body().size_hint().exact().unwrap_or(UNBOUNDED);
            // At once: it is needed before the next byte is read.
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
                    // Where the next head begins is not known.
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
