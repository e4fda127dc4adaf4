//! The servers of a queue, which take requests in the order of arrival.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroUsize;

use super::stall::Stall;

/// Kind of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// One server that works for the time of the law, on the processor of its thread.
    Busy,
    /// So many servers that wait for the time of the law without work.
    Asleep(NonZeroUsize),
    /// A server for each request, so that no request waits for another.
    Unlimited,
}

/// Servers that wait without work, each for one request at a time, and a common queue.
#[derive(Clone, Debug)]
pub(crate) struct Sleepers {
    /// The times at which the servers become free.
    free_ns: BinaryHeap<Reverse<u64>>,
}

impl Sleepers {
    /// Creates `count` free servers.
    pub(crate) fn new(count: NonZeroUsize) -> Self {
        Self { free_ns: std::iter::repeat_n(Reverse(0), count.get()).collect() }
    }

    /// Gives a request that arrived at `now_ns` to the server that is free first. Returns the start
    /// of its service and its end, which `end_ns` computes from the start.
    pub(crate) fn serve(&mut self, now_ns: u64, end_ns: impl FnOnce(u64) -> u64) -> (u64, u64) {
        let Reverse(free_ns) = self.free_ns.pop().unwrap_or_default();
        let start_ns = now_ns.max(free_ns);
        let end_ns = end_ns(start_ns);
        self.free_ns.push(Reverse(end_ns));
        (start_ns, end_ns)
    }

    /// Has all service that is under way end later by a stall.
    pub(crate) fn stand_still(&mut self, stall: Stall) {
        let moved = |Reverse(free_ns)| Reverse(stall.moved(free_ns));
        self.free_ns = self.free_ns.drain().map(moved).collect();
    }
}

/// Works until this thread has used `work_ns` more of its processor. What else runs there
/// prolongs the work.
pub(crate) fn work(work_ns: u64) {
    let until_ns = thread_cpu_ns() + work_ns;
    while thread_cpu_ns() < until_ns {
        std::hint::spin_loop();
    }
}

fn thread_cpu_ns() -> u64 {
    super::stamps::nanos(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns start and end of the service of each arrival; each takes 10 ns.
    fn served(servers: usize, arrivals_ns: &[u64]) -> Vec<(u64, u64)> {
        let mut servers = Sleepers::new(NonZeroUsize::new(servers).unwrap());
        arrivals_ns.iter().map(|now_ns| servers.serve(*now_ns, |start_ns| start_ns + 10)).collect()
    }

    #[test]
    fn one_server_takes_requests_one_after_the_other() {
        assert_eq!(served(1, &[0, 1, 25, 26]), [(0, 10), (10, 20), (25, 35), (35, 45)]);
    }

    #[test]
    fn two_servers_take_two_requests_at_a_time() {
        assert_eq!(served(2, &[0, 1, 2, 30]), [(0, 10), (1, 11), (10, 20), (30, 40)]);
    }

    #[test]
    fn work_uses_the_processor_for_its_time() {
        let before_ns = thread_cpu_ns();
        work(200_000);
        assert!(thread_cpu_ns() - before_ns >= 200_000);
    }
}
