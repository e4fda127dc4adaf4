//! One keep-alive connection, with at most one request on it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use hdrhistogram::Histogram;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::changes::ledger::Slot;
use super::changes::witness::{Seen, Witness};
use super::class::{Class, Status};
use super::dial::Dial;
use super::recorder::{Ended, Recorder};
use super::request::RequestWriter;
use super::response::{self, Answer};
use super::sample::{Offer, Sampler};
use super::workload::Ask;
use crate::clock::Monotonic;

/// Which classes a target's answers fall into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// The broker says in a header what it did.
    Broker,
    /// The same, while identities are taken away: a refusal for want of one has its own class.
    Churned,
    /// Everything is in the class `all`.
    Foreign,
}

impl Classes {
    fn of(self, status: Status, cache: Option<Class>) -> Class {
        match (self, status) {
            (Self::Foreign, _) => Class::All,
            (_, Status::Http(200)) => cache.unwrap_or(Class::Error),
            (Self::Churned, Status::Http(400)) if cache == Some(Class::Refused) => Class::Refused,
            (_, Status::Http(429)) => Class::Throttled,
            (_, _) => Class::Error,
        }
    }

    /// What a whole answer says of its class.
    fn told(self, answer: &Answer, body: &[u8]) -> Option<Class> {
        let refused = self == Self::Churned && answer.status == 400 && is_want_of_identity(body);
        if refused { Some(Class::Refused) } else { answer.cache }
    }

    /// The classes that an answer with a token can fall into.
    pub(super) const fn of_tokens(self) -> &'static [Class] {
        match self {
            Self::Broker | Self::Churned => {
                &[Class::Hit, Class::Miss, Class::Coalesced, Class::Error]
            }
            Self::Foreign => &[Class::All],
        }
    }
}

/// What the connections of one generator thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Monotonic,
    pub(super) dial: Dial,
    pub(super) requests: Arc<RequestWriter>,
    pub(super) classes: Classes,
    pub(super) recorder: Recorder,
    pub(super) sampler: Sampler,
    /// Where answers are noted that changes are judged by.
    pub(super) witness: Option<Witness>,
    pub(super) epoll: OwnedFd,
    /// Requests that are due and have not ended.
    pub(super) outstanding: u64,
    /// Connections made anew since the start.
    pub(super) reconnects: u64,
    pub(super) timeout_ns: u64,
    pub(super) scratch: Vec<u8>,
    /// No event that is handled now had happened at this time.
    pub(super) unseen_since_ns: u64,
    /// How late the answers of the measured part may have been noticed, at most.
    pub(super) notice: Histogram<u64>,
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

impl Shared {
    /// Ends a request that was never written.
    pub(super) fn give_up(&mut self, due: Due, end_ns: u64) {
        self.ended(
            Current { due, begun_ns: end_ns, written_ns: None },
            Status::Timeout,
            None,
            end_ns,
        );
    }

