//! Requests that are not load: counters, key sets and changes. They block the calling thread.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::{Method, Request};

use super::transport::HUNG_UP;
use super::trust::{self, Trusted};
use super::url::HttpUrl;
use crate::base::client::{BlockingClient, Client, ClientError, ClientLimits};
use crate::base::http::Scheme;
use crate::base::tls::Fault;

/// Failure to read a document.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The network failed.
    #[error("no answer from {url}")]
    Io {
        /// URL of the request.
        url: String,
        /// Error of the system.
        source: std::io::Error,
    },
    /// The server and this client could not set up TLS.
    #[error("no TLS with {url}; {}", trust::remedy(*.fault))]
    Tls {
        /// URL of the request.
        url: String,
        /// Fault of the TLS connection.
        fault: Fault,
        /// Error of the TLS library.
        source: std::io::Error,
    },
    /// The server answered with a status other than 200.
    #[error("{url} answers with status {status}")]
    Status {
        /// URL of the document.
        url: String,
        /// Status of the answer.
        status: u16,
    },
    /// The answer is not HTTP that this client can parse, or not text.
    #[error("{url} does not answer with text: {reason}")]
    Malformed {
        /// URL of the document.
        url: String,
        /// Reason why the answer cannot be used.
        reason: String,
    },
}

/// Timeout of a request: long enough for a busy broker, short enough not to hang a run.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer, in bytes. The counters of a broker take some 10 kB.
const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// Timeout of the handshake that tests for TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

impl FetchError {
    fn of(error: ClientError, url: String) -> Self {
        match error {
            ClientError::Connect { source, .. } => Self::Io { url, source },
            ClientError::Tls { source, .. } => Self::of_io(source, url),
            ClientError::Timeout { .. } => Self::Io { url, source: ErrorKind::TimedOut.into() },
            ClientError::SpeaksTls { .. } => {
                let reason = "the server speaks TLS there: write https://".to_owned();
                Self::Malformed { url, reason }
            }
            ClientError::Protocol { source, .. } => match source.downcast::<hyper::Error>() {
                Ok(error) => Self::of_exchange(*error, url),
                Err(source) => Self::Malformed { url, reason: source.to_string() },
            },
            ClientError::Target(_) | ClientError::TooLarge { .. } => {
                Self::Malformed { url, reason: error.to_string() }
            }
        }
    }

    fn of_exchange(error: hyper::Error, url: String) -> Self {
        let of_system = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        match of_system.map(|source| (source.kind(), Fault::of(source))) {
            Some((kind, Some(fault))) => {
                Self::Tls { url, fault, source: io::Error::new(kind, error) }
            }
            Some((kind, None)) => Self::Io { url, source: io::Error::new(kind, error) },
            None if error.is_incomplete_message() => {
                Self::Malformed { url, reason: "it ends early".to_owned() }
            }
            None => Self::Malformed { url, reason: error.to_string() },
        }
    }

    fn of_io(source: io::Error, url: String) -> Self {
        match Fault::of(&source) {
            Some(fault) => Self::Tls { url, fault, source },
            None if source.kind() == ErrorKind::UnexpectedEof => {
                Self::Io { url, source: io::Error::new(source.kind(), HUNG_UP) }
            }
            None => Self::Io { url, source },
        }
    }
}

/// Reads the document at `base` with `path` appended.
///
/// # Errors
/// Returns [`FetchError`] when there is no such document.
pub(crate) fn get(base: &HttpUrl, path: &str) -> Result<String, FetchError> {
    Conversation::with(base.clone()).document(path)
}

/// Returns true if the server of `url` speaks TLS, whatever the scheme of the URL. Takes some seconds
/// if the server is silent.
pub(crate) fn speaks_tls(url: &HttpUrl) -> bool {
    let Ok(trusted) = Trusted::anybody() else { return false };
    let secure = HttpUrl { scheme: Scheme::Https, ..url.clone() };
    let conversation = Conversation::with(secure).patient(HANDSHAKE_TIMEOUT);
    match conversation.trusting(Some(trusted)).connect() {
        Ok(()) | Err(FetchError::Tls { fault: Fault::Refused, .. }) => true,
        Err(_) => false,
    }
}

/// Request of a [`Conversation`].
#[derive(Clone, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: &'a Method,
    /// Path that is appended to the path of the conversation; may hold a query.
    pub(crate) path: &'a str,
    pub(crate) header: Option<(HeaderName, &'a str)>,
    pub(crate) body: &'a str,
}

/// Answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Requests to one server, one after the other, on a connection that is kept while it lasts.
#[derive(Debug)]
pub(crate) struct Conversation {
    base: HttpUrl,
    timeout: Duration,
    trusted: Option<Trusted>,
    client: Option<BlockingClient>,
}

impl Conversation {
    /// Creates a conversation with this server. It connects for the first request.
    pub(crate) const fn with(base: HttpUrl) -> Self {
        Self { base, timeout: TIMEOUT, trusted: None, client: None }
    }

    /// Sets the authorities whose certificates are accepted.
    pub(crate) fn trusting(self, trusted: Option<Trusted>) -> Self {
        Self { trusted, ..self }
    }

    /// Sets the timeout, for requests that take long.
    pub(crate) fn patient(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Reads the document at this path.
    ///
    /// # Errors
    /// Returns [`FetchError`] when there is no such document.
    pub(crate) fn document(&mut self, path: &str) -> Result<String, FetchError> {
        let reply = self.ask(&Question { method: &Method::GET, path, header: None, body: "" })?;
        match reply.status {
            200 => Ok(reply.body),
            status => Err(FetchError::Status { url: format!("{}{path}", self.base), status }),
        }
    }

    /// Sends a request and reads its complete answer, whatever its status.
    ///
    /// # Errors
    /// Returns [`FetchError`] when there is no answer. The next request then takes a new
    /// connection.
    pub(crate) fn ask(&mut self, question: &Question<'_>) -> Result<Reply, FetchError> {
        let url = || format!("{}{}", self.base, question.path);
        let malformed = |reason: String| FetchError::Malformed { url: url(), reason };
        let request = self.request(question).map_err(|error| malformed(error.to_string()))?;
        let url = url();
        let client = self.client().map_err(|source| FetchError::Io { url: url.clone(), source })?;
        let answer = client.send(request).map_err(|error| FetchError::of(error, url.clone()))?;
        let status = answer.status().as_u16();
        let body = String::from_utf8(answer.into_body().into());
        let body =
            body.map_err(|error| FetchError::Malformed { url, reason: error.to_string() })?;
        Ok(Reply { status, body })
    }

    /// Connects to the server, with the TLS handshake.
    fn connect(mut self) -> Result<(), FetchError> {
        let url = self.base.to_string();
        let request =
            self.request(&Question { method: &Method::GET, path: "", header: None, body: "" });
        let reason = |error: hyper::http::Error| error.to_string();
        let request = request
            .map_err(|error| FetchError::Malformed { url: url.clone(), reason: reason(error) })?;
        let client = self.client().map_err(|source| FetchError::Io { url: url.clone(), source })?;
        client.connect(request.uri()).map_err(|error| FetchError::of(error, url))
    }

    /// Returns the client, and starts it for the first request.
    fn client(&mut self) -> io::Result<&BlockingClient> {
        let client = match self.client.take() {
            Some(client) => client,
            None => self.start()?,
        };
        Ok(self.client.insert(client))
    }

    fn start(&self) -> io::Result<BlockingClient> {
        let limits = ClientLimits {
            connect: self.timeout.min(TIMEOUT),
            total: self.timeout,
            response_bytes_max: RESPONSE_BYTES_MAX,
            idle_max: 1,
        };
        let addresses = std::iter::once(self.base.address).chain(self.base.others.iter().copied());
        let tls = self.trusted.as_ref().map(Trusted::config);
        BlockingClient::start(Client::new(tls, limits).with_addresses(addresses.collect()))
    }

    fn request(&self, question: &Question<'_>) -> Result<Request<Bytes>, hyper::http::Error> {
        let Question { method, path, header, body } = question;
        let HttpUrl { scheme, authority, path: base, .. } = &self.base;
        let base = if base.is_empty() && !path.starts_with('/') { "/" } else { base };
        let request = Request::builder()
            .method(*method)
            .uri(format!("{scheme}://{authority}{base}{path}"))
            .body(Bytes::copy_from_slice(body.as_bytes()));
        let mut request = request?;
        let headers = request.headers_mut();
        if let Some((name, value)) = header {
            headers.insert(name, HeaderValue::from_str(value)?);
        }
        // RFC 9110 section 8.6: a length belongs to content, or to a method that expects content.
        if **method != Method::GET {
            headers.insert(CONTENT_LENGTH, body.len().into());
        }
        Ok(request)
    }
}
