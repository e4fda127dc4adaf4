//! Use of the broker's core: by the broker itself, and by other programs meanwhile.
//!
//! The kernel counts for each thread how long it ran and how long it waited for a core. The longest wait
//! of a thread, less the time that the other threads of the broker ran, is time that other programs had
//! the core while the broker needed it. A broker of a plan is pinned to one core. Time that a hypervisor
//! took is not in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::base::clock::Monotonic;
use crate::harness::machine::scheduling::{CoreTime, CoreTimeFile, PROC, threads};
use crate::harness::nanos::Nanos;

/// Wait that comes with each turn on a core, for the switch alone.
const SWITCH: Nanos = Nanos::from_micros(10);

/// Use of the broker's core over a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CoreUse {
    /// Share of the time that the broker ran.
    pub(crate) busy: f64,
    /// Share that other programs had of the time in which the broker needed the core.
    pub(crate) taken: f64,
}

/// Watch over the threads of a broker.
#[derive(Debug)]
pub(crate) struct CoreWatch {
    proc: PathBuf,
    pid: u32,
    began: BTreeMap<u32, CoreTime>,
    clock: Monotonic,
}

impl CoreWatch {
    /// Begins to watch a process.
    pub(crate) fn begin(pid: u32) -> Self {
        Self::begin_at(Path::new(PROC), pid)
    }

    fn begin_at(proc: &Path, pid: u32) -> Self {
        Self { proc: proc.to_owned(), pid, began: times(proc, pid), clock: Monotonic::start() }
    }

    /// Returns the use since the beginning; none if the kernel does not count it, or if the process has
    /// ended.
    pub(crate) fn used(&self) -> Option<CoreUse> {
        self.used_within(Nanos::new(self.clock.now_ns()))
    }

    fn used_within(&self, elapsed: Nanos) -> Option<CoreUse> {
        let since = |(tid, now): (u32, CoreTime)| {
            now.since(self.began.get(&tid).copied().unwrap_or_default())
        };
        let threads: Vec<CoreTime> = times(&self.proc, self.pid).into_iter().map(since).collect();
        let ran: Nanos = threads.iter().map(|thread| thread.ran).sum();
        let others = threads.iter().map(|thread| {
            let beside = ran.saturating_sub(thread.ran);
            let switches = SWITCH.saturating_mul(thread.turns);
            thread.waited.saturating_sub(switches).saturating_sub(beside)
        });
        let others = others.max()?;
        let needed = (ran + others).max(Nanos::new(1));
        let busy = ran.as_f64() / elapsed.max(Nanos::new(1)).as_f64();
        Some(CoreUse { busy, taken: others.as_f64() / needed.as_f64() })
    }
}

fn times(proc: &Path, pid: u32) -> BTreeMap<u32, CoreTime> {
    let of = |tid| Some((tid, CoreTimeFile::of_thread(proc, pid, tid).ok()?.read()?));
    threads(proc, pid).into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    fn plant(proc: &Path, tid: u32, [ran_ms, waited_ms, turns]: [u64; 3]) {
        let folder = proc.join(format!("7/task/{tid}"));
        create_dir_all(&folder).unwrap();
        let text = format!("{} {} {turns}\n", ran_ms * 1_000_000, waited_ms * 1_000_000);
        write(folder.join("schedstat"), text).unwrap();
    }

    #[test]
    fn a_wait_for_another_thread_of_the_broker_is_not_taken_by_others() {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path();
        plant(proc, 7, [1000, 500, 10]);
        plant(proc, 8, [0, 0, 0]);
        let watch = CoreWatch::begin_at(proc, 7);
        // A lane that always wants the core waits 300 ms for the worker, and 100 ms for a neighbour.
        plant(proc, 7, [1300, 510, 10]);
        plant(proc, 8, [600, 400, 0]);
        let used = watch.used_within(Nanos::from_secs(1)).unwrap();
        assert!((used.busy - 0.9).abs() < 1e-9, "{used:?}");
        assert!((used.taken - 0.1).abs() < 1e-9, "{used:?}");
        // 10 us of each turn are the switch.
        plant(proc, 8, [600, 400, 10_000]);
        assert!(watch.used_within(Nanos::from_secs(1)).unwrap().taken <= 0.0);
        assert_eq!(CoreWatch::begin_at(proc, 9).used(), None);
    }
}
