//! The minimal server: wait, read, write.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd as _};
use std::sync::Arc;

use memchr::memmem::Finder;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use crate::answers::Answers;

/// The key of the listener. The key of a connection is the number of its file.
const LISTENER: u64 = u64::MAX;

/// The most events taken per wait: as many as one thread has ready under the loads used here.
const EVENTS: usize = 256;

/// The size of one read. A token request is below 1 kB; a longer one arrives in several reads.
const READ_BYTES: usize = 4096;

/// The end of a request without a body.
const END: &[u8] = b"\r\n\r\n";

/// Answers every request of one listener.
///
/// A read that ends in an empty line is answered once for each empty line in it. So clients may send
/// no bodies, and may pipeline only what arrives as a whole. A connection that cannot take a whole
/// answer at once is closed.
///
/// # Errors
/// Returns an error when the listener fails.
pub(crate) fn serve(listener: TcpListener, answers: Arc<Answers>) -> anyhow::Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    watch(&poll, &listener, LISTENER)?;
    let mut answering = Answering { answers, ends: Finder::new(END), buffer: vec![0; READ_BYTES] };
    let mut connections = Connections { listener, open: Vec::new() };
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        match epoll::wait(&poll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let key = event.data.u64();
            if key == LISTENER {
                while let Some(connection) = connections.accept()? {
                    watch(&poll, &connection.stream, connection.key())?;
                    connections.keep(connection);
                }
            } else if !connections.of(key).is_some_and(|one| answering.answer(one)) {
                // Closing the socket also removes it from the poll.
                connections.close(key);
            }
        }
    }
}

fn watch(poll: &impl AsFd, source: &impl AsFd, key: u64) -> std::io::Result<()> {
    epoll::add(poll, source, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?;
    Ok(())
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    peer: IpAddr,
}

impl Connection {
    fn key(&self) -> u64 {
        u64::try_from(self.stream.as_raw_fd()).unwrap_or_default()
    }
}

/// The open connections of a listener, at the number of their file.
#[derive(Debug)]
struct Connections {
    listener: TcpListener,
    open: Vec<Option<Connection>>,
}

impl Connections {
    /// Accepts the next connection, if there is one.
    fn accept(&self) -> std::io::Result<Option<Connection>> {
        match self.listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(Some(Connection { stream, peer: peer.ip() }))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn keep(&mut self, connection: Connection) {
        let place = place(connection.key());
        if self.open.len() <= place {
            self.open.resize_with(place + 1, || None);
        }
        if let Some(free) = self.open.get_mut(place) {
            *free = Some(connection);
        }
    }

    fn of(&mut self, key: u64) -> Option<&mut Connection> {
        self.open.get_mut(place(key))?.as_mut()
    }

    fn close(&mut self, key: u64) {
        if let Some(closed) = self.open.get_mut(place(key)) {
            *closed = None;
        }
    }
}

fn place(key: u64) -> usize {
    usize::try_from(key).unwrap_or(usize::MAX)
}

/// State of a thread that answers.
#[derive(Debug)]
struct Answering {
    answers: Arc<Answers>,
    ends: Finder<'static>,
    buffer: Vec<u8>,
}

impl Answering {
    /// Reads once and writes once. Returns true if the connection stays open.
    fn answer(&mut self, connection: &mut Connection) -> bool {
        let length = match connection.stream.read(&mut self.buffer) {
            Ok(0) => return false,
            Ok(length) => length,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        let read = self.buffer.get(..length).unwrap_or_default();
        if !read.ends_with(END) {
            return true;
        }
        let answer = self.answers.raw(self.answers.number(read, connection.peer));
        match self.ends.find_iter(read).count() {
            1 => write(&mut connection.stream, answer),
            requests => write(&mut connection.stream, &answer.repeat(requests)),
        }
    }
}

/// Returns true if all bytes were taken.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write(bytes).is_ok_and(|written| written == bytes.len())
}
