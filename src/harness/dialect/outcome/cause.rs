//! Causes of failed requests.

use std::fmt;
use std::io::{self, ErrorKind};

use nix::libc;

use super::flaw::Flaw;
use super::status::Status;
use super::system::SystemError;
use super::tls::TlsFault;
use crate::harness::dialect::response::{self, AnswerError, Extent};

/// Cause of a failed request.
///
/// The last four are failures of the generator's machine and say nothing about the target; see
/// [`Cause::remedy`]. Some causes hold a detail, such as a number of bytes. A detail of `None` stands
/// for every detail beyond those that are told apart; see [`Cause::in_general`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Nothing listens at the address.
    ConnectRefused,
    /// The network gave up connecting.
    ConnectTimeout,
    /// No route leads to the address.
    ConnectUnreachable,
    /// Connecting failed for another reason.
    Connect(SystemError),
    /// The target and the generator did not agree on TLS, or the TLS connection broke.
    Tls(TlsFault),
    /// The target reset the connection after this number of bytes of the answer.
    Reset(Option<u64>),
    /// The target closed the connection after this number of bytes of the answer.
    Closed(Option<u64>),
    /// The target closed the connection within the body of the answer.
    BodyEnds(Option<Extent>),
    /// The connection was lost for another reason.
    Network(SystemError),
    /// The timeout ended this wait.
    Timeout(Wait),
    /// The answer is not HTTP that this generator can parse.
    Malformed(Flaw),
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
    /// A rule of this machine forbids the connection.
    LocalRule,
}

/// Step of a request that waits for the network or the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wait {
    /// The first byte of the answer.
    Answer,
    /// A new connection to the target.
    Connection,
    /// A connection that is not in use.
    FreeConnection,
    /// The TLS handshake.
    Handshake,
    /// The end of an answer that has begun.
    Rest,
    /// The target's reading of the request.
    Sending,
}

impl Cause {
    /// Returns the cause behind an error of connecting.
    pub(crate) fn of_connecting(error: &io::Error) -> Self {
        Self::of_machine(error).unwrap_or_else(|| match error.kind() {
            ErrorKind::ConnectionRefused => Self::ConnectRefused,
            ErrorKind::TimedOut => Self::ConnectTimeout,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::ConnectUnreachable,
            ErrorKind::ConnectionReset => Self::Reset(Some(0)),
            // A firewall, a route that prohibits, or a full table of tracked connections.
            ErrorKind::PermissionDenied => Self::LocalRule,
            _ => Self::Connect(SystemError::of(error)),
        })
    }

    /// Returns the cause behind an error of a TLS handshake.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        TlsFault::of_handshake(error).map_or_else(|| Self::of_connection(error, &[]), Self::Tls)
    }

    /// Returns the cause behind an error of an established connection, on which `input` of the answer
    /// had arrived.
    pub(crate) fn of_connection(error: &io::Error, input: &[u8]) -> Self {
        Self::of_machine(error).or_else(|| TlsFault::of(error).map(Self::Tls)).unwrap_or_else(
            || match error.kind() {
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    Self::Reset(Some(input.len() as u64))
                }
                ErrorKind::UnexpectedEof => Self::of_end(input),
                _ => Self::Network(SystemError::of(error)),
            },
        )
    }

    /// Returns the cause if the target closed the connection after `input`.
    pub(crate) fn of_end(input: &[u8]) -> Self {
        match response::extent(input) {
            Some(extent) => Self::BodyEnds(Some(extent)),
            None => Self::Closed(Some(input.len() as u64)),
        }
    }

    /// Returns the cause if `input` is no answer.
    pub(crate) fn of_answer(error: &AnswerError, input: &[u8]) -> Self {
        Self::Malformed(Flaw::of(error, input))
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

    /// Returns the cause without its detail, if it has one that can take many values.
    #[must_use]
    pub const fn in_general(self) -> Self {
        match self {
            Self::Reset(_) => Self::Reset(None),
            Self::Closed(_) => Self::Closed(None),
            Self::BodyEnds(_) => Self::BodyEnds(None),
            Self::Malformed(Flaw::StatusLine(_)) => Self::Malformed(Flaw::StatusLine(None)),
            plain => plain,
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
            Self::LocalRule => Some(
                "check this machine's firewall and routes, and its table of tracked connections (net.netfilter.nf_conntrack_max)",
            ),
            _ => None,
        }
    }

    /// Returns the status under which a request with this cause is counted.
    pub(crate) const fn status(self) -> Status {
        match self {
            Self::Status(code) | Self::NoSession(code) => Status::Http(code),
            Self::NoToken | Self::NoText => Status::Http(200),
            Self::Malformed(_) => Status::Malformed,
            Self::Timeout(_) => Status::Timeout,
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectUnreachable
            | Self::Connect(_)
            | Self::Tls(_)
            | Self::Reset(_)
            | Self::Closed(_)
            | Self::BodyEnds(_)
            | Self::Network(_)
            | Self::LocalPorts
            | Self::OpenFiles
            | Self::SocketMemory
            | Self::LocalRule => Status::Connection,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "connect: {error}"),
            Self::Tls(fault) => fault.fmt(f),
            Self::Reset(bytes) => after(f, "reset", *bytes),
            Self::Closed(bytes) => after(f, "closed", *bytes),
            Self::BodyEnds(Some(Extent { arrived, whole: Some(whole) })) => {
                write!(f, "body: ends after {arrived} of {whole} bytes")
            }
            Self::BodyEnds(Some(Extent { arrived, whole: None })) => {
                write!(f, "body: ends after {arrived} bytes, unfinished")
            }
            Self::Network(error) => write!(f, "connection lost: {error}"),
            Self::Timeout(wait) => write!(f, "timeout {}", wait.as_str()),
            Self::Malformed(flaw) => flaw.fmt(f),
            Self::NoSession(status) => write!(f, "no session: status {status}"),
            Self::Status(status) => write!(f, "status {status}"),
            plain => f.write_str(plain.as_str()),
        }
    }
}

