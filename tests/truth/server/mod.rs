//! A server whose delays follow a known law, with its own record of them.
//!
//! One thread runs an epoll loop with a heap of timers, one for each request. With
//! [`Service::Unlimited`] no request delays another; otherwise requests queue in the order in which
//! the kernel received them. `GET /stats` returns the record. `GET /forget/MS` leaves the first `MS`
//! milliseconds of a load out of the record. Every other request is answered by the law. Requests
//! have no bodies and are not pipelined.

mod law;
mod queue;
mod record;
mod stall;
mod stamps;
mod warmup;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::FixedState;
use mintbench::base::clock::Monotonic;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};

pub(crate) use law::Law;
pub(crate) use queue::Service;
use queue::{Sleepers, work};
pub(crate) use record::{Gap, Record, Row};
pub(crate) use stall::Stalling;
use stall::Stalls;
use stamps::{Stamps, wall_ns};
use warmup::{Warmup, warmup_ms};

/// The settings of the server.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The law of the answers' times; of a queue, of the times of service.
    pub(crate) law: Law,
    /// Kind of service.
    pub(crate) service: Service,
    /// True if the record has a row with kernel stamps for each request.
    pub(crate) stamped: bool,
    /// Planted stalls of the whole service.
    pub(crate) stalling: Option<Stalling>,
    /// Seed of the random times.
    pub(crate) seed: u64,
    /// Bytes of the body of each answer.
    pub(crate) body_bytes: usize,
    /// The time in nanoseconds before an answer is due at which the server wakes, to spin the rest.
    /// It covers the delay of a wake-up. If answers follow each other more closely, the server
    /// never sleeps. With `None` it polls without pause, because being woken takes tens of
    /// microseconds; it then needs its own processor.
    pub(crate) early_ns: Option<u64>,
}

/// A handle that ends a server from another thread.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<(AtomicBool, OwnedFd)>);

impl Stop {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new((AtomicBool::new(false), wake))))
    }

    /// Requests the end of the server.
    pub(crate) fn request(&self) {
        // Pairs with the load in `is_requested`. The write below wakes the loop, which then reads
        // the flag.
        self.0.0.store(true, Ordering::Release);
        // The write fails only if the counter is full, and then the loop is awake.
        let _ = rustix::io::write(&self.0.1, &1_u64.to_ne_bytes());
    }

    fn is_requested(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }
}

/// The keys of the listener and of the wake-up. The keys of connections count up from the next
/// number.
const LISTENER: u64 = 0;
const WAKE: u64 = 1;
/// The most events taken per wait.
const EVENTS: usize = 256;
/// The size of one read. A request of a load generator is below 1 kB; a longer one arrives in
/// several reads.
const READ_BYTES: usize = 4096;
/// The most answers sent before the server looks for requests again. Thousands are due when a stall
/// ends, and the record misses the delay with which a request is noticed.
const BATCH: usize = 16;

/// Least time between two looks for requests that is a gap. A virtual machine's own ticks take at most 100 us.
const GAP_MIN_NS: u64 = 200_000;
/// Time that a request or an answer may take of the server itself: no gap.
const OWN_NS: u64 = 20_000;

/// A request that was read.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    connection: u64,
    noticed_ns: u64,
    /// The kernel's stamp, in wall time.
    received_ns: Option<u64>,
}

/// A request to be answered.
#[derive(Clone, Copy, Debug)]
struct Timer {
    due_ns: u64,
    /// The number of the request in the order of arrival.
    order: u64,
    service_ns: u64,
    arrived: Arrived,
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    /// Compares due times, and the order of arrival of those that are due at the same time.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due_ns, self.order).cmp(&(other.due_ns, other.order))
    }
}

