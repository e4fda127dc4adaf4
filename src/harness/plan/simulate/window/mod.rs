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
const TOO_LONG_NS: u64 = 3_600_000_000_000;
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
    first_ns: u64,
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
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    order: u64,
    requests: Vec<Request>,
    free: Vec<Ticket>,
    keys: Vec<Key>,
    adopted_from: u32,
    storm_left: u64,
    storm_last_ns: u64,
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
        storm_last_ns: 0,
        inside: 0,
        backlog: Backlog::new(window.length),
        rng,
        played,
    };
    play.begin();
    let end_ns = play.run();
    play.finish(end_ns, shape)
}

impl Play<'_> {
    fn begin(&mut self) {
        for event in [Event::Hit, Event::Miss, Event::Renewal] {
            self.again(0, event);
        }
        if let Some(storm) = self.window.storm.clone() {
            self.boot(&storm);
        }
        if let Some(adopted) = self.window.adopted {
            self.adopted_from = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
            self.keys.extend(std::iter::repeat_n(Key::Cold, adopted.keys as usize));
            self.again(0, Event::Adopted);
        }
    }

    fn boot(&mut self, storm: &Storm) {
        let within = storm.within.as_secs_f64() * 1e9;
        for vm in 0..storm.vms {
            let at_ns = nanos(self.rng.random::<f64>() * within);
            let sdk = self.sdk(&storm.sdks);
            for _ in 0..storm.tokens_each {
                let key = Some(self.new_key());
                let worker = vm as usize;
                let request =
                    Request { key, first_ns: at_ns, worker, sdk, attempt: 0, of_storm: true };
                let ticket = self.admit(request);
                self.at(at_ns, Event::Ask(ticket));
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

    fn at(&mut self, at_ns: u64, event: Event) {
        self.order += 1;
        self.events.push(Reverse((at_ns, self.order, event)));
    }

    /// Schedules the next event of a stream. Streams go on as long as the window.
    fn again(&mut self, now_ns: u64, event: Event) {
        let per_second = match event {
            Event::Adopted => self.window.adopted.map_or(0.0, |adopted| adopted.per_second),
            Event::Ask(_) => 0.0,
            Event::Hit => self.window.hits_per_second,
            Event::Miss => self.window.misses_per_second,
            Event::Renewal => self.window.renewals_per_second,
        };
        if per_second > 0.0 {
            let gap: f64 = Exp1.sample(&mut self.rng);
            self.at(now_ns + nanos(gap * 1e9 / per_second), event);
        }
    }

    /// Returns true if the streams have ended: with the window, but not before the storm has.
    fn is_over(&self, at_ns: u64) -> bool {
        let past = float(at_ns) > self.window.length.as_secs_f64() * 1e9;
        (past && self.storm_left == 0) || at_ns > TOO_LONG_NS || self.played.requests > REQUESTS_MAX
    }

    fn run(&mut self) -> u64 {
        let mut now_ns = 0;
        loop {
            let event = self.events.peek().map(|Reverse((at_ns, ..))| *at_ns);
            let step = self.node.next_ns();
            match (event, step) {
                (None, None) => return now_ns,
                (Some(at_ns), step) if step.is_none_or(|step| at_ns <= step) => {
                    let Some(Reverse((.., event))) = self.events.pop() else { continue };
                    // The next event of a slow stream may be long after all others.
                    if matches!(event, Event::Ask(_)) || !self.is_over(at_ns) {
                        now_ns = self.pass(now_ns, at_ns);
                        self.happen(now_ns, event);
                    }
                }
                (_, step) => {
                    now_ns = self.pass(now_ns, step.unwrap_or(now_ns));
                    match self.node.step() {
                        Some(Done::Handled(ticket)) => self.handled(now_ns, ticket),
                        Some(Done::Minted(key)) => self.minted(now_ns, key),
                        Some(Done::Renewed) | None => {}
                    }
                }
            }
        }
    }

    /// Lets time pass and returns the new time.
    fn pass(&mut self, now_ns: u64, to_ns: u64) -> u64 {
        let waiting = self.inside + self.node.renewals() as u64;
        self.backlog.add(now_ns, to_ns, waiting);
        to_ns
    }

    fn happen(&mut self, now_ns: u64, event: Event) {
        let key = match event {
            Event::Ask(ticket) => return self.ask(now_ns, ticket),
            Event::Renewal => {
                self.again(now_ns, event);
                self.played.put_off += u64::from(self.node.renew(now_ns).is_err());
                return;
            }
            Event::Hit => None,
            Event::Miss => Some(self.new_key()),
            Event::Adopted => {
                let keys = self.window.adopted.map_or(1, |adopted| adopted.keys.max(1));
                Some(self.adopted_from + self.rng.random_range(0..keys))
            }
        };
        self.again(now_ns, event);
        let worker = self.rng.random_range(0..self.node.cores());
        let request =
            Request { key, first_ns: now_ns, worker, sdk: None, attempt: 0, of_storm: false };
        let ticket = self.admit(request);
        self.ask(now_ns, ticket);
    }

    fn ask(&mut self, now_ns: u64, ticket: Ticket) {
        self.played.requests += 1;
        self.inside += 1;
        let worker = index(&mut self.requests, ticket).map_or(0, |request| request.worker);
        self.node.request(now_ns, ticket, worker);
    }

    /// Handles a request that a worker has read: answers with a held token, or starts one mint of a
    /// missing token.
    fn handled(&mut self, now_ns: u64, ticket: Ticket) {
        let key = index(&mut self.requests, ticket).and_then(|request| request.key);
        let Some(key) = key else { return self.answer(now_ns, ticket, Answer::Held) };
        match index(&mut self.keys, u64::from(key)) {
            None | Some(Key::Held) => self.answer(now_ns, ticket, Answer::Held),
            Some(Key::Flight(waiters)) => waiters.push(ticket),
            Some(slot @ Key::Cold) => {
                *slot = Key::Flight(vec![ticket]);
                if self.node.mint(now_ns, u64::from(key)).is_err() {
                    if let Some(slot) = index(&mut self.keys, u64::from(key)) {
                        *slot = Key::Cold;
                    }
                    self.refuse(now_ns, ticket);
                }
            }
        }
    }

    fn minted(&mut self, now_ns: u64, key: Ticket) {
        let Some(slot) = index(&mut self.keys, key) else { return };
        if let Key::Flight(waiters) = std::mem::replace(slot, Key::Held) {
            for ticket in waiters {
                self.answer(now_ns, ticket, Answer::Minted);
            }
        }
    }

    fn answer(&mut self, now_ns: u64, ticket: Ticket, answer: Answer) {
        self.inside -= 1;
        let at_ns = now_ns + self.node.way_ns();
        let Some(request) = index(&mut self.requests, ticket).copied() else { return };
        let took_ns = at_ns.saturating_sub(request.first_ns);
        match answer {
            Answer::Held => self.played.hits.saturating_record(took_ns),
            Answer::Minted => self.played.minted.saturating_record(took_ns),
        }
        self.note(at_ns, took_ns);
        self.over(at_ns, ticket, request);
    }

    fn note(&mut self, at_ns: u64, took_ns: u64) {
        let second = usize::try_from(at_ns / 1_000_000_000).unwrap_or(usize::MAX);
        if second >= SECONDS_MAX {
            return;
        }
        let seconds = &mut self.played.seconds;
        seconds.resize(seconds.len().max(second + 1), Counts::new());
        if let Some(counts) = seconds.get_mut(second) {
            counts.push((took_ns, 1));
        }
    }

    /// Refuses a caller. It retries as its SDK does, or ends without a token.
    fn refuse(&mut self, now_ns: u64, ticket: Ticket) {
        self.played.refused += 1;
        self.inside -= 1;
        let at_ns = now_ns + self.node.way_ns();
        let Some(request) = index(&mut self.requests, ticket) else { return };
        request.attempt += 1;
        let again = *request;
        if let Some(delay) = again.sdk.and_then(|sdk| sdk.retry(again.attempt, RETRY_AFTER)) {
            self.at(at_ns + nanos(delay.as_secs_f64() * 1e9), Event::Ask(ticket));
        } else {
            self.played.gave_up += 1;
            self.over(at_ns, ticket, again);
        }
    }

    fn over(&mut self, at_ns: u64, ticket: Ticket, request: Request) {
        self.free.push(ticket);
        if request.of_storm {
            self.storm_left -= 1;
            self.storm_last_ns = self.storm_last_ns.max(at_ns);
        }
    }

    fn finish(mut self, end_ns: u64, shape: &Shape) -> Played {
        let within_ns =
            self.window.storm.as_ref().map_or(0, |storm| nanos(storm.within.as_secs_f64() * 1e9));
        self.played.recovery = Duration::from_nanos(self.storm_last_ns.saturating_sub(within_ns));
        self.played.lasted = Duration::from_nanos(end_ns);
        self.played.queue_peak = self.node.queue_peak;
        self.played.backlog = self.backlog.means();
        let cores = float(shape.cores.get() as u64);
        self.played.utilisation = float(self.node.busy_ns) / (float(end_ns.max(1)) * cores);
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
