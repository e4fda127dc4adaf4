//! Cores of the broker and the generator, and settings that make threads punctual.

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::base::process::{allowed_cpus, exact_timers};

/// Division of the allowed cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Core of the broker; `None` if there is only one core, which both share.
    pub broker: Option<usize>,
    /// Cores of the generator's threads; empty if they are not pinned.
    pub generator: Vec<usize>,
}

impl Cores {
    /// Gives the first allowed core to the broker, and the others to the generator.
    pub fn split(allowed: &[usize]) -> Self {
        match allowed {
            [broker, generator @ ..] if !generator.is_empty() => {
                Self { broker: Some(*broker), generator: generator.to_vec() }
            }
            _ => Self { broker: None, generator: Vec::new() },
        }
    }

    /// Returns the core of thread number `thread`; `None` if threads are not pinned.
    pub fn of_thread(&self, thread: usize) -> Option<usize> {
        self.generator.iter().cycle().nth(thread % self.generator.len().max(1)).copied()
    }
}

/// Returns the cores that this process may use.
pub fn allowed() -> Vec<usize> {
    let allowed = allowed_cpus();
    // If the system does not say, there is at least one core.
    if allowed.is_empty() { vec![0] } else { allowed }
}

/// Pins the calling thread to the core, if one is given, and asks for exact timers.
///
/// A failure is not an error: the lag of the run shows whether the thread was punctual.
pub(crate) fn settle_thread(core: Option<usize>) {
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        let _ = sched_setaffinity(None, &set);
    }
    exact_timers();
}

/// Keeps the calling thread off the generator's cores, if there are others, at the lowest priority.
///
/// Used by threads that show the progress of a run.
pub fn keep_off(cores: &Cores) {
    let others = allowed().into_iter().filter(|core| !cores.generator.contains(core));
    let mut set = CpuSet::new();
    others.for_each(|core| set.set(core));
    if !cores.generator.is_empty() && set.count() > 0 {
        // A failure is not an error: the thread then runs where the system puts it.
        let _ = sched_setaffinity(None, &set);
    }
    yield_to_all();
}

/// Returns the number of the calling thread, as `/proc` names it.
pub(crate) fn thread_number() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()
}

/// Gives the calling thread the lowest priority.
pub(crate) fn yield_to_all() {
    /// Lowest priority that an unprivileged process may choose.
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
