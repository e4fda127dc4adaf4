//! One pacing thread: it sends requests when they are due, and reads the answers.

use std::io;
use std::iter::Peekable;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::held::Held;
use super::looks::{Found, Looks, came_within};
use super::pool::Pool;
use super::setup::{Prepared, RunSetup};
use super::shared::{Due, SCRATCH_BYTES, Shared};
use super::wall_clock::WallClock;
use super::witnesses::own_core::OwnCore;
use crate::harness::machine::cores;
use crate::harness::machine::scheduling::PROC;
use crate::harness::nanos::Nanos;
use crate::harness::record::intervals::{Window, histogram};
use crate::harness::record::measured::Acted;
use crate::harness::record::recorder::Recorder;
use crate::harness::record::sample::Sampler;
use crate::harness::record::tally::{FirstVm, Tally};
use crate::harness::record::witness::{DISTURBANCE_MIN, Disturbance, Witness};
use crate::harness::scenario::key::{RequestKey, Selector};
use crate::harness::scenario::run_plan::{Bounds, Waiting};
use crate::harness::schedule::pauses::Shift;
use crate::harness::schedule::sampling::{GapSampling, RehearsalTimes};
use crate::harness::schedule::traffic::{Arrival, Traffic};

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

/// Start time of a run, and the measured window.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) at: Nanos,
    pub(crate) window: Window,
    pub(crate) recorder: Recorder,
}

/// Time before its deadline at which a sleeping thread is woken. It spins for the
/// rest: wake-ups are late by tens of microseconds, spinning is not.
const SPIN: Nanos = Nanos::from_micros(80);
/// Period of the virtual probe of the hiccup histogram: it ticks at 1 kHz.
const TICK: Nanos = Nanos::from_millis(1);
/// Time from the end of the rehearsal to the load, enough to make the first arrivals.
const SETTLE: Nanos = Nanos::from_millis(25);
/// Due requests to write before the thread reads answers again. A write to loopback takes some 10
/// us, and an answer that comes meanwhile is noticed that much later.
const BATCH: usize = 4;
/// Maximum number of events of one call.
const EVENTS: usize = 256;
/// Longest time that reading an answer takes. A request that is due sooner goes first.
const READ_MAX: Nanos = Nanos::from_micros(8);

