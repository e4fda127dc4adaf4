//! One pacing thread: it sends requests when they are due, and reads the answers.

use std::io;
use std::iter::Peekable;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::connection::ConnectContext;
use super::dial::Dial;
use crate::harness::schedule::timeline::Timeline;
use super::pool::Pool;
use super::shared::{Due, SCRATCH_BYTES, Shared};
use crate::base::clock::Monotonic;
use crate::harness::dialect::protocol::RunSpan;
use crate::harness::dialect::request::RequestWriter;
use crate::harness::dialect::target::Target;
use crate::harness::machine::cores;
use crate::harness::machine::stop::Stop;
use crate::harness::record::observer::Observer;
use crate::harness::record::recorder::Recorder;
use crate::harness::record::tally::Tally;
use crate::harness::record::intervals::{Window, histogram};
use crate::harness::record::sample::Sampler;
use crate::harness::scenario::run_plan::{Origin, RunPlan, Waiting};
use crate::harness::schedule::traffic::{Arrival, Traffic};
use crate::harness::scenario::key::{RequestKey, Selector};
use crate::harness::schedule::layout::Layout;
use crate::harness::record::measured::Acted;
use crate::harness::schedule::sampling::{GapSampling, RehearsalTimes};

/// Measurements of one thread besides the histograms.
#[derive(Debug)]
pub(crate) struct ThreadReport {
    pub(crate) tally: Tally,
    pub(crate) busy_share: f64,
    pub(crate) hiccup: Histogram<u64>,
    pub(crate) notice: Histogram<u64>,
    pub(crate) sampler: Sampler,
    /// Lag of the rehearsal in nanoseconds.
    pub(crate) rehearsal: Histogram<u64>,
    /// Requests whose gaps are compared with the schedule.
    pub(crate) acted: Vec<Acted>,
}

/// Data that all threads of a run share, made before it starts.
#[derive(Debug)]
pub(super) struct RunSetup<'a> {
    pub(super) plan: &'a RunPlan,
    pub(super) target: &'a Target,
    dial: Dial,
    pub(super) layout: Layout,
    pub(super) requests: Arc<RequestWriter>,
    pub(super) timeline: Timeline,
    pub(super) clock: Monotonic,
    pub(super) observer: Option<Observer>,
    pub(super) gaps: Option<GapSampling>,
    /// Request of the user to stop.
    pub(crate) stop: &'a Stop,
    /// Set when the run can no longer succeed.
    pub(crate) abort: AtomicBool,
}

impl<'a> RunSetup<'a> {
    /// # Errors
    /// Returns an error when TLS cannot be set up with the target, or when an assertion cannot be
    /// signed.
    pub(super) fn new(
        plan: &'a RunPlan,
        target: &'a Target,
        timeline: Timeline,
        observer: Option<Observer>,
        stop: &'a Stop,
    ) -> io::Result<Self> {
        let per_vm = (plan.origin == Origin::PerVm).then_some(plan.world);
        let load_ns = timeline.span_ns(plan.warmup_ns) + timeline.span_ns(plan.duration_ns);
        let length_ns = plan.rehearsal_ns + load_ns + plan.timeout_ns;
        let length = Duration::from_nanos(length_ns) + CONNECTING;
        let requests = RequestWriter::new(target, &plan.world, RunSpan { begins: timeline.epoch.wall, length });
        Ok(Self {
            plan,
            target,
            dial: Dial::to(target, per_vm)?,
            layout: Layout::of(plan),
            requests: Arc::new(requests.map_err(io::Error::other)?),
            timeline,
            clock: timeline.epoch.clock,
            observer,
            gaps: GapSampling::of(&plan.workload, plan.seed),
            stop,
            abort: AtomicBool::new(false),
        })
    }

    fn is_over(&self) -> bool {
        self.stop.is_requested() || self.abort.load(Ordering::Relaxed)
    }
}

/// Connections and memory of a thread, made before the load starts.
#[derive(Debug)]
pub(crate) struct Prepared {
    pool: Pool,
    epoll: OwnedFd,
    sampler: Sampler,
}

impl Prepared {
    /// Makes the connections of this thread.
    ///
    /// # Errors
    /// Returns an error when a connection cannot be made.
    pub(super) fn new(setup: &RunSetup<'_>, thread: usize) -> io::Result<Self> {
        let RunSetup { plan, layout, stop, .. } = setup;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let context = ConnectContext {
            dial: &setup.dial,
            requests: &setup.requests,
            epoll: &epoll,
            clock: setup.clock,
        };
        let pool = Pool::connect(layout.sets(thread), &context, stop)?;
        let seed = plan.seed.wrapping_add(thread as u64);
        Ok(Self {
            pool,
            epoll,
            sampler: Sampler::new(plan.samples, plan.classes.of_tokens(), seed),
        })
    }
}

