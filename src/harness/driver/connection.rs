//! One keep-alive connection, with at most one request in flight.

use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::dial;
use super::dial::Dial;
use super::exchange::exchange;
use super::looks::Between;
use super::shared::{Current, Due, Ending, Shared};
use crate::base::clock::Monotonic;
use crate::harness::dialect::outcome::{Cause, Flaw, Status, Wait};
use crate::harness::dialect::protocol::Lease;
use crate::harness::dialect::request::RequestWriter;
use crate::harness::dialect::response;
use crate::harness::dialect::response::{Answer, Rest};
use crate::harness::dialect::transport::{Handshake, Transport};
use crate::harness::nanos::Nanos;
use crate::harness::record::sample::Offer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Handshaking,
    Idle,
    Reading,
    Writing,
}

/// Purpose of the request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The scheduled request.
    Token,
    /// A session that the scheduled request needs.
    Open,
}

/// Result of the search for an answer in the bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// An answer, or bytes that are not HTTP; they are used up.
    Ended,
    Incomplete,
}

/// Connection to the target, which is made anew after it was lost.
///
/// If a world has more VMs than connections, a connection serves several VMs. It then connects
/// anew, from the other address, whenever the VM changes.
pub(super) struct Connection {
    token: u64,
    vm: u32,
    stream: Option<Transport>,
    /// Session, if the target has sessions. It outlives connections.
    lease: Option<Lease>,
    purpose: Purpose,
    phase: Phase,
    current: Option<Current>,
    output: Vec<u8>,
    output_done: usize,
    /// Beginning of an answer that came in pieces.
    input: Vec<u8>,
}

impl std::fmt::Debug for Connection {
    /// Formats the connection without the bytes that are sent and received.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut connection = f.debug_struct("Connection");
        connection.field("token", &self.token).field("vm", &self.vm).field("phase", &self.phase);
        connection.finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects, and opens a session if the target has sessions. Events of the socket carry `token`.
    ///
    /// The call blocks, which is harmless because the load has not started yet.
    pub(super) fn connect(token: u64, vm: u32, context: &ConnectContext<'_>) -> io::Result<Self> {
        let mut stream = context.dial.wait(vm)?;
        let lease = match context.requests.opening() {
            Some(opening) => Some(open(&mut stream, opening, context.clock)?),
            None => None,
        };
        dial::settle(&stream)?;
        let data = EventData::new_u64(token);
        epoll::add(context.epoll, stream.socket(), data, EventFlags::IN)?;
        Ok(Self {
            token,
            vm,
            stream: Some(stream),
            lease,
            purpose: Purpose::Token,
            phase: Phase::Idle,
            current: None,
            output: Vec::with_capacity(512),
            output_done: 0,
            input: Vec::new(),
        })
    }

    /// Returns true if the connection can take a request.
    pub(super) const fn is_free(&self) -> bool {
        self.current.is_none()
    }

    /// Sends a request on the connection, which was not possible before `possible`. The caller
    /// ensures that the connection is free.
    pub(super) fn start(&mut self, due: Due, now: Nanos, possible: Nanos, shared: &mut Shared) {
        self.current = Some(Current::new(due, now, possible));
        self.prepare(due, now, shared);
        let wrong_vm = shared.dial.per_vm.is_some() && self.vm != due.key.vm;
        if self.stream.is_some() && !wrong_vm {
            self.write(now, shared);
        } else {
            self.vm = due.key.vm;
            self.reconnect(shared);
        }
    }

    /// Prepares the bytes to send first: the request, or the one that opens its session.
    fn prepare(&mut self, due: Due, now: Nanos, shared: &Shared) {
        self.output_done = 0;
        let session = self.lease.as_ref().and_then(|lease| lease.secret(now));
        match shared.requests.opening() {
            Some(opening) if session.is_none() => {
                self.purpose = Purpose::Open;
                self.output.clear();
                self.output.extend_from_slice(opening);
            }
            _ => {
                self.purpose = Purpose::Token;
                shared.requests.write(&due.key, now, session, &mut self.output);
            }
        }
    }