/// Pacing thread at work.
pub(super) struct Generator<'a> {
    setup: &'a RunSetup<'a>,
    thread: usize,
    arrivals: Arrivals<'a>,
    pool: Pool,
    shared: Shared,
    events: Vec<epoll::Event>,
    start: Nanos,
    window: Window,
    tally: Tally,
    /// Last reading of the clock.
    now: Nanos,
    looks: Looks,
    shift: Shift,
    core: OwnCore,
    /// True if the thread worked on answers since its last reading of the clock.
    handled: bool,
    next_tick: Nanos,
    hiccup: Histogram<u64>,
    busy: Nanos,
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
        let Start { at: start, window, recorder } = start;
        let Prepared { pool, epoll, sampler } = prepared;
        let now = Nanos::now(setup.clock);
        Self {
            setup,
            thread,
            arrivals: arrivals(setup, thread),
            pool,
            shared: shared(setup, thread, (recorder, sampler, epoll), now),
            events: Vec::with_capacity(EVENTS),
            start,
            window,
            tally: Tally::default(),
            now,
            looks: Looks::new(now),
            shift: Shift::default(),
            core: OwnCore::default(),
            handled: false,
            next_tick: start,
            hiccup: histogram(),
            busy: Nanos::ZERO,
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
        self.setup.witnesses.introduce(cores::thread_number());
        if self.setup.may_pause() {
            self.core = OwnCore::of_this_thread(Path::new(PROC));
        }
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
        let start = self.start;
        let end = start.saturating_sub(SETTLE);
        let nothing = RequestKey { vm: 0, selector: Selector::Default, resource: 0 };
        let plan = self.setup.plan;
        let times = RehearsalTimes::of(&plan.workload, self.setup.layout.threads(), self.thread);
        let due = times.map(move |intended| Arrival { index: 0, intended, key: nothing });
        let load = std::mem::replace(&mut self.arrivals, boxed(due));
        self.now = self.shared.now();
        (self.start, self.next_tick) = (self.now, self.now);
        self.rehearsing = true;
        while self.now < end && !self.setup.is_over() {
            self.turn()?;
        }
        self.rehearsing = false;
        (self.arrivals, self.start, self.next_tick) = (load, start, start);
        self.busy = Nanos::ZERO;
        Ok(())
    }

    fn is_finished(&mut self) -> bool {
        let ended = self.now >= self.window.end;
        let settled = ended && self.shared.outstanding == 0 && self.next_due().is_none();
        settled || self.now > self.window.end.saturating_add(self.shared.timeout)
    }

    fn turn(&mut self) -> io::Result<()> {
        let begin = self.now;
        let ticked = self.tick();
        let sent = self.send_due();
        if ticked || sent {
            self.worked_since(begin);
        }
        self.receive()
    }

    /// Counts the time since `begin` as work.
    ///
    /// Time after the load does not count: the thread is idle while the last answers come, which
    /// says nothing about the load.
    fn worked_since(&mut self, begin: Nanos) {
        self.look_at_clock();
        self.busy += self.now.min(self.window.end).saturating_sub(begin);
    }

    /// Reads the clock after work that takes microseconds.
    fn look_at_clock(&mut self) {
        self.look_at_clock_after(Nanos::ZERO);
    }

    /// Reads the clock after a sleep of this length. If the time went on for much longer, the thread
    /// was stopped.
    fn look_at_clock_after(&mut self, slept: Nanos) {
        let from = self.now.saturating_add(slept);
        self.now = self.shared.now();
        if self.now > from.saturating_add(DISTURBANCE_MIN) {
            self.was_away(from);
        }
        self.handled = false;
    }

    /// Notes that the thread was stopped since `from`.
    fn was_away(&mut self, from: Nanos) {
        if self.rehearsing {
            return;
        }
        // After a pause there is nothing to catch up with.
        let lost = if self.pauses_since(from) { Nanos::ZERO } else { self.now - from };
        if self.setup.witnesses.gaps_count() {
            let witness = Witness::GeneratorClock;
            self.shared.recorder.disturbed(Disturbance { from, to: self.now, lost, witness });
        }
    }

    /// Moves the schedule by the time since `from`, in which the thread was stopped. Returns
    /// false without evidence that something else than the target took the time.
    fn pauses_since(&mut self, from: Nanos) -> bool {
        let (setup, now) = (self.setup, self.now);
        let measured = self.window.contains(from) && self.window.contains(now);
        let (witnesses, gap) = (&setup.witnesses, now - from);
        // Work on answers takes as long as the target makes them. So does TLS, whose answers have no stamps.
        let looked = !self.handled && self.shared.stamped > 0;
        let stopped = looked && witnesses.clears_all_gaps() && came_within(&self.shared.epoll, gap);
        let waited = self.core.explains(gap);
        let cleared = setup.may_pause() && witnesses.target_is_clear();
        let pauses = measured && cleared && (waited || stopped);
        if pauses {
            self.shift.learn(setup.pauses.add(from, now), from);
        }
        pauses
    }

    /// Returns the time of the next request that is due before the end of the load.
    fn next_due(&mut self) -> Option<Nanos> {
        let due = self.start + self.arrivals.peek()?.intended;
        Some(self.shift.moved(due)).filter(|due| *due < self.window.end)
    }

    /// Takes the next request if it is due. Returns its time too.
    fn take_due(&mut self) -> Option<(Nanos, Arrival)> {
        let intended = self.next_due().filter(|due| *due <= self.now)?;
        let arrival = self.arrivals.next()?;
        self.shift.take(self.start + arrival.intended);
        Some((intended, arrival))
    }

    /// Does the work of each millisecond. Returns true if there was any.
    fn tick(&mut self) -> bool {
        let now = self.now;
        if now < self.next_tick {
            return false;
        }
        while self.next_tick <= now {
            // A long stall makes several ticks late, each by its own amount.
            if self.window.contains(self.next_tick) {
                self.hiccup.saturating_record((now - self.next_tick).as_u64());
            }
            self.next_tick += TICK;
        }
        self.skip_to_turn();
        self.core.refresh();
        self.shared.recorder.advance(now);
        self.shared.wall_clock.update(WallClock::read(self.setup.clock));
        self.shared.unseen_since = self.looks.unseen_since();
        self.handled = true;
        self.pool.expire(now, &mut self.shared);
        self.shared.settle_held();
        true
    }

    /// Skips the turns of another run, so that this thread sleeps once it has all its answers.
    fn skip_to_turn(&mut self) {
        let idle = self.shared.outstanding == 0 && !self.rehearsing;
        if let Some(turn) = self.setup.timeline.turn.filter(|_| idle) {
            let wall = self.next_tick.saturating_sub(self.start);
            self.next_tick = self.start + turn.next_instant(wall);
        }
    }

    /// Hands a batch of due requests to their connections. Returns true if there were any.
    fn send_due(&mut self) -> bool {
        // Another thread may have paused.
        self.shift.learn(self.setup.pauses.total(), self.now);
        for sent in 0..BATCH {
            let Some((intended, arrival)) = self.take_due() else { return sent > 0 };
            let now = self.now;
            if self.rehearsing {
                self.rehearsal.saturating_record((now - intended).as_u64());
                self.now = self.shared.now();
                continue;
            }
            if self.setup.gaps.as_ref().is_some_and(|gaps| gaps.takes(arrival.index)) {
                self.note_gap(&arrival, intended);
            }
            self.tally.scheduled += u64::from(self.window.contains(intended));
            self.tally.acted += u64::from(self.window.contains(now));
            let due = Due { key: arrival.key, intended, acted: now };
            self.pool.offer(self.setup.layout.set_of_thread(&arrival), due, &mut self.shared);
            // The write took time, so the next due request is acted on later.
            self.look_at_clock();
        }
        true
    }

    /// Keeps a request whose gap to the next is examined, while there is room.
    fn note_gap(&mut self, arrival: &Arrival, intended: Nanos) {
        let Window { start, .. } = self.window;
        if self.window.contains(intended) && self.acted.len() < self.acted.capacity() {
            let paused = intended - (self.start + arrival.intended);
            let own = |at: Nanos| self.setup.timeline.own_time(at.saturating_sub(paused));
            let (intended, acted) = (own(intended - start), own(self.now - start));
            self.acted.push(Acted { intended, acted });
        }
    }

    /// Reads what has arrived. Sleeps if nothing has, and if nothing is due for a while.
    fn receive(&mut self) -> io::Result<()> {
        let next = self.next_due().unwrap_or(Nanos::MAX);
        let wake = next.min(self.next_tick).saturating_sub(SPIN);
        let idle = self.shared.outstanding == 0;
        if idle && wake <= self.now {
            // Nothing can arrive: spin on the clock alone.
            std::hint::spin_loop();
            self.look_at_clock();
            self.looks.nothing_before(self.now);
            return Ok(());
        }
        self.poll(Nanos::ZERO)?;
        let may_sleep = idle || self.setup.plan.waiting == Waiting::Sleep;
        if self.events.is_empty() && may_sleep && wake > self.now {
            self.poll(wake - self.now)?;
        }
        if !self.events.is_empty() {
            let begin = self.now;
            self.handle_events();
            self.worked_since(begin);
        }
        Ok(())
    }

    /// Waits for events, for at most `span`.
    fn poll(&mut self, span: Nanos) -> io::Result<()> {
        let nanos = i64::try_from(span.as_u64()).unwrap_or(i64::MAX);
        let timeout = Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
        self.events.clear();
        self.looks.begin(self.now);
        match epoll::wait(&self.shared.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // An event may end the sleep at any time, and nobody knows when the thread could have run.
        let slept = if span.is_zero() || self.events.is_empty() { span } else { Nanos::MAX };
        self.look_at_clock_after(slept);
        let whole = self.events.len() < self.events.capacity();
        let since = self.looks.end(if whole { Found::All } else { Found::FullBatch });
        self.shared.unseen_since = since;
        // The event that ends a sleep happened during it. The wake-up delay of the kernel cannot be
        // seen from here, so a thread sleeps only where cores are shared.
        self.shared.noticeable_since = if span.is_zero() { since } else { self.now };
        Ok(())
    }

    /// Reads the answers of one look. Requests that are due go before each.
    fn handle_events(&mut self) {
        let events = std::mem::take(&mut self.events);
        for event in &events {
            self.send_before_read();
            let connection = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            self.handled = true;
            self.pool.ready(connection, &mut self.shared);
        }
        self.events = events;
    }

    /// Sends what is due, and what gets due while an answer would be read.
    ///
    /// A stamped answer may wait: its time is the kernel's. A late request delays all that follow it.
    fn send_before_read(&mut self) {
        self.look_at_clock();
        let next = self.next_due().filter(|_| self.shared.stamped > 0);
        let soon = self.now.saturating_add(READ_MAX);
        while next.is_some_and(|next| self.now < next && next <= soon) {
            std::hint::spin_loop();
            self.look_at_clock();
        }
        self.send_due();
    }

    fn report(mut self) -> ThreadReport {
        let now = self.shared.now();
        let wall = now.min(self.window.end).saturating_sub(self.start).max(Nanos::new(1));
        let recorder_tally = if self.setup.is_over() {
            self.shared.give_up_held();
            self.shared.recorder.abandon()
        } else {
            self.shared.unseen_since = self.looks.unseen_since();
            self.pool.abandon(now, &mut self.shared);
            self.shared.give_up_held();
            let (start, window, shift) = (self.start, self.window, self.shift);
            let left = self.arrivals.filter(|a| window.contains(shift.moved(start + a.intended)));
            self.tally.unsent = left.count() as u64;
            self.tally.scheduled += self.tally.unsent;
            self.shared.recorder.finish()
        };
        self.tally.reconnects = self.shared.reconnects;
        self.tally.sessions = self.shared.sessions;
        self.tally.first_vm = self.shared.first_vm;
        self.tally.add(&recorder_tally);
        ThreadReport {
            tally: self.tally,
            busy_share: self.busy.as_f64() / wall.as_f64(),
            hiccup: self.hiccup,
            notice: self.shared.notice,
            sampler: self.shared.sampler,
            rehearsal: self.rehearsal,
            acted: self.acted,
        }
    }
}

