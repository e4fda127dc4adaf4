//! Time that threads ran and time that they waited for a core, as the kernel counts it.
//!
//! The folder of `/proc` is an argument, so that tests need no real machine.

use std::fs::{File, read_dir, read_to_string};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::harness::nanos::Nanos;

/// Folder of the kernel's view of processes.
pub const PROC: &str = "/proc";

/// Times of one thread since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreTime {
    /// Time on a core.
    pub ran: Nanos,
    /// Time in which the thread could have run, but had no core. The kernel adds a wait when the
    /// thread gets its core.
    pub waited: Nanos,
    /// Number of times that the thread got a core.
    pub turns: u64,
}

impl CoreTime {
    /// Parses `/proc/PID/task/TID/schedstat`: time on a core, time without one, and turns.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(Self { ran: Nanos::new(next()?), waited: Nanos::new(next()?), turns: next()? })
    }

    /// Returns the times since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(earlier.ran),
            waited: self.waited.saturating_sub(earlier.waited),
            turns: self.turns.saturating_sub(earlier.turns),
        }
    }
}

/// Open file of the times of one thread. A reading takes about a microsecond.
#[derive(Debug)]
pub struct CoreTimeFile(File);

impl CoreTimeFile {
    /// Opens the file of a thread.
    ///
    /// # Errors
    /// Returns an error if there is no such thread, or if the kernel does not count its times.
    pub fn of_thread(proc: &Path, pid: u32, tid: u32) -> io::Result<Self> {
        File::open(proc.join(format!("{pid}/task/{tid}/schedstat"))).map(Self)
    }

    /// Opens the file of the calling thread.
    ///
    /// # Errors
    /// Returns an error if the kernel does not count the times of threads.
    pub fn of_this_thread(proc: &Path) -> io::Result<Self> {
        File::open(proc.join("thread-self/schedstat")).map(Self)
    }

    /// Reads the times; none if the thread has ended.
    pub fn read(&self) -> Option<CoreTime> {
        /// Three numbers of up to 20 digits fit.
        const BYTES: usize = 96;
        let mut text = [0; BYTES];
        let count = self.0.read_at(&mut text, 0).ok()?;
        CoreTime::parse(std::str::from_utf8(text.get(..count)?).ok()?)
    }
}

/// Returns the numbers of the threads of a process.
pub fn threads(proc: &Path, pid: u32) -> Vec<u32> {
    numbers(&proc.join(format!("{pid}/task")))
}

/// Returns the entries of a folder whose names are numbers.
pub(super) fn numbers(folder: &Path) -> Vec<u32> {
    let entries = read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Returns the core on which a thread ran last, if it still exists.
pub fn last_core(proc: &Path, pid: u32, tid: u32) -> Option<usize> {
    // Field 39 of proc(5); `field_of_stat` counts from the third.
    field_of_stat(&read_to_string(proc.join(format!("{pid}/task/{tid}/stat"))).ok()?, 36)
}

/// Returns a field of `/proc/PID/stat`, counted from 0 behind the name of the program, which may
/// hold blanks.
pub(super) fn field_of_stat<T: std::str::FromStr>(stat: &str, index: usize) -> Option<T> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(index)?.parse().ok()
}

/// Returns the cores on which a thread may run; none if the thread has ended.
pub fn allowed_cores(proc: &Path, pid: u32, tid: u32) -> Option<Vec<usize>> {
    let status = read_to_string(proc.join(format!("{pid}/task/{tid}/status"))).ok()?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().split(',').map(range).try_fold(Vec::new(), |mut cores, range| {
        cores.extend(range?);
        Some(cores)
    })
}

/// Parses a core or a range of cores.
fn range(text: &str) -> Option<std::ops::RangeInclusive<usize>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

/// Returns true if no thread of these processes may run on one of `cores`. A process without
/// readable threads may run anywhere.
pub fn never_run_on(proc: &Path, pids: &[u32], cores: &[usize]) -> bool {
    pids.iter().all(|pid| {
        let threads = threads(proc, *pid);
        let is_off = |tid: &u32| {
            let allowed = allowed_cores(proc, *pid, *tid);
            allowed.is_some_and(|allowed| allowed.iter().all(|core| !cores.contains(core)))
        };
        !threads.is_empty() && threads.iter().all(is_off)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    /// Writes the files of a thread.
    pub(crate) fn plant(proc: &Path, pid: u32, tid: u32, cores: &str) {
        let folder = proc.join(format!("{pid}/task/{tid}"));
        create_dir_all(&folder).unwrap();
        write(folder.join("status"), format!("Name:\tx\nCpus_allowed_list:\t{cores}\n")).unwrap();
        let stat = format!("{tid} (a b) c) S 1{} 3 0", " 0".repeat(34));
        write(folder.join("stat"), stat).unwrap();
        write(folder.join("schedstat"), "500 70 3\n").unwrap();
    }

    #[test]
    fn times_cores_and_threads_are_read() {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path();
        plant(proc, 7, 7, "0,2-3");
        plant(proc, 7, 9, "1");
        let mut found = threads(proc, 7);
        found.sort_unstable();
        assert_eq!(found, [7, 9]);
        assert_eq!(allowed_cores(proc, 7, 7), Some(vec![0, 2, 3]));
        assert_eq!(last_core(proc, 7, 9), Some(3));
        let file = CoreTimeFile::of_thread(proc, 7, 9).unwrap();
        let times = CoreTime { ran: Nanos::new(500), waited: Nanos::new(70), turns: 3 };
        assert_eq!(file.read(), Some(times));
        write(proc.join("7/task/9/schedstat"), "900 75 4\n").unwrap();
        let since = file.read().unwrap().since(times);
        assert_eq!((since.ran, since.waited, since.turns), (Nanos::new(400), Nanos::new(5), 1));
        assert!(CoreTimeFile::of_thread(proc, 8, 8).is_err());
    }

    #[test]
    fn a_process_keeps_off_a_core_only_if_every_thread_does() {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path();
        plant(proc, 7, 7, "0");
        plant(proc, 7, 8, "0,2");
        assert!(never_run_on(proc, &[7], &[1, 3]));
        assert!(!never_run_on(proc, &[7], &[1, 2]));
        assert!(!never_run_on(proc, &[7, 5], &[1]), "nothing is known of process 5");
        write(proc.join("7/task/8/status"), "Name:\tx\n").unwrap();
        assert!(!never_run_on(proc, &[7], &[1, 3]));
    }
}
