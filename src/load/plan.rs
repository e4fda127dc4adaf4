//! What a run of the generator is made of.

use super::changes::Changes;
use super::cores::Cores;
pub use super::shared::Classes;
use super::turns::Turns;
use super::workload::Workload;
use crate::world::synthetic::Synthetic;

/// Where the connections come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Each from the address of its VM, within 127.0.0.0/8.
    PerVm,
    /// From wherever the system chooses.
    System,
}

/// What a thread does while answers are outstanding and nothing is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It sleeps until the kernel wakes it, which takes tens of microseconds: cores are shared.
    Sleep,
    /// It asks again and again: the core is its own, and an answer is noticed at once.
    Spin,
}

/// Everything that a run of the generator is made of, but for where it goes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The shape of the world that is asked about.
    pub world: Synthetic,
    /// What is sent.
    pub workload: Workload,
    /// Where connections come from.
    pub origin: Origin,
    /// How answers are classed.
    pub classes: Classes,
    /// What is changed at the target meanwhile.
    pub changes: Changes,
    /// Connections, held open throughout.
    pub connections: u32,
    /// Generator threads.
    pub threads: usize,
    /// Where they run.
    pub cores: Cores,
    /// How they wait for answers.
    pub waiting: Waiting,
    /// When it may send, if it is woven with another run.
    pub turns: Option<Turns>,
    /// How long the pacing is rehearsed without requests before the load, in nanoseconds.
    pub rehearsal_ns: u64,
    /// From the start of the load to the measured part, in nanoseconds.
    pub warmup_ns: u64,
    /// The measured part, in nanoseconds.
    pub duration_ns: u64,
    /// After this a request is given up; also the time allowed after the end for what is under way.
    pub timeout_ns: u64,
    /// Answers kept for verification.
    pub samples: usize,
    /// The share of requests that may end without a token.
    pub errors_max: f64,
    /// Of the sample.
    pub seed: u64,
}