/// Start time of a run, and the measured window.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) at_ns: u64,
    pub(crate) window: Window,
    pub(crate) recorder: Recorder,
}

/// Time before its deadline at which a sleeping thread is woken, in nanoseconds. It spins for the
/// rest: wake-ups are late by tens of microseconds, spinning is not.
const SPIN_NS: u64 = 80_000;
/// Period of the virtual probe of the hiccup histogram in nanoseconds: it ticks at 1 kHz.
const TICK_NS: u64 = 1_000_000;
/// Nanoseconds from the end of the rehearsal to the load: time to make the first arrivals.
const SETTLE_NS: u64 = 25_000_000;
/// Due requests to write before the thread reads answers again. A write to loopback takes some 10
/// us, and an answer that comes meanwhile is noticed that much later.
const BATCH: usize = 4;
/// More time than all connections take. Assertions remain valid for it, in addition to the run.
const CONNECTING: Duration = Duration::from_mins(10);
/// Maximum number of events of one call.
const EVENTS: usize = 256;
/// Answers to read before the thread looks for due requests. If a server answers thousands at once,
/// a due request does not wait for all of them.
const ANSWERS: usize = 4;

/// Pacing thread at work.
pub(super) struct Generator<'a> {
    setup: &'a RunSetup<'a>,
    thread: usize,
    arrivals: Arrivals<'a>,
    pool: Pool,
    shared: Shared,
    events: Vec<epoll::Event>,
    start_ns: u64,
    window: Window,
    tally: Tally,
    /// Last reading of the clock.
    now_ns: u64,
    /// Last time at which everything that had arrived was read.
    drained_ns: u64,
    next_tick_ns: u64,
    hiccup: Histogram<u64>,
    busy_ns: u64,
    rehearsal: Histogram<u64>,
    rehearsing: bool,
    acted: Vec<Acted>,
}

impl<'a> Generator<'a> {
    pub(super) fn new(
        setup: &'a RunSetup<'a>,
        thread: usize,
        prepared: Prepared,
        start: Start,
    ) -> Self {
        let Start { at_ns: start_ns, window, recorder } = start;
        let now_ns = setup.clock.now_ns();
        let shared = Shared {
            clock: setup.clock,
            dial: setup.dial.clone(),
            requests: Arc::clone(&setup.requests),
            classes: setup.plan.classes,
            dialect: Arc::clone(&setup.target.dialect),
            recorder,
            sampler: prepared.sampler,
            observer: setup.observer.clone(),
            epoll: prepared.epoll,
            outstanding: 0,
            reconnects: 0,
            sessions: 0,
            timeout_ns: setup.plan.timeout_ns,
            scratch: vec![0; SCRATCH_BYTES],
            unseen_since_ns: now_ns,
            notice: histogram(),
        };
        Self {
            setup,
            thread,
            arrivals: arrivals(setup, thread),
            pool: prepared.pool,
            shared,
            events: Vec::with_capacity(EVENTS),
            start_ns,
            window,
            tally: Tally::default(),
            now_ns,
            drained_ns: now_ns,
            next_tick_ns: start_ns,
            hiccup: histogram(),
            busy_ns: 0,
            rehearsal: histogram(),
            rehearsing: false,
            acted: Vec::with_capacity(GapSampling::capacity()),
        }
    }

    /// Sends all the traffic and waits for its answers.
    ///
    /// # Errors
    /// Returns an error when the kernel refuses to wait for events.
    pub(super) fn run(mut self) -> io::Result<ThreadReport> {
        cores::settle_thread(self.setup.plan.cores.of_thread(self.thread));
        self.rehearse()?;
        while !self.is_finished() && !self.setup.is_over() {
            self.turn()?;
        }
        Ok(self.report())
    }

