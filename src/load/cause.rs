//! Why a request failed.

use std::fmt;
use std::io::{self, ErrorKind};

use nix::libc;

use super::class::Status;

/// The cause of a failed request.
///
/// The last three are failures of the machine that generates the load, see [`Cause::remedy`]: they
/// say nothing about the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Nobody listens at the address.
    ConnectRefused,
    /// The network gave up connecting.
    ConnectTimeout,
    /// There is no way to the address.
    ConnectUnreachable,
    /// Connecting failed for another reason.
    Connect,
    /// TLS was not agreed on.
    Tls,
    /// The target reset the connection.
    Reset,
    /// The target closed the connection before the answer was whole.
    ClosedEarly,
    /// The connection was lost for another reason.
    Network,
    /// No whole answer within the time limit.
    Timeout,
    /// The answer is not HTTP as this generator reads it.
    Malformed,
    /// The target opened no session; the status of its answer.
    NoSession(u16),
    /// The status of the answer.
    Status(u16),
    /// The answer has a good status and holds no token.
    NoToken,
    /// The answer has a good status and lacks a text that was expected.
    NoText,
    /// No local port was free for a new connection.
    LocalPorts,
    /// The limit of open files was reached.
    OpenFiles,
    /// There was no memory for a connection.
    SocketMemory,
}

impl Cause {
    /// The cause behind an error of connecting.
    pub(super) fn of_connecting(error: &io::Error) -> Self {
        Self::of_machine(error).unwrap_or_else(|| match error.kind() {
            ErrorKind::ConnectionRefused => Self::ConnectRefused,
            ErrorKind::TimedOut => Self::ConnectTimeout,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::ConnectUnreachable,
            ErrorKind::ConnectionReset => Self::Reset,
            _ => Self::Connect,
        })
    }

    /// The cause behind an error of a TLS handshake.
    pub(super) fn of_handshake(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidData => Self::Tls,
            _ => Self::of_connection(error),
        }
    }

    /// The cause behind an error of an established connection.
    pub(super) fn of_connection(error: &io::Error) -> Self {
        Self::of_machine(error).unwrap_or_else(|| match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::UnexpectedEof => Self::ClosedEarly,
            _ => Self::Network,
        })
    }

    /// The limit of this machine that an error stands for, if it does.
    pub(super) fn of_machine(error: &io::Error) -> Option<Self> {
        match error.raw_os_error()? {
            libc::EADDRNOTAVAIL | libc::EADDRINUSE => Some(Self::LocalPorts),
            libc::EMFILE | libc::ENFILE => Some(Self::OpenFiles),
            libc::ENOMEM | libc::ENOBUFS | libc::ENOSPC => Some(Self::SocketMemory),
            _ => None,
        }
    }

    /// What to do about a cause on the generator's side; none for a cause on the target's side.
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::LocalPorts => Some(
                "widen net.ipv4.ip_local_port_range, lower --rate, or measure where the target keeps connections alive",
            ),
            Self::OpenFiles => Some("raise the limit (ulimit -n), or lower --connections"),
            Self::SocketMemory => Some("free memory on this machine, or lower --connections"),
            _ => None,
        }
    }

    /// How a request without a good answer counts among the statuses.
    pub(super) const fn status(self) -> Status {
        match self {
            Self::Status(code) | Self::NoSession(code) => Status::Http(code),
            Self::NoToken | Self::NoText => Status::Http(200),
            Self::Malformed => Status::Malformed,
            Self::Timeout => Status::Timeout,
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectUnreachable
            | Self::Connect
            | Self::Tls
            | Self::Reset
            | Self::ClosedEarly
            | Self::Network
            | Self::LocalPorts
            | Self::OpenFiles
            | Self::SocketMemory => Status::Connection,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectRefused => "connect: refused",
            Self::ConnectTimeout => "connect: timed out",
            Self::ConnectUnreachable => "connect: unreachable",
            Self::Connect => "connect: other error",
            Self::Tls => "TLS handshake failed",
            Self::Reset => "reset by peer",
            Self::ClosedEarly => "closed early",
            Self::Network => "connection lost",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed answer",
            Self::NoSession(status) => return write!(f, "no session: status {status}"),
            Self::Status(status) => return write!(f, "status {status}"),
            Self::NoToken => "no token",
            Self::NoText => "expected text missing",
            Self::LocalPorts => "local ports used up",
            Self::OpenFiles => "open-file limit reached",
            Self::SocketMemory => "socket memory used up",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: i32, find: fn(&io::Error) -> Cause) -> Cause {
        find(&io::Error::from_raw_os_error(error))
    }

    #[test]
    fn what_the_machine_lacks_is_never_booked_on_the_target() {
        for (error, cause) in [
            (libc::EADDRNOTAVAIL, Cause::LocalPorts),
            (libc::EMFILE, Cause::OpenFiles),
            (libc::ENFILE, Cause::OpenFiles),
            (libc::ENOMEM, Cause::SocketMemory),
            (libc::ENOBUFS, Cause::SocketMemory),
        ] {
            for find in [Cause::of_connecting, Cause::of_handshake, Cause::of_connection] {
                assert_eq!(of(error, find), cause);
            }
            assert!(cause.remedy().is_some());
        }
    }

    #[test]
    fn errors_of_the_network_are_told_apart() {
        assert_eq!(of(libc::ECONNREFUSED, Cause::of_connecting), Cause::ConnectRefused);
        assert_eq!(of(libc::EHOSTUNREACH, Cause::of_connecting), Cause::ConnectUnreachable);
        assert_eq!(of(libc::ETIMEDOUT, Cause::of_connecting), Cause::ConnectTimeout);
        assert_eq!(of(libc::ECONNRESET, Cause::of_connection), Cause::Reset);
        assert_eq!(of(libc::ETIMEDOUT, Cause::of_connection), Cause::Network);
        let wrong = io::Error::new(ErrorKind::InvalidData, "no certificate");
        assert_eq!(Cause::of_handshake(&wrong), Cause::Tls);
        assert_eq!(of(libc::ECONNRESET, Cause::of_handshake), Cause::Reset);
        assert!(
            [Cause::Reset, Cause::Tls, Cause::Status(500)].iter().all(|c| c.remedy().is_none())
        );
    }
}
