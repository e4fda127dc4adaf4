//! Which cores the broker and the generator run on, and what else makes a thread punctual.

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::machine::{allowed_cpus, exact_timers};

/// How the allowed cores are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    /// For the broker; none when there is only one core and both must share it.
    pub broker: Option<usize>,
    /// For the generator's threads; empty when they are not pinned.
    pub generator: Vec<usize>,
}

impl Cores {
    /// The first allowed core for the broker, the others for the generator.
    pub fn split(allowed: &[usize]) -> Self {
        match allowed {
            [broker, generator @ ..] if !generator.is_empty() => {
                Self { broker: Some(*broker), generator: generator.to_vec() }
            }
            _ => Self { broker: None, generator: Vec::new() },
        }
    }

    /// The core of thread number `thread`.
    pub fn of_thread(&self, thread: usize) -> Option<usize> {
        self.generator.iter().cycle().nth(thread % self.generator.len().max(1)).copied()
    }
}

/// The cores that this process may use.
pub fn allowed() -> Vec<usize> {
    let allowed = allowed_cpus();
    // Where the system does not say, there is one at least.
    if allowed.is_empty() { vec![0] } else { allowed }
}

/// Pins the calling thread, if a core is given, and asks for exact timers.
///
/// Failure is not an error: a run says through its lag whether the thread was punctual.
pub(super) fn settle_thread(core: Option<usize>) {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        let _ = sched_setaffinity(None, &set);
    }
    exact_timers();
}

/// Keeps the calling thread off the cores that the generator spins on, where there are others, and
/// behind everything else: for what shows a run while it goes on.
pub fn keep_off(cores: &Cores) {
    let others = allowed().into_iter().filter(|core| !cores.generator.contains(core));
    let mut set = CpuSet::new();
    others.for_each(|core| set.set(core));
    if !cores.generator.is_empty() && set.count() > 0 {
        // Failure is not an error: it then runs where the system puts it.
        let _ = sched_setaffinity(None, &set);
    }
    yield_to_all();
}

/// Lets the calling thread run only where nothing else wants to.
pub(super) fn yield_to_all() {
    /// The most that an unprivileged process may give up.
    const NICE_MAX: i32 = 19;
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE_MAX);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_gets_the_first_core_and_the_generator_the_rest() {
        let cores = Cores::split(&[2, 5, 7]);
        assert_eq!((cores.broker, cores.generator.as_slice()), (Some(2), [5, 7].as_slice()));
        assert_eq!([0, 1, 2].map(|thread| cores.of_thread(thread)), [Some(5), Some(7), Some(5)]);
    }

    #[test]
    fn a_single_core_is_shared_unpinned() {
        let cores = Cores::split(&[3]);
        assert_eq!((cores.broker, cores.of_thread(0)), (None, None));
    }
}
