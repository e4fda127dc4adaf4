//! The interface between the server and a surface.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;

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
    /// [`Self::respond`]. Requests whose answer is not known at once are left to hyper, and so are those that are
    /// refused.
    fn answer_plain(
        &self,
        _caller: &Self::Caller,
        _request: &PlainRequest<'_>,
        _answer: &mut Vec<u8>,
    ) -> PlainAnswer {
        PlainAnswer::Left
    }
}

/// Result of [`Surface::answer_plain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainAnswer {
    /// The answer was appended.
    Appended,
    /// Nothing was appended: the request is left to hyper.
    Left,
}

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
