//! One blocking HTTP GET, for what is read once: counters and key sets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::response::{self, Answer};
use super::target::HttpUrl;

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The network failed.
    #[error("cannot read {url}")]
    Io {
        /// What was read.
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
    let url = format!("{base}{path}");
    let io = |source| FetchError::Io { url: url.clone(), source };
    let malformed = |reason: String| FetchError::Malformed { url: url.clone(), reason };
    let mut stream = TcpStream::connect_timeout(&base.address, TIMEOUT).map_err(io)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(io)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(io)?;
    let request = format!(
        "GET {}{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        base.path, base.authority
    );
    stream.write_all(request.as_bytes()).map_err(io)?;
    let mut input = Vec::new();
    loop {
        let whole = response::parse(&input).map_err(|error| malformed(error.to_string()))?;
        if let Some(Answer { status, body, .. }) = whole {
            return match status {
                200 => String::from_utf8(input.get(body).unwrap_or_default().to_vec())
                    .map_err(|error| malformed(error.to_string())),
                _ => Err(FetchError::Status { url, status }),
            };
        }
        let mut piece = [0; 8192];
        let count = stream.read(&mut piece).map_err(io)?;
        if count == 0 {
            return Err(malformed("it ends early".to_owned()));
        }
        input.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}
