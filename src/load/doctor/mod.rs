//! What this machine can and cannot measure: probes, and sentences about what they found.
//!
//! [`examine`] takes its time measuring; [`findings`](Examined::findings) is a pure function of what
//! was measured.

mod findings;
mod loopback;
mod quiet;
#[cfg(test)]
mod tests;
mod trial;

use std::io;
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

pub use self::findings::effect;
pub use self::trial::{Trial, verdict};
use super::changes::Changes;
use super::collector::Discard;
use super::cores::{Cores, allowed};
use super::fleet::{self, Epoch, LoadError};
use super::host::settings::HostSettings;
use super::host::strain::{Strain, StrainCounters};
use super::host::{Host, available_bytes, load_average};
use super::mix::{Identities, Kind, Share};
use super::phases::{Phase, Phases, Timing};
use super::plan::{Classes, Origin, Plan, Waiting};
use super::profile::Profile;
use super::schedule::Arrivals;
use super::stop::Stop;
use super::target::{HttpUrl, Target, UrlError};
use super::workload::Workload;
use crate::clock::{Monotonic, UnixSeconds};
use crate::machine::raise_file_limit;
use crate::world::synthetic::Synthetic;

/// Why a machine cannot be examined.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// There is no loopback to speak of.
    #[error("cannot measure the loopback network")]
    Loopback(#[source] io::Error),
    /// The pacing loop does not run.
    #[error("cannot test the pacing")]
    Pacing(#[from] LoadError),
    /// Its own address is not one.
    #[error("cannot test the pacing")]
    Url(#[from] UrlError),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What was found out about a machine.
#[derive(Debug)]
pub struct Examined {
    /// What does not change.
    pub host: Host,
    /// How it is set up.
    pub settings: HostSettings,
    /// How `run` would share its cores.
    pub cores: Cores,
    /// Open files that a process may have.
    pub file_limit: u64,
    /// Memory that can be used without swapping, in bytes.
    pub memory_available: Option<u64>,
    /// Processes that wanted to run over the last minute, before the examination.
    pub load_average: Option<f64>,
    /// How long the examination took, in nanoseconds.
    pub span_ns: u64,
    /// What the machine did meanwhile.
    pub strain: Strain,
    /// Lag of the pacing loop without requests, in nanoseconds.
    pub pacer: Histogram<u64>,
    /// Lateness of a thread that only sleeps, in nanoseconds.
    pub sleep: Histogram<u64>,
    /// The core that was stopped most: how long it did not run a thread that only spins.
    pub stolen: Stolen,
    /// Round trips of 64 bytes over loopback, in nanoseconds.
    pub round_trip: Histogram<u64>,
    /// Medians of alternate stretches of those round trips that did not differ by design.
    pub alternate: Vec<Pair>,
}

/// What a spinning thread did not get of its core.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stolen {
    /// Which core.
    pub core: usize,
    /// The share of the time in interruptions longer than 10 us.
    pub share: f64,
    /// The longest, in nanoseconds.
    pub longest_ns: u64,
}

/// One figure of each of two stretches with the same build, next to each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair(pub f64, pub f64);

/// Takes `span` to examine this machine.
///
/// # Errors
/// [`DoctorError`] when a probe does not work.
pub fn examine(span: Duration, stop: &Stop) -> Result<Examined, DoctorError> {
    let (clock, load) = (Monotonic::start(), load_average());
    let cores = Cores::split(&allowed());
    let strain = StrainCounters::read();
    // A third each: pacing and sleeping, what cores lose, and the network.
    let third = span / 3;
    let goes_on = || if stop.is_requested() { Err(DoctorError::Interrupted) } else { Ok(()) };
    let (pacer, sleep) = (rehearse(&cores, third / 2, stop)?, quiet::sleep_lateness(third / 2));
    goes_on()?;
    let stolen = quiet::most_stolen(&allowed(), third);
    goes_on()?;
    let loopback::Trips { round_trip, alternate } =
        loopback::trips(&cores, third).map_err(DoctorError::Loopback)?;
    goes_on()?;
    let span_ns = clock.now_ns();
    Ok(Examined {
        host: Host::read(),
        settings: HostSettings::read(),
        file_limit: raise_file_limit(),
        memory_available: available_bytes(),
        load_average: load,
        span_ns,
        strain: StrainCounters::read().since(&strain, span_ns),
        cores,
        pacer,
        sleep,
        stolen,
        round_trip,
        alternate,
    })
}

/// The self-test of a run, by the loop of a run: the connections that it wants are made to a socket
/// that nobody reads, and are closed when the self-test is over.
fn rehearse(cores: &Cores, span: Duration, stop: &Stop) -> Result<Histogram<u64>, DoctorError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(DoctorError::Loopback)?;
    let address = listener.local_addr().map_err(DoctorError::Loopback)?;
    let url: HttpUrl = format!("http://{address}").parse()?;
    let target = Target::imds(url);
    let plan = plan(cores, span);
    let epoch = Epoch { clock: Monotonic::start(), wall: UnixSeconds(0) };
    let measured = fleet::run(&plan, &target, epoch, &mut Discard, stop, None, &mut |_| {
        ControlFlow::Continue(())
    })?;
    Ok(measured.pacing.rehearsal)
}

/// A rehearsal at a usual rate, and hardly any load after it.
fn plan(cores: &Cores, span: Duration) -> Plan {
    const RATE: f64 = 5000.0;
    const LENGTH_NS: u64 = 1_000_000;
    let kind = Kind::Popular { exponent: 1.0 };
    let phase = Phase {
        name: "rehearsal".to_owned(),
        arrivals: Arrivals::Constant,
        timing: Timing::Rate(Profile::constant(RATE, LENGTH_NS)),
        length_ns: LENGTH_NS,
        mix: vec![Share { weight: 1.0, kind, identities: Identities::System, resource: 0 }],
    };
    let phases = Phases {
        warmup: None,
        phases: vec![phase],
        expect: Vec::new(),
        serve_args: Vec::new(),
        tokens_outlive_run: true,
        seed: 1,
    };
    Plan {
        world: Synthetic { vms: 1, user_assigned: 0, seed: 1 },
        workload: Workload::Phases(Arc::new(phases)),
        origin: Origin::System,
        classes: Classes::Foreign,
        changes: Changes::None,
        connections: 1,
        threads: 1,
        cores: cores.clone(),
        waiting: Waiting::Spin,
        turns: None,
        rehearsal_ns: u64::try_from(span.as_nanos()).unwrap_or(u64::MAX),
        warmup_ns: 0,
        duration_ns: LENGTH_NS,
        timeout_ns: LENGTH_NS,
        samples: 1,
        errors_max: 1.0,
        seed: 1,
    }
}
