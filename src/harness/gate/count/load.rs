//! The requests of a count: one after the other, on one connection, each when the server is idle again.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::idle::{IdleError, wait_until_idle};
use crate::base::ids::ClientId;
use crate::base::synthetic::Synthetic;
use crate::harness::class::Class;
use crate::harness::dialect::protocol::Header;
use crate::harness::dialect::response::{Answer, AnswerError, Rest, parse};
use crate::harness::dialect::url::HttpUrl;

/// Reasons why a request was not answered as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The connection failed.
    #[error("the server does not take a request, or does not answer it")]
    Io(#[source] io::Error),
    /// The time limit of a request is over. Under Valgrind a busy machine can be the cause, as well as the server.
    #[error(
        "a request of class `{class}` was not answered within a minute under Valgrind; use a machine with less load, and see if the server answers without Valgrind"
    )]
    Slow {
        /// Class of the request.
        class: Class,
        /// Error of the system.
        source: io::Error,
    },
    /// The answer is not HTTP.
    #[error("the answer to a request of class `{class}` cannot be read")]
    Answer {
        /// Class of the request.
        class: Class,
        /// The fault of the answer.
        source: AnswerError,
    },
    /// The answer is another one.
    #[error("a request of class `{class}` was answered with {said}")]
    Wrong {
        /// Class of the request.
        class: Class,
        /// The status, and the class if the answer names one.
        said: String,
    },
    /// The server is not known to be idle.
    #[error(transparent)]
    Idle(#[from] IdleError),
}

impl LoadError {
    /// Sorts an error of the connection that carries a request of this class.
    fn of_io(class: Class, source: io::Error) -> Self {
        match source.kind() {
            // The first is of a connect, the second of a read or a write (SO_RCVTIMEO in socket(7)).
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::Slow { class, source },
            _ => Self::Io(source),
        }
    }

    /// Returns true if the server failed. A time that is over, and a server that never rests, say only that it
    /// cannot be counted here.
    pub(crate) const fn is_of_server(&self) -> bool {
        !matches!(self, Self::Slow { .. } | Self::Idle(IdleError::Busy))
    }
}

/// Sender of the requests that are asked of a server.
#[derive(Clone, Debug)]
pub(crate) enum Requests {
    /// Token requests to a broker of this world.
    Broker(Synthetic),
    /// Plain GETs with these header fields.
    Get(Vec<Header>),
}

impl Requests {
    /// Returns the classes of requests whose work is told apart.
    pub(crate) const fn classes(&self) -> &'static [Class] {
        match self {
            Self::Broker(_) => &[Class::Hit, Class::Miss, Class::Refused],
            Self::Get(_) => &[Class::All],
        }
    }

    /// Returns the address from which the requests come: that of the only VM.
    fn source(&self) -> Option<Ipv4Addr> {
        match self {
            Self::Broker(world) => Some(world.address(0)),
            Self::Get(_) => None,
        }
    }

    /// Returns request number `number`. All requests of a class are equally long.
    fn text(&self, url: &HttpUrl, class: Class, number: u32) -> Vec<u8> {
        match self {
            Self::Broker(world) => {
                let selector = selector(world, class, number);
                format!(
                    "GET {PATH}{selector} HTTP/1.1\r\nHost: {}\r\n{HEAD}x-ms-client-request-id: {number:08x}-0000-4000-8000-000000000000\r\n\r\n",
                    url.authority
                )
                .into_bytes()
            }
            Self::Get(headers) => get(url, headers),
        }
    }

    /// Returns true if a request of this class should be answered like this.
    fn expects(&self, class: Class, answer: &Answer) -> bool {
        match (self, class) {
            (Self::Get(_), _) => (200..300).contains(&answer.status),
            (Self::Broker(_), Class::Refused) => answer.status == 400,
            (Self::Broker(_), _) => answer.status == 200 && answer.cache == Some(class),
        }
    }
}

/// Path and query of a token request, up to the selector of an identity.
const PATH: &str =
    "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/";

/// Header fields of azure-identity 1.27.0 for Python, except for `Host` and the id of the request. An SDK's head
/// is what a broker reads most of the time.
const HEAD: &str = "User-Agent: azsdk-python-identity/1.27.0 Python/3.12.3 (Linux-6.8.0-45-generic-x86_64-with-glibc2.39)\r\n\
Accept-Encoding: gzip, deflate\r\n\
Accept: */*\r\n\
Connection: keep-alive\r\n\
Metadata: true\r\n\
x-client-SKU: MSAL.Python\r\n\
x-client-Ver: 1.39.0\r\n";

/// Returns the parameter that makes a request one of this class: none for the identity that has been asked for
/// before, an identity that nobody has asked for, or one that does not exist.
fn selector(world: &Synthetic, class: Class, number: u32) -> String {
    let id = match class {
        Class::Miss => world.user_assigned(0, number % world.user_assigned.max(1)).client_id,
        Class::Refused => {
            let [a, b, c, d] = number.to_be_bytes();
            ClientId::from_bytes([a, b, c, d, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 0])
        }
        _ => return String::new(),
    };
    format!("&client_id={id}")
}

