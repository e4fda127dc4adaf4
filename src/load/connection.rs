//! One keep-alive connection: at most one request on it, the rest waiting with their times kept.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use socket2::{Domain, Protocol, Socket, Type};

use super::class::{Class, Status};
use super::recorder::{Ended, Recorder};
use super::request::RequestWriter;
use super::response::{self, Answer};
use super::sample::Reservoir;
use super::workload::Ask;
use crate::clock::Monotonic;
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
    fn begin(&self, vm: u32) -> io::Result<TcpStream> {
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

/// Which classes a target's answers fall into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// The broker says in a header what it did.
    Broker,
    /// Everything is in the class `all`.
    Foreign,
}

impl Classes {
    fn of(self, status: Status, cache: Option<Class>) -> Class {
        match (self, status) {
            (Self::Foreign, _) => Class::All,
            (Self::Broker, Status::Http(200)) => cache.unwrap_or(Class::Error),
            (Self::Broker, Status::Http(429)) => Class::Throttled,
            (Self::Broker, _) => Class::Error,
        }
    }
}

/// What the connections of one generator thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Monotonic,
    pub(super) dial: Dial,
    pub(super) requests: RequestWriter,
    pub(super) classes: Classes,
    pub(super) recorder: Recorder,
    pub(super) reservoir: Reservoir,
    pub(super) epoll: OwnedFd,
    /// Requests that are due and have not ended.
    pub(super) outstanding: u64,
    pub(super) timeout_ns: u64,
    pub(super) scratch: Vec<u8>,
}

/// What one read takes at most; a token answer is 2 KB.
pub(super) const SCRATCH_BYTES: usize = 64 * 1024;

/// A request that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) ask: Ask,
    pub(super) intended_ns: u64,
    pub(super) acted_ns: u64,
}

/// The request on a connection.
#[derive(Clone, Copy, Debug)]
struct Current {
    due: Due,
    begun_ns: u64,
    written_ns: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Idle,
    Reading,
    Writing,
}

/// A place for one connection at a time, and the queue in front of it.
///
/// When a world has more VMs than there are places, a place serves several VMs and connects anew,
/// from the other address, whenever the VM changes.
#[derive(Debug)]
pub(super) struct Place {
    token: u64,
    vm: u32,
    stream: Option<TcpStream>,
    phase: Phase,
    queue: VecDeque<Due>,
    current: Option<Current>,
    output: Vec<u8>,
    output_done: usize,
    /// The beginning of an answer that came in pieces.
    input: Vec<u8>,
}

impl Place {
    /// A connected place; `token` comes back with its events.
    pub(super) fn connect(token: u64, vm: u32, dial: &Dial, epoll: &OwnedFd) -> io::Result<Self> {
        let stream = dial.wait(vm)?;
        epoll::add(epoll, &stream, EventData::new_u64(token), EventFlags::IN)?;
        Ok(Self {
            token,
            vm,
            stream: Some(stream),
            phase: Phase::Idle,
            queue: VecDeque::with_capacity(16),
            current: None,
            output: Vec::with_capacity(512),
            output_done: 0,
            input: Vec::new(),
        })
    }

    /// Takes a request that is due; writes it at once if the connection is free.
    pub(super) fn offer(&mut self, due: Due, shared: &mut Shared) {
        shared.outstanding += 1;
        self.queue.push_back(due);
        self.proceed(shared);
    }

    /// Handles an event of the connection.
    pub(super) fn ready(&mut self, shared: &mut Shared) {
        match self.phase {
            Phase::Connecting => self.connected(shared),
            Phase::Writing => self.write(shared),
            Phase::Idle | Phase::Reading => self.read(shared),
        }
        self.proceed(shared);
    }

    /// Gives up a request that has taken too long.
    pub(super) fn expire(&mut self, now_ns: u64, shared: &mut Shared) {
        let begun_ns = self.current.map_or(now_ns, |current| current.begun_ns);
        if now_ns.saturating_sub(begun_ns) > shared.timeout_ns {
            self.fail(Status::Timeout, shared);
            self.proceed(shared);
        }
    }

    /// Ends what is left and says how many measured requests were never written.
    pub(super) fn abandon(&mut self, shared: &mut Shared) -> u64 {
        let mut unsent = 0;
        match self.current {
            Some(current) if current.written_ns.is_none() => {
                unsent += u64::from(shared.recorder.measures(current.due.intended_ns));
            }
            Some(_) => self.fail(Status::Timeout, shared),
            None => {}
        }
        let waiting = self.queue.iter();
        unsent + waiting.filter(|due| shared.recorder.measures(due.intended_ns)).count() as u64
    }

    /// Starts waiting requests until one is on its way or none is left.
    fn proceed(&mut self, shared: &mut Shared) {
        while self.current.is_none() {
            let Some(due) = self.queue.pop_front() else { return };
            let begun_ns = shared.clock.now_ns();
            self.current = Some(Current { due, begun_ns, written_ns: None });
            shared.requests.write(&due.ask, &mut self.output);
            self.output_done = 0;
            let wrong_vm = shared.dial.per_vm.is_some() && self.vm != due.ask.vm;
            if self.stream.is_some() && !wrong_vm {
                self.write(shared);
            } else {
                self.vm = due.ask.vm;
                if self.reconnect(shared).is_err() {
                    self.fail(Status::Connection, shared);
                }
            }
        }
    }

