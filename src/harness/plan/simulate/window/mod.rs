//! Simulates some seconds of one node in full detail: callers, a boot storm, a lost neighbour.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use hdrhistogram::Histogram;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1};

use super::backlog::Backlog;
use super::client::Sdk;
use super::node::{Costs, Done, Node, Shape, Ticket};
use super::service::nanos;
use crate::harness::nanos::Nanos;
use crate::harness::record::intervals::histogram;
use crate::harness::stats::float::float;
use crate::harness::stats::intervals::Counts;

/// Load of a node.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Requests per second for tokens that the node holds.
    pub(crate) hits_per_second: f64,
    /// Requests per second for tokens that the node does not hold, each for a different token.
    pub(crate) misses_per_second: f64,
    /// Renewals per second in the background.
    pub(crate) renewals_per_second: f64,
    /// Boot storm, if there is one.
    pub(crate) storm: Option<Storm>,
    /// Callers of a lost node, whose tokens this node does not hold.
    pub(crate) adopted: Option<Adopted>,
    /// Length of the load. A storm is always simulated to its end.
    pub(crate) length: Duration,
}

/// Machines that boot within a time, each at a random moment.
#[derive(Clone, Debug)]
pub(crate) struct Storm {
    /// Number of machines.
    pub(crate) vms: u32,
    /// Tokens that each machine asks for at once.
    pub(crate) tokens_each: u32,
    /// Time within which the machines boot.
    pub(crate) within: Duration,
    /// SDKs of the machines and their shares, which add up to 1.
    pub(crate) sdks: Vec<(Sdk, f64)>,
}

/// Callers that move from a lost node to this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adopted {
    /// Number of tokens that they ask for.
    pub(crate) keys: u32,
    /// Requests per second of all of them.
    pub(crate) per_second: f64,
}

/// Results of a simulated window.
#[derive(Clone, Debug)]
pub(crate) struct Played {
    /// Times to an answer from the cache, in nanoseconds.
    pub(crate) hits: Histogram<u64>,
    /// Times to a minted token, from the first attempt on, in nanoseconds.
    pub(crate) minted: Histogram<u64>,
    /// Times of hits and mints together, by the second of the answer, for the first minute.
    pub(crate) seconds: Vec<Counts>,
    /// Number of requests, including repeated ones.
    pub(crate) requests: u64,
    /// Requests that were answered with status 503.
    pub(crate) refused: u64,
    /// Callers that ended without a token.
    pub(crate) gave_up: u64,
    /// Renewals that were put off because their queue was full.
    pub(crate) put_off: u64,
    /// Largest number of mints that waited at one time.
    pub(crate) queue_peak: usize,
    /// Mean backlog of the second and of the last quarter of the window.
    pub(crate) backlog: [f64; 2],
    /// Time from the end of the storm to its last token; zero without a storm.
    pub(crate) recovery: Duration,
    /// Time from the start to the last event.
    pub(crate) lasted: Duration,
    /// Share of the cores' time that was used, over the whole simulation.
    pub(crate) utilisation: f64,
}

/// `Retry-After` of the broker's status 503.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Time after which streams end, because a storm that still goes on has no end.
const TOO_LONG: Nanos = Nanos::from_secs(3_600);
/// Number of requests after which streams end. A storm under a heavy load has shown enough by then.
const REQUESTS_MAX: u64 = 5_000_000;
/// Maximum number of seconds that are counted separately.
const SECONDS_MAX: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Adopted,
    Ask(Ticket),
    Hit,
    Miss,
    Renewal,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    key: Option<u32>,
    first: Nanos,
    worker: usize,
    sdk: Option<Sdk>,
    attempt: u32,
    of_storm: bool,
}

#[derive(Clone, Debug)]
enum Key {
    Cold,
    Flight(Vec<Ticket>),
    Held,
}

struct Play<'a> {
    window: &'a Window,
    node: Node,
    events: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    order: u64,
    requests: Vec<Request>,
    free: Vec<Ticket>,
    keys: Vec<Key>,
    adopted_from: u32,
    storm_left: u64,
    storm_last: Nanos,
    /// Number of requests at the node.
    inside: u64,
    backlog: Backlog,
    rng: Xoshiro256PlusPlus,
    played: Played,
}

/// Simulates `window` on a node.
pub(crate) fn play(window: &Window, shape: &Shape, costs: &Costs, seed: u64) -> Played {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let node = Node::new(shape.clone(), costs.clone(), Xoshiro256PlusPlus::from_rng(&mut rng));
    let played = Played {
        hits: histogram(),
        minted: histogram(),
        seconds: Vec::new(),
        requests: 0,
        refused: 0,
        gave_up: 0,
        put_off: 0,
        queue_peak: 0,
        backlog: [0.0; 2],
        recovery: Duration::ZERO,
        lasted: Duration::ZERO,
        utilisation: 0.0,
    };
    let mut play = Play {
        window,
        node,
        events: BinaryHeap::new(),
        order: 0,
        requests: Vec::new(),
        free: Vec::new(),
        keys: Vec::new(),
        adopted_from: 0,
        storm_left: 0,
        storm_last: Nanos::ZERO,
        inside: 0,
        backlog: Backlog::new(window.length),
        rng,
        played,
    };
    play.begin();
    let end = play.run();
    play.finish(end, shape)
}

