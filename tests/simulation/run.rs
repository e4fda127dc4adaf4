//! The scheduler: it plays a history, and at each step chooses who goes on.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use mintbench::base::synthetic::IdentityIds;
use mintbench::service::directory::Caller;
use mintbench::service::world::Selector;
use parking_lot::Mutex;

use crate::actors::{Actor, Stop};
use crate::asked::{Asked, Wish, Woken};
use crate::checks::{self, Faults, Violation};
use crate::clock::{Dice, VirtualClock};
use crate::counts::Counts;
use crate::disk::Disk;
use crate::history::{Ask, Choice, History, Op, RESOURCES, Who};
use crate::keys::Published;
use crate::limits::Admitted;
use crate::mints::Mints;
use crate::node::{self, Job, Machine, Node, Outcome};
use crate::past::{Past, StepNumber};
use crate::source::SourceMode;
use crate::world::{self, World};

/// Greatest number of mint lanes of a process.
pub(crate) const LANES_MAX: usize = 3;

/// The threads of a process. They serve one history after the other.
pub(crate) struct Threads {
    pub(crate) writer: Actor,
    pub(crate) lanes: Vec<Actor>,
}

impl Threads {
    pub(crate) fn start() -> Self {
        Self { writer: Actor::start(), lanes: (0..LANES_MAX).map(|_| Actor::start()).collect() }
    }
}

/// Seconds by which a clock may be set back without harm to anything.
const LEEWAY: i64 = 300;

/// Something that can go on.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The next operation of the history.
    Begin,
    /// An idle lane takes a job.
    BeginLane(usize),
    /// The writer takes a job.
    BeginWrite,
    Lane(usize),
    /// The caller of a request goes away.
    Leave(usize),
    Request(usize),
    Start,
    Writer,
}