    /// Handles an event of the connection.
    pub(crate) fn ready(&mut self, shared: &mut Shared) {
        if let Some(current) = &mut self.current {
            current.possible = shared.unseen_since;
        }
        match self.phase {
            Phase::Connecting => self.connected(shared),
            Phase::Handshaking => self.shake_hands(shared),
            Phase::Writing => self.write(shared.now(), shared),
            Phase::Idle | Phase::Reading => self.read(shared),
        }
    }

    /// Fails a request that has exceeded the timeout.
    pub(crate) fn expire(&mut self, now: Nanos, shared: &mut Shared) {
        let begun = self.current.map_or(now, |current| current.begun);
        if now.saturating_sub(begun) > shared.timeout {
            // The thread looks for timeouts now and then; the request could have ended at once.
            shared.unseen_since = shared.unseen_since.min(begun.saturating_add(shared.timeout));
            self.fail(Cause::Timeout(self.wait()), shared);
        }
    }

    /// Fails the request in flight, if there is one.
    pub(crate) fn abandon(&mut self, shared: &mut Shared) {
        if !self.is_free() {
            self.fail(Cause::Timeout(self.wait()), shared);
        }
    }

    /// Returns what the request in flight waits for.
    const fn wait(&self) -> Wait {
        match self.phase {
            Phase::Connecting => Wait::Connection,
            Phase::Handshaking => Wait::Handshake,
            Phase::Writing => Wait::Sending,
            Phase::Idle | Phase::Reading if self.input.is_empty() => Wait::Answer,
            Phase::Idle | Phase::Reading => Wait::Rest,
        }
    }

    /// Begins a new connection for the request. The request fails if that is impossible.
    fn reconnect(&mut self, shared: &mut Shared) {
        shared.reconnects += 1;
        // Closing the old connection removes it from the epoll set.
        self.stream = None;
        if let Err(error) = self.connect_anew(shared) {
            self.fail(Cause::of_connecting(&error), shared);
        }
    }

    fn connect_anew(&mut self, shared: &Shared) -> io::Result<()> {
        let vm = self.vm;
        let stream = self.sending(shared, |_| shared.dial.begin(vm))?;
        let token = EventData::new_u64(self.token);
        epoll::add(&shared.epoll, stream.socket(), token, EventFlags::IN | EventFlags::OUT)?;
        self.stream = Some(stream);
        self.phase = Phase::Connecting;
        Ok(())
    }

