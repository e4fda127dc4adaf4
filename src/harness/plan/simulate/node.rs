//! One broker process: its worker threads and mint lanes share the cores.
//!
//! A connection belongs to one worker. So each core has a worker with its own queue, and runs at most
//! one lane. Lanes share one bounded queue, in which callers' mints come before renewals. A core runs
//! one of its two threads at a time. The other runs when the first is idle or has used up its time
//! slice, as under Linux's scheduler. A lane can be interrupted in the middle of a signature, a worker
//! only between requests.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::num::NonZeroUsize;

use rand::rngs::Xoshiro256PlusPlus;

use super::service::Service;
use crate::harness::nanos::Nanos;

/// Shape of a broker process.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Number of cores, each with a worker.
    pub(crate) cores: NonZeroUsize,
    /// Maximum number of mints at the same time.
    pub(crate) lanes: NonZeroUsize,
    /// Maximum number of waiting mints, and of waiting renewals.
    pub(crate) mint_queue: usize,
    /// Time slice: how long a thread runs before the other thread of its core may run.
    pub(crate) slice: Nanos,
}

/// Costs of the work of a node.
#[derive(Clone, Debug)]
pub(crate) struct Costs {
    /// Core time of each request, hit or not.
    pub(crate) hit: Service,
    /// Additional core time of each mint.
    pub(crate) mint: Service,
    /// Additional time that a caller waits, for the way there and back.
    pub(crate) way: Service,
}

/// Number that identifies a request or a mint. Its meaning is up to the owner.
pub(crate) type Ticket = u64;

/// Work that a core has finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// A worker has handled this request.
    Handled(Ticket),
    /// A lane has minted for this ticket.
    Minted(Ticket),
    /// A lane has finished a renewal, which nobody waits for.
    Renewed,
}

/// Scheduled event of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick {
    at: Nanos,
    order: u64,
    core: usize,
    epoch: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Done,
    Slice,
}

/// Mint, or renewal if it has no ticket.
#[derive(Clone, Copy, Debug)]
struct Job {
    ticket: Option<Ticket>,
    left: Nanos,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Idle,
    Lane { job: Job, ends: Nanos },
    Worker(Ticket),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Lane,
    Worker,
}

#[derive(Debug)]
struct Core {
    requests: VecDeque<Ticket>,
    state: State,
    suspended: Option<Job>,
    side: Side,
    /// Time since which that side has had the core.
    since: Nanos,
    /// Number of the current assignment of the core. Ticks of earlier assignments are ignored.
    epoch: u64,
}

/// Broker process.
#[derive(Debug)]
pub(crate) struct Node {
    shape: Shape,
    costs: Costs,
    cores: Vec<Core>,
    mints: VecDeque<Ticket>,
    renewals: usize,
    lanes_busy: usize,
    ticks: BinaryHeap<Reverse<Tick>>,
    order: u64,
    rng: Xoshiro256PlusPlus,
    /// Largest number of mints that waited at one time.
    pub(crate) queue_peak: usize,
    /// Time that cores were busy.
    pub(crate) busy: Nanos,
}

