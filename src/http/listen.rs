//! Listening sockets.

use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Why a surface does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address could be reached from other machines.
    #[error(
        "{0} can be reached from other machines, and whoever reaches it gets tokens; listen on a loopback or link-local address"
    )]
    Exposed(SocketAddr),
    /// The system refuses.
    #[error("cannot listen on {addr}; choose a free address with port 0")]
    System {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Listens on `addr` with `SO_REUSEPORT`, so that each worker can have a socket of its own and the
/// kernel spreads connections over them.
///
/// # Errors
/// When the address is not of this machine alone, or the system refuses.
pub fn bind(addr: SocketAddr) -> Result<std::net::TcpListener, BindError> {
    if !is_local(addr.ip()) {
        return Err(BindError::Exposed(addr));
    }
    listening(addr).map_err(|source| BindError::System { addr, source })
}

fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

fn listening(addr: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