/// The state of a running server.
struct Server {
    options: Options,
    listener: TcpListener,
    record: Record,
    stop: Stop,
    clock: Monotonic,
    rng: StdRng,
    poll: OwnedFd,
    connections: HashMap<u64, TcpStream, FixedState>,
    next_key: u64,
    /// Requests that this look at the connections has found.
    arrived: Vec<Arrived>,
    timers: BinaryHeap<Reverse<Timer>>,
    sleepers: Option<Sleepers>,
    stamps: Option<Stamps>,
    stalls: Option<Stalls>,
    /// The time at which the last timer is due.
    last_due_ns: u64,
    warmup: Warmup,
    /// The time before which requests are left out of the record.
    recorded_from_ns: u64,
    requests: u64,
    answers: u64,
    /// Time that the server worked for requests, by the law.
    worked_ns: u64,
    looks: Looks,
    answer: Vec<u8>,
}

/// Progress at the last look for requests.
#[derive(Clone, Copy, Debug, Default)]
struct Looks {
    at_ns: u64,
    requests: u64,
    answers: u64,
    worked_ns: u64,
}

/// Serves until `stop` is requested.
///
/// # Errors
/// Returns an error if the kernel refuses a resource that the server needs.
pub(crate) fn serve(
    listener: TcpListener,
    options: Options,
    record: Record,
    stop: Stop,
) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    if options.stamped {
        stamps::enable(&listener)?;
    }
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    watch(&poll, &listener, LISTENER)?;
    watch(&poll, &stop.0.1, WAKE)?;
    let body = "x".repeat(options.body_bytes);
    let server = Server {
        clock: Monotonic::start(),
        rng: StdRng::seed_from_u64(options.seed),
        connections: HashMap::default(),
        next_key: WAKE + 1,
        arrived: Vec::new(),
        timers: BinaryHeap::new(),
        sleepers: match options.service {
            Service::Asleep(servers) => Some(Sleepers::new(servers)),
            Service::Busy | Service::Unlimited => None,
        },
        stamps: options.stamped.then(Stamps::new),
        stalls: options.stalling.map(|stalling| Stalls::new(stalling, options.seed)),
        last_due_ns: 0,
        warmup: Warmup::default(),
        recorded_from_ns: 0,
        requests: 0,
        answers: 0,
        worked_ns: 0,
        looks: Looks::default(),
        answer: answer("text/plain", &body),
        options,
        listener,
        record,
        stop,
        poll,
    };
    server.run()
}

