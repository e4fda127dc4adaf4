//! Witnesses beside the generator: a sleeping thread that reads how long the threads of the
//! generator and of a local target waited for a core, and how long a quota stopped them.
//!
//! The kernel counts a wait when the thread gets its core. A reading therefore shows the length of a wait, but not
//! its beginning. The wait may have begun before the last reading, by at most its length. So a disturbance counts from
//! that much before the last reading, up to the reading that shows it.

pub(super) mod own_core;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use parking_lot::Mutex;

use crate::base::clock::Monotonic;
use crate::harness::machine::cores::{Cores, allowed};
use crate::harness::machine::host::cgroup::Cgroup;
use crate::harness::machine::placement::{NETWORK_DEVICES, Place, Processes};
use crate::harness::machine::scheduling::{
    CoreTime, CoreTimeFile, PROC, allowed_cores, last_core, never_run_on, threads,
};
use crate::harness::nanos::Nanos;
use crate::harness::record::witness::{
    DISTURBANCE_MIN, Disturbance, Neighbourhood, Witness, WitnessLog,
};
use crate::harness::scenario::run_plan::Waiting;

/// State of the witnesses, which the threads of a run share.
#[derive(Debug)]
pub(super) struct Witnesses {
    place: Place,
    /// Cores of the generator's threads; empty if they are not pinned.
    cores: Vec<usize>,
    /// True while the target cannot run on the cores of the generator.
    apart: AtomicBool,
    /// True if that was so at first. The generator's threads are then not watched.
    began_apart: bool,
    /// Threads that spin see gaps in their clocks themselves.
    waiting: Waiting,
    /// True if a quota limits this process, and a target on this machine may be what uses it up.
    shares_quota: bool,
    /// Numbers of the generator's threads.
    generators: Mutex<Vec<u32>>,
    pub(super) log: WitnessLog,
}

impl Witnesses {
    /// Looks for the process of the target.
    pub(super) fn of(target: SocketAddr, cores: &Cores, waiting: Waiting) -> Self {
        let (proc, devices) = (Path::new(PROC), Path::new(NETWORK_DEVICES));
        let place = Place::of(proc, devices, target);
        let shares_quota = matches!(place, Place::Here(_)) && Own::this().limited.is_some();
        Self { shares_quota, ..Self::at(place, proc, &cores.generator, waiting) }
    }

    fn at(place: Place, proc: &Path, cores: &[usize], waiting: Waiting) -> Self {
        let began_apart = is_apart(&place, proc, cores);
        Self {
            place,
            cores: cores.to_vec(),
            apart: AtomicBool::new(began_apart),
            began_apart,
            waiting,
            shares_quota: false,
            generators: Mutex::default(),
            log: WitnessLog::default(),
        }
    }

    /// Notes the number of a generator thread.
    pub(super) fn introduce(&self, tid: u32) {
        self.generators.lock().push(tid);
    }

    /// Returns true if the target cannot run on the generator's cores.
    pub(super) fn are_apart(&self) -> bool {
        self.apart.load(Ordering::Relaxed)
    }

    /// Returns true if a gap in the clock of a generator thread proves that something else than the
    /// target took its core.
    pub(super) fn gaps_count(&self) -> bool {
        self.waiting == Waiting::Spin && self.are_apart()
    }

    /// Returns true if the target cannot have stopped a generator thread.
    pub(super) fn target_is_clear(&self) -> bool {
        self.are_apart() && !self.shares_quota
    }

    /// Returns true if the target cannot be the cause of any gap between two looks.
    ///
    /// The kernel receives the answers of a target on this machine where the target runs. Those of another machine
    /// may be received on a generator's core.
    pub(super) fn clears_all_gaps(&self) -> bool {
        let here = matches!(self.place, Place::Here(_));
        here && self.waiting == Waiting::Spin && self.target_is_clear()
    }

    /// Returns what is known of the target and the generator's cores.
    pub(super) fn neighbourhood(&self) -> Neighbourhood {
        match &self.place {
            _ if self.are_apart() => Neighbourhood::Apart,
            Place::Here(_) if !self.began_apart => Neighbourhood::Mixed,
            Place::Here(_) | Place::Elsewhere | Place::Unknown => Neighbourhood::Unknown,
        }
    }
}

