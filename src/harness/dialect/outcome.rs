//! Outcomes of requests: the status at the end, and the cause of a failure.

use std::fmt;
use std::io::{self, ErrorKind};

use nix::libc;

/// Status with which a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// The HTTP answer was complete and has this status.
    Http(u16),
    /// The connection could not be made, or was lost before the answer was complete.
    Connection,
    /// The answer was not HTTP that this generator can parse.
    Malformed,
    /// No answer arrived within the timeout.
    Timeout,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(status) => status.fmt(f),
            Self::Connection => f.write_str("connection"),
            Self::Malformed => f.write_str("malformed"),
            Self::Timeout => f.write_str("timeout"),
        }
    }
}

/// Cause of a failed request.
///
/// The last three are failures of the generator's machine and say nothing about the target; see
/// [`Cause::remedy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Nothing listens at the address.
    ConnectRefused,
    /// The network gave up connecting.
    ConnectTimeout,
    /// No route leads to the address.
    ConnectUnreachable,
    /// Connecting failed for another reason.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The target reset the connection.
    Reset,
    /// The target closed the connection before the answer was complete.
    ClosedEarly,
    /// The connection was lost for another reason.
    Network,
    /// No complete answer arrived within the timeout.
    Timeout,
    /// The answer is not HTTP that this generator can parse.
    Malformed,
    /// The target opened no session. Holds the status of its answer.
    NoSession(u16),
    /// The answer has this status, which is a failure.
    Status(u16),
    /// The answer has a good status but holds no token.
    NoToken,
    /// The answer has a good status but lacks an expected text.
    NoText,
    /// No local port was free for a new connection.
    LocalPorts,
    /// The limit of open files was reached.
    OpenFiles,
    /// No memory was left for a connection.
    SocketMemory,
}

impl Cause {
    /// Returns the cause behind an error of connecting.
    pub(crate) fn of_connecting(error: &io::Error) -> Self {
        Self::of_machine(error).unwrap_or_else(|| match error.kind() {
            ErrorKind::ConnectionRefused => Self::ConnectRefused,
            ErrorKind::TimedOut => Self::ConnectTimeout,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::ConnectUnreachable,
            ErrorKind::ConnectionReset => Self::Reset,
            _ => Self::Connect,
        })
    }

    /// Returns the cause behind an error of a TLS handshake.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidData => Self::Tls,
            _ => Self::of_connection(error),
        }
    }

    /// Returns the cause behind an error of an established connection.
    pub(crate) fn of_connection(error: &io::Error) -> Self {
        Self::of_machine(error).unwrap_or_else(|| match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Self::Reset,
            ErrorKind::UnexpectedEof => Self::ClosedEarly,
            _ => Self::Network,
        })
    }

    /// Returns the limit of this machine that an error reports, if it does.
    pub(crate) fn of_machine(error: &io::Error) -> Option<Self> {
        match error.raw_os_error()? {
            libc::EADDRNOTAVAIL | libc::EADDRINUSE => Some(Self::LocalPorts),
            libc::EMFILE | libc::ENFILE => Some(Self::OpenFiles),
            libc::ENOMEM | libc::ENOBUFS | libc::ENOSPC => Some(Self::SocketMemory),
            _ => None,
        }
    }

    /// Returns advice for a cause on the generator's side; `None` for a cause on the target's side.
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

    /// Returns the status under which a request with this cause is counted.
    pub(crate) const fn status(self) -> Status {
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
