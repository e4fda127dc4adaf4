//! Blocking HTTP client for everything except load: counters, key sets, and changes.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use super::response;
use super::response::{Answer, AnswerError, Rest};
use super::transport::{Handshake, Tls, Transport};
use super::trust;
use super::trust::{TlsConnector, Trusted};
use super::url::{HttpUrl, Scheme};
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

/// Reads the document at `base` with `path` appended.
///
/// # Errors
/// Returns [`FetchError`] when there is no such document.
pub(crate) fn get(base: &HttpUrl, path: &str) -> Result<String, FetchError> {
    Conversation::with(base.clone()).document(path)
}

/// Timeout of the handshake that tests for TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns true if the server of `url` speaks TLS, whatever the scheme of the URL. Takes some seconds
/// if the server is silent.
pub(crate) fn speaks_tls(url: &HttpUrl) -> bool {
    let Ok(trusted) = Trusted::anybody() else { return false };
    let secure = HttpUrl { scheme: Scheme::Https, ..url.clone() };
    let conversation = Conversation::with(secure).patient(HANDSHAKE_TIMEOUT);
    match conversation.trusting(Some(trusted)).connect() {
        Ok(_) => true,
        Err(error) => Fault::of(&error) == Some(Fault::Refused),
    }
}

/// Request of a [`Conversation`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: &'a str,
    /// Path that is appended to the path of the conversation; may hold a query.
    pub(crate) path: &'a str,
    /// Complete header lines, each with its line end.
    pub(crate) headers: &'a str,
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
    stream: Option<Transport>,
}

impl Conversation {
    /// Creates a conversation with this server. It connects for the first request.
    pub(crate) const fn with(base: HttpUrl) -> Self {
        Self { base, timeout: TIMEOUT, trusted: None, stream: None }
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
        let reply = self.ask(&Question { method: "GET", path, headers: "", body: "" })?;
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
        let url = format!("{}{}", self.base, question.path);
        let io = |source| match Fault::of(&source) {
            Some(fault) => FetchError::Tls { url: url.clone(), fault, source },
            None => FetchError::Io { url: url.clone(), source },
        };
        let malformed = |reason: String| FetchError::Malformed { url: url.clone(), reason };
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.connect().map_err(io)?,
        };
        let (answer, input) = exchange(&mut stream, self.head_and_body(question).as_bytes())
            .map_err(|failure| match failure {
                Failure::Io(source) => io(source),
                Failure::Malformed(reason) => malformed(reason),
            })?;
        let body = String::from_utf8(answer.body(&input).into_owned());
        let body = body.map_err(|error| malformed(error.to_string()))?;
        let kept = answer.keep_alive && answer.end == input.len();
        self.stream = kept.then_some(stream);
        Ok(Reply { status: answer.status, body })
    }

    fn connect(&self) -> io::Result<Transport> {
        let connector = TlsConnector::of(&self.base, self.trusted.as_ref())?;
        let socket = self.base.connect(TIMEOUT)?;
        socket.set_read_timeout(Some(self.timeout))?;
        socket.set_write_timeout(Some(self.timeout))?;
        socket.set_nodelay(true)?;
        let Some(connector) = connector else { return Ok(Transport::Plain(socket)) };
        let mut stream = Transport::Tls(Box::new(Tls::new(socket, connector.connect()?)));
        match stream.handshake()? {
            Handshake::Done => Ok(stream),
            Handshake::WantsRead | Handshake::WantsWrite => Err(ErrorKind::TimedOut.into()),
        }
    }

    fn head_and_body(&self, question: &Question<'_>) -> String {
        let Question { method, path, headers, body } = question;
        let HttpUrl { path: base, authority, .. } = &self.base;
        let length = body.len();
        let base = if base.is_empty() && !path.starts_with('/') { "/" } else { base };
        // RFC 9110 section 8.6: a length belongs to content, or to a method that expects content.
        let length =
            if *method == "GET" { String::new() } else { format!("Content-Length: {length}\r\n") };
        format!(
            "{method} {base}{path} HTTP/1.1\r\nHost: {authority}\r\n{headers}{length}\r\n{body}"
        )
    }
}

/// Failure to get an answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The network failed.
    Io(io::Error),
    /// The bytes that came are not an answer; the text gives the reason.
    Malformed(String),
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Io(error) => error,
            Failure::Malformed(reason) => Self::new(ErrorKind::InvalidData, reason),
        }
    }
}

/// First bytes of a TLS alert: its content type and the major version (RFC 8446 section 5.1).
const TLS_ALERT: [u8; 2] = [21, 3];

fn unreadable(input: &[u8], error: &AnswerError) -> Failure {
    Failure::Malformed(if input.starts_with(&TLS_ALERT) {
        "the server speaks TLS there: write https://".to_owned()
    } else {
        error.to_string()
    })
}

/// Sends `request` and waits for its answer. Returns the answer with the bytes that it was parsed
/// from.
pub(crate) fn exchange(
    stream: &mut Transport,
    request: &[u8],
) -> Result<(Answer, Vec<u8>), Failure> {
    stream.write_all(request).and_then(|()| stream.flush()).map_err(Failure::Io)?;
    let (mut input, mut rest) = (Vec::new(), Rest::Open);
    loop {
        let whole = response::parse(&input, rest);
        match whole.map_err(|error| unreadable(&input, &error))? {
            Some(answer) => return Ok((answer, input)),
            None if rest == Rest::Ended => {
                return Err(Failure::Malformed("it ends early".to_owned()));
            }
            None => {}
        }
        let mut piece = [0; 8192];
        match stream.read(&mut piece) {
            Ok(0) => rest = Rest::Ended,
            Ok(count) => input.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Failure::Io(error)),
        }
    }
}
