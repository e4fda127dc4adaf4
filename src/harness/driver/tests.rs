//! Properties of the bounds of response times, on a simulated queue behind simulated connections.
//!
//! For every request: lower bound <= response that a perfect generator records <= upper bound.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::busy_period::{BusyPeriod, Call};
use super::looks::{Between, Found, Looks};
use crate::harness::nanos::Nanos;

/// A load, and the system that it meets.
#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    servers: usize,
    connections: usize,
    /// Largest gap between two requests.
    gap_max: u64,
    /// Largest service time.
    service_max: u64,
    /// One of so many steps of the generator is a stall.
    calm: u32,
    /// Events that one look can find.
    batch: usize,
    stamps: Stamps,
}

/// Kernel stamps of the answers.
#[derive(Clone, Copy, Debug)]
enum Stamps {
    Absent,
    Present,
}

const REQUESTS: usize = 150;
const STALL_MAX: u64 = 3_000;
/// Longest call that counts as undisturbed, and a little more.
const CALL_MAX: u64 = 41;
/// Longest way of a request to the target, and of a stamped answer to a look.
const WAY_MAX: u64 = 20;
const HANDOVER_MAX: u64 = 50;
/// Error of a stamp.
const STAMP_ERROR: u64 = 5;

/// A FIFO queue with several servers. Each request brings its service time.
struct Queue(BinaryHeap<Reverse<u64>>);

impl Queue {
    fn new(servers: usize) -> Self {
        Self(std::iter::repeat_n(Reverse(0), servers).collect())
    }

    /// Returns the time of the answer to a request that arrives at `at`. Arrivals come in order.
    fn serve(&mut self, at: u64, service: u64) -> u64 {
        let Reverse(free) = self.0.pop().unwrap();
        let end = free.max(at) + service;
        self.0.push(Reverse(end));
        end
    }
}

/// A request, and what the machine does with it.
#[derive(Clone, Copy, Debug)]
struct Request {
    intended: u64,
    service: u64,
    /// Time from the begin of the call that writes to the arrival at the target, without interruption.
    way: u64,
    /// Time from the arrival of the answer, which is its stamp, to the moment at which a look finds it.
    handover: u64,
}

/// Times are microseconds: a call is undisturbed up to some tens of them.
const fn us(time: u64) -> Nanos {
    Nanos::from_micros(time)
}

fn load(case: &Case, rng: &mut SmallRng) -> Vec<Request> {
    // The same for all: calls that overtake each other would change the order of the requests.
    let way = rng.random_range(0..=WAY_MAX);
    let mut intended = 1_000;
    let mut next = || {
        intended += rng.random_range(0..=case.gap_max);
        let handover = match case.stamps {
            Stamps::Absent => 0,
            Stamps::Present => rng.random_range(0..=HANDOVER_MAX),
        };
        let service = rng.random_range(1..=case.service_max);
        Request { intended, service, way, handover }
    };
    (0..REQUESTS).map(|_| next()).collect()
}

/// Returns the response times that a generator records which is never late or interrupted.
fn perfect(case: &Case, load: &[Request]) -> Vec<u64> {
    let mut queue = Queue::new(case.servers);
    let mut connections = Queue::new(case.connections).0;
    let mut respond = |request: &Request| {
        let Reverse(free) = connections.pop().unwrap();
        let end = queue.serve(free.max(request.intended) + request.way, request.service);
        // It can use the connection once it can read the answer.
        connections.push(Reverse(end + request.handover));
        end - request.intended
    };
    load.iter().map(&mut respond).collect()
}

/// A request that was written.
struct Written {
    number: usize,
    /// A time before the write.
    at: u64,
    lateness: Nanos,
    answer: u64,
}

/// A generator that is late at every step, by a random time.
struct Late<'a> {
    case: &'a Case,
    load: &'a [Request],
    rng: SmallRng,
    now: u64,
    busy: BusyPeriod,
    looks: Looks,
    queue: Queue,
    free: usize,
    waiting: VecDeque<usize>,
    written: Vec<Written>,
    /// Bounds of the response time of each request.
    bounds: Vec<Option<(u64, u64)>>,
}

impl<'a> Late<'a> {
    fn new(case: &'a Case, load: &'a [Request]) -> Self {
        Self {
            case,
            load,
            rng: SmallRng::seed_from_u64(case.seed ^ 1),
            now: 0,
            busy: BusyPeriod::new(1),
            looks: Looks::new(Nanos::ZERO),
            queue: Queue::new(case.servers),
            free: case.connections,
            waiting: VecDeque::new(),
            written: Vec::new(),
            bounds: vec![None; load.len()],
        }
    }

