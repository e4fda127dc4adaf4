//! Division of the connections into sets, and of the sets among threads.
//!
//! Connections from one address to one target are equivalent: a request may go out on any of them.
//! They form a *set* with one queue, so that no request waits for one connection while another is
//! idle. A set never spans threads. If there are fewer kinds of connections than threads, a kind is
//! divided into several sets that take turns.

use super::traffic::Arrival;
use crate::harness::scenario::run_plan::{Origin, RunPlan};

/// Groups of a plan's connections, calculated from the numbers of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Kinds of connections. Connections of different kinds cannot replace each other.
    kinds: u32,
    /// Connections of each kind.
    size: u32,
    /// Sets that each kind is divided into, so that every thread has one.
    shards: u32,
    threads: u32,
    vms: u32,
}

/// Connections of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetShape {
    /// VM from whose address they connect at first.
    pub(crate) vm: u32,
    pub(crate) connections: u32,
}

impl Layout {
    /// Returns the layout of `plan`.
    pub fn of(plan: &RunPlan) -> Self {
        let vms = plan.workload.vms(&plan.world).max(1);
        let connections = plan.connections.max(1);
        let kinds = match plan.origin {
            Origin::System => 1,
            Origin::PerVm => connections.min(vms),
        };
        Self::new(kinds, connections / kinds, u32::try_from(plan.threads).unwrap_or(u32::MAX), vms)
    }

    fn new(kinds: u32, size: u32, threads: u32, vms: u32) -> Self {
        // A thread without connections would have nothing to do.
        let threads = threads.clamp(1, kinds.saturating_mul(size));
        let shards = threads.div_ceil(kinds).min(size);
        Self { kinds, size, shards, threads, vms }
    }

    /// Returns the number of connections. Every kind has the same number.
    pub const fn connections(&self) -> u32 {
        self.kinds * self.size
    }

    /// Returns the number of threads that have connections.
    pub const fn threads(&self) -> usize {
        self.threads as usize
    }

    /// Returns the thread of an arrival.
    pub(crate) fn thread(&self, arrival: &Arrival) -> usize {
        self.set(arrival) as usize % self.threads()
    }

    /// Returns the position of an arrival's set among the sets of its thread.
    pub(crate) fn set_of_thread(&self, arrival: &Arrival) -> usize {
        self.set(arrival) as usize / self.threads()
    }

    fn set(&self, arrival: &Arrival) -> u32 {
        let turn = arrival.index % u64::from(self.shards);
        let turn = u32::try_from(turn).unwrap_or_default();
        arrival.key.vm % self.kinds * self.shards + turn
    }

    /// Returns the sets of one thread, in the order of [`Layout::set_of_thread`].
    pub(crate) fn sets(&self, thread: usize) -> impl Iterator<Item = SetShape> {
        let Self { kinds, size, shards, vms, .. } = *self;
        (0..kinds * shards).skip(thread).step_by(self.threads()).map(move |set| {
            let (kind, shard) = (set / shards, set % shards);
            SetShape { vm: kind % vms, connections: (size + shards - 1 - shard) / shards }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::nanos::Nanos;
    use crate::harness::scenario::key::{RequestKey, Selector};
    use proptest::prelude::*;

    fn arrival(index: u64, vm: u32) -> Arrival {
        let key = RequestKey { vm, selector: Selector::Default, resource: 0 };
        Arrival { index, intended: Nanos::ZERO, key }
    }

    proptest! {
        #[test]
        fn every_connection_has_one_thread_and_every_arrival_finds_connections(
            kinds in 1_u32..40, size in 1_u32..40, threads in 1_u32..9, index: u64, vm in 0_u32..1000,
        ) {
            let layout = Layout::new(kinds, size, threads, 1000);
            let sets: Vec<Vec<SetShape>> =
                (0..layout.threads()).map(|thread| layout.sets(thread).collect()).collect();
            let made: u32 = sets.iter().flatten().map(|set| set.connections).sum();
            prop_assert_eq!(made, layout.connections());
            prop_assert!(sets.iter().all(|sets| !sets.is_empty()));
            let arrival = arrival(index, vm);
            let set = sets[layout.thread(&arrival)][layout.set_of_thread(&arrival)];
            prop_assert!(set.connections > 0);
            prop_assert_eq!(set.vm % kinds, vm % kinds);
        }
    }

    #[test]
    fn one_kind_on_one_thread_is_one_set_and_is_divided_among_several() {
        assert_eq!(Layout::new(1, 64, 1, 1).sets(0).count(), 1);
        let divided = Layout::new(1, 64, 3, 1);
        let sizes: [u32; 3] =
            [0, 1, 2].map(|thread| divided.sets(thread).map(|s| s.connections).sum());
        assert_eq!(sizes, [22, 21, 21]);
        let threads = [0, 1, 2, 3].map(|index| divided.thread(&arrival(index, 0)));
        assert_eq!(threads, [0, 1, 2, 0]);
    }

    #[test]
    fn several_connections_of_one_vm_share_a_queue() {
        let layout = Layout::new(10, 4, 2, 10);
        assert_eq!(layout.sets(0).count(), 5);
        assert!(layout.sets(1).all(|set| set.connections == 4));
        assert_eq!(layout.thread(&arrival(0, 3)), layout.thread(&arrival(1, 3)));
    }
}