/// Returns the state of a thread's connections at the time `now`, before the first event.
fn shared(
    setup: &RunSetup<'_>,
    thread: usize,
    (recorder, sampler, epoll): (Recorder, Sampler, OwnedFd),
    now: Nanos,
) -> Shared {
    Shared {
        clock: setup.clock,
        dial: setup.dial.clone(),
        requests: Arc::clone(&setup.requests),
        classes: setup.plan.classes,
        dialect: Arc::clone(&setup.target.dialect),
        recorder,
        sampler,
        observer: setup.observer.clone(),
        epoll,
        outstanding: 0,
        reconnects: 0,
        sessions: 0,
        first_vm: FirstVm::default(),
        timeout: setup.plan.timeout,
        scratch: vec![0; SCRATCH_BYTES],
        thread,
        busy_period: Arc::clone(&setup.busy_period),
        held: (setup.plan.bounds == Bounds::BusyPeriod).then(|| Held::new(now)),
        unseen_since: now,
        noticeable_since: now,
        wall_clock: WallClock::read(setup.clock),
        stamp: None,
        stamped: 0,
        notice: histogram(),
    }
}

type Arrivals<'a> = Peekable<Box<dyn Iterator<Item = Arrival> + 'a>>;

fn arrivals<'a>(setup: &'a RunSetup<'a>, thread: usize) -> Arrivals<'a> {
    let mine = move |arrival: &Arrival| setup.layout.thread(arrival) == thread;
    let traffic = Traffic::of(&setup.plan.workload, &setup.plan.world).filter(mine);
    let due = |arrival: Arrival| Arrival {
        intended: setup.timeline.due_time(arrival.intended),
        ..arrival
    };
    boxed(traffic.map(due))
}

fn boxed<'a>(traffic: impl Iterator<Item = Arrival> + 'a) -> Arrivals<'a> {
    let traffic: Box<dyn Iterator<Item = Arrival>> = Box::new(traffic);
    traffic.peekable()
}
