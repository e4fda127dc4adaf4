//! Plain HTTP and TLS on one port, told apart by the first byte of a connection.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::requests::{Connection, first_byte, reset_when_dropped};
use crate::base::http::message::{Payload, text_reply};
use crate::base::http::refusals;
use crate::base::http::surface::{Peer, Scheme, Shutdown, Surface, stopped};
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
enum PlainHttp {
    Refused,
    Served,
}

/// Settings of the TLS handshake.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    certificates: Arc<ServerTls>,
    plain_http: PlainHttp,
    first_byte_max: Duration,
    whole_max: Duration,
}

impl Handshake {
    /// Returns the handshake of a connection over `transport`, or `None` for plain HTTP.
    pub(crate) fn of(transport: &Transport) -> Option<Self> {
        let (certificates, plain_http) = match transport {
            Transport::Plain => return None,
            Transport::Either(certificates) => (Arc::clone(certificates), PlainHttp::Served),
            Transport::Tls(certificates) => (Arc::clone(certificates), PlainHttp::Refused),
        };
        Some(Self {
            certificates,
            plain_http,
            first_byte_max: FIRST_BYTE_MAX,
            whole_max: HANDSHAKE_MAX,
        })
    }
}

impl Connection<TcpStream> {
    /// Serves the connection over TLS if it begins with a handshake. A connection that is told to end during
    /// its handshake has no request to finish.
    pub(crate) async fn serve_tls<S: Surface>(
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
        match (first, handshake.plain_http) {
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
            (Some(_), PlainHttp::Served) => Box::pin(self.serve(surface, shutdown)).await,
            (Some(_), PlainHttp::Refused) => {
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
        let Self { stream, peer, slot, budget, .. } = self;
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
        let reset = |stream: &TlsStream<TcpStream>| reset_when_dropped(stream.get_ref().0);
        Some(Connection { stream, peer, slot, budget, reset })
    }
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
    use crate::base::http::connection::Connections;
    use crate::base::http::limits::{ConnectionLimiter, ConnectionLimits, UnsentBudget};
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
        let limiter = ConnectionLimiter::new(limits);
        let unsent = UnsentBudget::new(0);
        let (_stop, shutdown) = watch::channel(false);
        let mut connections = Connections::default();
        for sent in [&[][..], &[HANDSHAKE, 3, 1]] {
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            client.write_all(sent).await.unwrap();
            let (stream, addr) = listener.accept().await.unwrap();
            let slot = limiter.admit(addr.ip(), &limiter.tally("arm")).unwrap().slot;
            let activity = Arc::clone(&slot.activity);
            let (peer, budget) = (Peer { addr, scheme: Scheme::Http }, unsent.budget(addr.ip()));
            let accepted = Connection { stream, peer, slot, budget, reset: reset_when_dropped };
            let refusal = Arc::new(Refusal("arm"));
            connections
                .spawn(&activity, accepted.serve_tls(handshake.clone(), refusal, shutdown.clone()));
            let mut answer = Vec::new();
            let ended = timeout(Duration::from_secs(10), client.read_to_end(&mut answer));
            let _reset = ended.await.unwrap();
        }
        connections.finish().await;
        assert_eq!(limiter.tally("arm").open.get(), 0);
    }
}
