//! The pacing threads, and the run of all of them together.

use std::io;
use std::iter::Peekable;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

pub use super::connection::Classes;
use super::connection::{Dial, Due, Place, SCRATCH_BYTES, Shared};
use super::cores::{self, Cores};
use super::recorder::{Recorder, Tally, Window, histogram};
use super::request::RequestWriter;
use super::sample::{Reservoir, Sampled};
use super::target::HttpUrl;
use super::workload::{Arrival, Workload};
use crate::clock::Monotonic;
use crate::world::synthetic::Synthetic;

/// Where the connections come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Each from the address of its VM, within 127.0.0.0/8.
    PerVm,
    /// From wherever the system chooses.
    System,
}

/// Everything that a run of the generator is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where requests go.
    pub target: HttpUrl,
    /// The shape of the world that is asked about.
    pub world: Synthetic,
    /// What is sent.
    pub workload: Workload,
    /// Where connections come from.
    pub origin: Origin,
    /// How answers are classed.
    pub classes: Classes,
    /// Connections, held open throughout.
    pub connections: u32,
    /// Generator threads.
    pub threads: usize,
    /// Where they run.
    pub cores: Cores,
    /// From the start of the load to the measured part, in nanoseconds.
    pub warmup_ns: u64,
    /// The measured part, in nanoseconds.
    pub duration_ns: u64,
    /// After this a request is given up; also the time allowed after the end for what is under way.
    pub timeout_ns: u64,
    /// Answers kept for verification.
    pub samples: usize,
    /// Of the sample.
    pub seed: u64,
}

impl Plan {
    /// How many connections are made: with more than one per VM, all VMs get equally many.
    pub fn connections_made(&self) -> u32 {
        let vms = self.workload.vms(&self.world).max(1);
        let connections = self.connections.max(1);
        if connections <= vms { connections } else { connections / vms * vms }
    }

    /// The connection that serves an arrival: those of one VM take turns.
    fn place(&self, arrival: &Arrival) -> u32 {
        let vms = self.workload.vms(&self.world).max(1);
        let made = self.connections_made();
        let turn = arrival.index % u64::from((made / vms).max(1));
        let turn = u32::try_from(turn).unwrap_or_default();
        (arrival.ask.vm + turn * vms) % made
    }
}

/// What one thread measured beside the histograms.
#[derive(Debug)]
pub(super) struct ThreadReport {
    pub(super) tally: Tally,
    pub(super) unsent: u64,
    pub(super) busy_share: f64,
    pub(super) hiccup: Histogram<u64>,
    pub(super) samples: Vec<Sampled>,
}

/// A thread's connections, made before the clock starts.
#[derive(Debug)]
pub(super) struct Connected {
    places: Vec<Place>,
    epoll: OwnedFd,
}

impl Connected {
    /// Makes every `plan.threads`-th connection, beginning with number `thread`.
    ///
    /// # Errors
    /// When one cannot be made.
    pub(super) fn open(plan: &Plan, thread: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let dial = plan.dial();
        let vms = plan.workload.vms(&plan.world).max(1);
        let mine = (0..plan.connections_made()).skip(thread).step_by(plan.threads.max(1));
        let places = (0_u64..).zip(mine);
        let places = places.map(|(token, place)| Place::connect(token, place % vms, &dial, &epoll));
        Ok(Self { places: places.collect::<io::Result<_>>()?, epoll })
    }
}

impl Plan {
    fn dial(&self) -> Dial {
        let per_vm = (self.origin == Origin::PerVm).then_some(self.world);
        Dial { address: self.target.address, per_vm }
    }

    fn arrivals(&self, thread: usize) -> Peekable<Box<dyn Iterator<Item = Arrival> + '_>> {
        let threads = self.threads.max(1);
        let mine = move |arrival: &Arrival| self.place(arrival) as usize % threads == thread;
        let traffic: Box<dyn Iterator<Item = Arrival>> =
            Box::new(self.workload.traffic(&self.world).filter(mine));
        traffic.peekable()
    }
}

/// A sleeper is woken this long before its deadline and spins the rest: wake-ups are late by tens
/// of microseconds, spinning is not.
const SPIN_NS: u64 = 80_000;
/// The virtual probe of the hiccup histogram ticks at 1 kHz.
const TICK_NS: u64 = 1_000_000;
/// Due requests written before answers are looked at again: some 150 us in the worst case.
const BATCH: usize = 16;
/// Events taken by one call.
const EVENTS: usize = 256;
/// Each tick looks at one in so many connections for time-outs: all of them every 100 ms.
const EXPIRY_SLICES: usize = 100;

/// One pacing thread at work.
pub(super) struct Generator<'a> {
    plan: &'a Plan,
    thread: usize,
    arrivals: Peekable<Box<dyn Iterator<Item = Arrival> + 'a>>,
    places: Vec<Place>,
    shared: Shared,
    events: Vec<epoll::Event>,
    start_ns: u64,
    window: Window,
    next_tick_ns: u64,
    next_expiry: usize,
    hiccup: Histogram<u64>,
    busy_ns: u64,
}