impl Cause {
    /// Returns the text of a cause without a detail; empty for the others.
    const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectRefused => "connect: refused",
            Self::ConnectTimeout => "connect: timed out",
            Self::ConnectUnreachable => "connect: unreachable",
            Self::BodyEnds(None) => "body: ends after other numbers of bytes",
            Self::NoToken => "no token",
            Self::NoText => "expected text missing",
            Self::LocalPorts => "local ports used up",
            Self::OpenFiles => "open-file limit reached",
            Self::SocketMemory => "socket memory used up",
            Self::LocalRule => "connect: forbidden by this machine",
            _ => "",
        }
    }
}

impl Wait {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "waiting for an answer",
            Self::Connection => "waiting for a connection",
            Self::FreeConnection => "waiting for a free connection",
            Self::Handshake => "in the TLS handshake",
            Self::Rest => "waiting for the rest of an answer",
            Self::Sending => "sending the request",
        }
    }
}

fn after(f: &mut fmt::Formatter<'_>, what: &str, bytes: Option<u64>) -> fmt::Result {
    match bytes {
        Some(1) => write!(f, "{what} after 1 byte"),
        Some(bytes) => write!(f, "{what} after {bytes} bytes"),
        None => write!(f, "{what} after other numbers of bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: i32, find: fn(&io::Error) -> Cause) -> Cause {
        find(&io::Error::from_raw_os_error(error))
    }

    fn of_connection(error: &io::Error) -> Cause {
        Cause::of_connection(error, b"HTTP/1.1")
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
            for find in [Cause::of_connecting, Cause::of_handshake, of_connection] {
                assert_eq!(of(error, find), cause);
            }
            assert!(cause.remedy().is_some());
        }
        for error in [libc::EPERM, libc::EACCES] {
            assert_eq!(of(error, Cause::of_connecting), Cause::LocalRule);
        }
        assert!(Cause::LocalRule.remedy().is_some());
    }

    #[test]
    fn errors_of_the_network_are_told_apart() {
        assert_eq!(of(libc::ECONNREFUSED, Cause::of_connecting), Cause::ConnectRefused);
        assert_eq!(of(libc::EHOSTUNREACH, Cause::of_connecting), Cause::ConnectUnreachable);
        assert_eq!(of(libc::ETIMEDOUT, Cause::of_connecting), Cause::ConnectTimeout);
        assert_eq!(of(libc::ECONNRESET, of_connection), Cause::Reset(Some(8)));
        let network = of(libc::ETIMEDOUT, of_connection);
        assert!(matches!(network, Cause::Network(_)), "{network}");
        assert!(network.to_string().contains("(ETIMEDOUT)"), "{network}");
        let wrong = io::Error::new(ErrorKind::InvalidData, "no certificate");
        assert_eq!(Cause::of_handshake(&wrong), Cause::Tls(TlsFault::Protocol));
        assert_eq!(of(libc::ECONNRESET, Cause::of_handshake), Cause::Tls(TlsFault::Reset));
        let ended = io::Error::from(ErrorKind::UnexpectedEof);
        assert_eq!(Cause::of_handshake(&ended), Cause::Tls(TlsFault::Closed));
        assert!(
            [Cause::Reset(None), Cause::Tls(TlsFault::Reset), Cause::Status(500)]
                .iter()
                .all(|c| c.remedy().is_none())
        );
    }

    #[test]
    fn an_early_end_says_what_had_arrived() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 812\r\n\r\n";
        for (input, expected) in [
            (String::new(), "closed after 0 bytes"),
            ("H".to_owned(), "closed after 1 byte"),
            ("HTTP/1.1 2".to_owned(), "closed after 10 bytes"),
            (format!("{head}{}", "x".repeat(100)), "body: ends after 100 of 812 bytes"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab".to_owned(),
                "body: ends after 5 bytes, unfinished",
            ),
        ] {
            assert_eq!(Cause::of_end(input.as_bytes()).to_string(), expected);
        }
    }

    #[test]
    fn every_cause_has_a_text_and_only_details_without_end_are_dropped() {
        for (cause, general) in [
            (Cause::Reset(Some(812)), "reset after other numbers of bytes"),
            (Cause::Closed(Some(0)), "closed after other numbers of bytes"),
            (
                Cause::of_end(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
                "body: ends after other numbers of bytes",
            ),
            (Cause::Malformed(Flaw::StatusLine(None)), "status line: other lines"),
            (Cause::Status(503), "status 503"),
            (Cause::LocalPorts, "local ports used up"),
            (Cause::Timeout(Wait::Answer), "timeout waiting for an answer"),
        ] {
            assert_eq!(cause.in_general().to_string(), general);
            assert_eq!(cause.in_general().in_general(), cause.in_general());
        }
    }
}
