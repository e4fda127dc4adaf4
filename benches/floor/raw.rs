//! The minimal server: wait, read, write.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

/// The key of the listener. The keys of connections count up from the next number.
const LISTENER: u64 = 0;

/// The most events taken per wait: as many as one thread has ready under the loads used here.
const EVENTS: usize = 256;

/// The size of one read. A token request is below 1 kB; a longer one arrives in several reads.
const READ_BYTES: usize = 4096;

/// Answers every request with `response`.
///
/// A request ends where a read ends in an empty line, so clients may not pipeline and may not send
/// bodies. A connection that cannot take the whole response at once is closed.
pub(crate) fn serve(listener: &TcpListener, response: &[u8]) -> anyhow::Result<()> {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    watch(&poll, listener, LISTENER)?;
    let mut connections = HashMap::new();
    let mut next = LISTENER + 1;
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        match epoll::wait(&poll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let key = event.data.u64();
            if key == LISTENER {
                while let Some(stream) = accept(listener)? {
                    watch(&poll, &stream, next)?;
                    connections.insert(next, stream);
                    next += 1;
                }
            } else if !connections.get_mut(&key).is_some_and(|stream| answer(stream, response)) {
                // Closing the socket also removes it from the poll.
                connections.remove(&key);
            }
        }
    }
}

fn watch(
    poll: &impl std::os::fd::AsFd,
    source: &impl std::os::fd::AsFd,
    key: u64,
) -> std::io::Result<()> {
    epoll::add(poll, source, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?;
    Ok(())
}

fn accept(listener: &TcpListener) -> std::io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            Ok(Some(stream))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads once and writes once. Returns true if the connection stays open.
fn answer(stream: &mut TcpStream, response: &[u8]) -> bool {
    let mut buffer = [0; READ_BYTES];
    match stream.read(&mut buffer) {
        Ok(0) => false,
        Ok(length) if buffer.get(..length).is_some_and(|read| read.ends_with(b"\r\n\r\n")) => {
            stream.write(response).is_ok_and(|written| written == response.len())
        }
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}
