//! Listening sockets.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::base::network::{Holder, holder_of};

/// Length of the queue of connections to accept. The kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Size of the send buffer of a connection, in bytes. The kernel doubles it for its own needs. Without this
/// limit it holds up to 4 MB for each connection that does not read, which the budget of unread answers does
/// not count.
const SEND_BYTES: usize = 32 * 1024;

/// Machines that may reach a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This machine and its local link.
    Local,
    /// Every machine with a route to this one.
    Network,
}

/// Reason why a surface does not listen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindError {
    /// Other machines could reach the address.
    #[error("{0} can be reached from other machines")]
    Exposed(SocketAddr),
    /// Another process has the port.
    #[error("cannot listen on {addr}; another process does")]
    InUse {
        /// The requested address.
        addr: SocketAddr,
        /// The other process, if this user may see it.
        holder: Option<Holder>,
    },
    /// The system refuses.
    #[error("cannot listen on {addr}; {}", remedy(source.kind()))]
    System {
        /// The requested address.
        addr: SocketAddr,
        /// The error of the system.
        source: std::io::Error,
    },
}

fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::AddrNotAvailable => {
            "this machine has no such address; add it, as in `ip addr add ADDRESS dev lo`"
        }
        ErrorKind::PermissionDenied => "ports below 1024 need the right to bind them; take another",
        _ => "take a free port with port 0",
    }
}

/// Listens on `addr` with one exclusive socket.
///
/// # Errors
/// Returns an error when machines beyond `reach` could reach the address, when it is taken, or when the system
/// refuses.
pub(crate) fn bind(addr: SocketAddr, reach: Reach) -> Result<TcpListener, BindError> {
    listening(addr, reach, Sharing::Exclusive)
}

/// Listens on `addr` with `count` sockets (`SO_REUSEPORT`). The kernel spreads connections over them. No
/// other process shares the port.
///
/// # Errors
/// Returns the same errors as [`bind`].
pub(crate) fn bind_group(
    addr: SocketAddr,
    reach: Reach,
    count: usize,
) -> Result<Vec<TcpListener>, BindError> {
    // Sockets that share a port also admit any process of the same user. An exclusive socket first finds out
    // whether the port is taken. It also finds the number when any free port will do.
    let alone = bind(addr, reach)?;
    let bound = alone.local_addr().map_err(|source| BindError::System { addr, source })?;
    drop(alone);
    (0..count).map(|_| listening(bound, reach, Sharing::Group)).collect()
}

/// Listens at every IPv4 loopback address of this machine, on the port of `addr`. No other machine can reach
/// it. Returns `None` when `addr` is not such an address or the system does not support it. In this case call
/// [`bind`], which reports the error or listens on `addr` alone.
pub(crate) fn bind_all_loopback(addr: SocketAddr) -> Option<TcpListener> {
    if !addr.is_ipv4() || !addr.ip().is_loopback() {
        return None;
    }
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, addr.port()));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).ok()?;
    confine_to_loopback(&socket).ok()?;
    listen(socket, everywhere, Sharing::Exclusive).ok()
}

/// Limits the socket to connections of the loopback device.
#[cfg(target_os = "linux")]
fn confine_to_loopback(socket: &Socket) -> std::io::Result<()> {
    socket.bind_device(Some(b"lo"))
}

#[cfg(not(target_os = "linux"))]
fn confine_to_loopback(_: &Socket) -> std::io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Exclusive,
    Group,
}

fn listening(addr: SocketAddr, reach: Reach, sharing: Sharing) -> Result<TcpListener, BindError> {
    if reach == Reach::Local && !is_local(addr.ip()) {
        return Err(BindError::Exposed(addr));
    }
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP));
    let listener = socket.and_then(|socket| listen(socket, addr, sharing));
    listener.map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => BindError::InUse { addr, holder: holder_of(addr) },
        _ => BindError::System { addr, source },
    })
}

fn listen(socket: Socket, addr: SocketAddr, sharing: Sharing) -> std::io::Result<TcpListener> {
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::Group)?;
    socket.set_nonblocking(true)?;
    // Accepted connections inherit the size from their listener.
    socket.set_send_buffer_size(SEND_BYTES)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_listener_on_all_of_loopback_is_reached_there_and_takes_the_port_alone() {
        let listener = bind_all_loopback("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        for address in [[127, 0, 0, 1], [127, 200, 3, 4]] {
            TcpStream::connect((Ipv4Addr::from(address), port)).unwrap();
            let taken = bind((address, port).into(), Reach::Local);
            assert!(matches!(taken, Err(BindError::InUse { .. })), "{address:?}");
        }
    }

    /// Threat 5 of `docs/reliability.md`.
    #[test]
    fn threat_05_other_machines_reach_a_listener_only_on_purpose() {
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let refused = bind(everywhere, Reach::Local);
        assert!(matches!(refused, Err(BindError::Exposed(addr)) if addr == everywhere));
        let listener = bind(everywhere, Reach::Network).unwrap();
        assert!(listener.local_addr().unwrap().ip().is_unspecified());
    }

    #[test]
    fn an_address_that_is_not_loopback_is_never_widened() {
        for addr in ["169.254.169.254:0", "192.0.2.1:0", "0.0.0.0:0", "[::1]:0"] {
            assert!(bind_all_loopback(addr.parse().unwrap()).is_none(), "{addr}");
        }
    }
}