/// Threads that are not pinned may meet the target on any core, unless it is elsewhere.
fn is_apart(place: &Place, proc: &Path, cores: &[usize]) -> bool {
    match place {
        Place::Elsewhere => true,
        Place::Here(pids) => keep_off(proc, pids, cores),
        Place::Unknown => false,
    }
}

/// Returns true if these processes may run on none of these cores. If all have ended, nobody knows what serves in
/// their place.
fn keep_off(proc: &Path, pids: &[u32], cores: &[usize]) -> bool {
    !pids.is_empty() && !cores.is_empty() && never_run_on(proc, pids, cores)
}

/// Time from one reading to the next. Longer ones would blame more time than was lost; shorter ones
/// cost more than they tell, because waits are booked in steps of up to 5 ms.
const PERIOD: Duration = Duration::from_millis(5);
/// Readings after which new threads and children are looked for: once a second.
const REFRESH: u32 = 200;
/// Wait that comes with each turn on a core, for the switch alone.
const SWITCH: Nanos = Nanos::from_micros(10);

/// Program of a watched thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Generator,
    Target,
}

impl Role {
    /// Returns the witness that sees the waits of its threads.
    const fn witness(self) -> Witness {
        match self {
            Self::Generator => Witness::GeneratorWait,
            Self::Target => Witness::TargetWait,
        }
    }
}

/// Watched thread.
#[derive(Debug)]
struct Watched {
    pid: u32,
    tid: u32,
    file: CoreTimeFile,
    last: CoreTime,
    /// Times since the reading before.
    since: CoreTime,
    role: Role,
    /// Time on a core since the watch began.
    ran: Nanos,
}

/// Process of the generator, and its control group if that has a quota.
#[derive(Debug)]
pub(super) struct Own {
    pid: u32,
    limited: Option<Cgroup>,
}

impl Own {
    /// Returns this process.
    pub(super) fn this() -> Self {
        let limited = Some(Cgroup::of_self()).filter(|group| group.quota_cores().is_some());
        Self { pid: std::process::id(), limited }
    }

    /// Returns the time for which the quota has stopped the group.
    fn throttled(&self) -> Nanos {
        Nanos::new(self.limited.as_ref().map_or(0, Cgroup::throttled_ns))
    }
}

/// Watch over threads.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    witnesses: &'a Witnesses,
    proc: PathBuf,
    own: Own,
    /// Processes of a target on this machine.
    processes: Option<Processes>,
    watched: Vec<Watched>,
    began: Nanos,
    /// Time of the last reading.
    at: Nanos,
    readings: u32,
    throttled: Nanos,
    /// Time that threads of the target ran which have ended.
    ran_before: Nanos,
    /// Number of cores that the target may use.
    capacity: usize,
}

impl<'a> Watch<'a> {
    /// Begins to watch at `now`.
    pub(super) fn begin(witnesses: &'a Witnesses, proc: &Path, own: Own, now: Nanos) -> Self {
        let throttled = own.throttled();
        let processes = match &witnesses.place {
            Place::Here(pids) => Some(Processes::new(pids.clone())),
            Place::Elsewhere | Place::Unknown => None,
        };
        let mut watch = Self {
            witnesses,
            proc: proc.to_owned(),
            own,
            processes,
            watched: Vec::new(),
            began: now,
            at: now,
            readings: 0,
            throttled,
            ran_before: Nanos::ZERO,
            capacity: 1,
        };
        watch.refresh();
        watch
    }

