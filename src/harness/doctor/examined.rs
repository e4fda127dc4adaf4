//! Measurements of a machine.

use hdrhistogram::Histogram;

use crate::harness::machine::cores::Cores;
use crate::harness::machine::host::Host;
use crate::harness::machine::host::settings::HostSettings;
use crate::harness::machine::host::strain::Strain;
use crate::harness::nanos::Nanos;

/// Measurements of a machine.
#[derive(Debug)]
pub struct Examined {
    /// Properties that do not change while the machine is up.
    pub host: Host,
    /// Settings of the machine.
    pub settings: HostSettings,
    /// Division of the cores in a `run`.
    pub cores: Cores,
    /// Maximum number of open files of a process.
    pub file_limit: u64,
    /// Memory that can be used without swapping, in bytes.
    pub memory_available: Option<u64>,
    /// Load average over the last minute, read before the examination.
    pub load_average: Option<f64>,
    /// Length of the examination.
    pub span: Nanos,
    /// Disturbance by the machine during the examination.
    pub strain: Strain,
    /// Lag of the pacing loop without requests, in nanoseconds.
    pub pacer: Histogram<u64>,
    /// Wake-up delay of a thread that only sleeps, in nanoseconds.
    pub sleep: Histogram<u64>,
    /// Interruptions of a thread that only spins, on the core that lost the most time.
    pub stolen: Stolen,
    /// Round trips of 64 bytes over loopback, in nanoseconds.
    pub round_trip: Histogram<u64>,
    /// Pairs of medians from alternate stretches of those round trips, which do not differ by
    /// design.
    pub alternate: Vec<Pair>,
}

/// Interruptions of a spinning thread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stolen {
    /// Number of the core.
    pub core: usize,
    /// Share of the time in interruptions longer than 10 us.
    pub share: f64,
    /// Longest interruption.
    pub longest: Nanos,
}

/// One figure from each of two adjacent stretches with the same build.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair(pub f64, pub f64);