    fn reconnect(&mut self, shared: &Shared) -> io::Result<()> {
        // Closing takes the old one out of the epoll set.
        self.stream = None;
        let stream = shared.dial.begin(self.vm)?;
        let token = EventData::new_u64(self.token);
        epoll::add(&shared.epoll, &stream, token, EventFlags::IN | EventFlags::OUT)?;
        self.stream = Some(stream);
        self.phase = Phase::Connecting;
        Ok(())
    }

    fn connected(&mut self, shared: &mut Shared) {
        let error = self.stream.as_ref().map(TcpStream::take_error);
        if !matches!(error, Some(Ok(None))) {
            return self.fail(Status::Connection, shared);
        }
        if self.watch(EventFlags::IN, shared).is_err() {
            return self.fail(Status::Connection, shared);
        }
        self.write(shared);
    }

    fn watch(&self, flags: EventFlags, shared: &Shared) -> io::Result<()> {
        let Some(stream) = &self.stream else { return Ok(()) };
        Ok(epoll::modify(&shared.epoll, stream, EventData::new_u64(self.token), flags)?)
    }

    fn write(&mut self, shared: &mut Shared) {
        loop {
            let rest = self.output.get(self.output_done..).unwrap_or_default();
            // Read before the call: on loopback the peer may answer while it has not yet returned.
            let now_ns = shared.clock.now_ns();
            let Some(stream) = &mut self.stream else { return };
            match stream.write(rest) {
                Ok(count) => self.output_done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return self.wait_to_write(shared);
                }
                Err(_) => return self.fail(Status::Connection, shared),
            }
            if self.output_done >= self.output.len() {
                return self.written(now_ns, shared);
            }
        }
    }

    fn wait_to_write(&mut self, shared: &mut Shared) {
        self.phase = Phase::Writing;
        if self.watch(EventFlags::IN | EventFlags::OUT, shared).is_err() {
            self.fail(Status::Connection, shared);
        }
    }

    fn written(&mut self, now_ns: u64, shared: &mut Shared) {
        if let Some(current) = &mut self.current {
            current.written_ns = Some(now_ns);
        }
        shared.recorder.sent(now_ns);
        let was_waiting = self.phase == Phase::Writing;
        self.phase = Phase::Reading;
        if was_waiting && self.watch(EventFlags::IN, shared).is_err() {
            self.fail(Status::Connection, shared);
        }
    }

    fn read(&mut self, shared: &mut Shared) {
        let mut scratch = std::mem::take(&mut shared.scratch);
        let count = self.stream.as_mut().map(|stream| stream.read(&mut scratch));
        match count {
            Some(Ok(count @ 1..)) => {
                self.received(scratch.get(..count).unwrap_or_default(), shared);
            }
            Some(Err(error)) if is_transient(&error) => {}
            Some(Ok(_) | Err(_)) => self.fail(Status::Connection, shared),
            None => {}
        }
        shared.scratch = scratch;
    }

    fn received(&mut self, bytes: &[u8], shared: &mut Shared) {
        if self.phase != Phase::Reading {
            // Bytes that nobody asked for: the connection cannot be trusted.
            return self.fail(Status::Malformed, shared);
        }
        if self.input.is_empty() {
            self.parse(bytes, shared);
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(bytes);
            self.parse(&input, shared);
        }
    }

    fn parse(&mut self, input: &[u8], shared: &mut Shared) {
        match response::parse(input) {
            Ok(Some(answer)) => self.answered(&answer, input, shared),
            Ok(None) => self.input = input.to_vec(),
            Err(_) => self.fail(Status::Malformed, shared),
        }
    }

    fn answered(&mut self, answer: &Answer, input: &[u8], shared: &mut Shared) {
        let status = Status::Http(answer.status);
        let end_ns = shared.clock.now_ns();
        if let Some(current) = self.current
            && status.is_success()
            && shared.recorder.measures(current.due.intended_ns)
        {
            let body = input.get(answer.body.clone()).unwrap_or_default();
            shared.reservoir.offer(&current.due.ask, body);
        }
        self.end(status, shared.classes.of(status, answer.cache), end_ns, shared);
        self.phase = Phase::Idle;
        if !answer.keep_alive || answer.body.end < input.len() {
            self.stream = None;
        }
    }

    /// Ends the request, if there is one, and the connection.
    fn fail(&mut self, status: Status, shared: &mut Shared) {
        let end_ns = shared.clock.now_ns();
        self.end(status, shared.classes.of(status, None), end_ns, shared);
        self.stream = None;
        self.phase = Phase::Idle;
        self.input.clear();
    }

    fn end(&mut self, status: Status, class: Class, end_ns: u64, shared: &mut Shared) {
        let Some(Current { due, written_ns, .. }) = self.current.take() else { return };
        shared.outstanding = shared.outstanding.saturating_sub(1);
        shared.recorder.record(&Ended {
            class,
            status,
            intended_ns: due.intended_ns,
            acted_ns: due.acted_ns,
            written_ns,
            end_ns,
        });
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
