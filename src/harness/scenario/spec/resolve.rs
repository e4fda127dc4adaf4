//! Turns the definition of a run into its plan, in which everything is decided.

use std::sync::Arc;
use std::time::Duration;

use super::bounds::{
    CERTIFICATES_MAX, DAY, DURATIONS, PACER_TEST_MAX, RATE_MAX, ROTATION_GAP_MIN, ROTATIONS_MAX,
    SAMPLES_MAX, THREADS_MAX, TIMEOUTS, is_replay_speed,
};
use super::refusal::SpecError;
use super::run_spec::{ChangeSpec, Herd, PhaseSpec, Rate, RunSpec};
use super::shortfall::Shortfall;
use crate::base::process::raise_file_limit;
use crate::base::synthetic::Synthetic;
use crate::harness::machine::cores::{Cores, allowed};
use crate::harness::nanos::Nanos;
use crate::harness::scenario::changes::Changes;
use crate::harness::scenario::phases::{Phase, Phases, Timing};
use crate::harness::scenario::profile::Profile;
use crate::harness::scenario::run_plan::{Bounds, Classes, Origin, RunPlan, Waiting};
use crate::harness::scenario::workload::{Herds, Workload};

/// Limits of this process that a run depends on.
#[derive(Clone, Debug)]
pub(crate) struct ProcessLimits {
    /// Cores that the process may use.
    pub(crate) cores: Vec<usize>,
    /// Number of files that the process may have open.
    pub(crate) open_files: u64,
}

/// Plan of a run, with the notes for its report.
#[derive(Debug)]
pub(crate) struct Resolved {
    /// The plan.
    pub(crate) plan: RunPlan,
    /// Notes on the conditions of the run.
    pub(crate) notes: Vec<String>,
    /// Keys that the warm-up leaves cold, if there are any. The notes name them too.
    pub(crate) shortfall: Option<Shortfall>,
}

const VMS_DEFAULT: u32 = 1000;
const USER_ASSIGNED_DEFAULT: u32 = 2;
/// Start of the first herd: the generator settles before it.
const FIRST_HERD: Duration = Duration::from_millis(500);
/// Time from one herd to the next: the herd is served, and the broker becomes idle again.
const HERD_GAP: Duration = Duration::from_secs(2);
/// Maximum default number of connections. More VMs take turns on a connection.
const CONNECTIONS_DEFAULT_MAX: u32 = 1000;
/// Default number of connections to a foreign target: enough that requests do not wait in line.
const CONNECTIONS_FOREIGN: u32 = 64;
/// Open files for everything that is not a connection of the load.
const OTHER_FILES: u64 = 64;
/// Default number of changes per second, which an administrator's tools and a disk can bear. Each
/// change waits for the one before in any case.
const CHANGES_DEFAULT: u32 = 20;
const ROTATION_GAP_DEFAULT: Duration = Duration::from_secs(2);
/// Default token lifetime of `serve`.
const TOKEN_LIFETIME: Duration = Duration::from_hours(24);

impl ProcessLimits {
    /// Reads the limits of this process. Raises the limit of open files as far as the system allows.
    pub(crate) fn of_process() -> Self {
        Self { cores: allowed(), open_files: raise_file_limit() }
    }
}

impl RunSpec {
    /// Checks the definition, and decides everything that it leaves open.
    ///
    /// # Errors
    /// Returns [`SpecError`] with advice, if the definition makes no run.
    pub(crate) fn resolve(&self, limits: &ProcessLimits) -> Result<Resolved, SpecError> {
        self.check(limits)?;
        let world = self.world()?;
        let workload = self.workload(&world)?;
        let generator = self.generator(limits);
        let shortfall = self.shortfall(&workload, &world);
        let mut notes = self.notes(&generator);
        notes.extend(shortfall.as_ref().map(Shortfall::to_string));
        let lengths = self.lengths();
        let plan = RunPlan {
            workload,
            origin: self.origin(),
            classes: self.classes(),
            changes: self.changes(&world, lengths.duration)?,
            connections: self.connections(&world),
            threads: generator.threads,
            cores: generator.cores,
            waiting: generator.waiting,
            bounds: self.bounds,
            pausing: self.pausing,
            rehearsal: Nanos::from(self.pacer_test),
            warmup: Nanos::from(lengths.warmup),
            duration: Nanos::from(lengths.duration),
            timeout: Nanos::from(self.timeout),
            samples: self.samples,
            errors_max: self.errors_max,
            seed: self.seed,
            world,
        };
        check_open_files(plan.connections, limits.open_files)?;
        Ok(Resolved { plan, notes, shortfall })
    }
}

