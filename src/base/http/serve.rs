//! Acceptance of connections.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

use super::connection::{Connection, Connections, Handshake, Transport, reset_when_dropped};
use super::limits::{Admitted, ConnectionLimiter, Full, Tally, UnsentBudget};
use super::refusals;
use super::surface::{Peer, Scheme, Shutdown, Surface, stopped};
use crate::base::alarm::Alarm;

/// Pause of accepting after the process has run out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Interval of updating the clock and removing ended connections.
const TICK: Duration = Duration::from_secs(1);

/// Number of ticks between two sweeps.
const SWEEP_TICKS: u32 = 5;

/// Time for the first request of a connection to arrive as a whole once the server is told to stop.
const ARRIVAL: Duration = Duration::from_secs(1);

/// Further time for requests in flight to finish. The longest wait of a request, in a full mint queue, is about as
/// long.
const GRACE: Duration = Duration::from_secs(9);

/// Accepts connections that speak `transport` and serves `surface` on them until `shutdown`. Then answers the
/// requests that have already arrived, and returns. `limiter` limits the number of connections. Only TLS needs the
/// timers of tokio.
///
/// The caller gives each thread its own `shutdown`: every connection reads it whenever it wakes, and reading
/// takes a lock.
///
/// # Errors
/// Returns the system's error when the process has no file descriptor left for timers.
pub async fn serve<S: Surface>(
    listener: TcpListener,
    transport: Transport,
    surface: Arc<S>,
    limiter: Arc<ConnectionLimiter>,
    mut shutdown: Shutdown,
) -> std::io::Result<()> {
    let mut acceptor = Acceptor::new(transport, surface, limiter, shutdown.clone())?;
    let tick = Alarm::every(TICK)?;
    for ticks in 0_u32.. {
        loop {
            tokio::select! {
                accepted = listener.accept() => acceptor.open(accepted).await,
                () = tick.due() => break,
                () = stopped(&mut shutdown) => {
                    acceptor.close(listener).await;
                    return Ok(());
                }
            }
        }
        acceptor.tick(ticks);
    }
    Ok(())
}

/// Serves one connection over any stream, as [`serve`] serves those that it accepts without TLS. Returns at once
/// when `limiter` admits no connection.
pub async fn serve_stream<S: Surface, I: AsyncRead + AsyncWrite + Unpin>(
    stream: I,
    peer: Peer,
    surface: Arc<S>,
    limiter: &Arc<ConnectionLimiter>,
    shutdown: Shutdown,
) {
    let (caller, unsent_bytes) = (peer.addr.ip(), limiter.limits().unsent_bytes);
    let Ok(Admitted { slot, .. }) = limiter.admit(caller, &limiter.tally(surface.name())) else {
        return;
    };
    let budget = UnsentBudget::new(unsent_bytes).budget(caller.to_canonical());
    let reset = |_: &I| {};
    Connection { stream, peer, slot, budget, reset }.serve_begun(surface, shutdown).await;
}

/// The accepting side of a listener.
struct Acceptor<S> {
    transport: Transport,
    surface: Arc<S>,
    limiter: Arc<ConnectionLimiter>,
    tally: Arc<Tally>,
    unsent: UnsentBudget,
    connections: Connections,
    shutdown: Shutdown,
    /// Timer of pauses, made while there are file descriptors.
    pause: Alarm,
}

impl<S: Surface> Acceptor<S> {
    fn new(
        transport: Transport,
        surface: Arc<S>,
        limiter: Arc<ConnectionLimiter>,
        shutdown: Shutdown,
    ) -> std::io::Result<Self> {
        let tally = limiter.tally(surface.name());
        let unsent = UnsentBudget::new(limiter.limits().unsent_bytes);
        let connections = Connections::default();
        let pause = Alarm::new()?;
        Ok(Self { transport, surface, limiter, tally, unsent, connections, shutdown, pause })
    }

