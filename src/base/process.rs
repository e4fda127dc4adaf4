//! Requests of a process to the machine: cores, priorities, timers, signals, file descriptors and memory. This
//! module depends on no other.

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Reason why the machine refuses a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachineError {
    /// The text is not a list of cores.
    #[error("`{0}` is not a list of cores; write their numbers with commas, such as 0,1")]
    CpuList(String),
    /// The system refuses these cores.
    #[error("cannot run on the cores {cpus}; allowed are {allowed}")]
    Pin {
        /// The requested cores.
        cpus: String,
        /// The cores that the process may use.
        allowed: String,
    },
}

/// Returns the numbers of the cores that this process may run on.
pub(crate) fn allowed_cpus() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

/// Restricts the process to the cores of a comma-separated list. Call it before any thread starts.
///
/// # Errors
/// Returns an error when the list is malformed or names a core that the process may not use.
pub(crate) fn pin_process(list: &str) -> Result<(), MachineError> {
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

/// Returns true if this process ignores the signal, as programs below `nohup` ignore SIGHUP (`SigIgn` of proc(5)).
/// Whoever catches such a signal undoes what the caller wanted.
pub(crate) fn ignores(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (signal.as_raw() - 1)) != 0
}

/// Increase of the nice value of threads that can wait. Threads that answer token requests then get a core at
/// once, and the others still make progress.
const BEHIND: i32 = 10;

/// Lowers the priority of the calling thread. A thread that waits for a disk anyway can also wait for a core.
pub(crate) fn lower_priority() {
    // A failure changes no result. It only makes response times less even.
    let _ = rustix::process::nice(BEHIND);
}

/// Slice of a core that [`prompt`] asks for: the shortest that Linux grants.
const PROMPT_SLICE_NS: u64 = 100_000;

/// Lets the calling thread have its core soon after it wakes, even if another thread has it. By default, Linux 6.6 and
/// later let the other thread finish its slice of a few milliseconds, whatever its nice value. The share of a core
/// that each thread gets stays the same.
#[cfg(target_os = "linux")]
pub(crate) fn prompt() {
    // A failure changes no result. It only makes response times less even.
    if let Some(mut attributes) = scheduling() {
        // Real-time threads have no such slice, and get their core at once.
        if [libc::SCHED_OTHER, libc::SCHED_BATCH]
            .map(i32::cast_unsigned)
            .contains(&attributes.sched_policy)
        {
            attributes.sched_runtime = PROMPT_SLICE_NS;
            set_scheduling(&attributes);
        }
    }
}

/// Does nothing: this platform has no such slice.
#[cfg(not(target_os = "linux"))]
pub(crate) fn prompt() {}

/// Requests exact timers for the calling thread. By default the kernel may wake a sleeper 50 us late, to wake
/// several at once.
pub(crate) fn exact_timers() {
    // Without it a probe measures too much lateness. Nothing else changes.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// Raises the limit on open files to the largest that the system allows, and returns it. Each connection uses
/// one file.
pub(crate) fn raise_file_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.unwrap_or(u64::MAX)
}

/// Returns the resident memory of this process, in bytes: the second field of `/proc/self/statm`, which is in
/// pages (proc(5)). Returns `None` where this file does not exist.
pub(crate) fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Returns the allocator's free pages to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the C library has no other way")]
pub(crate) fn return_free_memory() {
    // SAFETY: `malloc_trim` takes a number, touches only free memory, and locks the arenas that it walks
    // through (malloc_trim(3) is MT-Safe).
    unsafe { libc::malloc_trim(0) };
}

/// Does nothing: this platform has no way to return free memory.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn return_free_memory() {}

/// Returns the scheduling attributes of the calling thread.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no safe crate has it")]
fn scheduling() -> Option<libc::sched_attr> {
    let mut attributes = libc::sched_attr {
        size: 0,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    let size = std::mem::size_of_val(&attributes);
    // SAFETY: the kernel writes at most `size` bytes, the size of the structure that the pointer leads to
    // (sched_getattr(2)). The thread 0 is the calling one.
    let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    (done == 0).then_some(attributes)
}

/// Sets the scheduling attributes of the calling thread, if the system permits it.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no safe crate has it")]
fn set_scheduling(attributes: &libc::sched_attr) {
    // SAFETY: the kernel reads as many bytes as the structure says it has, and `scheduling` wrote them all
    // (sched_setattr(2)).
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *attributes, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_prompt_thread_asks_for_a_short_slice_and_keeps_its_priority() {
        let thread = std::thread::spawn(|| {
            lower_priority();
            let before = scheduling().unwrap();
            prompt();
            (before, scheduling().unwrap())
        });
        let (before, after) = thread.join().unwrap();
        assert_eq!(
            (after.sched_policy, after.sched_nice),
            (before.sched_policy, before.sched_nice)
        );
        // Before Linux 6.12 ordinary threads have no slice of their own.
        let granted_ns = if before.sched_runtime == 0 { 0 } else { PROMPT_SLICE_NS };
        assert_eq!(after.sched_runtime, granted_ns);
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn free_memory_between_pieces_in_use_goes_back_to_the_system() {
        const PIECE_BYTES: usize = 32 * 1024;
        let mut pieces: Vec<Vec<u8>> = (0..4096).map(|_| vec![1; PIECE_BYTES]).collect();
        let held = resident_bytes().unwrap();
        // The last piece stays allocated, so that the allocator cannot simply shrink its heap.
        drop(pieces.drain(..4095));
        return_free_memory();
        let left = resident_bytes().unwrap();
        assert!(left + 64 * 1024 * 1024 < held, "{held} bytes, then {left}");
        assert_eq!(pieces.len(), 1);
    }
}
