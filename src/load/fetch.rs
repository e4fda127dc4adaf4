//! Blocking HTTP, for what is not load: counters, key sets, and changes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::response::{self, Answer};
use super::target::HttpUrl;

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The network failed.
    #[error("no answer from {url}")]
    Io {
        /// What was asked.
        url: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server answered with something else than 200.
    #[error("{url} answers with status {status}")]
    Status {
        /// What was read.
        url: String,
        /// What came back.
        status: u16,
    },
    /// The answer is not HTTP as read here, or not text.
    #[error("{url} does not answer with text of a known length: {reason}")]
    Malformed {
        /// What was read.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Long enough for a busy broker, short enough not to hang a run.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the document at `base` with `path` appended.
///
/// # Errors
/// [`FetchError`] when there is no such document.
pub(super) fn get(base: &HttpUrl, path: &str) -> Result<String, FetchError> {
    let question = Question { method: "GET", path, headers: "", body: "" };
    let reply = Conversation::with(base.clone()).ask(&question)?;
    match reply.status {
        200 => Ok(reply.body),
        status => Err(FetchError::Status { url: format!("{base}{path}"), status }),
    }
}

/// One request of a [`Conversation`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) method: &'a str,
    /// Appended to the path of the conversation; may hold a query.
    pub(super) path: &'a str,
    /// Whole lines, each with its line end.
    pub(super) headers: &'a str,
    pub(super) body: &'a str,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Requests to one server, one after the other, on a connection that is kept while it lasts.
#[derive(Debug)]
pub(super) struct Conversation {
    base: HttpUrl,
    timeout: Duration,
    stream: Option<TcpStream>,
}

impl Conversation {
    /// A conversation with this server; it connects when it is asked something.
    pub(super) const fn with(base: HttpUrl) -> Self {
        Self { base, timeout: TIMEOUT, stream: None }
    }

    /// The same, for what takes its time.
    pub(super) fn patient(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Sends a request and reads its whole answer, of whatever status.
    ///
    /// # Errors
    /// [`FetchError`] when there is no answer; the next request then takes a new connection.
    pub(super) fn ask(&mut self, question: &Question<'_>) -> Result<Reply, FetchError> {
        let url = format!("{}{}", self.base, question.path);
        let io = |source| FetchError::Io { url: url.clone(), source };
        let malformed = |reason: String| FetchError::Malformed { url: url.clone(), reason };
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(&self.base, self.timeout).map_err(io)?,
        };
        stream.write_all(self.head_and_body(question).as_bytes()).map_err(io)?;
        let mut input = Vec::new();
        loop {
            let whole = response::parse(&input).map_err(|error| malformed(error.to_string()))?;
            if let Some(Answer { status, body, keep_alive, .. }) = whole {
                let text = input.get(body).unwrap_or_default().to_vec();
                let body = String::from_utf8(text).map_err(|error| malformed(error.to_string()))?;
                self.stream = keep_alive.then_some(stream);
                return Ok(Reply { status, body });
            }
            let mut piece = [0; 8192];
            let count = stream.read(&mut piece).map_err(io)?;
            if count == 0 {
                return Err(malformed("it ends early".to_owned()));
            }
            input.extend_from_slice(piece.get(..count).unwrap_or_default());
        }
    }

    fn head_and_body(&self, question: &Question<'_>) -> String {
        let Question { method, path, headers, body } = question;
        let HttpUrl { path: base, authority, .. } = &self.base;
        let length = body.len();
        // RFC 9110 section 8.6: a length goes with content, or with a method that means some.
        let length =
            if *method == "GET" { String::new() } else { format!("Content-Length: {length}\r\n") };
        format!(
            "{method} {base}{path} HTTP/1.1\r\nHost: {authority}\r\n{headers}{length}\r\n{body}"
        )
    }
}

fn connect(base: &HttpUrl, timeout: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&base.address, TIMEOUT)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