    fn connected(&mut self, shared: &mut Shared) {
        let Some(stream) = &self.stream else { return };
        match stream.socket().take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => {
                return self.fail(Cause::of_connecting(&error), shared);
            }
        }
        if self.watch(EventFlags::IN, shared) {
            self.shake_hands(shared);
        }
    }

    /// Continues the TLS handshake, if there is one, and then sends the request.
    fn shake_hands(&mut self, shared: &mut Shared) {
        if !self.stream.as_ref().is_some_and(Transport::is_tls) {
            return self.write(shared.now(), shared);
        }
        self.phase = Phase::Handshaking;
        let state = match self.sending(shared, Self::continue_handshake) {
            Ok(state) => state,
            Err(error) => return self.fail(Cause::of_handshake(&error), shared),
        };
        let flags = match state {
            Handshake::Done | Handshake::WantsRead => EventFlags::IN,
            Handshake::WantsWrite => EventFlags::IN | EventFlags::OUT,
        };
        if self.watch(flags, shared) && state == Handshake::Done {
            self.write(shared.now(), shared);
        }
    }

    fn continue_handshake(&mut self) -> io::Result<Handshake> {
        self.stream.as_mut().map_or(Ok(Handshake::Done), Transport::handshake)
    }

    /// Registers for these events. Returns false, and fails the request, if that is impossible.
    fn watch(&mut self, flags: EventFlags, shared: &mut Shared) -> bool {
        let Some(stream) = &self.stream else { return true };
        let data = EventData::new_u64(self.token);
        match epoll::modify(&shared.epoll, stream.socket(), data, flags) {
            Ok(()) => true,
            Err(error) => {
                self.lost(&error.into(), shared);
                false
            }
        }
    }

    /// Lets bytes of the request reach the target, and counts the lateness of the generator.
    fn sending<T>(&mut self, shared: &Shared, act: impl FnOnce(&mut Self) -> T) -> T {
        let origin = self.current.as_ref().map(|current| shared.write_begins(current));
        let begun = shared.now();
        let done = act(self);
        if let Some((current, origin)) = self.current.as_mut().zip(origin) {
            current.lateness = shared.write_ended(origin, begun);
        }
        done
    }

    /// Writes the remaining bytes. `now` is a time before the write, because on loopback the
    /// peer may answer before the call returns.
    fn write(&mut self, now: Nanos, shared: &mut Shared) {
        if self.stream.is_none() {
            return;
        }
        match self.sending(shared, Self::write_rest) {
            Ok(()) => self.written(now, shared),
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait_to_write(shared),
            Err(error) => self.lost(&error, shared),
        }
    }

    fn write_rest(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        loop {
            let rest = self.output.get(self.output_done..).unwrap_or_default();
            let written =
                if rest.is_empty() { stream.flush().map(|()| 0) } else { stream.write(rest) };
            match written {
                Ok(0) if rest.is_empty() => return Ok(()),
                Ok(count) => self.output_done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn wait_to_write(&mut self, shared: &mut Shared) {
        self.phase = Phase::Writing;
        self.watch(EventFlags::IN | EventFlags::OUT, shared);
    }

    fn written(&mut self, now: Nanos, shared: &mut Shared) {
        if let Some(current) = self.current.as_mut().filter(|_| self.purpose == Purpose::Token) {
            current.written = Some(now);
        }
        let was_waiting = self.phase == Phase::Writing;
        self.phase = Phase::Reading;
        if was_waiting {
            self.watch(EventFlags::IN, shared);
        }
    }

    fn read(&mut self, shared: &mut Shared) {
        let mut scratch = std::mem::take(&mut shared.scratch);
        while self.read_once(&mut scratch, shared) {}
        shared.scratch = scratch;
        shared.stamp = None;
    }

    /// Reads the available bytes. Returns true if it should be called again before the next event.
    fn read_once(&mut self, scratch: &mut [u8], shared: &mut Shared) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let received = stream.receive(scratch);
        shared.stamp = received.as_ref().ok().and_then(|received| received.stamp);
        match received.map(|received| received.count) {
            Ok(0) => self.hung_up(shared),
            Ok(count) => {
                self.received(scratch.get(..count).unwrap_or_default(), shared);
                let Some(stream) = &self.stream else { return false };
                // What is left behind would look as if it came after the next look.
                let full = count == scratch.len();
                let is_read = self.phase == Phase::Reading;
                return full || stream.has_more() || stream.is_tls() && is_read;
            }
            Err(error) if is_transient(&error) => {}
            Err(error) => self.lost(&error, shared),
        }
        false
    }

    /// Handles the end of the connection by the server, which may also mark the end of an answer.
    fn hung_up(&mut self, shared: &mut Shared) {
        let input = std::mem::take(&mut self.input);
        let answered =
            self.phase == Phase::Reading && self.parse(&input, Rest::Ended, shared) == Found::Ended;
        if !answered {
            self.fail(Cause::of_end(&input), shared);
        }
    }

    fn received(&mut self, bytes: &[u8], shared: &mut Shared) {
        if self.phase != Phase::Reading {
            // Bytes without a request: the connection cannot be trusted.
            return self.fail(Cause::Malformed(Flaw::Unasked), shared);
        }
        if self.input.is_empty() {
            if self.parse(bytes, Rest::Open, shared) == Found::Incomplete {
                self.input.extend_from_slice(bytes);
            }
            return;
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        if self.parse(&input, Rest::Open, shared) == Found::Ended {
            input.clear();
        }
        // Keeps an incomplete answer without a copy, or an empty buffer for its memory.
        self.input = input;
    }

    fn parse(&mut self, input: &[u8], rest: Rest, shared: &mut Shared) -> Found {
        let parsed = if shared.dialect.is_head() {
            response::parse_head(input)
        } else {
            response::parse(input, rest)
        };
        match parsed {
            Ok(None) => return Found::Incomplete,
            Ok(Some(answer)) => self.answered(&answer, input, shared),
            Err(error) => self.fail(Cause::of_answer(&error, input), shared),
        }
        Found::Ended
    }

    fn answered(&mut self, answer: &Answer, input: &[u8], shared: &mut Shared) {
        self.phase = Phase::Idle;
        if !answer.keep_alive || answer.end < input.len() {
            self.stream = None;
        }
        let end = shared.answer_time();
        let body = &*answer.body(input);
        if self.purpose == Purpose::Open {
            return self.opened(answer, body, end.latest, shared);
        }
        if answer.status == 401 {
            // The session, if there is one, is no longer valid.
            self.lease = None;
        }
        self.token_answered(answer, body, end, shared);
    }

    /// Continues with the request that needed the session.
    fn opened(&mut self, answer: &Answer, body: &[u8], now: Nanos, shared: &mut Shared) {
        let status = answer.status;
        self.lease = Lease::opened(status, body, answer.session_seconds, now);
        let Some(Current { due, .. }) = self.current.filter(|_| self.lease.is_some()) else {
            return self.fail(Cause::NoSession(status), shared);
        };
        shared.sessions += 1;
        self.prepare(due, now, shared);
        if self.stream.is_some() {
            self.write(now, shared);
        } else {
            self.reconnect(shared);
        }
    }

    fn token_answered(&mut self, answer: &Answer, body: &[u8], end: Between, shared: &mut Shared) {
        let cause = shared.dialect.fault(answer.status, body);
        let class = shared.classes.of(cause, shared.classes.named_class(answer, body));
        let Some(current) = self.current.take() else { return };
        // The answer cannot come before the request.
        let end = end.not_before(current.written.unwrap_or_default());
        shared.note_notice(&current, end);
        if class.is_token() {
            shared.sampler.offer(&Offer {
                key: current.due.key,
                class,
                written: current.written.unwrap_or(end.latest),
                end: end.latest,
                body,
            });
        }
        shared.ended(current, Ending { status: Status::Http(answer.status), cause, class }, end);
    }

    /// Fails the request, because the connection has ended with this error.
    fn lost(&mut self, error: &io::Error, shared: &mut Shared) {
        self.fail(Cause::of_connection(error, &self.input), shared);
    }

    /// Fails the request, if there is one, and closes the connection.
    fn fail(&mut self, cause: Cause, shared: &mut Shared) {
        self.stream = None;
        self.phase = Phase::Idle;
        self.input.clear();
        if let Some(current) = self.current.take() {
            shared.failed(current, cause);
        }
    }
}

/// Values that are needed to connect before the load starts.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectContext<'a> {
    pub(super) dial: &'a Dial,
    pub(super) requests: &'a RequestWriter,
    pub(super) epoll: &'a OwnedFd,
    pub(super) clock: Monotonic,
}

fn open(stream: &mut Transport, opening: &[u8], clock: Monotonic) -> io::Result<Lease> {
    let (answer, input) = exchange(stream, opening)?;
    let lease = Lease::opened(
        answer.status,
        &answer.body(&input),
        answer.session_seconds,
        Nanos::now(clock),
    );
    let refused = || format!("it opens no session: status {}", answer.status);
    lease.ok_or_else(|| io::Error::other(refused()))
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
