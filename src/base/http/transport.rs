//! Plain HTTP and TLS on one port, told apart by the first byte of a connection.

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
use crate::base::tls::ServerTls;

/// Protocol of a listener.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Plain HTTP. The first byte is not examined.
    Plain,
    /// TLS for connections that begin with a handshake, plain HTTP for others.
    Either(Arc<ServerTls>),
    /// TLS. Plain HTTP is answered with an error that asks for https.
    Tls(Arc<ServerTls>),
}

/// URL scheme of the requests of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// Returns the scheme as in a URL (RFC 9110 section 4.2).
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
    /// Its source address.
    pub addr: SocketAddr,
    /// Its URL scheme.
    pub scheme: Scheme,
}

/// The content type of a TLS handshake record (RFC 8446 section 5.1). No HTTP method begins with it.
const HANDSHAKE: u8 = 0x16;

/// Timeout of a peer's first byte. Clients send it as soon as they have connected.
const FIRST_BYTE_MAX: Duration = Duration::from_secs(5);

/// Timeout of a handshake, which takes two round trips and a signature.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Encrypted bytes that a connection buffers for a peer that does not read: one TLS record.
const UNSENT_RECORDS_MAX: usize = 16 * 1024;

/// Handling of plain HTTP on a TLS listener.
#[derive(Clone, Copy, Debug)]
enum InTheClear {
    Refused,
    Served,
}

/// Settings of the TLS handshake.
#[derive(Clone, Debug)]
pub(super) struct Handshake {
    certificates: Arc<ServerTls>,
    in_the_clear: InTheClear,
    first_byte_max: Duration,
    whole_max: Duration,
}

impl Handshake {
    /// Returns the handshake of a connection over `transport`, or `None` for plain HTTP.
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
    /// Serves the connection over TLS if it begins with a handshake. A connection that is told to end during
    /// its handshake has no request to finish.
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

/// Returns the first byte of a connection without consuming it.
pub(super) async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut first = [0];
    let len = stream.peek(&mut first).await.ok()?;
    first.into_iter().take(len).next()
}

/// Answers plain HTTP on a TLS listener, under the name of a surface.
#[derive(Debug)]
struct Refusal(&'static str);

/// Reason for the refusal.
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
    use crate::base::clock::{ManualClock, UnixSeconds};
    use crate::base::http::connections::Connections;
    use crate::base::http::{ConnectionLimits, Gate, Unsent};
    use crate::base::tls::Authority;

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
