//! Reasons why a request gets no answer.

use std::error::Error;
use std::time::Duration;

use hyper::Uri;

use super::origin::Origin;

/// Reason why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// There is no connection.
    #[error("cannot connect to {origin}")]
    Connect {
        /// Called origin.
        origin: String,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The answer is not HTTP, or ended early.
    #[error("the exchange with {origin} failed")]
    Protocol {
        /// Called origin.
        origin: String,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server answered plain HTTP with a TLS alert.
    #[error("{origin} speaks TLS: write https://")]
    SpeaksTls {
        /// Called origin.
        origin: String,
    },
    /// The URL of the request is not usable.
    #[error("`{0}` is not a URL of the form http://HOST or https://HOST")]
    Target(Uri),
    /// A timeout passed.
    #[error("{origin} took longer than {} to {to}", humantime::format_duration(*limit))]
    Timeout {
        /// Called origin.
        origin: String,
        /// The step that took too long.
        to: &'static str,
        /// The timeout.
        limit: Duration,
    },
    /// The handshake failed: the server is not trusted, has another name, or does not speak TLS.
    #[error("cannot set up TLS with {origin}")]
    Tls {
        /// Called origin.
        origin: String,
        /// The error of the library. It contains a `rustls::Error`.
        source: std::io::Error,
    },
    /// The answer is larger than this client allows.
    #[error("the answer of {origin} is larger than {max} bytes")]
    TooLarge {
        /// Called origin.
        origin: String,
        /// The limit, in bytes.
        max: usize,
    },
}

pub(super) fn protocol(
    origin: &Origin,
) -> impl FnOnce(Box<dyn Error + Send + Sync>) -> ClientError {
    |source| ClientError::Protocol { origin: origin.to_string(), source }
}