    /// Paces for a while as for the load, but sends nothing.
    ///
    /// The lag in this time comes from this machine alone, whatever the target does.
    fn rehearse(&mut self) -> io::Result<()> {
        let start_ns = self.start_ns;
        let end_ns = start_ns.saturating_sub(SETTLE_NS);
        let nothing = RequestKey { vm: 0, selector: Selector::Default, resource: 0 };
        let plan = self.setup.plan;
        let times = RehearsalTimes::of(&plan.workload, self.setup.layout.threads(), self.thread);
        let due = times.map(move |intended_ns| Arrival { index: 0, intended_ns, key: nothing });
        let load = std::mem::replace(&mut self.arrivals, boxed(due));
        self.now_ns = self.shared.clock.now_ns();
        (self.start_ns, self.next_tick_ns) = (self.now_ns, self.now_ns);
        self.rehearsing = true;
        while self.now_ns < end_ns && !self.setup.is_over() {
            self.turn()?;
        }
        self.rehearsing = false;
        (self.arrivals, self.start_ns, self.next_tick_ns) = (load, start_ns, start_ns);
        self.busy_ns = 0;
        Ok(())
    }

    fn is_finished(&mut self) -> bool {
        let ended = self.now_ns >= self.window.end_ns;
        let settled = ended && self.shared.outstanding == 0 && self.arrivals.peek().is_none();
        settled || self.now_ns > self.window.end_ns.saturating_add(self.setup.plan.timeout_ns)
    }

    fn turn(&mut self) -> io::Result<()> {
        let begin_ns = self.now_ns;
        let ticked = self.tick();
        let sent = self.send_due();
        if ticked || sent {
            self.worked_since(begin_ns);
        }
        self.receive()
    }

    /// Counts the time since `begin_ns` as work.
    ///
    /// Time after the load does not count: the thread is idle while the last answers come, which
    /// says nothing about the load.
    fn worked_since(&mut self, begin_ns: u64) {
        self.now_ns = self.shared.clock.now_ns();
        self.busy_ns += self.now_ns.min(self.window.end_ns).saturating_sub(begin_ns);
    }

    /// Does the work of each millisecond. Returns true if there was any.
    fn tick(&mut self) -> bool {
        let now_ns = self.now_ns;
        if now_ns < self.next_tick_ns {
            return false;
        }
        while self.next_tick_ns <= now_ns {
            // A long stall makes several ticks late, each by its own amount.
            if self.window.contains(self.next_tick_ns) {
                self.hiccup.saturating_record(now_ns - self.next_tick_ns);
            }
            self.next_tick_ns += TICK_NS;
        }
        self.skip_to_turn();
        self.shared.recorder.advance(now_ns);
        self.pool.expire(now_ns, &mut self.shared);
        true
    }

    /// Skips the turns of another run, so that this thread sleeps once it has all its answers.
    fn skip_to_turn(&mut self) {
        let idle = self.shared.outstanding == 0 && !self.rehearsing;
        if let Some(turn) = self.setup.timeline.turn.filter(|_| idle) {
            let wall_ns = self.next_tick_ns.saturating_sub(self.start_ns);
            self.next_tick_ns = self.start_ns + turn.next_ns(wall_ns);
        }
    }

    /// Hands a batch of due requests to their connections. Returns true if there were any.
    fn send_due(&mut self) -> bool {
        for sent in 0..BATCH {
            let (start_ns, now_ns) = (self.start_ns, self.now_ns);
            let Some(arrival) = self.arrivals.next_if(|a| start_ns + a.intended_ns <= now_ns)
            else {
                return sent > 0;
            };
            let intended_ns = start_ns + arrival.intended_ns;
            if self.rehearsing {
                self.rehearsal.saturating_record(now_ns - intended_ns);
                self.now_ns = self.shared.clock.now_ns();
                continue;
            }
            if self.setup.gaps.as_ref().is_some_and(|gaps| gaps.takes(arrival.index)) {
                self.note_gap(intended_ns);
            }
            self.tally.scheduled += u64::from(self.window.contains(intended_ns));
            self.tally.acted += u64::from(self.window.contains(now_ns));
            let due = Due { key: arrival.key, intended_ns, acted_ns: now_ns };
            self.pool.offer(self.setup.layout.set_of_thread(&arrival), due, &mut self.shared);
            // The write took time, so the next due request is acted on later.
            self.now_ns = self.shared.clock.now_ns();
        }
        true
    }

    /// Keeps a request whose gap to the next is examined, while there is room.
    fn note_gap(&mut self, intended_ns: u64) {
        let Window { start_ns, .. } = self.window;
        if self.window.contains(intended_ns) && self.acted.len() < self.acted.capacity() {
            let own = |at_ns| self.setup.timeline.own_ns(at_ns);
            let (intended_ns, acted_ns) =
                (own(intended_ns - start_ns), own(self.now_ns - start_ns));
            self.acted.push(Acted { intended_ns, acted_ns });
        }
    }

