//! Reasons why a server does not start.

use std::net::SocketAddr;

use super::admin_secret::AdminSecretError;
use super::operator::OperatorError;
use crate::base::http::BindError;
use crate::base::network::Holder;
use crate::base::tls::TlsError;
use crate::service::faults::PlanRefused;
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
    /// Other machines would reach a surface that they may not reach.
    #[error(
        "the {surface} endpoint does not start: {addr} can be reached from other machines, and {}; listen on 127.0.0.0/8, [::1] or 169.254.0.0/16, or allow it with --expose {surface}",
        danger(surface)
    )]
    Exposed {
        /// Name of the surface.
        surface: &'static str,
        /// Address that it was to listen on.
        addr: SocketAddr,
    },
    /// The server cannot have these faults.
    #[error(transparent)]
    Faults(#[from] PlanRefused),
    /// Another process, or another surface, listens on the address.
    #[error(
        "the {surface} endpoint does not start: cannot listen on {addr}; {}, as in --{surface} {}",
        held_by(holder.as_ref()),
        SocketAddr::new(addr.ip(), 0)
    )]
    InUse {
        /// Name of the surface.
        surface: &'static str,
        /// Address that it was to listen on.
        addr: SocketAddr,
        /// The process that listens, if this user may see it.
        holder: Option<Holder>,
    },
    /// A surface without authentication would be reachable from other machines.
    #[error(
        "the {surface} endpoint has no authentication, and {addr} is not a loopback address; listen on 127.0.0.0/8 or [::1], or {}",
        authentication(surface)
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

/// Returns what other machines could do at a surface.
fn danger(surface: &str) -> &'static str {
    match surface {
        "imds" | "vm-extension" => "whoever reaches it gets tokens",
        _ => "whoever reaches it may try to sign in",
    }
}

/// Returns the setting that makes callers of a surface prove who they are.
fn authentication(surface: &str) -> &'static str {
    match surface {
        "admin" => "allow it with --expose admin: every request then needs the admin secret",
        _ => "leave out --arm-auth off",
    }
}

/// Returns who listens on an address, and what to do.
fn held_by(holder: Option<&Holder>) -> String {
    if holder.is_some_and(Holder::is_this_process) {
        return "another endpoint of this server does; give each a port of its own".to_owned();
    }
    let named = holder.map_or_else(String::new, |holder| format!(" ({holder})"));
    format!("another process does; stop it{named}, or take another port")
}