    /// Watches until the channel hangs up.
    pub(super) fn until(mut self, done: &Receiver<()>, clock: Monotonic) {
        while done.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
            let seen = self.read(Nanos::now(clock));
            self.witnesses.log.note(seen, self.utilisation());
        }
    }

    /// Reads the times of all threads, and returns the disturbances since the reading before.
    fn read(&mut self, now: Nanos) -> Vec<Disturbance> {
        let before = std::mem::replace(&mut self.at, now);
        self.readings += 1;
        if self.readings.is_multiple_of(REFRESH) {
            self.refresh();
        }
        self.take_times();
        let waits = self.waits();
        let throttled = self.own.throttled();
        let stopped = throttled.saturating_sub(std::mem::replace(&mut self.throttled, throttled));
        let quota = (stopped > DISTURBANCE_MIN).then_some((stopped, Witness::Quota));
        let seen = |(lost, witness)| {
            let from = before.saturating_sub(lost);
            Disturbance { from, to: now, lost, witness }
        };
        waits.into_iter().chain(quota).map(seen).collect()
    }

    fn take_times(&mut self) {
        let ended = &mut self.ran_before;
        self.watched.retain_mut(|thread| {
            let Some(now) = thread.file.read() else {
                *ended += if thread.role == Role::Target { thread.ran } else { Nanos::ZERO };
                return false;
            };
            thread.since = now.since(thread.last);
            thread.last = now;
            thread.ran += thread.since.ran;
            true
        });
    }

    /// Returns the longest wait of each core for which no watched thread is to blame, and its witness.
    fn waits(&self) -> Vec<(Nanos, Witness)> {
        let long = |thread: &&Watched| thread.wait() > DISTURBANCE_MIN;
        let mut cores: BTreeMap<Option<usize>, (Nanos, Role)> = BTreeMap::new();
        for thread in self.watched.iter().filter(long) {
            let core = last_core(&self.proc, thread.pid, thread.tid);
            // While a thread of the target or of the generator had the core, no neighbour had it.
            let others = self.watched.iter().filter(|other| {
                let ran = other.tid != thread.tid && !other.since.ran.is_zero();
                ran && last_core(&self.proc, other.pid, other.tid) == core
            });
            let known = others.map(|other| other.since.ran).sum();
            let lost = thread.wait().saturating_sub(known);
            let longest = cores.entry(core).or_insert((lost, thread.role));
            *longest = (*longest).max((lost, thread.role));
        }
        let long = cores.into_values().filter(|(lost, _)| *lost > DISTURBANCE_MIN);
        long.map(|(lost, role)| (lost, role.witness())).collect()
    }

    /// Returns the share of its capacity that the target has used: of its busiest thread, or of all
    /// threads over all cores that they may use.
    fn utilisation(&self) -> Option<f64> {
        let Place::Here(_) = self.witnesses.place else { return None };
        let target = self.watched.iter().filter(|thread| thread.role == Role::Target);
        let (busiest, all) = target
            .map(|thread| thread.ran)
            .fold((Nanos::ZERO, self.ran_before), |(most, all), ran| (most.max(ran), all + ran));
        let elapsed = self.at.saturating_sub(self.began).max(Nanos::new(1)).as_f64();
        let spread = all.as_f64() / f64::from(u32::try_from(self.capacity).unwrap_or(u32::MAX));
        Some(busiest.as_f64().max(spread) / elapsed)
    }

    /// Looks for new threads and children, and for cores that changed.
    fn refresh(&mut self) {
        let witnesses = self.witnesses;
        if let Some(processes) = &mut self.processes {
            processes.look(&self.proc);
            let pids = processes.pids().to_vec();
            for pid in &pids {
                for tid in threads(&self.proc, *pid) {
                    self.watch(*pid, tid, Role::Target);
                }
            }
            self.capacity = self.capacity();
            if !keep_off(&self.proc, &pids, &witnesses.cores) {
                witnesses.apart.store(false, Ordering::Relaxed);
            }
        }
        if !witnesses.gaps_count() {
            let generators = witnesses.generators.lock().clone();
            for tid in generators {
                self.watch(self.own.pid, tid, Role::Generator);
            }
        }
    }

    fn watch(&mut self, pid: u32, tid: u32, role: Role) {
        if self.watched.iter().any(|thread| thread.tid == tid) {
            return;
        }
        let Ok(file) = CoreTimeFile::of_thread(&self.proc, pid, tid) else { return };
        let Some(last) = file.read() else { return };
        let (since, ran) = (CoreTime::default(), Nanos::ZERO);
        self.watched.push(Watched { pid, tid, file, last, since, role, ran });
    }

    fn capacity(&self) -> usize {
        let target = self.watched.iter().filter(|thread| thread.role == Role::Target);
        let cores = target.filter_map(|thread| allowed_cores(&self.proc, thread.pid, thread.tid));
        let mut all: Vec<usize> = cores.flatten().filter(|core| allowed().contains(core)).collect();
        all.sort_unstable();
        all.dedup();
        all.len().max(1)
    }
}

impl Watched {
    /// Returns the wait since the reading before, without that of the switches themselves.
    const fn wait(&self) -> Nanos {
        let CoreTime { waited, turns, .. } = self.since;
        waited.saturating_sub(SWITCH.saturating_mul(turns))
    }
}

#[cfg(test)]
mod tests;