    /// Reads what has arrived. Sleeps if nothing has, and if nothing is due for a while.
    fn receive(&mut self) -> io::Result<()> {
        let next = self.arrivals.peek().map_or(u64::MAX, |a| self.start_ns + a.intended_ns);
        let wake_ns = next.min(self.next_tick_ns).saturating_sub(SPIN_NS);
        let idle = self.shared.outstanding == 0;
        if idle && wake_ns <= self.now_ns {
            // Nothing can arrive: spin on the clock alone.
            std::hint::spin_loop();
            self.now_ns = self.shared.clock.now_ns();
            self.drained_ns = self.now_ns;
            return Ok(());
        }
        self.poll(0)?;
        let may_sleep = idle || self.setup.plan.waiting == Waiting::Sleep;
        if self.events.is_empty() && may_sleep && wake_ns > self.now_ns {
            self.poll(wake_ns - self.now_ns)?;
        }
        if !self.events.is_empty() {
            let begin_ns = self.now_ns;
            self.handle_events();
            self.worked_since(begin_ns);
        }
        Ok(())
    }

    /// Waits for events, for at most `span_ns`.
    fn poll(&mut self, span_ns: u64) -> io::Result<()> {
        let nanos = i64::try_from(span_ns).unwrap_or(i64::MAX);
        let span = Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
        self.events.clear();
        match epoll::wait(&self.shared.epoll, spare_capacity(&mut self.events), Some(&span)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        self.now_ns = self.shared.clock.now_ns();
        // The event that ends a sleep happened during it. The wake-up delay of the kernel cannot be
        // seen from here, so a thread sleeps only where cores are shared.
        self.shared.unseen_since_ns = if span_ns == 0 { self.drained_ns } else { self.now_ns };
        // A full batch may have left other events behind, which were there before it.
        if self.events.len() < self.events.capacity() {
            self.drained_ns = self.now_ns;
        }
        Ok(())
    }

    fn handle_events(&mut self) {
        let events = std::mem::take(&mut self.events);
        for (index, answers) in events.chunks(ANSWERS).enumerate() {
            if index > 0 {
                self.now_ns = self.shared.clock.now_ns();
                self.send_due();
            }
            for event in answers {
                let connection = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
                self.pool.ready(connection, &mut self.shared);
            }
        }
        self.events = events;
    }

    #[expect(clippy::cast_precision_loss, reason = "a share needs no 53 bits")]
    fn report(mut self) -> ThreadReport {
        let now_ns = self.shared.clock.now_ns();
        let wall_ns = now_ns.min(self.window.end_ns).saturating_sub(self.start_ns).max(1);
        let recorder_tally = if self.setup.is_over() {
            self.shared.recorder.abandon()
        } else {
            self.pool.abandon(now_ns, &mut self.shared);
            let (start_ns, window) = (self.start_ns, self.window);
            let left = self.arrivals.filter(|a| window.contains(start_ns + a.intended_ns));
            self.tally.unsent = left.count() as u64;
            self.tally.scheduled += self.tally.unsent;
            self.shared.recorder.finish()
        };
        self.tally.reconnects = self.shared.reconnects;
        self.tally.sessions = self.shared.sessions;
        self.tally.add(&recorder_tally);
        ThreadReport {
            tally: self.tally,
            busy_share: self.busy_ns as f64 / wall_ns as f64,
            hiccup: self.hiccup,
            notice: self.shared.notice,
            sampler: self.shared.sampler,
            rehearsal: self.rehearsal,
            acted: self.acted,
        }
    }
}

type Arrivals<'a> = Peekable<Box<dyn Iterator<Item = Arrival> + 'a>>;

fn arrivals<'a>(setup: &'a RunSetup<'a>, thread: usize) -> Arrivals<'a> {
    let mine = move |arrival: &Arrival| setup.layout.thread(arrival) == thread;
    let traffic = Traffic::of(&setup.plan.workload, &setup.plan.world).filter(mine);
    let due = |arrival: Arrival| Arrival {
        intended_ns: setup.timeline.due_ns(arrival.intended_ns),
        ..arrival
    };
    boxed(traffic.map(due))
}

fn boxed<'a>(traffic: impl Iterator<Item = Arrival> + 'a) -> Arrivals<'a> {
    let traffic: Box<dyn Iterator<Item = Arrival>> = Box::new(traffic);
    traffic.peekable()
}
