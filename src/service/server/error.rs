//! Reasons why a server does not start.

use std::net::SocketAddr;

use super::admin_secret::AdminSecretError;
use super::operator::OperatorError;
use crate::base::http::BindError;
use crate::base::tls::TlsError;
use crate::service::source::SourceError;

/// Reasons why a server does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// The secret of the admin endpoint cannot be read or written.
    #[error(transparent)]
    AdminSecret(#[from] AdminSecretError),
    /// A surface cannot listen on its address.
    #[error("the {surface} endpoint does not start")]
    Bind {
        /// Name of the surface.
        surface: &'static str,
        /// Cause of the error.
        source: BindError,
    },
    /// A surface without authentication would be reachable from other machines.
    #[error(
        "the {surface} endpoint has no authentication, and {addr} is not a loopback address; listen on 127.0.0.0/8 or [::1]"
    )]
    NotLoopback {
        /// Name of the surface.
        surface: &'static str,
        /// Address that it was to listen on.
        addr: SocketAddr,
    },
    /// The operator cannot be set up.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// The client of the token service cannot start.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The server certificate cannot be issued.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system could not start a thread, runtime or socket.
    #[error("cannot start a worker")]
    System(#[from] std::io::Error),
}