fn get(url: &HttpUrl, headers: &[Header]) -> Vec<u8> {
    let path = if url.path.is_empty() { "/" } else { &url.path };
    let mut text = format!("GET {path} HTTP/1.1\r\n").into_bytes();
    if !headers.iter().any(|header| header.is("host")) {
        text.extend_from_slice(format!("Host: {}\r\n", url.authority).as_bytes());
    }
    for header in headers {
        text.extend_from_slice(header.name.as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(header.value.expose());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text
}

/// Caller of a server that is counted.
#[derive(Debug)]
pub(crate) struct Caller<'a> {
    requests: &'a Requests,
    url: HttpUrl,
    pid: u32,
    /// Connection, kept while the server keeps it.
    socket: Option<TcpStream>,
    /// Number of requests so far, by the index of their class.
    sent: [u32; Class::ALL.len()],
    input: Vec<u8>,
}

/// Limit for one answer. Under Valgrind, beside a neighbour, a signature may take seconds.
const TIMEOUT: Duration = Duration::from_mins(1);

impl<'a> Caller<'a> {
    /// Creates a caller of the process `pid`, which listens at `url`.
    pub(crate) const fn new(requests: &'a Requests, url: HttpUrl, pid: u32) -> Self {
        Self { requests, url, pid, socket: None, sent: [0; Class::ALL.len()], input: Vec::new() }
    }

    /// Makes the answers to a class what they are from then on: the first question for a token is a miss.
    ///
    /// # Errors
    /// Returns [`LoadError`] when there is no answer, or another one.
    pub(crate) fn prepare(&mut self, class: Class) -> Result<(), LoadError> {
        wait_until_idle(self.pid)?;
        if class == Class::Hit {
            let text = self.requests.text(&self.url, class, 0);
            self.ask(Class::Miss, &text)?;
            wait_until_idle(self.pid)?;
        }
        Ok(())
    }

    /// Sends `count` requests of a class, and waits after each until the server is idle.
    ///
    /// # Errors
    /// Returns [`LoadError`] at the first answer that is not as it should be.
    pub(crate) fn send(&mut self, class: Class, count: u32) -> Result<(), LoadError> {
        for _ in 0..count {
            let sent = self.sent.get(class.index()).copied().unwrap_or_default();
            let text = self.requests.text(&self.url, class, sent);
            if let Some(of_class) = self.sent.get_mut(class.index()) {
                *of_class = sent.wrapping_add(1);
            }
            self.ask(class, &text)?;
            wait_until_idle(self.pid)?;
        }
        Ok(())
    }

    fn ask(&mut self, class: Class, text: &[u8]) -> Result<(), LoadError> {
        let failed = |source| LoadError::of_io(class, source);
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => connect(self.url.address, self.requests.source()).map_err(failed)?,
        };
        socket.write_all(text).map_err(failed)?;
        let answer = read(&mut socket, &mut self.input).map_err(failed)?;
        let answer = answer.map_err(|source| LoadError::Answer { class, source })?;
        if !self.requests.expects(class, &answer) {
            let cache = answer.cache.map_or(String::new(), |cache| format!(" ({cache})"));
            return Err(LoadError::Wrong { class, said: format!("{}{cache}", answer.status) });
        }
        self.socket = answer.keep_alive.then_some(socket);
        Ok(())
    }
}

fn connect(address: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    if let Some(source) = source {
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    socket.connect_timeout(&address.into(), TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    Ok(socket.into())
}

/// Reads one answer.
fn read(socket: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<Result<Answer, AnswerError>> {
    input.clear();
    let mut piece = [0; 16 * 1024];
    loop {
        let count = socket.read(&mut piece)?;
        input.extend_from_slice(piece.get(..count).unwrap_or_default());
        let rest = if count == 0 { Rest::Ended } else { Rest::Open };
        match parse(input, rest) {
            Ok(Some(answer)) => return Ok(Ok(answer)),
            Ok(None) if count == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(None) => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLD: Synthetic = Synthetic { vms: 1, user_assigned: 9, seed: 1 };

    fn text(class: Class, number: u32) -> String {
        let url = "http://127.0.0.1:8169".parse().unwrap();
        String::from_utf8(Requests::Broker(WORLD).text(&url, class, number)).unwrap()
    }

    #[test]
    fn requests_of_a_class_are_equally_long_and_only_misses_and_refusals_name_an_identity() {
        for class in Requests::Broker(WORLD).classes() {
            let lengths = [0, 1, 7].map(|number| text(*class, number).len());
            assert!(lengths.iter().all(|length| *length == lengths[0]), "{class}: {lengths:?}");
        }
        assert!(!text(Class::Hit, 3).contains("client_id="));
        let of_world = WORLD.user_assigned(0, 3).client_id.to_string();
        assert!(text(Class::Miss, 3).contains(&format!("&client_id={of_world} ")));
        let ids: Vec<String> =
            (0..9).map(|n| WORLD.user_assigned(0, n).client_id.to_string()).collect();
        assert!(ids.iter().all(|id| !text(Class::Refused, 3).contains(id)));
    }

    #[test]
    fn a_time_limit_and_a_server_that_never_rests_are_no_faults_of_the_server() {
        let io = |kind: io::ErrorKind| LoadError::of_io(Class::All, kind.into());
        for of_server in [
            io(io::ErrorKind::ConnectionReset),
            io(io::ErrorKind::UnexpectedEof),
            IdleError::Ended.into(),
            LoadError::Wrong { class: Class::All, said: "500".to_owned() },
        ] {
            assert!(of_server.is_of_server(), "{of_server}");
        }
        let (read, connect) = (io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut);
        for unknown in [io(read), io(connect), IdleError::Busy.into()] {
            assert!(!unknown.is_of_server(), "{unknown}");
        }
    }

    #[test]
    fn a_plain_request_has_the_path_the_host_and_the_headers_of_the_user() {
        let url = "http://127.0.0.1:81/a?b".parse().unwrap();
        let headers = vec!["Metadata: true".parse().unwrap()];
        let text = Requests::Get(headers).text(&url, Class::All, 0);
        assert_eq!(text, b"GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:81\r\nMetadata: true\r\n\r\n");
    }
}