/// A history that is being played.
pub(crate) struct Run<'a> {
    pub(crate) threads: &'a mut Threads,
    pub(crate) machine: Machine,
    pub(crate) ops: VecDeque<(u64, Op)>,
    pub(crate) node: Option<Node>,
    pub(crate) processes: u8,
    pub(crate) starts_at: u64,
    pub(crate) mode: SourceMode,
    pub(crate) jobs: VecDeque<Job>,
    pub(crate) job: Option<Job>,
    /// True once the present job has asked the disk to store something.
    pub(crate) has_offered: bool,
    /// True if the last failed change is stored. `None` once the process has found out.
    pub(crate) doubt: Option<bool>,
    pub(crate) outcome: Arc<Mutex<Option<Outcome>>>,
    pub(crate) asked: HashMap<usize, Asked>,
    pub(crate) asked_count: usize,
    pub(crate) kept: HashMap<u8, Caller>,
    pub(crate) woken: Woken,
    pub(crate) step: StepNumber,
    pub(crate) past: Past,
    pub(crate) keys: Published,
    pub(crate) mints: Mints,
    /// Last step in which no job waited for a lane.
    last_empty: StepNumber,
    /// Lanes whose present job failed, and whether it panicked.
    pub(crate) failing: Vec<(usize, bool)>,
    pub(crate) faults: Faults,
    pub(crate) admitted: Admitted,
    pub(crate) counts: Counts,
    pub(crate) log: Vec<String>,
    /// Each mint: its second, the machine and the resource.
    pub(crate) minted: Vec<(u64, String, String)>,
    /// Each answer: the second of the request, the second of the answer, the numbers of the address and the resource, and
    /// whether it is a token.
    pub(crate) answers: Vec<(u64, u64, (u8, usize), bool)>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(history: &History, threads: &'a mut Threads) -> Self {
        let dice = Dice::new(history.seed.wrapping_add(1 << 40));
        let clock = VirtualClock::new(&dice);
        let disk = Disk::new(&clock, &dice);
        Self {
            threads,
            machine: Machine { clock, dice, disk, settings: history.settings },
            ops: history.ops.iter().copied().collect(),
            node: None,
            processes: 0,
            starts_at: 0,
            mode: SourceMode::Up,
            jobs: VecDeque::new(),
            job: None,
            has_offered: false,
            doubt: None,
            outcome: Arc::default(),
            asked: HashMap::new(),
            asked_count: 0,
            kept: HashMap::new(),
            woken: Arc::default(),
            step: 1,
            past: Past::new(World::of(node::seed())),
            keys: Published::default(),
            mints: Mints::default(),
            last_empty: 0,
            failing: Vec::new(),
            faults: Faults::default(),
            admitted: Admitted::default(),
            counts: Counts { histories: 1, ..Counts::default() },
            log: Vec::new(),
            minted: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Plays the history to its end.
    pub(crate) fn play(&mut self) -> Result<(), Violation> {
        let played = self.steps();
        if let Err(violation) = &played {
            self.note(|| format!("violation: {} ({})", violation.invariant, violation.detail));
        }
        self.die();
        self.counts.steps = self.step;
        played
    }

    fn steps(&mut self) -> Result<(), Violation> {
        loop {
            let moves = self.moves();
            self.step += 1;
            if moves.is_empty() {
                let Some(next) = self.next_second() else { break };
                self.machine.clock.advance_to(next);
                self.overdue()?;
                continue;
            }
            let chosen = self.machine.dice.one_of(&moves);
            self.make(chosen)?;
            self.observe()?;
        }
        for asked in self.asked.values() {
            self.check_time(asked, u64::MAX)?;
        }
        Ok(())
    }

    pub(crate) fn second(&self) -> u64 {
        self.machine.clock.second()
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        self.log.push(format!("{:>6} s  {}", self.machine.clock.second(), line()));
    }

    /// Returns everything that can happen now.
    fn moves(&mut self) -> Vec<Move> {
        let second = self.second();
        let mut moves = Vec::new();
        if self.ops.front().is_some_and(|(at, _)| *at <= second) {
            moves.push(Move::Begin);
        }
        let Some(node) = &self.node else {
            if self.starts_at <= second {
                moves.push(Move::Start);
            }
            return moves;
        };
        let writer = &self.threads.writer;
        if writer.is_ready(second) {
            moves.push(Move::Writer);
        } else if writer.at == Stop::Idle && !self.jobs.is_empty() {
            moves.push(Move::BeginWrite);
        }
        let has_work =
            node.lanes.iter().find_map(|lane| lane.try_lock()).is_some_and(|lane| lane.has_work());
        if !has_work {
            self.last_empty = self.step;
        }
        for (number, lane) in self.threads.lanes.iter().enumerate().take(node.lanes.len()) {
            if lane.is_ready(second) {
                moves.push(Move::Lane(number));
            } else if lane.at == Stop::Idle && has_work {
                moves.push(Move::BeginLane(number));
            }
        }
        moves.extend(self.woken.lock().iter().map(|number| Move::Request(*number)));
        let leaves = |asked: &Asked| asked.leaves.is_some_and(|leaves| leaves <= second);
        let mut leaving: Vec<_> =
            self.asked.iter().filter(|(_, own)| leaves(own)).map(|(number, _)| *number).collect();
        leaving.sort_unstable();
        moves.extend(leaving.into_iter().map(Move::Leave));
        moves
    }

    /// Returns the next second in which something happens.
    fn next_second(&self) -> Option<u64> {
        let actors = std::iter::once(&self.threads.writer).chain(&self.threads.lanes);
        let waits = actors.filter_map(|actor| match actor.at {
            Stop::Until(until) => Some(until),
            _ => None,
        });
        let op = self.ops.front().map(|(at, _)| *at);
        let start = self.node.is_none().then_some(self.starts_at);
        let leaves = self.asked.values().filter_map(|asked| asked.leaves);
        waits.chain(op).chain(start).chain(leaves).min()
    }

    fn overdue(&self) -> Result<(), Violation> {
        let second = self.second();
        self.asked.values().try_for_each(|asked| self.check_time(asked, second))
    }

    pub(crate) fn check_time(&self, asked: &Asked, second: u64) -> Result<(), Violation> {
        let settings = &self.machine.settings;
        checks::answer_is_in_time(asked, second, &self.past, &self.faults, settings)
    }

    fn make(&mut self, chosen: Move) -> Result<(), Violation> {
        match chosen {
            Move::Begin => {
                if let Some((_, op)) = self.ops.pop_front() {
                    self.begin(op);
                }
            }
            Move::Start => self.start_process()?,
            Move::Writer => {
                self.past.disturb(self.step);
                self.threads.writer.go_on();
            }
            Move::BeginWrite => self.begin_write(),
            Move::Lane(number) => {
                self.threads.lanes[number].go_on();
                self.after_lane(number)?;
            }
            Move::BeginLane(number) => {
                // The job has waited since then, at most.
                self.mints.taken(number, self.last_empty);
                self.note(|| format!("lane {number} takes a job"));
                let node = self.node.as_ref().unwrap();
                let lane = Arc::clone(&node.lanes[number]);
                self.threads.lanes[number].begin(move || {
                    lane.lock().step();
                });
                self.after_lane(number)?;
            }
            Move::Leave(number) => {
                self.asked.remove(&number);
                self.admitted.end(number);
                self.woken.lock().retain(|woken| *woken != number);
                self.note(|| format!("#{number} goes away"));
            }
            Move::Request(number) => {
                self.woken.lock().retain(|woken| *woken != number);
                self.poll(number)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, op: Op) {
        if !matches!(op, Op::Ask(_)) {
            self.note(|| format!("{op:?}"));
        }
        match op {
            Op::Ask(ask) => (0..ask.count).for_each(|_| self.ask(ask)),
            Op::Crash { down } => {
                self.counts.crashes += u64::from(self.node.is_some());
                self.die();
                self.starts_at = self.second() + down;
            }
            Op::Disk(mode) => {
                self.counts.faults += 1;
                self.machine.disk.set(mode);
            }
            Op::Source(mode) => {
                self.counts.faults += 1;
                self.mode = mode;
                if let Some(node) = &self.node {
                    node.source.set(mode);
                }
            }
            Op::Step(by) => {
                self.counts.clock_steps += 1;
                self.machine.clock.step(by);
                if by < -LEEWAY {
                    self.keys.set_back(self.machine.clock.wall());
                }
                if by.abs() > LEEWAY
                    && let (Some(_), Some(node)) = (self.job, &self.node)
                {
                    self.keys.set_during_write(&node.directory.ring());
                }
                self.past.disturb(self.step);
            }
            Op::Write(write) => self.jobs.push_back(Job::Change(write)),
            Op::Recover => self.jobs.push_back(Job::Recover),
            Op::Revoke => self.jobs.push_back(Job::Revoke),
            Op::Rotate => self.jobs.push_back(Job::Rotate),
        }
    }

    fn ask(&mut self, ask: Ask) {
        let Some(node) = &self.node else { return };
        let address = world::address(ask.address);
        let present = node.broker.caller(address);
        let caller = match self.kept.get(&ask.address).filter(|_| ask.is_kept) {
            Some(kept) => kept.clone(),
            None => present,
        };
        let broker = Arc::clone(&node.broker);
        self.kept.insert(ask.address, caller.clone());
        let wish = Wish {
            address,
            selector: self.selector(ask.choice),
            resource: RESOURCES[ask.resource],
            freshness: ask.freshness,
        };
        let number = self.asked_count;
        self.asked_count += 1;
        self.counts.requests += 1;
        self.note(|| format!("#{number} asks {wish:?}"));
        let clock = Arc::clone(&self.machine.clock);
        let mut asked = Asked::new(number, &self.woken, wish, (broker, caller), clock);
        asked.step = self.step;
        asked.pair = (ask.address, ask.resource);
        asked.leaves = ask.patience.map(|patience| self.second() + patience);
        self.asked.insert(number, asked);
    }

    fn selector(&self, choice: Choice) -> Option<Selector> {
        match choice {
            Choice::Nothing => None,
            Choice::Client(who) => self.ids(who).map(|ids| Selector::ClientId(ids.client_id)),
            Choice::Principal(who) => self.ids(who).map(|ids| Selector::ObjectId(ids.principal_id)),
            Choice::Resource(number) => Some(Selector::ResourceId(world::identity_id(number))),
        }
    }

    /// Returns the ids of an identity that there is, or was.
    fn ids(&self, who: Who) -> Option<IdentityIds> {
        let present = self.past.present();
        let assigned = |world: &World, number| {
            world.identities.get(&world::identity_id(number).to_string()).map(|own| own.ids)
        };
        match who {
            Who::Assigned(number) => assigned(&present, number),
            Who::Former(number) => {
                let mut worlds = self.past.before(self.step);
                worlds.find_map(|world| assigned(world, number))
            }
            Who::Own(number) => {
                let machine = present.machines.get(&world::machine_id(number).to_string());
                machine.and_then(|own| own.system_assigned)
            }
        }
    }
}
