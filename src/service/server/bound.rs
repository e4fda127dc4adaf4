//! A bound socket of one surface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use super::error::ServerError;
use super::options::ServerOptions;
use crate::base::http::{self, BindError, Scheme};

/// A surface that is bound but does not answer yet.
pub(super) struct Bound {
    pub(super) name: &'static str,
    pub(super) listener: TcpListener,
    pub(super) url: String,
    pub(super) priority: Priority,
}

/// Priority of a surface's threads for a core that other threads need too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// Normal priority, and a core soon after a request has arrived.
    Prompt,
    /// Normal priority.
    Normal,
    /// Lower priority: a change waits for the disk anyway, and must not delay token requests.
    Low,
}

impl Bound {
    pub(super) fn open(
        name: &'static str,
        addr: SocketAddr,
        scheme: Scheme,
        options: &ServerOptions,
    ) -> Result<Self, ServerError> {
        let listener = http::bind(addr, options.reach(name)).map_err(bind_error(name))?;
        let url = url(Some(&listener), scheme)?;
        Ok(Self { name, listener, url, priority: Priority::Normal })
    }

    pub(super) fn with_low_priority(self) -> Self {
        Self { priority: Priority::Low, ..self }
    }

    /// Returns the surface with the path of its only resource in its URL.
    pub(super) fn with_path(self, path: &str) -> Self {
        Self { url: self.url.clone() + path, ..self }
    }

    /// Opens a surface without authentication, which only programs on this machine may reach.
    pub(super) fn open_to_loopback(
        name: &'static str,
        addr: SocketAddr,
        scheme: Scheme,
        options: &ServerOptions,
    ) -> Result<Self, ServerError> {
        if !addr.ip().to_canonical().is_loopback() {
            return Err(ServerError::NotLoopback { surface: name, addr });
        }
        Self::open(name, addr, scheme, options)
    }

    pub(super) fn https_url(&self) -> String {
        self.url.replacen("http://", "https://", 1)
    }
}

pub(super) fn bind_error(surface: &'static str) -> impl FnOnce(BindError) -> ServerError {
    move |error| match error {
        BindError::Exposed(addr) => ServerError::Exposed { surface, addr },
        BindError::InUse { addr, holder } => ServerError::InUse { surface, addr, holder },
        source @ BindError::System { .. } => ServerError::Bind { surface, source },
    }
}

/// Returns the URL of a listener for programs on this machine.
pub(super) fn url(listener: Option<&TcpListener>, scheme: Scheme) -> std::io::Result<String> {
    let addr = listener.map_or_else(
        || Err(std::io::ErrorKind::AddrNotAvailable.into()),
        TcpListener::local_addr,
    )?;
    Ok(format!("{scheme}://{}", callable(addr)))
}

/// Returns the address at which a program on this machine calls a listener on `addr`: a loopback address for a
/// listener on all addresses.
pub(super) fn callable(addr: SocketAddr) -> SocketAddr {
    let ip: IpAddr = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}