/// Error: the mint queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Node {
    /// Returns an idle process.
    pub(crate) fn new(shape: Shape, costs: Costs, rng: Xoshiro256PlusPlus) -> Self {
        let core = || Core {
            requests: VecDeque::new(),
            state: State::Idle,
            suspended: None,
            side: Side::Worker,
            since: Nanos::ZERO,
            epoch: 0,
        };
        let cores = (0..shape.cores.get()).map(|_| core()).collect();
        Self {
            shape,
            costs,
            cores,
            mints: VecDeque::new(),
            renewals: 0,
            lanes_busy: 0,
            ticks: BinaryHeap::new(),
            order: 0,
            rng,
            queue_peak: 0,
            busy: Nanos::ZERO,
        }
    }

    /// Draws the time that a caller waits in addition to the node's own work.
    pub(crate) fn way(&mut self) -> Nanos {
        self.costs.way.draw(&mut self.rng)
    }

    /// Returns the number of cores, each with a worker.
    pub(crate) const fn cores(&self) -> usize {
        self.shape.cores.get()
    }

    /// Returns the number of renewals that wait for a lane.
    pub(crate) const fn renewals(&self) -> usize {
        self.renewals
    }

    /// Adds a request on a connection of this worker.
    pub(crate) fn request(&mut self, now: Nanos, ticket: Ticket, worker: usize) {
        let index = worker % self.cores.len().max(1);
        let Some(core) = self.cores.get_mut(index) else { return };
        core.requests.push_back(ticket);
        let first = core.requests.len() == 1;
        match core.state {
            State::Idle => self.dispatch(now, index),
            State::Lane { ends, .. } if first => self.limit(now, index, ends),
            State::Lane { .. } | State::Worker(_) => {}
        }
    }

    /// Queues a mint that a caller waits for.
    ///
    /// # Errors
    /// Returns [`Full`] when the queue is full.
    pub(crate) fn mint(&mut self, now: Nanos, ticket: Ticket) -> Result<(), Full> {
        if self.mints.len() >= self.shape.mint_queue {
            return Err(Full);
        }
        self.mints.push_back(ticket);
        self.wake(now);
        self.queue_peak = self.queue_peak.max(self.mints.len());
        Ok(())
    }

    /// Queues a renewal, which nobody waits for. It is put off if its queue is full.
    ///
    /// # Errors
    /// Returns [`Full`] when the renewal is put off.
    pub(crate) fn renew(&mut self, now: Nanos) -> Result<(), Full> {
        if self.renewals >= self.shape.mint_queue {
            return Err(Full);
        }
        self.renewals += 1;
        self.wake(now);
        Ok(())
    }

    fn wake(&mut self, now: Nanos) {
        let idle = |core: &Core| matches!(core.state, State::Idle);
        if let Some(index) = self.cores.iter().position(idle) {
            self.dispatch(now, index);
        }
    }

    /// Returns the time of the node's next event.
    pub(crate) fn next(&self) -> Option<Nanos> {
        self.ticks.peek().map(|Reverse(tick)| tick.at)
    }

    /// Handles the next event. Returns the finished work, if any.
    pub(crate) fn step(&mut self) -> Option<Done> {
        let Reverse(tick) = self.ticks.pop()?;
        let core = self.cores.get_mut(tick.core)?;
        if core.epoch != tick.epoch {
            return None;
        }
        match (tick.kind, core.state) {
            (Kind::Done, State::Worker(ticket)) => {
                core.state = State::Idle;
                self.dispatch(tick.at, tick.core);
                Some(Done::Handled(ticket))
            }
            (Kind::Done, State::Lane { job, .. }) => {
                core.state = State::Idle;
                self.lanes_busy -= 1;
                self.dispatch(tick.at, tick.core);
                Some(job.ticket.map_or(Done::Renewed, Done::Minted))
            }
            (Kind::Slice, State::Lane { job, ends }) => {
                let left = ends.saturating_sub(tick.at);
                self.busy = self.busy - left;
                core.suspended = Some(Job { left, ..job });
                core.state = State::Idle;
                self.dispatch(tick.at, tick.core);
                None
            }
            (_, State::Idle) | (Kind::Slice, State::Worker(_)) => None,
        }
    }

    fn lane_ready(&self, core: &Core) -> bool {
        core.suspended.is_some()
            || (self.lanes_busy < self.shape.lanes.get()
                && (!self.mints.is_empty() || self.renewals > 0))
    }

    /// Gives an idle core to one of its threads.
    fn dispatch(&mut self, now: Nanos, index: usize) {
        let Some(core) = self.cores.get(index) else { return };
        let (worker, lane) = (!core.requests.is_empty(), self.lane_ready(core));
        let used_up = now.saturating_sub(core.since) >= self.shape.slice;
        let side = match (worker, lane) {
            (false, false) => return,
            (true, false) => Side::Worker,
            (false, true) => Side::Lane,
            (true, true) => match (core.side, used_up) {
                (Side::Lane, false) | (Side::Worker, true) => Side::Lane,
                (Side::Worker, false) | (Side::Lane, true) => Side::Worker,
            },
        };
        let Some(core) = self.cores.get_mut(index) else { return };
        if core.side != side {
            core.side = side;
            core.since = now;
        }
        core.epoch += 1;
        match side {
            Side::Lane => self.start_lane(now, index),
            Side::Worker => self.start_worker(now, index),
        }
    }

    fn start_worker(&mut self, now: Nanos, index: usize) {
        let took = self.costs.hit.draw(&mut self.rng);
        let Some(core) = self.cores.get_mut(index) else { return };
        let Some(ticket) = core.requests.pop_front() else { return };
        core.state = State::Worker(ticket);
        self.busy += took;
        self.tick(now + took, index, Kind::Done);
    }

    fn start_lane(&mut self, now: Nanos, index: usize) {
        let suspended = self.cores.get_mut(index).and_then(|core| core.suspended.take());
        let job = suspended.unwrap_or_else(|| {
            self.lanes_busy += 1;
            let ticket = self.mints.pop_front();
            self.renewals -= usize::from(ticket.is_none());
            Job { ticket, left: self.costs.mint.draw(&mut self.rng) }
        });
        let ends = now + job.left;
        let Some(core) = self.cores.get_mut(index) else { return };
        core.state = State::Lane { job, ends };
        let contended = !core.requests.is_empty();
        self.busy += job.left;
        self.tick(ends, index, Kind::Done);
        if contended {
            self.limit(now, index, ends);
        }
    }

    /// Schedules the end of a lane's turn at the end of its slice, unless the lane ends before.
    fn limit(&mut self, now: Nanos, index: usize, ends: Nanos) {
        let Some(core) = self.cores.get(index) else { return };
        let at = now.max(core.since + self.shape.slice);
        if at < ends {
            self.tick(at, index, Kind::Slice);
        }
    }

    fn tick(&mut self, at: Nanos, core: usize, kind: Kind) {
        self.order += 1;
        let epoch = self.cores.get(core).map_or(0, |core| core.epoch);
        self.ticks.push(Reverse(Tick { at, order: self.order, core, epoch, kind }));
    }
}
