//! A single connection.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use super::error::{ClientError, protocol};
use super::origin::{Origin, first_of};
use crate::base::http::{Payload, Scheme};

/// A connection for one request at a time. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Payload>,
    received: Arc<Received>,
}

/// Reason why an exchange failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// True if the connection was lost before the first byte of the answer.
    pub(super) before_answer: bool,
    /// True if the server sent a TLS alert instead of an answer.
    pub(super) is_alert: bool,
    pub(super) source: hyper::Error,
}

/// Parts of a client that a new connection needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings<'a> {
    /// TLS configuration. Without one, only plain HTTP is possible.
    pub(super) tls: Option<&'a Arc<ClientConfig>>,
    /// Addresses of the server. Without them, the host is resolved.
    pub(super) addresses: Option<&'a [SocketAddr]>,
    /// Time for all addresses together, and for the handshake.
    pub(super) limit: Duration,
}

impl Connection {
    /// Connects, and performs the TLS handshake for `https`. The caller enforces the limit of the whole call.
    pub(super) async fn open(origin: &Origin, settings: Settings<'_>) -> Result<Self, ClientError> {
        let refused = |source| ClientError::Connect { origin: origin.to_string(), source };
        let connected = match settings.addresses {
            Some(addresses) => first_of(addresses, settings.limit).await,
            None => origin.connect(settings.limit).await,
        };
        let stream = connected.map_err(refused)?;
        // Disables Nagle's algorithm, which may delay a request. Failure costs only speed.
        let _ = stream.set_nodelay(true);
        if origin.scheme == Scheme::Http {
            return Self::over(stream, origin).await;
        }
        let failed = |source| ClientError::Tls { origin: origin.to_string(), source };
        let invalid = |error| failed(io::Error::new(io::ErrorKind::InvalidInput, error));
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|error| invalid(error.to_string()))?;
        let unknown = || invalid("no certificate authority is known".to_owned());
        let connector = TlsConnector::from(Arc::clone(settings.tls.ok_or_else(unknown)?));
        Self::over(connector.connect(name, stream).await.map_err(failed)?, origin).await
    }

    async fn over<I>(stream: I, origin: &Origin) -> Result<Self, ClientError>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let received = Arc::<Received>::default();
        let counted = Counted { stream, received: Arc::clone(&received) };
        let (sender, connection) = http1::handshake(TokioIo::new(counted))
            .await
            .map_err(|error| protocol(origin)(error.into()))?;
        // Ends with the sender or with the peer. The request gets the error as well.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, received })
    }

    /// Waits until the previous exchange has ended. Returns false when the peer has closed the connection.
    pub(super) async fn is_usable(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Returns true if the peer is known to have closed the connection.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends `request` and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Bytes>,
    ) -> Result<Response<Incoming>, Failure> {
        // The bytes of previous exchanges are counted already, because their bodies were read to the end.
        let before = self.received.bytes.load(Ordering::Relaxed);
        self.sender.send_request(request.map(Payload::from)).await.map_err(|source| {
            let silent = self.received.bytes.load(Ordering::Relaxed) == before;
            let is_alert = self.received.is_alert.load(Ordering::Relaxed);
            Failure { before_answer: silent && !source.is_user(), is_alert, source }
        })
    }
}

/// First bytes of a TLS alert: its content type and the major version (RFC 8446 section 5.1).
const TLS_ALERT: [u8; 2] = [21, 3];

/// Bytes that a connection has received. With TLS these are decrypted bytes.
#[derive(Debug, Default)]
struct Received {
    bytes: AtomicU64,
    /// True if the first bytes are those of a TLS alert.
    is_alert: AtomicBool,
}

impl Received {
    fn add(&self, bytes: &[u8]) {
        let before = self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if before == 0 && bytes.starts_with(&TLS_ALERT) {
            self.is_alert.store(true, Ordering::Relaxed);
        }
    }
}

/// A stream that notes received bytes.
struct Counted<I> {
    stream: I,
    received: Arc<Received>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Counted<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.received.add(buf.filled().get(before..).unwrap_or_default());
        polled
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Counted<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
