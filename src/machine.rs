//! What a process asks of the machine: cores and file descriptors. Depends on nothing.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Why the machine does not give what is asked for.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// Not a list of cores.
    #[error("`{0}` is not a list of cores; write their numbers with commas, such as 0,1")]
    CpuList(String),
    /// The system refuses these cores.
    #[error("cannot run on the cores {cpus}; allowed are {allowed}")]
    Pin {
        /// What was asked for.
        cpus: String,
        /// What the process may use.
        allowed: String,
    },
}

/// The numbers of the cores that this process may run on.
pub fn allowed_cpus() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

/// Restricts the process to the cores of a comma-separated list; call it before threads are started.
///
/// # Errors
/// When the list is malformed or names a core that the process may not use.
pub fn pin_process(list: &str) -> Result<(), MachineError> {
    let allowed = allowed_cpus();
    let refused = || MachineError::Pin {
        cpus: list.to_owned(),
        allowed: allowed.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
    };
    let mut set = CpuSet::new();
    for number in list.split(',') {
        let cpu = number.trim().parse().map_err(|_| MachineError::CpuList(list.to_owned()))?;
        if !allowed.contains(&cpu) {
            return Err(refused());
        }
        set.set(cpu);
    }
    sched_setaffinity(None, &set).map_err(|_| refused())
}

/// How far a thread that can wait stands behind the others: far enough that whoever answers a token
/// request takes its core at once, near enough that it still gets on.
const BEHIND: i32 = 10;

/// Puts the thread that calls behind the others of this machine. What waits for a disk anyway can wait
/// for a core.
pub fn give_way() {
    // Without it everything is as right, and only less even.
    let _ = rustix::process::nice(BEHIND);
}

/// Asks for exact timers for the thread that calls: by default the kernel may wake a sleeper 50 us late,
/// to wake others with it.
pub fn exact_timers() {
    // Without it a probe sees more lateness than there is, and nothing else changes.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// Raises the limit on open files to what the system allows, and says how many that is; each
/// connection takes one.
pub fn raise_file_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.unwrap_or(u64::MAX)
}

/// Resident memory of this process: the second field of `/proc/self/statm`, in pages (proc(5)). `None` where
/// there is no such file.
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Gives the pages that the allocator holds free back to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no other way")]
pub fn return_free_memory() {
    // SAFETY: it takes a number, touches free memory alone, and locks what it walks through (malloc_trim(3)
    // is MT-Safe).
    unsafe { libc::malloc_trim(0) };
}

/// Gives the pages that the allocator holds free back to the system, where that is possible.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn return_free_memory() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn free_memory_between_pieces_in_use_goes_back_to_the_system() {
        const PIECE_BYTES: usize = 32 * 1024;
        let mut pieces: Vec<Vec<u8>> = (0..4096).map(|_| vec![1; PIECE_BYTES]).collect();
        let held = resident_bytes().unwrap();
        // The last one stays, so that the allocator cannot shorten what it has.
        drop(pieces.drain(..4095));
        return_free_memory();
        let left = resident_bytes().unwrap();
        assert!(left + 64 * 1024 * 1024 < held, "{held} bytes, then {left}");
        assert_eq!(pieces.len(), 1);
    }
}