    fn run(mut self) -> Vec<(u64, u64)> {
        let mut next = 0;
        while self.bounds.contains(&None) {
            while self.load.get(next).is_some_and(|request| request.intended <= self.now) {
                self.offer(next);
                next += 1;
            }
            self.look();
        }
        self.bounds.into_iter().flatten().collect()
    }

    /// Lets some time pass.
    fn step(&mut self) {
        let stalls = self.rng.random_range(0..self.case.calm) == 0;
        self.now += self.rng.random_range(0..=if stalls { STALL_MAX } else { 8 });
    }

    /// Interrupts the thread at times, for longer than an undisturbed call takes.
    fn interrupt(&mut self) {
        if self.rng.random_range(0..self.case.calm) == 0 {
            self.now += self.rng.random_range(CALL_MAX..=STALL_MAX);
        }
    }

    fn offer(&mut self, number: usize) {
        self.busy.request_begins();
        if self.free == 0 {
            self.waiting.push_back(number);
        } else {
            self.write(number, us(self.load[number].intended));
        }
        self.step();
    }

    fn write(&mut self, number: usize, possible: Nanos) {
        let Request { intended, service, way, .. } = self.load[number];
        self.free -= 1;
        let at = self.now;
        self.step();
        let origin = self.busy.origin(us(intended), possible);
        self.busy.write_begins(0, origin);
        let begun = us(self.now);
        self.now += way;
        self.interrupt();
        let answer = self.queue.serve(self.now, service);
        self.interrupt();
        let call = Call { begun, ended: us(self.now) };
        let lateness = self.busy.write_ended(0, origin, call);
        self.written.push(Written { number, at, lateness, answer });
    }

    fn look(&mut self) {
        self.looks.begin(us(self.now));
        self.step();
        let seen =
            |written: &Written| written.answer + self.load[written.number].handover <= self.now;
        let mut there: Vec<usize> =
            (0..self.written.len()).rev().filter(|index| seen(&self.written[*index])).collect();
        let found = if there.len() < self.case.batch { Found::All } else { Found::FullBatch };
        there.truncate(self.case.batch);
        let since = self.looks.end(found);
        self.step();
        // From the last index on, so that the other indices stay right.
        let answered: Vec<Written> =
            there.into_iter().map(|index| self.written.remove(index)).collect();
        for written in answered {
            self.answered(&written, since);
        }
    }

    fn answered(&mut self, written: &Written, since: Nanos) {
        self.step();
        let end = self.end(written, since);
        let response = end.latest - us(self.load[written.number].intended);
        let added = written.lateness.saturating_add(end.width());
        let bounds = (response.saturating_sub(added), response);
        self.bounds[written.number] = Some((bounds.0.as_u64(), bounds.1.as_u64()));
        self.busy.request_ended();
        self.free += 1;
        if let Some(next) = self.waiting.pop_front() {
            self.write(next, since);
        }
    }

    fn end(&mut self, written: &Written, since: Nanos) -> Between {
        let noticed = Between { earliest: since, latest: us(self.now) };
        let end = match self.case.stamps {
            Stamps::Absent => noticed,
            Stamps::Present => {
                let early = written.answer - self.rng.random_range(0..=STAMP_ERROR);
                let stamp = Between { earliest: us(early), latest: us(early + STAMP_ERROR) };
                noticed.stamped(stamp).unwrap()
            }
        };
        end.not_before(us(written.at))
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let system = (1..=4_usize, 1..=8_usize, 1..400_u64, 1..400_u64);
    let stamps = prop_oneof![Just(Stamps::Absent), Just(Stamps::Present)];
    (any::<u64>(), system, 5..200_u32, 2..6_usize, stamps).prop_map(
        |(seed, (servers, connections, gap_max, service_max), calm, batch, stamps)| Case {
            seed,
            servers,
            connections,
            gap_max,
            service_max,
            calm,
            batch,
            stamps,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_perfect_generator_records_a_response_between_the_bounds(case in cases()) {
        let load = load(&case, &mut SmallRng::seed_from_u64(case.seed));
        let perfect = perfect(&case, &load);
        let bounds = Late::new(&case, &load).run();
        for (number, (perfect, (lower, upper))) in perfect.iter().zip(&bounds).enumerate() {
            let perfect = us(*perfect).as_u64();
            prop_assert!(*lower <= perfect, "request {number}: {lower} is above {perfect}");
            prop_assert!(perfect <= *upper, "request {number}: {upper} is below {perfect}");
        }
    }
}
