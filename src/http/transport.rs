//! Plain HTTP and TLS on one port: the first byte of a connection says which.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Connection, Payload, Shutdown, Surface, refusals, stopped, text_reply};
use crate::tls::ServerTls;

/// What a listener speaks.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Plain HTTP, without a look at what arrives.
    Plain,
    /// TLS for those who begin with a handshake, plain HTTP for others.
    Either(Arc<ServerTls>),
    /// TLS; plain HTTP is answered with an error that says so.
    Tls(Arc<ServerTls>),
}

/// How requests of a connection arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// In TLS.
    Https,
}

impl Scheme {
    /// As in a URL (RFC 9110 section 4.2).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it calls from.
    pub addr: SocketAddr,
    /// What it speaks.
    pub scheme: Scheme,
}

/// The content type of a TLS handshake record (RFC 8446 section 5.1); no HTTP method begins with it.
const HANDSHAKE: u8 = 0x16;

/// How long a peer may take to send its first byte: clients speak as soon as they have connected.
const FIRST_BYTE_MAX: Duration = Duration::from_secs(5);

/// How long a handshake may take: two round trips and a signature.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Bytes of encrypted answers that a connection holds for a peer that does not read: one TLS record.
const UNSENT_RECORDS_MAX: usize = 16 * 1024;

/// What becomes of plain HTTP where TLS is spoken.
#[derive(Clone, Copy, Debug)]
enum InTheClear {
    Refused,
    Served,
}

/// How a connection comes to speak TLS.
#[derive(Clone, Debug)]
pub(super) struct Handshake {
    certificates: Arc<ServerTls>,
    in_the_clear: InTheClear,
    first_byte_max: Duration,
    whole_max: Duration,
}

impl Handshake {
    /// What `transport` asks of a connection that has just been accepted.
    pub(super) fn of(transport: &Transport) -> Option<Self> {
        let (certificates, in_the_clear) = match transport {
            Transport::Plain => return None,
            Transport::Either(certificates) => (Arc::clone(certificates), InTheClear::Served),
            Transport::Tls(certificates) => (Arc::clone(certificates), InTheClear::Refused),
        };
        Some(Self {
            certificates,
            in_the_clear,
            first_byte_max: FIRST_BYTE_MAX,
            whole_max: HANDSHAKE_MAX,
        })
    }
}

impl Connection<TcpStream> {
    /// Serves the connection in TLS if it begins with a handshake; one that is told to end before
    /// its handshake is over has no request to finish.
    pub(super) async fn serve_tls<S: Surface>(
        self,
        handshake: Handshake,
        surface: Arc<S>,
        mut shutdown: Shutdown,
    ) {
        let first = tokio::select! {
            biased;
            first = timeout(handshake.first_byte_max, first_byte(&self.stream)) => first.ok().flatten(),
            () = stopped(&mut shutdown) => None,
        };
        match (first, handshake.in_the_clear) {
            (None, _) => tracing::debug!(peer = %self.peer.addr, "a connection sent nothing"),
            (Some(HANDSHAKE), _) => {
                let secured = tokio::select! {
                    biased;
                    secured = Box::pin(self.secured(handshake, surface.name())) => secured,
                    () = stopped(&mut shutdown) => None,
                };
                if let Some(secured) = secured {
                    Box::pin(secured.serve(surface, shutdown)).await;
                }
            }
            (Some(_), InTheClear::Served) => Box::pin(self.serve(surface, shutdown)).await,
            (Some(_), InTheClear::Refused) => {
                let refusal = Arc::new(Refusal(surface.name()));
                Box::pin(self.serve(refusal, shutdown)).await;
            }
        }
    }

    async fn secured(
        self,
        handshake: Handshake,
        surface: &'static str,
    ) -> Option<Connection<TlsStream<TcpStream>>> {
        let Self { stream, peer, place, allotment } = self;
        let called = stream.local_addr().ok()?.ip();
        let config = handshake.certificates.config(called).inspect_err(
            |error| tracing::warn!(%error, address = %called, "no server certificate"),
        );
        let acceptor = TlsAcceptor::from(config.ok()?);
        let accepted = timeout(handshake.whole_max, acceptor.accept(stream)).await;
        let accepted = accepted.unwrap_or_else(|late| Err(late.into()));
        let logged = |error: &std::io::Error| refusals::log_connection(surface, peer.addr, error);
        let mut stream = accepted.inspect_err(logged).ok()?;
        stream.get_mut().1.set_buffer_limit(Some(UNSENT_RECORDS_MAX));
        let peer = Peer { scheme: Scheme::Https, ..peer };
        Some(Connection { stream, peer, place, allotment })
    }
}

/// The first byte of a connection, which stays where it is.
pub(super) async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut first = [0];
    let len = stream.peek(&mut first).await.ok()?;
    first.into_iter().take(len).next()
}

/// Answers those who speak plain HTTP where TLS is asked for, in the name of a surface.
#[derive(Debug)]
struct Refusal(&'static str);

/// Why it does.
#[derive(Debug, thiserror::Error)]
#[error("this endpoint speaks https")]
struct SpeaksTls;

impl Surface for Refusal {
    type Caller = ();

    fn name(&self) -> &'static str {
        self.0
    }

    fn caller(&self, _: &Peer) {}

    async fn respond(&self, (): &(), _: Request<Incoming>) -> Response<Payload> {
        let mut response = text_reply(StatusCode::BAD_REQUEST, format!("{SpeaksTls}\n"));
        refusals::give_reason(&mut response, &SpeaksTls);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    use super::*;
    use crate::clock::{ManualClock, UnixSeconds};
    use crate::http::{ConnectionLimits, Gate, Unsent, connections::Connections};
    use crate::tls::Authority;

    #[tokio::test]
    async fn a_handshake_that_never_ends_is_ended() {
        let now = UnixSeconds(1_700_000_000);
        let (authority, clock) = (Authority::create(now).unwrap(), Arc::new(ManualClock::new(now)));
        let names = vec!["localhost".to_owned()];
        let certificates = ServerTls::new(Arc::new(authority), clock, names);
        let mut handshake = Handshake::of(&Transport::Either(Arc::new(certificates))).unwrap();
        handshake.first_byte_max = Duration::from_millis(10);
        handshake.whole_max = Duration::from_millis(10);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let limits = ConnectionLimits { max: 2, per_caller: 2, unsent_bytes: 0 };
        let gate = Gate::new(limits);
        let unsent = Unsent::new(0);
        let (_stop, shutdown) = watch::channel(false);
        let mut connections = Connections::default();
        for sent in [&[][..], &[HANDSHAKE, 3, 1]] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            client.write_all(sent).await.unwrap();
            let (stream, addr) = listener.accept().await.unwrap();
            let place = gate.admit(addr.ip(), &gate.tally("arm")).unwrap().place;
            let activity = Arc::clone(&place.activity);
            let (peer, allotment) =
                (Peer { addr, scheme: Scheme::Http }, unsent.allotment(addr.ip()));
            let accepted = Connection { stream, peer, place, allotment };
            let refusal = Arc::new(Refusal("arm"));
            connections
                .spawn(&activity, accepted.serve_tls(handshake.clone(), refusal, shutdown.clone()));
            let mut answer = Vec::new();
            let ended = timeout(Duration::from_secs(10), client.read_to_end(&mut answer));
            let _reset = ended.await.unwrap();
        }
        connections.finish().await;
        assert_eq!(gate.tally("arm").open.get(), 0);
    }
}
