//! A small client: HTTP/1.1, in TLS or in the clear, whole bodies, and connections that are kept.
//!
//! Follows no redirects, keeps no cookies and knows no proxies: it talks to services whose URL
//! somebody has configured.

mod connection;
mod origin;
mod pool;

use std::error::Error;
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

use crate::http::Payload;
use connection::{Connection, Failure};
use origin::Origin;
use pool::Pool;

/// What a [`Client`] waits for and holds at most.
#[derive(Clone, Copy, Debug)]
pub struct ClientLimits {
    /// Time to resolve a name, connect and shake hands.
    pub connect: Duration,
    /// Time for the whole of a request, from the first attempt to connect to the last byte.
    pub total: Duration,
    /// Bytes of an answer's body.
    pub response_bytes_max: usize,
    /// Connections that are kept for later, for each scheme, host and port.
    pub idle_max: usize,
}

impl Default for ClientLimits {
    /// Five and thirty seconds, 1 MB, and eight idle connections.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(30),
            response_bytes_max: 1_000_000,
            idle_max: 8,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no connection.
    #[error("cannot connect to {origin}")]
    Connect {
        /// Where to.
        origin: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// What came back is not HTTP, or ended early.
    #[error("the exchange with {origin} failed")]
    Protocol {
        /// With whom.
        origin: String,
        /// What happened.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The URL of the request leads nowhere.
    #[error("`{0}` is not a URL of the form http://HOST or https://HOST")]
    Target(Uri),
    /// It took too long.
    #[error("{origin} took longer than {} to {to}", humantime::format_duration(*limit))]
    Timeout {
        /// Who.
        origin: String,
        /// What it had to do.
        to: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// The handshake failed: the server is not trusted, has another name, or speaks no TLS.
    #[error("cannot set up TLS with {origin}")]
    Tls {
        /// With whom.
        origin: String,
        /// What the library says; a `rustls::Error` is inside.
        source: std::io::Error,
    },
    /// The answer is larger than this client takes.
    #[error("the answer of {origin} is larger than {max} bytes")]
    TooLarge {
        /// Whose.
        origin: String,
        /// What would have been taken.
        max: usize,
    },
}

/// A client and the connections that it keeps.
///
/// To be used in one runtime of tokio, with I/O and time: connections live as long as it does.
#[derive(Debug)]
pub struct Client {
    tls: Arc<ClientConfig>,
    limits: ClientLimits,
    pool: Pool,
}

impl Client {
    /// A client that trusts whom `tls` trusts.
    pub fn new(tls: Arc<ClientConfig>, limits: ClientLimits) -> Self {
        Self { tls, limits, pool: Pool::new(limits.idle_max) }
    }

    /// Sends `request`, whose URL is absolute, and reads the whole answer, of whatever status.
    ///
    /// A kept connection that turns out to be closed before any byte of the answer is replaced,
    /// once, by a fresh one. The request may then arrive twice, of whatever method: a server closes
    /// idle connections far more often than it dies in the middle of a request.
    ///
    /// # Errors
    /// See [`ClientError`]; no error holds anything of the request but scheme, host and port, save
    /// `Target`, which has the URL that was refused.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection in use; the request may have arrived.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ClientError> {
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
        request: Request<Payload>,
    ) -> Result<Response<Bytes>, ClientError> {
        if let Some(mut kept) = self.pool.take(origin).await {
            match kept.send(request.clone()).await {
                Ok(response) => return self.finish(origin, kept, response).await,
                Err(Failure { before_answer: true, .. }) => {}
                Err(failure) => return Err(protocol(origin)(failure.source.into())),
            }
        }
        let limit = self.limits.connect;
        let connected = timeout(limit, Connection::open(origin, &self.tls, limit)).await;
        let mut fresh = connected.unwrap_or_else(|_late| {
            Err(ClientError::Timeout { origin: origin.to_string(), to: "connect", limit })
        })?;
        match fresh.send(request).await {
            Ok(response) => self.finish(origin, fresh, response).await,
            Err(failure) => Err(protocol(origin)(failure.source.into())),
        }
    }

    /// Reads the body, and keeps the connection unless the server is about to close it.
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

/// The request as it goes over the wire: the path alone as its target, and the host in its header
/// (RFC 9112 section 3.2).
fn addressed(request: Request<Bytes>, origin: &Origin) -> Request<Payload> {
    let mut request = request.map(Payload::from);
    let target = request.uri().path_and_query().cloned();
    let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = target.into();
    if let Ok(host) = HeaderValue::from_str(origin.authority()) {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    request
}

async fn read_whole(mut body: Incoming, max: usize, origin: &Origin) -> Result<Bytes, ClientError> {
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

fn protocol(origin: &Origin) -> impl FnOnce(Box<dyn Error + Send + Sync>) -> ClientError {
    |source| ClientError::Protocol { origin: origin.to_string(), source }
}

#[cfg(test)]
mod tests;
