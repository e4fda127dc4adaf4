//! How connections are made, and from which address.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::world::synthetic::Synthetic;

/// How connections are made.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    pub(super) address: SocketAddr,
    /// The world whose VM addresses connections come from; without one, the system chooses.
    pub(super) per_vm: Option<Synthetic>,
}

/// Loopback answers at once; this bounds the start against a dead remote target.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Dial {
    /// Connects, waiting for it: for the time before the clock starts.
    pub(super) fn wait(&self, vm: u32) -> io::Result<TcpStream> {
        let socket = self.socket(vm)?;
        socket.connect_timeout(&self.address.into(), CONNECT_TIMEOUT)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }

    /// Begins to connect.
    pub(super) fn begin(&self, vm: u32) -> io::Result<TcpStream> {
        let socket = self.socket(vm)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.address.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => Err(error),
            Ok(()) | Err(_) => Ok(socket.into()),
        }
    }

    fn socket(&self, vm: u32) -> io::Result<Socket> {
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(world) = &self.per_vm {
            // The port is then chosen at connect: unique per pair of addresses, not per source.
            nix::sys::socket::setsockopt(
                &socket,
                nix::sys::socket::sockopt::IpBindAddressNoPort,
                &true,
            )?;
            socket.bind(&SocketAddr::from((world.address(vm), 0)).into())?;
            // A reset instead of TIME_WAIT: changing VMs thousands of times a second would
            // otherwise use up the ports for a minute.
            socket.set_linger(Some(Duration::ZERO))?;
        }
        Ok(socket)
    }
}