impl Play<'_> {
    fn begin(&mut self) {
        for event in [Event::Hit, Event::Miss, Event::Renewal] {
            self.again(Nanos::ZERO, event);
        }
        if let Some(storm) = self.window.storm.clone() {
            self.boot(&storm);
        }
        if let Some(adopted) = self.window.adopted {
            self.adopted_from = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
            self.keys.extend(std::iter::repeat_n(Key::Cold, adopted.keys as usize));
            self.again(Nanos::ZERO, Event::Adopted);
        }
    }

    fn boot(&mut self, storm: &Storm) {
        let within = storm.within.as_secs_f64() * 1e9;
        for vm in 0..storm.vms {
            let at = nanos(self.rng.random::<f64>() * within);
            let sdk = self.sdk(&storm.sdks);
            for _ in 0..storm.tokens_each {
                let key = Some(self.new_key());
                let worker = vm as usize;
                let request = Request { key, first: at, worker, sdk, attempt: 0, of_storm: true };
                let ticket = self.admit(request);
                self.at(at, Event::Ask(ticket));
                self.storm_left += 1;
            }
        }
    }

    fn sdk(&mut self, sdks: &[(Sdk, f64)]) -> Option<Sdk> {
        let mut draw: f64 = self.rng.random();
        let found = sdks.iter().find(|(_, share)| {
            draw -= share;
            draw < 0.0
        });
        found.or(sdks.last()).map(|(sdk, _)| *sdk)
    }

    fn new_key(&mut self) -> u32 {
        self.keys.push(Key::Cold);
        u32::try_from(self.keys.len() - 1).unwrap_or(u32::MAX)
    }

    fn admit(&mut self, request: Request) -> Ticket {
        if let Some(ticket) = self.free.pop() {
            if let Some(slot) = index(&mut self.requests, ticket) {
                *slot = request;
            }
            return ticket;
        }
        self.requests.push(request);
        self.requests.len() as u64 - 1
    }

    fn at(&mut self, at: Nanos, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at, self.order, event)));
    }

    /// Schedules the next event of a stream. Streams go on as long as the window.
    fn again(&mut self, now: Nanos, event: Event) {
        let per_second = match event {
            Event::Adopted => self.window.adopted.map_or(0.0, |adopted| adopted.per_second),
            Event::Ask(_) => 0.0,
            Event::Hit => self.window.hits_per_second,
            Event::Miss => self.window.misses_per_second,
            Event::Renewal => self.window.renewals_per_second,
        };
        if per_second > 0.0 {
            let gap: f64 = Exp1.sample(&mut self.rng);
            self.at(now + nanos(gap * 1e9 / per_second), event);
        }
    }

    /// Returns true if the streams have ended: with the window, but not before the storm has.
    fn is_over(&self, at: Nanos) -> bool {
        let past = at.as_f64() > self.window.length.as_secs_f64() * 1e9;
        (past && self.storm_left == 0) || at > TOO_LONG || self.played.requests > REQUESTS_MAX
    }

    fn run(&mut self) -> Nanos {
        let mut now = Nanos::ZERO;
        loop {
            let event = self.events.peek().map(|Reverse((at, ..))| *at);
            let step = self.node.next();
            match (event, step) {
                (None, None) => return now,
                (Some(at), step) if step.is_none_or(|step| at <= step) => {
                    let Some(Reverse((.., event))) = self.events.pop() else { continue };
                    // The next event of a slow stream may be long after all others.
                    if matches!(event, Event::Ask(_)) || !self.is_over(at) {
                        now = self.pass(now, at);
                        self.happen(now, event);
                    }
                }
                (_, step) => {
                    now = self.pass(now, step.unwrap_or(now));
                    match self.node.step() {
                        Some(Done::Handled(ticket)) => self.handled(now, ticket),
                        Some(Done::Minted(key)) => self.minted(now, key),
                        Some(Done::Renewed) | None => {}
                    }
                }
            }
        }
    }

    /// Lets time pass and returns the new time.
    fn pass(&mut self, now: Nanos, to: Nanos) -> Nanos {
        let waiting = self.inside + self.node.renewals() as u64;
        self.backlog.add(now, to, waiting);
        to
    }

    fn happen(&mut self, now: Nanos, event: Event) {
        let key = match event {
            Event::Ask(ticket) => return self.ask(now, ticket),
            Event::Renewal => {
                self.again(now, event);
                self.played.put_off += u64::from(self.node.renew(now).is_err());
                return;
            }
            Event::Hit => None,
            Event::Miss => Some(self.new_key()),
            Event::Adopted => {
                let keys = self.window.adopted.map_or(1, |adopted| adopted.keys.max(1));
                Some(self.adopted_from + self.rng.random_range(0..keys))
            }
        };
        self.again(now, event);
        let worker = self.rng.random_range(0..self.node.cores());
        let request = Request { key, first: now, worker, sdk: None, attempt: 0, of_storm: false };
        let ticket = self.admit(request);
        self.ask(now, ticket);
    }

    fn ask(&mut self, now: Nanos, ticket: Ticket) {
        self.played.requests += 1;
        self.inside += 1;
        let worker = index(&mut self.requests, ticket).map_or(0, |request| request.worker);
        self.node.request(now, ticket, worker);
    }

    /// Handles a request that a worker has read: answers with a held token, or starts one mint of a
    /// missing token.
    fn handled(&mut self, now: Nanos, ticket: Ticket) {
        let key = index(&mut self.requests, ticket).and_then(|request| request.key);
        let Some(key) = key else { return self.answer(now, ticket, Answer::Held) };
        match index(&mut self.keys, u64::from(key)) {
            None | Some(Key::Held) => self.answer(now, ticket, Answer::Held),
            Some(Key::Flight(waiters)) => waiters.push(ticket),
            Some(slot @ Key::Cold) => {
                *slot = Key::Flight(vec![ticket]);
                if self.node.mint(now, u64::from(key)).is_err() {
                    if let Some(slot) = index(&mut self.keys, u64::from(key)) {
                        *slot = Key::Cold;
                    }
                    self.refuse(now, ticket);
                }
            }
        }
    }

    fn minted(&mut self, now: Nanos, key: Ticket) {
        let Some(slot) = index(&mut self.keys, key) else { return };
        if let Key::Flight(waiters) = std::mem::replace(slot, Key::Held) {
            for ticket in waiters {
                self.answer(now, ticket, Answer::Minted);
            }
        }
    }

    fn answer(&mut self, now: Nanos, ticket: Ticket, answer: Answer) {
        self.inside -= 1;
        let at = now + self.node.way();
        let Some(request) = index(&mut self.requests, ticket).copied() else { return };
        let took = at.saturating_sub(request.first);
        match answer {
            Answer::Held => self.played.hits.saturating_record(took.as_u64()),
            Answer::Minted => self.played.minted.saturating_record(took.as_u64()),
        }
        self.note(at, took);
        self.over(at, ticket, request);
    }

    fn note(&mut self, at: Nanos, took: Nanos) {
        let second = usize::try_from(at / Nanos::SECOND).unwrap_or(usize::MAX);
        if second >= SECONDS_MAX {
            return;
        }
        let seconds = &mut self.played.seconds;
        seconds.resize(seconds.len().max(second + 1), Counts::new());
        if let Some(counts) = seconds.get_mut(second) {
            counts.push((took.as_u64(), 1));
        }
    }

    /// Refuses a caller. It retries as its SDK does, or ends without a token.
    fn refuse(&mut self, now: Nanos, ticket: Ticket) {
        self.played.refused += 1;
        self.inside -= 1;
        let at = now + self.node.way();
        let Some(request) = index(&mut self.requests, ticket) else { return };
        request.attempt += 1;
        let again = *request;
        if let Some(delay) = again.sdk.and_then(|sdk| sdk.retry(again.attempt, RETRY_AFTER)) {
            self.at(at + nanos(delay.as_secs_f64() * 1e9), Event::Ask(ticket));
        } else {
            self.played.gave_up += 1;
            self.over(at, ticket, again);
        }
    }

    fn over(&mut self, at: Nanos, ticket: Ticket, request: Request) {
        self.free.push(ticket);
        if request.of_storm {
            self.storm_left -= 1;
            self.storm_last = self.storm_last.max(at);
        }
    }

    fn finish(mut self, end: Nanos, shape: &Shape) -> Played {
        let within = self
            .window
            .storm
            .as_ref()
            .map_or(Nanos::ZERO, |storm| nanos(storm.within.as_secs_f64() * 1e9));
        self.played.recovery = self.storm_last.saturating_sub(within).into();
        self.played.lasted = end.into();
        self.played.queue_peak = self.node.queue_peak;
        self.played.backlog = self.backlog.means();
        let cores = float(shape.cores.get() as u64);
        self.played.utilisation =
            self.node.busy.as_f64() / (end.max(Nanos::new(1)).as_f64() * cores);
        self.played
    }
}

#[derive(Clone, Copy)]
enum Answer {
    Held,
    Minted,
}

fn index<T>(slots: &mut [T], ticket: Ticket) -> Option<&mut T> {
    slots.get_mut(usize::try_from(ticket).ok()?)
}

#[cfg(test)]
mod tests;