    /// Runs the tasks that are due once a second.
    fn tick(&mut self, ticks: u32) {
        self.limiter.clock.tick();
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
                    self.limiter.shed_one();
                }
                self.warn(&format_args!("cannot accept a connection: {error}"), None);
                self.pause.sleep(ACCEPT_PAUSE).await;
            }
        }
        self.connections.reap();
    }

    /// Waits up to one second while other threads close connections that were told to end.
    async fn wait_for_leavers(&self) {
        for _ in 0..1000 {
            if !self.limiter.is_crowded() {
                return;
            }
            self.pause.sleep(Duration::from_millis(1)).await;
        }
    }

    /// Starts to serve a connection. Returns true if another connection is closed for it.
    fn start(&mut self, stream: TcpStream, addr: SocketAddr) -> bool {
        let admitted = self.limiter.admit(addr.ip(), &self.tally);
        let refused = |full: &Full| {
            self.warn(&format_args!("a connection was refused: {full}"), Some(addr));
        };
        let Ok(Admitted { slot, has_shed }) = admitted.inspect_err(refused) else { return false };
        if has_shed {
            self.warn(&"too many connections; the longest idle one was closed", Some(addr));
        }
        let budget = self.unsent.budget(addr.ip().to_canonical());
        let peer = Peer { addr, scheme: Scheme::Http };
        self.spawn(Connection { stream, peer, slot, budget, reset: reset_when_dropped });
        has_shed
    }

    /// Starts the task of the connection. With TLS the task is larger because it holds more.
    fn spawn(&mut self, connection: Connection<TcpStream>) {
        // Disables Nagle's algorithm, which delays the second of two answers. Failure costs only speed.
        let _ = connection.stream.set_nodelay(true);
        let (surface, shutdown) = (Arc::clone(&self.surface), self.shutdown.clone());
        let activity = Arc::clone(&connection.slot.activity);
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
        while let Some((stream, addr)) = self.accept_waiting(&listener).await {
            self.start(stream, addr);
        }
        drop(listener);
        let Self { mut connections, pause, .. } = self;
        tokio::select! {
            () = connections.finish() => return,
            () = pause.sleep(ARRIVAL) => connections.end_all_without_request(),
        }
        tokio::select! {
            () = connections.finish() => {}
            () = pause.sleep(GRACE) => {
                tracing::warn!("requests were still in flight when the time to finish them was over");
            }
        }
    }

    /// Accepts a connection that waits already.
    async fn accept_waiting(&self, listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
        tokio::select! {
            biased;
            accepted = listener.accept() => accepted.ok(),
            () = self.pause.sleep(Duration::ZERO) => None,
        }
    }

    /// Writes a log line about a peer, unless there were too many lines.
    fn warn(&self, what: &dyn std::fmt::Display, peer: Option<SocketAddr>) {
        if let Some(left_out) = self.tally.line(refusals::now_ns()) {
            let peer = peer.map(tracing::field::display);
            tracing::warn!(surface = self.surface.name(), peer, left_out, "{what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Incoming;
    use hyper::{Request, Response};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::watch;
    use tokio::time::timeout;

    use super::*;
    use crate::base::http::limits::ConnectionLimits;
    use crate::base::http::message::{Payload, PlainRequest};
    use crate::base::http::surface::PlainAnswer;

    const DEADLINE: Duration = Duration::from_secs(30);
    const HARMLESS: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    /// Requests that panic: at once, and after an answer was promised.
    const HARMFUL: [&str; 2] =
        ["GET /now HTTP/1.1\r\nHost: a\r\n\r\n", "GET /later HTTP/1.1\r\nHost: a\r\n\r\n"];

    /// A surface with a mistake.
    struct Fragile {
        answers_plain: bool,
    }

    impl Surface for Fragile {
        type Caller = ();

        fn name(&self) -> &'static str {
            "fragile"
        }

        fn caller(&self, _: &Peer) {}

        async fn respond(&self, (): &(), request: Request<Incoming>) -> Response<Payload> {
            assert_eq!(request.uri(), "/", "a planted mistake");
            Response::new(Payload::from(String::new()))
        }

        fn answers_plain(&self) -> bool {
            self.answers_plain
        }

        fn answer_plain<'a>(
            &'a self,
            (): &'a (),
            request: &PlainRequest<'_>,
            answer: &mut Vec<u8>,
        ) -> PlainAnswer<'a> {
            if request.target() == b"/later" {
                return PlainAnswer::Later(Box::pin(async { panic!("a planted mistake") }));
            }
            assert_eq!(request.target(), b"/", "a planted mistake");
            answer.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            PlainAnswer::Appended
        }
    }

    /// Sends a request, and returns whether an answer came. If none comes, the connection has ended.
    async fn is_answered(stream: &mut TcpStream, request: &str) -> bool {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            // Such a connection may end by a reset.
            let read = timeout(DEADLINE, stream.read_buf(&mut answer)).await.unwrap();
            if read.unwrap_or(0) == 0 {
                return false;
            }
        }
        answer.starts_with(b"HTTP/1.1 200 ")
    }

    #[tokio::test]
    async fn a_panic_harms_one_request() {
        for answers_plain in [true, false] {
            let limits = ConnectionLimits { max: 2, per_caller: 2, unsent_bytes: 1_000_000 };
            let limiter = ConnectionLimiter::new(limits);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = listener.local_addr().unwrap();
            let (stop, shutdown) = watch::channel(false);
            let surface = Arc::new(Fragile { answers_plain });
            let task = tokio::spawn(serve(listener, Transport::Plain, surface, limiter, shutdown));
            let mut other = TcpStream::connect(server).await.unwrap();
            assert!(is_answered(&mut other, HARMLESS).await);
            // One after the other, they get the place of the connection that ended.
            for harmful in HARMFUL.repeat(3) {
                let mut stream = TcpStream::connect(server).await.unwrap();
                assert!(is_answered(&mut stream, HARMLESS).await);
                assert!(!is_answered(&mut stream, harmful).await, "{harmful}");
                assert!(is_answered(&mut other, HARMLESS).await);
            }
            stop.send_replace(true);
            timeout(DEADLINE, task).await.unwrap().unwrap().unwrap();
        }
    }
}
