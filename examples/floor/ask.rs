//! The minimal client: wait, read, write. It keeps one request in flight on each connection, and records nothing.
#![expect(clippy::print_stdout, reason = "the counts are the output")]
#![expect(clippy::disallowed_methods, reason = "a client of its own clock")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::pin;

/// The most events taken per wait.
const EVENTS: usize = 256;
/// The size of one read, in which an answer has to fit.
const READ_BYTES: usize = 16 * 1024;
/// The longest wait for an answer. A server that takes longer has stopped.
const WAIT: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Address of the server
    server: SocketAddr,
    /// Seconds to go on for
    #[arg(long, default_value = "5")]
    seconds: u64,
    /// Connections, each with one request in flight
    #[arg(long, default_value = "64")]
    connections: usize,
    /// The processor that the client is pinned to
    #[arg(long)]
    cpu: Option<usize>,
}

/// Asks for as long as the options say. Prints the number of answers and the seconds as a line of JSON.
///
/// # Errors
/// Returns an error when the server cannot be reached, closes a connection or stops answering.
pub(crate) fn ask(options: &Options) -> anyhow::Result<()> {
    if let Some(cpu) = options.cpu {
        pin(cpu)?;
    }
    let request = format!("GET / HTTP/1.1\r\nHost: {}\r\nMetadata: true\r\n\r\n", options.server);
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut connections = connect(options, &poll)?;
    let begun = Instant::now();
    for connection in &mut connections {
        connection.write_all(request.as_bytes())?;
    }
    let until = begun + Duration::from_secs(options.seconds);
    let answers = go_on(&poll, &mut connections, request.as_bytes(), until)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!("{{\"requests\": {answers}, \"seconds\": {seconds}}}");
    Ok(())
}

/// Opens the connections. The key of each is its place.
fn connect(options: &Options, poll: &std::os::fd::OwnedFd) -> anyhow::Result<Vec<TcpStream>> {
    let open = |place: usize| {
        let connection = TcpStream::connect(options.server)
            .with_context(|| format!("cannot connect to {}", options.server))?;
        connection.set_nodelay(true)?;
        connection.set_nonblocking(true)?;
        let key = epoll::EventData::new_u64(u64::try_from(place)?);
        epoll::add(poll, &connection, key, epoll::EventFlags::IN)?;
        Ok(connection)
    };
    (0..options.connections).map(open).collect()
}

/// Sends a request for each answer that comes. Returns the number of answers.
fn go_on(
    poll: &std::os::fd::OwnedFd,
    connections: &mut [TcpStream],
    request: &[u8],
    until: Instant,
) -> anyhow::Result<u64> {
    let mut answers = 0;
    let mut buffer = vec![0; READ_BYTES];
    let mut events = Vec::with_capacity(EVENTS);
    while Instant::now() < until {
        match epoll::wait(poll, spare_capacity(&mut events), Some(&WAIT)) {
            Ok(0) => bail!("the server stopped answering"),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let place = usize::try_from(event.data.u64())?;
            let connection = connections.get_mut(place).context("an unknown connection")?;
            match connection.read(&mut buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            answers += 1;
            connection.write_all(request)?;
        }
    }
    Ok(answers)
}