impl<'a> Generator<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        thread: usize,
        connected: Connected,
        recorder: Recorder,
        time: (Monotonic, u64, Window),
    ) -> Self {
        let (clock, start_ns, window) = time;
        let shared = Shared {
            clock,
            dial: plan.dial(),
            requests: RequestWriter::new(&plan.target, &plan.world),
            classes: plan.classes,
            recorder,
            reservoir: Reservoir::new(
                plan.samples.div_ceil(plan.threads.max(1)),
                plan.seed.wrapping_add(thread as u64),
            ),
            epoll: connected.epoll,
            outstanding: 0,
            timeout_ns: plan.timeout_ns,
            scratch: vec![0; SCRATCH_BYTES],
        };
        Self {
            plan,
            thread,
            arrivals: plan.arrivals(thread),
            places: connected.places,
            shared,
            events: Vec::with_capacity(EVENTS),
            start_ns,
            window,
            next_tick_ns: start_ns,
            next_expiry: 0,
            hiccup: histogram(),
            busy_ns: 0,
        }
    }

    /// Sends all the traffic and waits for its answers.
    ///
    /// # Errors
    /// When the kernel refuses to wait for events.
    pub(super) fn run(mut self, stop: &AtomicBool) -> io::Result<ThreadReport> {
        cores::settle_thread(self.plan.cores.of_thread(self.thread));
        while !self.is_finished() && !stop.load(Ordering::Relaxed) {
            self.turn()?;
        }
        Ok(self.report())
    }

    fn is_finished(&mut self) -> bool {
        let now_ns = self.shared.clock.now_ns();
        let sent = self.arrivals.peek().is_none();
        let settled = sent && self.shared.outstanding == 0 && now_ns >= self.window.end_ns;
        settled || now_ns > self.window.end_ns.saturating_add(self.plan.timeout_ns)
    }

    fn turn(&mut self) -> io::Result<()> {
        let begin_ns = self.shared.clock.now_ns();
        let ticked = self.tick(begin_ns);
        let sent = self.send_due();
        let now_ns = self.shared.clock.now_ns();
        if ticked || sent {
            self.busy_ns += now_ns - begin_ns;
        }
        self.receive(now_ns)
    }

    /// The work of each millisecond; says whether there was any.
    fn tick(&mut self, now_ns: u64) -> bool {
        if now_ns < self.next_tick_ns {
            return false;
        }
        while self.next_tick_ns <= now_ns {
            // A long stall makes several ticks late, each by its own amount.
            if self.next_tick_ns >= self.window.start_ns && self.next_tick_ns < self.window.end_ns {
                self.hiccup.saturating_record(now_ns - self.next_tick_ns);
            }
            self.next_tick_ns += TICK_NS;
        }
        self.shared.recorder.advance(now_ns);
        let slice = self.places.len().div_ceil(EXPIRY_SLICES);
        for place in self.places.iter_mut().skip(self.next_expiry).take(slice) {
            place.expire(now_ns, &mut self.shared);
        }
        self.next_expiry += slice;
        if self.next_expiry >= self.places.len() {
            self.next_expiry = 0;
        }
        true
    }

    /// Hands a batch of due requests to their connections; says whether there were any.
    fn send_due(&mut self) -> bool {
        for sent in 0..BATCH {
            let acted_ns = self.shared.clock.now_ns();
            let start_ns = self.start_ns;
            let Some(arrival) = self.arrivals.next_if(|a| start_ns + a.intended_ns <= acted_ns)
            else {
                return sent > 0;
            };
            let place = self.plan.place(&arrival) as usize / self.plan.threads.max(1);
            let intended_ns = start_ns + arrival.intended_ns;
            if let Some(place) = self.places.get_mut(place) {
                place.offer(Due { ask: arrival.ask, intended_ns, acted_ns }, &mut self.shared);
            }
        }
        true
    }

    /// Takes what has arrived; sleeps first if nothing is due for a while.
    fn receive(&mut self, now_ns: u64) -> io::Result<()> {
        let next = self.arrivals.peek().map_or(u64::MAX, |a| self.start_ns + a.intended_ns);
        let wake_ns = next.min(self.next_tick_ns).saturating_sub(SPIN_NS);
        if wake_ns > now_ns {
            self.sleep(wake_ns - now_ns)?;
        } else if self.shared.outstanding == 0 {
            // Nothing can arrive: spin on the clock alone.
            std::hint::spin_loop();
            return Ok(());
        }
        let begin_ns = self.shared.clock.now_ns();
        self.events.clear();
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.shared.epoll, spare_capacity(&mut self.events), Some(&zero)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !self.events.is_empty() {
            self.handle_events();
            self.busy_ns += self.shared.clock.now_ns() - begin_ns;
        }
        Ok(())
    }

    fn handle_events(&mut self) {
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let place = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            if let Some(place) = self.places.get_mut(place) {
                place.ready(&mut self.shared);
            }
        }
        self.events = events;
    }

    /// Sleeps until an event or for `span_ns`, to the nanosecond: `epoll_wait` rounds to 1 ms.
    fn sleep(&self, span_ns: u64) -> io::Result<()> {
        let span_ns = i64::try_from(span_ns).unwrap_or(i64::MAX);
        let span = Timespec { tv_sec: span_ns / 1_000_000_000, tv_nsec: span_ns % 1_000_000_000 };
        let mut fds = [PollFd::from_borrowed_fd(self.shared.epoll.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&span)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    fn report(mut self) -> ThreadReport {
        let wall_ns = self.shared.clock.now_ns().saturating_sub(self.start_ns).max(1);
        let mut unsent: u64 =
            self.places.iter_mut().map(|place| place.abandon(&mut self.shared)).sum();
        let start_ns = self.start_ns;
        let recorder = &self.shared.recorder;
        let never = self.arrivals.filter(|a| recorder.measures(start_ns + a.intended_ns));
        unsent += never.count() as u64;
        ThreadReport {
            tally: self.shared.recorder.finish(),
            unsent,
            busy_share: self.busy_ns as f64 / wall_ns as f64,
            hiccup: self.hiccup,
            samples: self.shared.reservoir.into_samples(),
        }
    }
}
