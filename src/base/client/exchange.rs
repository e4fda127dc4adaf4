//! The client: requests over pooled connections.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, Uri};
use rustls::ClientConfig;
use tokio::time::timeout;

use super::connection::{Connection, Failure, Settings};
use super::error::{ClientError, protocol};
use super::origin::Origin;
use super::pool::Pool;

/// Timeouts and limits of a [`Client`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClientLimits {
    /// Time to resolve a name, connect and shake hands.
    pub connect: Duration,
    /// Time for a whole request, from the first attempt to connect to the last byte.
    pub total: Duration,
    /// Largest body of an answer, in bytes.
    pub response_bytes_max: usize,
    /// Largest number of idle connections in the pool, for each scheme, host and port.
    pub idle_max: usize,
}

impl Default for ClientLimits {
    /// Returns 5 s to connect, 30 s in total, 1 MB, and eight idle connections.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(30),
            response_bytes_max: 1_000_000,
            idle_max: 8,
        }
    }
}

/// A client and its connection pool.
///
/// Use it in a single Tokio runtime with I/O and time: connections live as long as the runtime.
#[derive(Debug)]
pub(crate) struct Client {
    tls: Option<Arc<ClientConfig>>,
    /// Addresses to connect to, whatever the host of a request.
    addresses: Option<Vec<SocketAddr>>,
    pub(super) limits: ClientLimits,
    pool: Pool,
}

impl Client {
    /// Creates a client with this TLS configuration. Without one, the client speaks plain HTTP only.
    pub(crate) fn new(tls: Option<Arc<ClientConfig>>, limits: ClientLimits) -> Self {
        Self { tls, addresses: None, limits, pool: Pool::new(limits.idle_max) }
    }

    /// Connects to the first of `addresses` that accepts, instead of resolving the host of a request.
    pub(crate) fn with_addresses(self, addresses: Vec<SocketAddr>) -> Self {
        Self { addresses: Some(addresses), ..self }
    }

    /// Opens a connection to the host of `url`, with its TLS handshake, and keeps it for the next request.
    ///
    /// # Errors
    /// Returns the errors of [`send`](Self::send) that occur before a request is sent.
    pub(crate) async fn connect(&self, url: &Uri) -> Result<(), ClientError> {
        let origin = Origin::of(url).ok_or_else(|| ClientError::Target(url.clone()))?;
        let connection = self.open(&origin).await?;
        self.pool.keep(&origin, connection);
        Ok(())
    }

    /// Sends `request`, whose URL is absolute, and reads the whole answer, whatever its status.
    ///
    /// A pooled connection that was closed before the first byte of the answer is replaced once by a new one.
    /// The request may then arrive twice, also for methods that are not idempotent. This is accepted because
    /// a server closes idle connections far more often than it dies in the middle of a request.
    ///
    /// # Errors
    /// See [`ClientError`]. Errors contain only scheme, host and port of the request, except `Target`, which
    /// contains the refused URL.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection in use. The request may have arrived.
    pub(crate) async fn send(
        &self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, ClientError> {
        let origin =
            Origin::of(request.uri()).ok_or_else(|| ClientError::Target(request.uri().clone()))?;
        let limit = self.limits.total;
        let answer = timeout(limit, self.exchange(&origin, addressed(request, &origin))).await;
        answer.unwrap_or_else(|_late| {
            Err(ClientError::Timeout { origin: origin.to_string(), to: "answer", limit })
        })
    }

    async fn exchange(
        &self,
        origin: &Origin,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, ClientError> {
        if let Some(mut kept) = self.pool.take(origin).await {
            match kept.send(request.clone()).await {
                Ok(response) => return self.finish(origin, kept, response).await,
                Err(Failure { before_answer: true, .. }) => {}
                Err(failure) => return Err(failed(origin, failure)),
            }
        }
        let mut fresh = self.open(origin).await?;
        match fresh.send(request).await {
            Ok(response) => self.finish(origin, fresh, response).await,
            Err(failure) => Err(failed(origin, failure)),
        }
    }

    async fn open(&self, origin: &Origin) -> Result<Connection, ClientError> {
        let limit = self.limits.connect;
        let (tls, addresses) = (self.tls.as_ref(), self.addresses.as_deref());
        let connected =
            timeout(limit, Connection::open(origin, Settings { tls, addresses, limit })).await;
        connected.unwrap_or_else(|_late| {
            Err(ClientError::Timeout { origin: origin.to_string(), to: "connect", limit })
        })
    }

    /// Reads the body. Keeps the connection unless the server is about to close it.
    async fn finish(
        &self,
        origin: &Origin,
        connection: Connection,
        response: Response<Incoming>,
    ) -> Result<Response<Bytes>, ClientError> {
        let (head, body) = response.into_parts();
        let body = read_whole(body, self.limits.response_bytes_max, origin).await?;
        if head.headers.get(CONNECTION).is_none_or(|value| value != "close") {
            self.pool.keep(origin, connection);
        }
        Ok(Response::from_parts(head, body))
    }
}

fn failed(origin: &Origin, failure: Failure) -> ClientError {
    if failure.is_alert {
        return ClientError::SpeaksTls { origin: origin.to_string() };
    }
    protocol(origin)(failure.source.into())
}

/// Converts the request to the form that is sent: only the path as its target, and the host in its header
/// (RFC 9112 section 3.2).
fn addressed(mut request: Request<Bytes>, origin: &Origin) -> Request<Bytes> {
    let target = request.uri().path_and_query().cloned();
    let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = target.into();
    if let Ok(host) = HeaderValue::from_str(origin.authority()) {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    request
}

pub(super) async fn read_whole(
    mut body: Incoming,
    max: usize,
    origin: &Origin,
) -> Result<Bytes, ClientError> {
    let too_large = || ClientError::TooLarge { origin: origin.to_string(), max };
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let mut whole = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| protocol(origin)(error.into()))?;
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > max - whole.len() {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}