    fn ended(&mut self, current: Current, status: Status, cache: Option<Class>, end_ns: u64) {
        let Current { due, written_ns, .. } = current;
        self.outstanding = self.outstanding.saturating_sub(1);
        let class = self.classes.of(status, cache);
        let token = status.is_success();
        if let Some((witness, written_ns)) = self.witness.as_mut().zip(written_ns)
            && (token || class == Class::Refused)
        {
            let Ask { vm, selector, .. } = due.ask;
            witness.note(Seen { slot: Slot { vm, selector }, written_ns, end_ns, token });
        }
        self.recorder.record(&Ended {
            class,
            status,
            intended_ns: due.intended_ns,
            acted_ns: due.acted_ns,
            written_ns,
            end_ns,
        });
    }
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

/// A place for one connection at a time.
///
/// When a world has more VMs than there are places, a place serves several VMs and connects anew,
/// from the other address, whenever the VM changes.
#[derive(Debug)]
pub(super) struct Place {
    token: u64,
    vm: u32,
    stream: Option<TcpStream>,
    phase: Phase,
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
            current: None,
            output: Vec::with_capacity(512),
            output_done: 0,
            input: Vec::new(),
        })
    }

    /// Whether it can take a request.
    pub(super) const fn is_free(&self) -> bool {
        self.current.is_none()
    }

    /// Puts a request on the connection, which the caller guarantees to be free.
    pub(super) fn start(&mut self, due: Due, now_ns: u64, shared: &mut Shared) {
        self.current = Some(Current { due, begun_ns: now_ns, written_ns: None });
        shared.requests.write(&due.ask, &mut self.output);
        self.output_done = 0;
        let wrong_vm = shared.dial.per_vm.is_some() && self.vm != due.ask.vm;
        if self.stream.is_some() && !wrong_vm {
            self.write(now_ns, shared);
        } else {
            self.vm = due.ask.vm;
            if self.reconnect(shared).is_err() {
                self.fail(Status::Connection, shared);
            }
        }
    }

    /// Handles an event of the connection.
    pub(super) fn ready(&mut self, shared: &mut Shared) {
        match self.phase {
            Phase::Connecting => self.connected(shared),
            Phase::Writing => self.write(shared.clock.now_ns(), shared),
            Phase::Idle | Phase::Reading => self.read(shared),
        }
    }

    /// Gives up a request that has taken too long.
    pub(super) fn expire(&mut self, now_ns: u64, shared: &mut Shared) {
        let begun_ns = self.current.map_or(now_ns, |current| current.begun_ns);
        if now_ns.saturating_sub(begun_ns) > shared.timeout_ns {
            self.fail(Status::Timeout, shared);
        }
    }

    /// Gives up the request on the connection, if there is one.
    pub(super) fn abandon(&mut self, shared: &mut Shared) {
        if !self.is_free() {
            self.fail(Status::Timeout, shared);
        }
    }

    fn reconnect(&mut self, shared: &mut Shared) -> io::Result<()> {
        shared.reconnects += 1;
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
        self.write(shared.clock.now_ns(), shared);
    }

    fn watch(&self, flags: EventFlags, shared: &Shared) -> io::Result<()> {
        let Some(stream) = &self.stream else { return Ok(()) };
        Ok(epoll::modify(&shared.epoll, stream, EventData::new_u64(self.token), flags)?)
    }

    /// Writes what is left; `now_ns` was read before, not after, since on loopback the peer may
    /// answer while the call has not yet returned.
    fn write(&mut self, now_ns: u64, shared: &mut Shared) {
        loop {
            let rest = self.output.get(self.output_done..).unwrap_or_default();
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
            if self.phase == Phase::Reading {
                self.input.extend_from_slice(bytes);
            }
            return;
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        self.parse(&input, shared);
        if self.phase != Phase::Reading {
            input.clear();
        }
        // Uncopied, while it is incomplete; else for its memory.
        self.input = input;
    }

    fn parse(&mut self, input: &[u8], shared: &mut Shared) {
        match response::parse(input) {
            Ok(Some(answer)) => self.answered(&answer, input, shared),
            Ok(None) => {}
            Err(_) => self.fail(Status::Malformed, shared),
        }
    }

    fn answered(&mut self, answer: &Answer, input: &[u8], shared: &mut Shared) {
        self.phase = Phase::Idle;
        if !answer.keep_alive || answer.body.end < input.len() {
            self.stream = None;
        }
        let status = Status::Http(answer.status);
        let end_ns = shared.clock.now_ns();
        let body = input.get(answer.body.clone()).unwrap_or_default();
        let told = shared.classes.told(answer, body);
        let Some(current) = self.current.take() else { return };
        if shared.recorder.measures(current.due.intended_ns) {
            shared.notice.saturating_record(end_ns.saturating_sub(shared.unseen_since_ns));
        }
        if status.is_success() {
            shared.sampler.offer(&Offer {
                ask: current.due.ask,
                class: shared.classes.of(status, told),
                written_ns: current.written_ns.unwrap_or(end_ns),
                end_ns,
                body,
            });
        }
        shared.ended(current, status, told, end_ns);
    }

    /// Ends the request, if there is one, and the connection.
    fn fail(&mut self, status: Status, shared: &mut Shared) {
        self.stream = None;
        self.phase = Phase::Idle;
        self.input.clear();
        if let Some(current) = self.current.take() {
            shared.ended(current, status, None, shared.clock.now_ns());
        }
    }
}

/// What IMDS says to a VM that has not the identity, or has several where none was named.
fn is_want_of_identity(body: &[u8]) -> bool {
    [&b"Identity not found"[..], b"Multiple user assigned identities exist"]
        .into_iter()
        .any(|text| body.windows(text.len()).any(|part| part == text))
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