fn check_open_files(connections: u32, limit: u64) -> Result<(), SpecError> {
    if u64::from(connections) + OTHER_FILES > limit {
        return Err(SpecError::Files { connections, limit });
    }
    Ok(())
}

/// Checks of values that do not depend on each other.
impl RunSpec {
    fn check(&self, limits: &ProcessLimits) -> Result<(), SpecError> {
        self.check_cores(limits)?;
        self.check_counts()?;
        self.check_times()?;
        if !(0.0..=1.0).contains(&self.errors_max) {
            return Err(SpecError::MaxErrors(self.errors_max));
        }
        self.check_rates()?;
        self.check_lengths()?;
        if self.target.is_some() && self.needs_broker() {
            return Err(SpecError::NeedsBroker(self.name()));
        }
        Ok(())
    }

    fn check_cores(&self, limits: &ProcessLimits) -> Result<(), SpecError> {
        match self.cores.iter().find(|core| !limits.cores.contains(core)) {
            Some(&core) => Err(SpecError::Core { core, allowed: limits.cores.clone() }),
            None => Ok(()),
        }
    }

    fn check_counts(&self) -> Result<(), SpecError> {
        let Herd { herds, callers } = self.herd.unwrap_or(Herd { herds: 1, callers: 1 });
        let rotations = match self.changes {
            Some(ChangeSpec::Rotate { rotations }) => rotations,
            _ => None,
        };
        let counts = [
            ("herds", u64::from(herds), u64::from(Synthetic::USER_ASSIGNED_MAX)),
            ("callers", callers.into(), u32::MAX.into()),
            ("connections", self.connections.map_or(1, u64::from), u32::MAX.into()),
            ("threads", self.threads.unwrap_or(1) as u64, THREADS_MAX as u64),
            ("rotations", rotations.map_or(1, u64::from), u32::MAX.into()),
            ("samples", self.samples as u64, SAMPLES_MAX as u64),
        ];
        match counts.into_iter().find(|(_, value, max)| !(1..=*max).contains(value)) {
            Some((flag, value, max)) => Err(SpecError::Count { flag, value, max }),
            None => Ok(()),
        }
    }

    fn check_times(&self) -> Result<(), SpecError> {
        if self.pacer_test > PACER_TEST_MAX {
            return Err(SpecError::PacerTest(self.pacer_test));
        }
        if !TIMEOUTS.contains(&self.timeout) {
            return Err(SpecError::Timeout(self.timeout));
        }
        Ok(())
    }

