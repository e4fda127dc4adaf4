//! A connection, plain or in TLS.
//!
//! A connection is blocking before the clock starts, and non-blocking under load, where calls
//! return `WouldBlock` instead of waiting.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use rustls::ClientConnection;

use super::stamp::{Received, Stamped};

/// A connection, plain or in TLS.
#[derive(Debug)]
pub(crate) enum Transport {
    Plain(Plain),
    Tls(Box<Tls>),
}

/// Text of the error when the server ends the handshake.
pub(super) const HUNG_UP: &str = "the server closed the connection during the TLS handshake; if it does not speak TLS, write http://";

/// The progress of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handshake {
    Done,
    WantsRead,
    WantsWrite,
}

impl Transport {
    /// Returns the socket of the connection.
    pub(crate) const fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(plain) => &plain.socket,
            Self::Tls(tls) => &tls.socket,
        }
    }

    /// Continues the handshake until it is done or has to wait.
    ///
    /// # Errors
    /// Returns an error if the handshake fails, for example because the certificate is not trusted.
    pub(crate) fn handshake(&mut self) -> io::Result<Handshake> {
        match self {
            Self::Plain(_) => Ok(Handshake::Done),
            Self::Tls(tls) => tls.handshake(),
        }
    }

    /// Reads the available bytes, with the stamp of the kernel if there is one.
    ///
    /// # Errors
    /// Returns the error of the connection, `WouldBlock` if nothing is there.
    pub(crate) fn receive(&mut self, out: &mut [u8]) -> io::Result<Received> {
        match self {
            Self::Plain(Plain { socket, stamped: Some(stamped) }) => stamped.read(socket, out),
            // One record of TLS may hold the end of one answer and come with data behind it.
            Self::Plain(_) | Self::Tls(_) => Ok(Received { count: self.read(out)?, stamp: None }),
        }
    }

    /// Returns true if received data, or the announced end of the data, is buffered and no socket
    /// event will tell of it.
    pub(crate) const fn has_more(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.unread > 0 || tls.closed,
        }
    }

    /// Returns true if the connection has a handshake, and one read may leave received data behind.
    pub(crate) const fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl Read for Transport {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.socket.read(out),
            Self::Tls(tls) => tls.read(out),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    /// Sends the accepted data. Until this succeeds, it may not have been sent.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.send(),
        }
    }
}

/// A socket without TLS.
#[derive(Debug)]
pub(crate) struct Plain {
    socket: TcpStream,
    /// None if the kernel does not stamp what arrives.
    stamped: Option<Stamped>,
}

impl Plain {
    pub(crate) fn new(socket: TcpStream) -> Self {
        let stamped = Stamped::on(&socket);
        Self { socket, stamped }
    }
}

/// A socket and its TLS session.
#[derive(Debug)]
pub(crate) struct Tls {
    socket: TcpStream,
    session: ClientConnection,
    /// Number of decrypted bytes that are not yet read.
    unread: usize,
    /// True if the server has announced the end of its data.
    closed: bool,
}

impl Tls {
    pub(crate) const fn new(socket: TcpStream, session: ClientConnection) -> Self {
        Self { socket, session, unread: 0, closed: false }
    }

    fn handshake(&mut self) -> io::Result<Handshake> {
        loop {
            match self.send() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Handshake::WantsWrite);
                }
                sent => sent?,
            }
            if !self.session.is_handshaking() {
                return Ok(Handshake::Done);
            }
            match self.receive() {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, HUNG_UP)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(Handshake::WantsRead);
                }
                received => received?,
            };
        }
    }

    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(out) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => {
                    // A connection that ends without notice (RFC 8446 section 6.1) is an error,
                    // because data may be cut off.
                    let count = read?;
                    self.unread = self.unread.saturating_sub(count);
                    return Ok(count);
                }
            }
            self.receive()?;
            // Sends the reply to a record that held no data, if there is one. A reply that cannot
            // be sent now goes with the next request.
            match self.send() {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.session.writer().write(bytes)?;
        match self.send() {
            Err(error) if error.kind() == ErrorKind::WouldBlock && count > 0 => Ok(count),
            sent => sent.map(|()| count),
        }
    }

    /// Receives the available data from the socket and returns the number of bytes.
    fn receive(&mut self) -> io::Result<usize> {
        let count = loop {
            match self.session.read_tls(&mut self.socket) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        match self.session.process_new_packets() {
            Ok(state) => {
                self.unread = state.plaintext_bytes_to_read();
                self.closed = state.peer_has_closed();
                Ok(count)
            }
            Err(error) => {
                // Tells the server the reason, if possible.
                let _ = self.send();
                Err(io::Error::new(ErrorKind::InvalidData, error))
            }
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                sent => drop(sent?),
            }
        }
        Ok(())
    }
}