fn answer(media_type: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn watch(poll: &impl AsFd, source: &impl AsFd, key: u64) -> std::io::Result<()> {
    epoll::add(poll, source, epoll::EventData::new_u64(key), epoll::EventFlags::IN)?;
    Ok(())
}

impl Server {
    fn run(mut self) -> anyhow::Result<()> {
        // By default the kernel may delay a sleeper by 50 us.
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let mut events = Vec::with_capacity(EVENTS);
        while !self.stop.is_requested() {
            events.clear();
            let span = self.span();
            match epoll::wait(&self.poll, spare_capacity(&mut events), span.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let now_ns = self.clock.now_ns();
            self.note_gap(now_ns);
            for event in &events {
                self.handle(event.data.u64(), now_ns)?;
            }
            self.enqueue();
            self.answer_due();
            self.stand_still();
        }
        Ok(())
    }

    /// Keeps the time since the last look if it is too long for what the server did, and it did not sleep.
    fn note_gap(&mut self, now_ns: u64) {
        let Self { requests, answers, worked_ns, .. } = *self;
        let now = Looks { at_ns: now_ns, requests, answers, worked_ns };
        let last = std::mem::replace(&mut self.looks, now);
        if self.options.early_ns.is_some() || self.stalls.is_some() || last.at_ns == 0 {
            return;
        }
        let done = (requests - last.requests) + (answers - last.answers);
        let length_ns = (now_ns - last.at_ns).saturating_sub(worked_ns - last.worked_ns);
        if length_ns > GAP_MIN_NS + done * OWN_NS {
            self.record.keep_gap(Gap { end_ns: wall_ns(), length_ns });
        }
    }

    /// Returns the time for which the loop may sleep; none means for ever.
    fn span(&self) -> Option<Timespec> {
        const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        let Some(early_ns) = self.options.early_ns else { return Some(AT_ONCE) };
        let answer_ns =
            self.timers.peek().map(|Reverse(timer)| timer.due_ns.saturating_sub(early_ns));
        let stall_ns = self.stalls.as_ref().map(Stalls::next_ns);
        let wake_ns = answer_ns.into_iter().chain(stall_ns).min()?;
        let nanos = wake_ns.saturating_sub(self.clock.now_ns());
        let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
        Some(Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 })
    }

    fn handle(&mut self, key: u64, now_ns: u64) -> anyhow::Result<()> {
        match key {
            LISTENER => self.accept()?,
            // The wake-up means that a stop was requested.
            WAKE => {}
            _ => self.read(key, now_ns),
        }
        Ok(())
    }

    fn accept(&mut self) -> std::io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            // It may have been connected before the listener was told to stamp.
            if self.stamps.is_some() {
                stamps::enable(&stream)?;
            }
            watch(&self.poll, &stream, self.next_key)?;
            self.connections.insert(self.next_key, stream);
            self.next_key += 1;
        }
    }

    fn read(&mut self, connection: u64, noticed_ns: u64) {
        let mut buffer = [0; READ_BYTES];
        let Some(stream) = self.connections.get_mut(&connection) else { return };
        let read = match &mut self.stamps {
            Some(stamps) => stamps.read(stream, &mut buffer),
            None => stream.read(&mut buffer).map(|length| (length, None)),
        };
        match read {
            Ok((length @ 1.., received_ns)) => {
                let request = buffer.get(..length).unwrap_or_default();
                // A request ends where a read ends in an empty line.
                if request.ends_with(b"\r\n\r\n") {
                    self.requested(request, Arrived { connection, noticed_ns, received_ns });
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.drain(connection),
            // Closing the socket also removes it from the poll.
            Ok(_) | Err(_) => drop(self.connections.remove(&connection)),
        }
    }

    /// Takes the stamp of an answer that left late, of which the poll tells again and again.
    fn drain(&mut self, connection: u64) {
        if let (Some(stamps), Some(stream)) = (&mut self.stamps, self.connections.get(&connection))
        {
            stamps.sent(stream, 0);
        }
    }

    fn requested(&mut self, request: &[u8], arrived: Arrived) {
        if request.starts_with(b"GET /stats ") {
            let text = self.record.to_json().to_string();
            return self.write(arrived.connection, &answer("application/json", &text));
        }
        if let Some(length_ms) = warmup_ms(request) {
            self.warmup.length_ns = Some(length_ms.saturating_mul(1_000_000));
            return self.write(arrived.connection, &answer("text/plain", ""));
        }
        if self.warmup.ends(arrived.noticed_ns) {
            self.record.forget();
            self.recorded_from_ns = arrived.noticed_ns;
        }
        if self.options.law == Law::Floor {
            let due_ns = arrived.noticed_ns;
            return self.answer(&Timer { due_ns, order: 0, service_ns: 0, arrived });
        }
        self.arrived.push(arrived);
    }

    /// Has the requests of this look served, in the order in which the kernel received them.
    fn enqueue(&mut self) {
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.sort_by_key(|arrived| arrived.received_ns);
        for request in arrived.drain(..) {
            let timer = self.timer(request);
            self.last_due_ns = timer.due_ns;
            self.timers.push(Reverse(timer));
        }
        self.arrived = arrived;
    }

    fn timer(&mut self, arrived: Arrived) -> Timer {
        self.requests += 1;
        let (law, rng, now_ns) = (&self.options.law, &mut self.rng, arrived.noticed_ns);
        let (start_ns, mut due_ns) = match &mut self.sleepers {
            Some(sleepers) => sleepers.serve(now_ns, |start_ns| law.due_ns(start_ns, rng)),
            None => (now_ns, law.due_ns(now_ns, rng)),
        };
        let service_ns = due_ns - start_ns;
        if law.gap_ns() > 0 {
            due_ns = due_ns.max(self.last_due_ns + law.gap_ns());
        }
        if self.options.service == Service::Busy {
            // Its turn comes in the order of arrival.
            due_ns = now_ns;
        }
        Timer { due_ns, order: self.requests, service_ns, arrived }
    }

    /// Answers requests that are due, in the order of their due times, at most [`BATCH`] of them.
    fn answer_due(&mut self) {
        let now_ns = self.clock.now_ns();
        let busy = self.options.service == Service::Busy;
        // Work takes so long that the next look is due after it.
        let most = if busy { 1 } else { BATCH };
        for _ in 0..most {
            let Some(Reverse(timer)) = self.timers.peek().copied() else { return };
            if timer.due_ns > now_ns {
                return;
            }
            self.timers.pop();
            if busy {
                work(timer.service_ns);
                self.worked_ns += timer.service_ns;
            }
            self.answer(&timer);
        }
    }

    /// Stands still if a planted stall is due. All service that is under way then ends as much later.
    fn stand_still(&mut self) {
        let Some(stalls) = &mut self.stalls else { return };
        let Some(stall) = stalls.pass(self.clock) else { return };
        let moved = |Reverse(timer): Reverse<Timer>| {
            Reverse(Timer { due_ns: stall.moved(timer.due_ns), ..timer })
        };
        self.timers = self.timers.drain().map(moved).collect();
        self.last_due_ns = stall.moved(self.last_due_ns);
        if let Some(sleepers) = &mut self.sleepers {
            sleepers.stand_still(stall);
        }
    }

    fn answer(&mut self, timer: &Timer) {
        self.answers += 1;
        let Arrived { connection, noticed_ns, .. } = timer.arrived;
        let before_ns = self.stamps.as_ref().map(|_| wall_ns());
        let answer = std::mem::take(&mut self.answer);
        self.write(connection, &answer);
        self.answer = answer;
        let sent_ns = before_ns.map(|before_ns| self.sent_ns(connection, before_ns));
        if noticed_ns < self.recorded_from_ns {
            return;
        }
        // Recorded after the write, because on loopback the write itself carries the bytes to their
        // reader.
        self.record.answered(noticed_ns, timer.due_ns, self.clock.now_ns());
        if let Some((sent_ns, stamped)) = sent_ns {
            let Arrived { received_ns, .. } = timer.arrived;
            let met = |stalls: &Stalls| received_ns.is_some_and(|at_ns| stalls.met(at_ns));
            let stalled = self.stalls.as_ref().is_some_and(met);
            self.record.keep(Row {
                received_ns: received_ns.unwrap_or_default(),
                sent_ns,
                service_ns: timer.service_ns,
                stamped: stamped && received_ns.is_some(),
                stalled,
            });
        }
    }

    /// Returns the kernel's stamp of an answer and true, or the time before the write and false.
    fn sent_ns(&mut self, connection: u64, before_ns: u64) -> (u64, bool) {
        let stream = self.connections.get(&connection);
        let stamp_ns = self.stamps.as_mut().zip(stream);
        let stamp_ns = stamp_ns.and_then(|(stamps, stream)| stamps.sent(stream, before_ns));
        (stamp_ns.unwrap_or(before_ns), stamp_ns.is_some())
    }

    /// Writes an answer. A connection that cannot take all of it at once is closed.
    fn write(&mut self, key: u64, answer: &[u8]) {
        let Some(stream) = self.connections.get_mut(&key) else { return };
        if !stream.write(answer).is_ok_and(|written| written == answer.len()) {
            self.connections.remove(&key);
        }
    }
}
