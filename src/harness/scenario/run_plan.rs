//! The settings of a run of the generator.

use super::changes::Changes;
use super::workload::Workload;
use crate::base::synthetic::Synthetic;
use crate::harness::class::Class;
use crate::harness::machine::cores::Cores;
use crate::harness::nanos::Nanos;

/// Source addresses of the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The address of the VM, within 127.0.0.0/8.
    PerVm,
    /// An address that the system chooses.
    System,
}

/// Behaviour of a thread while answers are outstanding and nothing is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The thread sleeps until the kernel wakes it, which takes tens of microseconds. Used if cores
    /// are shared.
    Sleep,
    /// The thread polls without pause and notices an answer at once. Used if the thread has a core
    /// of its own.
    Spin,
}

/// Rule for the bounds of the response times that a perfect generator would have recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bounds {
    /// If all requests come later by a time, all answers come later by at most that time. This is
    /// true of queues that serve in order.
    #[default]
    Shift,
    /// The response times of a busy period count as measured if the generator was never late in it.
    /// Else they lie between zero and the end of the period.
    BusyPeriod,
}

/// The classes into which a target's answers fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// The classes that the broker names in a header.
    Broker,
    /// The same, while identities are removed: a refusal for lack of an identity has a class of its
    /// own.
    Churned,
    /// Every good answer is in the class `all`.
    Foreign,
}

impl Classes {
    /// Returns the classes into which an answer with a token can fall.
    pub const fn of_tokens(self) -> &'static [Class] {
        match self {
            Self::Broker | Self::Churned => {
                &[Class::Hit, Class::Miss, Class::Coalesced, Class::All]
            }
            Self::Foreign => &[Class::All],
        }
    }
}

/// Pauses of the schedule while a generator thread is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pausing {
    /// The schedule goes on. The requests of that time are sent late, in a burst.
    #[default]
    Never,
    /// The schedule waits, if the target cannot be what stopped the thread.
    Witnessed,
}

/// All settings of a run of the generator, except its target.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// The shape of the world that requests ask about.
    pub world: Synthetic,
    /// The requests to send.
    pub workload: Workload,
    /// Source addresses of the connections.
    pub origin: Origin,
    /// Classes of the answers.
    pub classes: Classes,
    /// Changes made at the target during the run.
    pub changes: Changes,
    /// Number of connections, held open throughout.
    pub connections: u32,
    /// Number of generator threads.
    pub threads: usize,
    /// Cores of the threads and of the broker.
    pub cores: Cores,
    /// Behaviour of the threads while they wait for answers.
    pub waiting: Waiting,
    /// Rule for the bounds of response times.
    pub bounds: Bounds,
    /// Pauses of the schedule.
    pub pausing: Pausing,
    /// Length of the rehearsal of the pacing before the load.
    pub rehearsal: Nanos,
    /// Time from the start of the load to the measured part.
    pub warmup: Nanos,
    /// Length of the measured part.
    pub duration: Nanos,
    /// Timeout of a request, and the time that outstanding requests get after the end.
    pub timeout: Nanos,
    /// Number of answers kept for verification.
    pub samples: usize,
    /// The largest allowed share of requests that end without a token.
    pub errors_max: f64,
    /// Seed of the sample.
    pub seed: u64,
}
