//! A single connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use super::{ClientError, Origin, protocol};
use crate::base::http::{Payload, Scheme};

/// A connection for one request at a time. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Payload>,
    received: Arc<AtomicU64>,
}

/// Reason why an exchange failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// True if the connection was lost before the first byte of the answer.
    pub(super) before_answer: bool,
    pub(super) source: hyper::Error,
}

impl Connection {
    /// Connects, and performs the TLS handshake for `https`. The caller enforces `limit` for the whole call.
    pub(super) async fn open(
        origin: &Origin,
        tls: &Arc<ClientConfig>,
        limit: Duration,
    ) -> Result<Self, ClientError> {
        let refused = |source| ClientError::Connect { origin: origin.to_string(), source };
        let stream = origin.connect(limit).await.map_err(refused)?;
        // Disables Nagle's algorithm, which may delay a request. Failure costs only speed.
        let _ = stream.set_nodelay(true);
        if origin.scheme == Scheme::Http {
            return Self::over(stream, origin).await;
        }
        let failed = |source| ClientError::Tls { origin: origin.to_string(), source };
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let connector = TlsConnector::from(Arc::clone(tls));
        Self::over(connector.connect(name, stream).await.map_err(failed)?, origin).await
    }

    async fn over<I>(stream: I, origin: &Origin) -> Result<Self, ClientError>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let received = Arc::new(AtomicU64::new(0));
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
        request: Request<Payload>,
    ) -> Result<Response<Incoming>, Failure> {
        // The bytes of previous exchanges are counted already, because their bodies were read to the end.
        let before = self.received.load(Ordering::Relaxed);
        self.sender.send_request(request).await.map_err(|source| {
            let silent = self.received.load(Ordering::Relaxed) == before;
            Failure { before_answer: silent && !source.is_user(), source }
        })
    }
}

/// A stream that counts received bytes. With TLS it counts decrypted bytes.
struct Counted<I> {
    stream: I,
    received: Arc<AtomicU64>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Counted<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.received.fetch_add((buf.filled().len() - before) as u64, Ordering::Relaxed);
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