    fn check_rates(&self) -> Result<(), SpecError> {
        for phase in &self.phases {
            match phase.rate {
                Rate::Constant(rate) if !(rate > 0.0 && rate <= RATE_MAX) => {
                    return Err(SpecError::Rate(rate));
                }
                Rate::Replay { speed, .. } if !is_replay_speed(speed) => {
                    return Err(SpecError::Speed(speed));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_lengths(&self) -> Result<(), SpecError> {
        if self.warmup > DAY {
            return Err(SpecError::Warmup(self.warmup));
        }
        let mut durations = self.phases.iter().map(|phase| phase.duration);
        match durations.find(|duration| !DURATIONS.contains(duration)) {
            Some(duration) => Err(SpecError::Duration(duration)),
            None => Ok(()),
        }
    }
}

/// Lengths of the warm-up and of the measured part.
#[derive(Clone, Copy)]
struct Lengths {
    warmup: Duration,
    duration: Duration,
}

/// The world and the load.
impl RunSpec {
    fn name(&self) -> String {
        self.scenario.to_string()
    }

    fn world(&self) -> Result<Synthetic, SpecError> {
        // Nothing is known of a foreign world: ask without a selector, from one address.
        let (default_vms, default_identities) = match self.target {
            Some(_) => (1, 0),
            // Each herd has a key of its own.
            None => {
                (VMS_DEFAULT, USER_ASSIGNED_DEFAULT.max(self.herd.map_or(0, |herd| herd.herds)))
            }
        };
        let vms = self.world.vms.unwrap_or(default_vms);
        let user_assigned = self.world.user_assigned.unwrap_or(default_identities);
        // Parsing the text form checks the bounds.
        Ok(Synthetic { vms, user_assigned, seed: self.seed }.to_string().parse()?)
    }

    fn lengths(&self) -> Lengths {
        if let Some(herd) = self.herd {
            // A herd has no warm-up, because its key is cold. Its length follows from the number of
            // herds.
            return Lengths {
                warmup: Duration::ZERO,
                duration: FIRST_HERD + HERD_GAP * herd.herds,
            };
        }
        Lengths { warmup: self.warmup, duration: self.duration() }
    }

    fn workload(&self, world: &Synthetic) -> Result<Workload, SpecError> {
        if let Some(Herd { herds, callers }) = self.herd {
            let user_assigned = world.user_assigned;
            if user_assigned < herds {
                return Err(SpecError::HerdKeys { herds, user_assigned });
            }
            let (first, gap) = (Nanos::from(FIRST_HERD), Nanos::from(HERD_GAP));
            return Ok(Workload::Herd(Herds { herds, callers, first, gap }));
        }
        let workload = Workload::Phases(Arc::new(self.phases()));
        self.check_phases(&workload, world)?;
        Ok(workload)
    }

    fn phases(&self) -> Phases {
        let phases: Vec<Phase> = self.phases.iter().map(phase).collect();
        let Lengths { warmup, duration } = self.lengths();
        let lifetime = self.token_lifetime.unwrap_or(TOKEN_LIFETIME);
        Phases {
            warmup: phases.first().and_then(|first| self.warmup(first, warmup)),
            expect: self.expect.clone(),
            serve_args: self.serve_args.clone(),
            limit: self.limit,
            tokens_outlive_run: !self.tuned && lifetime > warmup + duration + self.timeout,
            seed: self.seed,
            phases,
        }
    }

    /// Returns the warm-up. Its default rate is the first rate of the first phase, or the mean rate
    /// if the first is 0.
    fn warmup(&self, first: &Phase, length: Duration) -> Option<Phase> {
        let begins = match &first.timing {
            Timing::Rate(profile) => profile.first_rate(),
            Timing::Replay { .. } => 0.0,
        };
        let begins = if begins > 0.0 { begins } else { first.mean_rate() };
        let rate = self.warmup_rate.unwrap_or(begins);
        let length = Nanos::from(length);
        let timing = Timing::Rate(Profile::constant(rate, length));
        let name = "warm-up".to_owned();
        (!length.is_zero()).then(|| Phase { name, timing, length, ..first.clone() })
    }

    /// Returns the keys that the warm-up leaves cold in our broker's cache.
    fn shortfall(&self, workload: &Workload, world: &Synthetic) -> Option<Shortfall> {
        let second = self.warmup(workload.phases()?.phases.first()?, Duration::from_secs(1))?;
        let shortfall = Shortfall::of(workload, world, second.mean_rate());
        shortfall.filter(|_| self.target.is_none())
    }

    fn check_phases(&self, workload: &Workload, world: &Synthetic) -> Result<(), SpecError> {
        let Some(phases) = workload.phases() else { return Ok(()) };
        let (needed, keys) = phases.new_keys(world);
        if needed > keys {
            // Other loads have no --rate: a file describes them.
            let remedy = match self.constant_rate() {
                Some(_) => "lower --rate or --duration, or raise --vms or --user-assigned",
                None => "raise --vms or --user-assigned",
            };
            return Err(SpecError::Keyspace { needed, keys, remedy });
        }
        if self.shares().any(|share| !share.fits(world)) {
            return Err(SpecError::NoIdentities { scenario: self.name() });
        }
        for phase in &phases.phases {
            if let Timing::Replay { trace, .. } = &phase.timing {
                trace.check(world)?;
            }
        }
        match self.shortfall(workload, world) {
            Some(shortfall) if !phases.expect.is_empty() => {
                Err(SpecError::Unfilled { scenario: self.name(), shortfall })
            }
            _ => Ok(()),
        }
    }
}

fn phase(spec: &PhaseSpec) -> Phase {
    let length = Nanos::from(spec.duration);
    Phase {
        name: spec.name.clone(),
        arrivals: spec.arrivals,
        timing: spec.rate.over(length),
        length,
        mix: spec.mix.clone(),
    }
}

/// Changes during the run.
impl RunSpec {
    fn changes(&self, world: &Synthetic, duration: Duration) -> Result<Changes, SpecError> {
        match self.changes {
            _ if self.has_outage() => {
                self.check_certificates(world)?;
                Ok(self.outage())
            }
            Some(ChangeSpec::Churn { .. }) if world.user_assigned < 2 => {
                Err(SpecError::ChurnIdentities)
            }
            Some(ChangeSpec::Churn { per_second }) => {
                Ok(Changes::Churn { per_second: per_second.unwrap_or(CHANGES_DEFAULT) })
            }
            Some(ChangeSpec::Rotate { rotations }) => {
                self.check_certificates(world)?;
                Ok(Changes::Rotate { rotations: rotations_in(duration, rotations)? })
            }
            None => Ok(Changes::None),
        }
    }

    fn check_certificates(&self, world: &Synthetic) -> Result<(), SpecError> {
        let identities = u64::from(world.vms) * (u64::from(world.user_assigned) + 1);
        if identities > CERTIFICATES_MAX {
            return Err(SpecError::Certificates { scenario: self.name(), identities });
        }
        Ok(())
    }

    /// Returns the outage, which lasts as long as the phase that asks for it.
    fn outage(&self) -> Changes {
        let mut from = Nanos::ZERO;
        for phase in &self.phases {
            let length = Nanos::from(phase.duration);
            if phase.source_down {
                return Changes::Outage { from, length };
            }
            from += length;
        }
        Changes::None
    }
}

/// Returns the number of rotations in a run of this length: the given one, or the default.
fn rotations_in(duration: Duration, given: Option<u32>) -> Result<u32, SpecError> {
    let fitting = duration.as_nanos() / ROTATION_GAP_DEFAULT.as_nanos();
    let default = u32::try_from(fitting).unwrap_or(u32::MAX).clamp(1, ROTATIONS_MAX);
    let rotations = given.unwrap_or(default);
    let gap = duration / rotations.max(1);
    if given.is_some() && (rotations > ROTATIONS_MAX || gap < ROTATION_GAP_MIN) {
        return Err(SpecError::Rotations { rotations, duration });
    }
    Ok(rotations)
}

/// Threads of the generator.
struct Generator {
    threads: usize,
    cores: Cores,
    waiting: Waiting,
}

/// The connections and the generator.
impl RunSpec {
    const fn classes(&self) -> Classes {
        match self.changes {
            Some(ChangeSpec::Churn { .. }) => Classes::Churned,
            _ if self.target.is_some() => Classes::Foreign,
            _ => Classes::Broker,
        }
    }

    fn connections(&self, world: &Synthetic) -> u32 {
        let usual = match (self.herd, self.target, self.world.vms) {
            (Some(herd), _, _) => herd.callers,
            // One address to ask from.
            (None, Some(_), None) => CONNECTIONS_FOREIGN,
            _ => world.vms.min(CONNECTIONS_DEFAULT_MAX),
        };
        self.connections.unwrap_or(usual)
    }

    fn origin(&self) -> Origin {
        match self.target {
            // VM addresses reach loopback only, and mean something only to a user who asked for VMs.
            Some(target) if !target.ip().is_loopback() || self.world.vms.is_none() => {
                Origin::System
            }
            Some(target) if target.is_ipv6() => Origin::System,
            Some(_) | None => Origin::PerVm,
        }
    }

    fn generator(&self, limits: &ProcessLimits) -> Generator {
        let cores = match self.target {
            // The cores of a foreign target are unknown. The scheduler keeps the generator out of
            // its way, unless the user names cores.
            Some(_) => Cores { broker: None, generator: self.cores.clone() },
            None => Cores::split(&limits.cores),
        };
        let unpinned = self.target.is_some() && cores.generator.is_empty();
        // A foreign target on unnamed cores counts as one core of this machine.
        let free =
            if unpinned { limits.cores.len().saturating_sub(1) } else { cores.generator.len() };
        let threads = self.threads.unwrap_or_else(|| free.clamp(1, THREADS_MAX));
        // A thread may spin where that takes no time from the target. It does so on a core of the
        // generator, or where a core is left beside a target that may be on this machine.
        let waiting = if threads <= free { Waiting::Spin } else { Waiting::Sleep };
        Generator { threads, cores, waiting }
    }

    fn notes(&self, generator: &Generator) -> Vec<String> {
        let mut notes = Vec::new();
        if generator.waiting == Waiting::Sleep {
            notes.push("the generator has no cores of its own and sleeps while it waits: every answer may be noticed tens of microseconds late".to_owned());
        }
        if self.target.is_none() && generator.cores.broker.is_none() {
            notes.push("broker and generator share one core and disturb each other".to_owned());
        }
        if self.bounds == Bounds::BusyPeriod {
            notes.push("bounds are by busy period: where the generator was late, response times are up to the end of the busy period (--bounds)".to_owned());
        }
        if cfg!(debug_assertions) {
            notes.push("this is an unoptimised build; build with --release to measure".to_owned());
        }
        notes
    }
}
