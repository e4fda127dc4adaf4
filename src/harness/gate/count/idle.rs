//! Waits until a process has nothing left to do.
//!
//! A server still works after its answer has arrived: it frees memory, looks for the next request, and waits. If
//! the next request came before that, the server would find it at once, and do less. So the next request is sent
//! when all threads sleep, and the work for a request does not depend on the speed of the machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::clock::Monotonic;

/// Reasons why a process is not known to be idle.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdleError {
    /// The process is gone.
    #[error("the server ended")]
    Ended,
    /// Some thread works all the time.
    #[error(
        "the server still works two minutes after an answer, so its work for a request cannot be told from its other work; let it sleep while it has no request"
    )]
    Busy,
}

/// Interval between two looks at the threads.
const LOOK_EVERY: Duration = Duration::from_micros(50);
/// Limit for one request. A server under Valgrind may make a key meanwhile, beside a neighbour.
const IDLE_WITHIN: Duration = Duration::from_mins(2);

/// Waits until all threads of a process sleep.
///
/// Two successive looks must see the same: all threads asleep, and none that has run in between. One look
/// alone could see each thread asleep, although one wakes another.
///
/// # Errors
/// Returns [`IdleError`] when the process has ended, or when it is still busy after two minutes.
pub(crate) fn wait_until_idle(pid: u32) -> Result<(), IdleError> {
    let clock = Monotonic::start();
    let mut before = None;
    while Duration::from_nanos(clock.now_ns()) < IDLE_WITHIN {
        let now = look(pid)?;
        if now.is_some() && now == before {
            return Ok(());
        }
        if now.is_none() {
            std::thread::sleep(LOOK_EVERY);
        }
        before = now;
    }
    Err(IdleError::Busy)
}

/// Switches of each thread to another one so far, by the number of the thread.
type Switches = BTreeMap<String, u64>;

/// Returns the switches of all threads, or none if a thread is awake.
fn look(pid: u32) -> Result<Option<Switches>, IdleError> {
    let folder = PathBuf::from(format!("/proc/{pid}/task"));
    let threads = std::fs::read_dir(&folder).map_err(|_| IdleError::Ended)?;
    let mut switches = Switches::new();
    for thread in threads.flatten() {
        // A thread that has ended since then shows in the next look.
        let Ok(status) = std::fs::read_to_string(thread.path().join("status")) else {
            return Ok(None);
        };
        if is_gone(&status) {
            continue;
        }
        let Some(count) = asleep(&status) else { return Ok(None) };
        switches.insert(thread.file_name().to_string_lossy().into_owned(), count);
    }
    if switches.is_empty() { Err(IdleError::Ended) } else { Ok(Some(switches)) }
}

/// Returns the switches of a sleeping thread, from its `/proc/PID/task/TID/status` (proc(5)).
fn asleep(status: &str) -> Option<u64> {
    if !field(status, "State:")?.starts_with('S') {
        return None;
    }
    let count = |name| field(status, name).and_then(|count| count.parse::<u64>().ok());
    count("voluntary_ctxt_switches:")?.checked_add(count("nonvoluntary_ctxt_switches:")?)
}

/// Returns true if the thread has ended, and only its parent has not taken notice.
fn is_gone(status: &str) -> bool {
    field(status, "State:").is_some_and(|state| state.starts_with(['X', 'Z']))
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sleeping_thread_is_asleep() {
        let status = |state| {
            format!(
                "Name:\ta\nState:\t{state}\nvoluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t4\n"
            )
        };
        assert_eq!(asleep(&status("S (sleeping)")), Some(7));
        for state in ["R (running)", "D (disk sleep)", "t (tracing stop)"] {
            assert_eq!(asleep(&status(state)), None);
        }
        assert_eq!(asleep("State:\tS (sleeping)\n"), None);
    }

    fn wait_until_gone(pid: u32) -> IdleError {
        loop {
            if let Err(error) = wait_until_idle(pid) {
                return error;
            }
        }
    }

    #[test]
    fn a_process_that_waits_is_idle_and_one_that_is_gone_is_not() {
        let mut cat = std::process::Command::new("cat");
        let cat = cat.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        let mut child = cat.spawn().unwrap();
        wait_until_idle(child.id()).unwrap();
        drop(child.stdin.take());
        // It ends, and is then a zombie until it is waited for.
        assert!(matches!(wait_until_gone(child.id()), IdleError::Ended));
        child.wait().unwrap();
        assert!(matches!(wait_until_idle(child.id()), Err(IdleError::Ended)));
    }
}
