//! Probes of this machine, and findings about what it can and cannot measure.
//!
//! [`examine`] runs the probes. [`findings`](Examined::findings) is a pure function of the
//! measurements.

pub mod examined;
mod findings;
mod loopback;
mod quiet;
mod trial;

use std::io;
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use self::examined::Examined;
pub use self::findings::effect;
pub use self::trial::{Trial, verdict};
use super::dialect::target::Target;
use super::dialect::url::{HttpUrl, UrlError};
use super::driver::load;
use super::driver::load::LoadError;
use super::machine::cores::{Cores, allowed};
use super::machine::host::settings::HostSettings;
use super::machine::host::strain::StrainCounters;
use super::machine::host::{Host, available_bytes, load_average};
use super::machine::stop::Stop;
use super::nanos::Nanos;
use super::record::collector::Discard;
use super::scenario::changes::Changes;
use super::scenario::mix::{Identities, Kind, Share};
use super::scenario::phases::{Arrivals, Phase, Phases, Timing};
use super::scenario::profile::Profile;
use super::scenario::run_plan::{Bounds, Classes, Origin, Pausing, RunPlan, Waiting};
use super::scenario::workload::Workload;
use super::schedule::timeline::{Epoch, Timeline};
use crate::base::clock::{Monotonic, UnixSeconds};
use crate::base::process::raise_file_limit;
use crate::base::synthetic::Synthetic;

/// Failure to examine a machine.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// The loopback network does not work.
    #[error("cannot measure the loopback network")]
    Loopback(#[source] io::Error),
    /// The pacing loop does not run.
    #[error("cannot test the pacing")]
    Pacing(#[from] LoadError),
    /// The address of the probe's own socket is not a valid URL.
    #[error("cannot test the pacing")]
    Url(#[from] UrlError),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// Examines this machine, which takes `span`.
///
/// # Errors
/// Returns [`DoctorError`] when a probe does not work, or when the user stops it.
pub fn examine(span: Duration, stop: &Stop) -> Result<Examined, DoctorError> {
    let (clock, load) = (Monotonic::start(), load_average());
    let cores = Cores::split(&allowed());
    let strain = StrainCounters::read();
    // A third each: pacing and sleeping, lost time of cores, and the network.
    let third = span / 3;
    let goes_on = || if stop.is_requested() { Err(DoctorError::Interrupted) } else { Ok(()) };
    let (pacer, sleep) = (rehearse(&cores, third / 2, stop)?, quiet::sleep_lateness(third / 2));
    goes_on()?;
    let stolen = quiet::most_stolen(&allowed(), third);
    goes_on()?;
    let loopback::Trips { round_trip, alternate } =
        loopback::trips(&cores, third).map_err(DoctorError::Loopback)?;
    goes_on()?;
    let span = Nanos::now(clock);
    Ok(Examined {
        host: Host::read(),
        settings: HostSettings::read(),
        file_limit: raise_file_limit(),
        memory_available: available_bytes(),
        load_average: load,
        span,
        strain: StrainCounters::read().since(&strain, span),
        cores,
        pacer,
        sleep,
        stolen,
        round_trip,
        alternate,
    })
}

/// Runs the pacing self-test in the loop of a run, and returns its lag in nanoseconds.
///
/// Connections go to a socket that nobody reads. They are closed when the self-test is over.
fn rehearse(cores: &Cores, span: Duration, stop: &Stop) -> Result<Histogram<u64>, DoctorError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(DoctorError::Loopback)?;
    let address = listener.local_addr().map_err(DoctorError::Loopback)?;
    let url: HttpUrl = format!("http://{address}").parse()?;
    let target = Target::imds(url);
    let plan = plan(cores, span);
    let epoch = Epoch { clock: Monotonic::start(), wall: UnixSeconds(0) };
    let timeline = Timeline { epoch, turn: None };
    let measured = load::run(&plan, &target, timeline, &mut Discard, stop, None, &mut |_| {
        ControlFlow::Continue(())
    })?;
    Ok(measured.pacing.rehearsal)
}

/// Returns a plan with a rehearsal at a usual rate, and hardly any load after it.
fn plan(cores: &Cores, span: Duration) -> RunPlan {
    const RATE: f64 = 5000.0;
    const LENGTH: Nanos = Nanos::from_millis(1);
    let kind = Kind::Popular { exponent: 1.0 };
    let phase = Phase {
        name: "rehearsal".to_owned(),
        arrivals: Arrivals::Constant,
        timing: Timing::Rate(Profile::constant(RATE, LENGTH)),
        length: LENGTH,
        mix: vec![Share { weight: 1.0, kind, identities: Identities::System, resource: 0 }],
    };
    let phases = Phases {
        warmup: None,
        phases: vec![phase],
        expect: Vec::new(),
        serve_args: Vec::new(),
        limit: None,
        tokens_outlive_run: true,
        seed: 1,
    };
    RunPlan {
        world: Synthetic { vms: 1, user_assigned: 0, seed: 1 },
        workload: Workload::Phases(Arc::new(phases)),
        origin: Origin::System,
        classes: Classes::Foreign,
        changes: Changes::None,
        connections: 1,
        threads: 1,
        cores: cores.clone(),
        waiting: Waiting::Spin,
        bounds: Bounds::default(),
        pausing: Pausing::Never,
        rehearsal: Nanos::from(span),
        warmup: Nanos::ZERO,
        duration: LENGTH,
        timeout: LENGTH,
        samples: 1,
        errors_max: 1.0,
        seed: 1,
    }
}

#[cfg(test)]
mod tests;
