//! Connections to the target, and their source addresses.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::base::synthetic::Synthetic;
use crate::harness::dialect::target::Target;
use crate::harness::dialect::transport::{Handshake, Plain, Tls, Transport};
use crate::harness::dialect::trust::TlsConnector;

/// Settings for connecting to a target.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    address: SocketAddr,
    /// World whose VM addresses are the source addresses; `None` lets the system choose.
    pub(crate) per_vm: Option<Synthetic>,
    /// TLS settings; `None` for plain connections.
    connector: Option<TlsConnector>,
}

/// Connect timeout for a dead remote target; loopback answers at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Dial {
    /// Returns the settings for connecting to `target`.
    ///
    /// # Errors
    /// Returns an error when TLS cannot be set up for the target.
    pub(super) fn to(target: &Target, per_vm: Option<Synthetic>) -> io::Result<Self> {
        let connector = TlsConnector::of(&target.url, target.trusted.as_ref())?;
        Ok(Self { address: target.url.address, per_vm, connector })
    }

    /// Connects, and completes the handshake, before the load starts.
    ///
    /// Later calls on the connection also block, for 5 s at most, until [`settle`] is called.
    pub(crate) fn wait(&self, vm: u32) -> io::Result<Transport> {
        let socket = self.socket(vm)?;
        socket.connect_timeout(&self.address.into(), CONNECT_TIMEOUT)?;
        let socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        socket.set_write_timeout(Some(CONNECT_TIMEOUT))?;
        let mut transport = self.transport(socket)?;
        match transport.handshake()? {
            Handshake::Done => Ok(transport),
            Handshake::WantsRead | Handshake::WantsWrite => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Begins to connect without waiting. The handshake, if there is one, comes later.
    pub(crate) fn begin(&self, vm: u32) -> io::Result<Transport> {
        let socket = self.socket(vm)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.address.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => Err(error),
            Ok(()) | Err(_) => self.transport(socket.into()),
        }
    }

    fn transport(&self, socket: TcpStream) -> io::Result<Transport> {
        let Some(connector) = &self.connector else {
            return Ok(Transport::Plain(Plain::new(socket)));
        };
        Ok(Transport::Tls(Box::new(Tls::new(socket, connector.connect()?))))
    }

    fn socket(&self, vm: u32) -> io::Result<Socket> {
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if let Some(world) = &self.per_vm {
            // The kernel chooses the port at connect: unique per pair of addresses, not per source.
            nix::sys::socket::setsockopt(
                &socket,
                nix::sys::socket::sockopt::IpBindAddressNoPort,
                &true,
            )?;
            socket.bind(&SocketAddr::from((world.address(vm), 0)).into())?;
            // A reset instead of TIME_WAIT: thousands of VM changes a second would otherwise use up
            // the ports for a minute.
            socket.set_linger(Some(Duration::ZERO))?;
        }
        Ok(socket)
    }
}

/// Makes the connection non-blocking.
pub(crate) fn settle(transport: &Transport) -> io::Result<()> {
    transport.socket().set_nonblocking(true)
}
