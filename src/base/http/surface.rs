//! The interface between the server and a surface.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::sync::watch;
use tokio::task::coop::unconstrained;

use super::message::{Payload, PlainRequest};

/// An HTTP surface: one of the listeners of a broker.
pub trait Surface: Send + Sync + 'static {
    /// Caller of a connection, as the surface identifies it.
    type Caller: Send + Sync;

    /// Returns the name of the surface, for the log.
    fn name(&self) -> &'static str;

    /// Identifies `peer`. Called once for each connection.
    fn caller(&self, peer: &Peer) -> Self::Caller;

    /// Answers one request.
    fn respond(
        &self,
        caller: &Self::Caller,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Payload>> + Send;

    /// Returns true if [`Self::answer_plain`] answers some requests.
    fn answers_plain(&self) -> bool {
        false
    }

    /// Appends the whole answer to a plain request to `answer`: the same bytes as hyper would write for
    /// [`Self::respond`]. Requests that are refused are left to hyper.
    fn answer_plain<'a>(
        &'a self,
        _caller: &'a Self::Caller,
        _request: &PlainRequest<'_>,
        _answer: &mut Vec<u8>,
    ) -> PlainAnswer<'a> {
        PlainAnswer::Left
    }
}

/// Result of [`Surface::answer_plain`].
pub enum PlainAnswer<'a> {
    /// The answer was appended.
    Appended,
    /// Nothing was appended: the answer is not known yet.
    Later(LaterAnswer<'a>),
    /// Nothing was appended: the request is left to hyper.
    Left,
}

impl fmt::Debug for PlainAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Appended => "Appended",
            Self::Later(_) => "Later",
            Self::Left => "Left",
        })
    }
}

/// Initial size of the buffer for an answer: a head of 350 bytes and a token of 2 kB.
pub const ANSWER_BYTES: usize = 3 * 1024;

/// All bytes of an answer, or a refusal that hyper has to write.
pub type Written = Result<Vec<u8>, Box<Response<Payload>>>;

/// An answer that is not known yet.
///
/// # Cancel safety
/// Dropping it has the same effects as dropping the future of [`Surface::respond`].
pub type LaterAnswer<'a> = Pin<Box<dyn Future<Output = Written> + Send + 'a>>;

/// URL scheme of the requests of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// Returns the scheme as in a URL (RFC 9110 section 4.2).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns the default port (RFC 9110 sections 4.2.1 and 4.2.2).
    pub(crate) const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its source address.
    pub addr: SocketAddr,
    /// Its URL scheme.
    pub scheme: Scheme,
}

/// Signal that tells connections to finish their current request and close.
pub type Shutdown = watch::Receiver<bool>;

/// Resolves when the process should end, or when the sender of the signal is dropped. A connection that has used up
/// its share of the thread sees the signal, too.
pub(super) async fn stopped(shutdown: &mut Shutdown) {
    let _ = unconstrained(shutdown.wait_for(|stop| *stop)).await;
}
