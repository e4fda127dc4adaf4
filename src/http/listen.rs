//! Listening sockets.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Why a surface does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address could be reached from other machines.
    #[error(
        "{0} can be reached from other machines, and whoever reaches it gets tokens; listen on 127.0.0.0/8, [::1] or 169.254.0.0/16"
    )]
    Exposed(SocketAddr),
    /// The system refuses.
    #[error("cannot listen on {addr}; {}", remedy(source.kind()))]
    System {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrInUse => "another process does; stop it, or take a free port with port 0",
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; add it, as in `ip addr add ADDRESS dev lo`"
        }
        ErrorKind::PermissionDenied => "ports below 1024 need the right to bind them; take another",
        _ => "take a free port with port 0",
    }
}

/// Listens on `addr`, alone.
///
/// # Errors
/// When the address is not of this machine alone, is taken, or the system refuses.
pub fn bind(addr: SocketAddr) -> Result<TcpListener, BindError> {
    listening(addr, Sharing::Exclusive)
}

/// Listens on `addr` with `count` sockets (`SO_REUSEPORT`), over which the kernel spreads
/// connections; no other process shares the port.
///
/// # Errors
/// As [`bind`].
pub fn bind_group(addr: SocketAddr, count: usize) -> Result<Vec<TcpListener>, BindError> {
    // Sockets that share a port let any process of the same user in. To be refused when the port is
    // taken, take it alone first; that also finds the number when any free port will do.
    let alone = bind(addr)?;
    let bound = alone.local_addr().map_err(|source| BindError::System { addr, source })?;
    drop(alone);
    (0..count).map(|_| listening(bound, Sharing::Group)).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Exclusive,
    Group,
}

fn listening(addr: SocketAddr, sharing: Sharing) -> Result<TcpListener, BindError> {
    if !is_local(addr.ip()) {
        return Err(BindError::Exposed(addr));
    }
    let socket = || {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(sharing == Sharing::Group)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    socket().map_err(|source| BindError::System { addr, source })
}

fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}
