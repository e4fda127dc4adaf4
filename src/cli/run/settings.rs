//! Turns a scenario and optional flags into a plan, in which everything is decided.

use std::sync::Arc;
use std::time::Duration;

use super::RunArgs;
use super::fill::Shortfall;
pub(in crate::cli) use super::refusal::SettingsError;
use super::scenario::file::{Change, Definition, Herd, PhaseDefinition, Rate, World};
use super::scenario::{RATE_MAX, speed_is_fine};
use crate::base::process::raise_file_limit;
use crate::base::synthetic::Synthetic;
use crate::harness::machine::cores::{Cores, allowed};
use crate::harness::scenario::changes::Changes;
use crate::harness::scenario::phases::{Phase, Phases, Timing};
use crate::harness::scenario::profile::Profile;
use crate::harness::scenario::run_plan::{Classes, Origin, RunPlan, Waiting};
use crate::harness::scenario::workload::{Herds, Workload};

/// Plan and notes that result from the flags, the defaults and the machine.
#[derive(Debug)]
pub(in crate::cli) struct Settings {
    pub(in crate::cli) plan: RunPlan,
    pub(in crate::cli) notes: Vec<String>,
}

const VMS_DEFAULT: u32 = 1000;
const USER_ASSIGNED_DEFAULT: u32 = 2;
/// Start of the first herd: the generator settles before it.
const FIRST_HERD: Duration = Duration::from_millis(500);
/// Time from one herd to the next: the herd is served, and the broker becomes idle again.
const HERD_GAP: Duration = Duration::from_secs(2);
/// Maximum default number of connections. More VMs take turns on a connection.
const CONNECTIONS_DEFAULT_MAX: u32 = 1000;
/// Open files for everything that is not a connection of the load.
const OTHER_FILES: u64 = 64;
/// Maximum length of the self-test, which tells no more after a minute.
const PACER_TEST_MAX: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
/// Maximum number of threads: more than any machine has cores for.
const THREADS_MAX: usize = 1024;
/// Maximum number of samples: some 4 KB each, for every thread and class.
const SAMPLES_MAX: usize = 50_000;
/// Default number of changes per second, which an administrator's tools and a disk can bear. Each
/// change waits for the one before in any case.
const CHANGES_DEFAULT: u32 = 20;
const CHANGES_MAX: u32 = 10_000;
/// Minimum time between two rotations: a verifier can read the keys five times in it.
pub(super) const ROTATION_GAP_MIN: Duration = Duration::from_secs(1);

/// Maximum number of rotations. A broker publishes 32 keys at most, and keeps each for as long as
/// its tokens may live.
pub(super) const ROTATIONS_MAX: u32 = 30;
/// Maximum number of identities with certificates: a core makes them in some ten seconds.
pub(super) const CERTIFICATES_MAX: u64 = 100;
const ROTATION_GAP_DEFAULT: Duration = Duration::from_secs(2);
/// Default share of requests that may fail: a foreign target may have a limit of its own.
const ERRORS_MAX_DEFAULT: f64 = 0.01;
/// Default token lifetime of `serve`.
const TOKEN_LIFETIME: Duration = Duration::from_hours(24);

/// Flags and the scenario that they change.
#[derive(Clone, Copy)]
struct Given<'a> {
    args: &'a RunArgs,
    scenario: &'a Definition,
}

impl Settings {
    /// Returns the keys that the warm-up of a run leaves cold; the notes of the run name them.
    pub(super) fn shortfall(
        args: &RunArgs,
        scenario: &Definition,
        plan: &RunPlan,
    ) -> Option<Shortfall> {
        Given { args, scenario }.shortfall(&plan.workload, &plan.world)
    }

    /// Decides everything that the flags leave open.
    pub(in crate::cli) fn resolve(args: &RunArgs) -> Result<Self, SettingsError> {
        Self::of(args, &args.scenario.read()?)
    }

    /// Decides the same for a scenario that was read already.
    pub(super) fn of(args: &RunArgs, scenario: &Definition) -> Result<Self, SettingsError> {
        let given = Given { args, scenario };
        given.check_ignored()?;
        given.check_ranges()?;
        let world = given.world()?;
        let workload = given.workload(&world)?;
        let cores = cores(args);
        let threads = args.threads.unwrap_or_else(|| default_threads(args, &cores));
        let waiting = waiting(args, &cores, threads);
        let mut notes = notes(args, &cores, waiting);
        notes.extend(given.shortfall(&workload, &world).as_ref().map(Shortfall::to_string));
        let lengths = given.lengths();
        let plan = RunPlan {
            workload,
            origin: origin(args),
            classes: given.classes(),
            changes: given.changes(&world, lengths.duration)?,
            connections: given.connections(&world),
            threads,
            cores,
            waiting,
            rehearsal_ns: nanos(args.pacer_test),
            warmup_ns: nanos(lengths.warmup),
            duration_ns: nanos(lengths.duration),
            timeout_ns: nanos(args.timeout),
            samples: args.samples,
            errors_max: args.max_errors.unwrap_or(ERRORS_MAX_DEFAULT),
            seed: args.seed,
            world,
        };
        check_file_limit(plan.connections)?;
        Ok(Self { plan, notes })
    }
}

fn check_file_limit(connections: u32) -> Result<(), SettingsError> {
    let limit = raise_file_limit();
    if u64::from(connections) + OTHER_FILES > limit {
        return Err(SettingsError::Files { connections, limit });
    }
    Ok(())
}

/// Lengths of the warm-up and of the measured part.
#[derive(Clone, Copy)]
struct Lengths {
    warmup: Duration,
    duration: Duration,
}

impl Given<'_> {
    fn name(&self) -> String {
        self.args.scenario.to_string()
    }

    /// Returns the only phase, if there is just one.
    const fn single(&self) -> Option<&PhaseDefinition> {
        match self.scenario.phases.as_slice() {
            [phase] => Some(phase),
            _ => None,
        }
    }

    /// Refuses flags that would have no effect.
    fn check_ignored(&self) -> Result<(), SettingsError> {
        let Self { args, scenario } = self;
        let herd = scenario.herd.is_some();
        let churn = matches!(scenario.changes, Some(Change::Churn { .. }));
        let rotate = matches!(scenario.changes, Some(Change::Rotate { .. }));
        let flags = [
            ("herds", args.herds.is_some(), herd),
            ("callers", args.callers.is_some(), herd),
            ("rate", args.rate.is_some(), !herd),
            ("duration", args.duration.is_some(), !herd),
            ("warmup", args.warmup.is_some(), !herd),
            ("arrivals", args.arrivals.is_some(), !herd),
            ("changes", args.changes.is_some(), churn),
            ("propagation-delay", args.propagation_delay.is_some(), churn),
            ("rotations", args.rotations.is_some(), rotate),
            ("speed", args.speed.is_some(), scenario.replays()),
        ];
        if let Some((flag, ..)) = flags.iter().find(|(_, given, used)| *given && !used) {
            return Err(SettingsError::Ignored { scenario: self.name(), flag });
        }
        let level = self.single().is_some_and(|phase| matches!(phase.rate, Rate::Constant(_)));
        let phased = [
            ("rate", args.rate.is_some(), level || herd),
            ("duration", args.duration.is_some(), self.single().is_some() || herd),
        ];
        match phased.iter().find(|(_, given, used)| *given && !used) {
            Some((flag, ..)) => {
                Err(SettingsError::Phased { scenario: self.args.scenario.clone(), flag })
            }
            None => Ok(()),
        }
    }

    fn herd(&self) -> Option<Herd> {
        let Herd { herds, callers } = self.scenario.herd?;
        let Self { args, .. } = self;
        let herds = args.herds.unwrap_or(herds);
        Some(Herd { herds, callers: args.callers.unwrap_or(callers) })
    }

    fn check_ranges(&self) -> Result<(), SettingsError> {
        let Self { args, .. } = self;
        check_cores(args)?;
        let Herd { herds, callers } = self.herd().unwrap_or(Herd { herds: 1, callers: 1 });
        let counts = [
            ("herds", u64::from(herds), u64::from(Synthetic::USER_ASSIGNED_MAX)),
            ("callers", callers.into(), u32::MAX.into()),
            ("connections", args.connections.map_or(1, u64::from), u32::MAX.into()),
            ("threads", args.threads.unwrap_or(1) as u64, THREADS_MAX as u64),
            ("changes", args.changes.map_or(1, u64::from), CHANGES_MAX.into()),
            ("rotations", args.rotations.map_or(1, u64::from), u32::MAX.into()),
            ("samples", args.samples as u64, SAMPLES_MAX as u64),
        ];
        for (flag, value, max) in counts {
            if !(1..=max).contains(&value) {
                return Err(SettingsError::Count { flag, value, max });
            }
        }
        if args.pacer_test > PACER_TEST_MAX {
            return Err(SettingsError::PacerTest(args.pacer_test));
        }
        let timeouts = Duration::from_millis(1)..=Duration::from_hours(1);
        if !timeouts.contains(&args.timeout) {
            return Err(SettingsError::Timeout(args.timeout));
        }
        if let Some(share) = args.max_errors.filter(|share| !(0.0..=1.0).contains(share)) {
            return Err(SettingsError::MaxErrors(share));
        }
        if let Some(rate) = args.rate.filter(|rate| !(*rate > 0.0 && *rate <= RATE_MAX)) {
            return Err(SettingsError::Rate(rate));
        }
        if let Some(speed) = args.speed.filter(|speed| !speed_is_fine(*speed)) {
            return Err(SettingsError::Speed(speed));
        }
        if let Some(warmup) = args.warmup.filter(|warmup| *warmup > DAY) {
            return Err(SettingsError::Warmup(warmup));
        }
        let durations = Duration::from_millis(100)..=DAY;
        if let Some(duration) = args.duration.filter(|span| !durations.contains(span)) {
            return Err(SettingsError::Duration(duration));
        }
        if args.target.is_some() && self.scenario.needs_broker() {
            return Err(SettingsError::NeedsBroker(self.name()));
        }
        Ok(())
    }

    fn world(&self) -> Result<Synthetic, SettingsError> {
        let Self { args, scenario } = self;
        // Nothing is known of a foreign world: ask without a selector, from one address.
        let foreign = World { vms: Some(1), user_assigned: Some(0) };
        let shape = if args.target.is_some() { foreign } else { scenario.world };
        // Each herd has a key of its own.
        let herds = self.herd().map_or(0, |herd| herd.herds);
        let vms = args.vms.or(shape.vms).unwrap_or(VMS_DEFAULT);
        let user_assigned = args.user_assigned.or(shape.user_assigned);
        let user_assigned = user_assigned.unwrap_or(USER_ASSIGNED_DEFAULT.max(herds));
        // Parsing the text form checks the bounds.
        Ok(Synthetic { vms, user_assigned, seed: args.seed }.to_string().parse()?)
    }

    fn lengths(&self) -> Lengths {
        if let Some(herd) = self.herd() {
            // A herd has no warm-up, because its key is cold. Its length follows from the number of
            // herds.
            return Lengths {
                warmup: Duration::ZERO,
                duration: FIRST_HERD + HERD_GAP * herd.herds,
            };
        }
        let warmup = self.args.warmup.unwrap_or(self.scenario.warmup);
        let duration = self.scenario.phases.iter().map(|phase| self.duration(phase)).sum();
        Lengths { warmup, duration }
    }

    fn duration(&self, phase: &PhaseDefinition) -> Duration {
        self.args.duration.unwrap_or(phase.duration)
    }

    fn workload(&self, world: &Synthetic) -> Result<Workload, SettingsError> {
        if let Some(Herd { herds, callers }) = self.herd() {
            let user_assigned = world.user_assigned;
            if user_assigned < herds {
                return Err(SettingsError::HerdKeys { herds, user_assigned });
            }
            let (first_ns, gap_ns) = (nanos(FIRST_HERD), nanos(HERD_GAP));
            return Ok(Workload::Herd(Herds { herds, callers, first_ns, gap_ns }));
        }
        let workload = Workload::Phases(Arc::new(self.phases()));
        self.check_phases(&workload, world)?;
        Ok(workload)
    }

    fn phases(&self) -> Phases {
        let Self { args, scenario } = self;
        let phases: Vec<Phase> = scenario.phases.iter().map(|phase| self.phase(phase)).collect();
        let Lengths { warmup, duration } = self.lengths();
        let lifetime = scenario.token_lifetime.unwrap_or(TOKEN_LIFETIME);
        Phases {
            warmup: phases.first().and_then(|first| self.warmup(first, warmup)),
            expect: scenario.expect.clone(),
            serve_args: scenario.serve_args.clone(),
            tokens_outlive_run: !scenario.tuned && lifetime > warmup + duration + args.timeout,
            seed: args.seed,
            phases,
        }
    }

    fn phase(&self, phase: &PhaseDefinition) -> Phase {
        let Self { args, .. } = self;
        let length_ns = nanos(self.duration(phase));
        let rate = args.rate.map_or_else(|| phase.rate.clone(), Rate::Constant);
        let timing = match (rate.over(length_ns), args.speed) {
            (Timing::Replay { trace, .. }, Some(speed)) => Timing::Replay { trace, speed },
            (timing, _) => timing,
        };
        Phase {
            name: phase.name.clone(),
            arrivals: args.arrivals.unwrap_or(phase.arrivals),
            timing,
            length_ns,
            mix: phase.mix.clone(),
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
        let rate = self.args.rate.or(self.scenario.warmup_rate).unwrap_or(begins);
        let length_ns = nanos(length);
        let timing = Timing::Rate(Profile::constant(rate, length_ns));
        let name = "warm-up".to_owned();
        (length_ns > 0).then(|| Phase { name, timing, length_ns, ..first.clone() })
    }

    /// Returns the keys that the warm-up leaves cold in our broker's cache.
    fn shortfall(&self, workload: &Workload, world: &Synthetic) -> Option<Shortfall> {
        let second = self.warmup(workload.phases()?.phases.first()?, Duration::from_secs(1))?;
        let shortfall = Shortfall::of(workload, world, second.mean_rate());
        shortfall.filter(|_| self.args.target.is_none())
    }

    fn check_phases(&self, workload: &Workload, world: &Synthetic) -> Result<(), SettingsError> {
        let Some(phases) = workload.phases() else { return Ok(()) };
        let (needed, keys) = phases.new_keys(world);
        if needed > keys {
            return Err(SettingsError::Keyspace { needed, keys });
        }
        if self.scenario.shares().any(|share| !share.fits(world)) {
            return Err(SettingsError::NoIdentities { scenario: self.name() });
        }
        for phase in &phases.phases {
            if let Timing::Replay { trace, .. } = &phase.timing {
                trace.check(world)?;
            }
        }
        match self.shortfall(workload, world) {
            Some(shortfall) if !phases.expect.is_empty() => {
                Err(SettingsError::Unfilled { scenario: self.name(), shortfall })
            }
            _ => Ok(()),
        }
    }

    const fn classes(&self) -> Classes {
        match self.scenario.changes {
            Some(Change::Churn { .. }) => Classes::Churned,
            _ if self.args.target.is_some() => Classes::Foreign,
            _ => Classes::Broker,
        }
    }

    fn changes(&self, world: &Synthetic, duration: Duration) -> Result<Changes, SettingsError> {
        let Self { args, scenario } = self;
        match scenario.changes {
            _ if scenario.source_is_apart() => {
                self.check_certificates(world)?;
                Ok(self.outage())
            }
            Some(Change::Churn { .. }) if world.user_assigned < 2 => {
                Err(SettingsError::ChurnIdentities)
            }
            Some(Change::Churn { per_second }) => {
                let per_second = args.changes.or(per_second).unwrap_or(CHANGES_DEFAULT);
                Ok(Changes::Churn { per_second })
            }
            Some(Change::Rotate { rotations }) => {
                self.check_certificates(world)?;
                let given = args.rotations.or(rotations);
                let fitting = duration.as_nanos() / ROTATION_GAP_DEFAULT.as_nanos();
                let default = u32::try_from(fitting).unwrap_or(u32::MAX).clamp(1, ROTATIONS_MAX);
                let rotations = given.unwrap_or(default);
                let too_many = rotations > ROTATIONS_MAX;
                let gap = duration / rotations.max(1);
                if given.is_some() && (too_many || gap < ROTATION_GAP_MIN) {
                    return Err(SettingsError::Rotations { rotations, duration });
                }
                Ok(Changes::Rotate { rotations })
            }
            None => Ok(Changes::None),
        }
    }

    fn check_certificates(&self, world: &Synthetic) -> Result<(), SettingsError> {
        let identities = u64::from(world.vms) * (u64::from(world.user_assigned) + 1);
        if identities > CERTIFICATES_MAX {
            return Err(SettingsError::Certificates { scenario: self.name(), identities });
        }
        Ok(())
    }

    /// Returns the outage, which lasts as long as the phase that asks for it.
    fn outage(&self) -> Changes {
        let mut from_ns = 0;
        for phase in &self.scenario.phases {
            let length_ns = nanos(self.duration(phase));
            if phase.source_down {
                return Changes::Outage { from_ns, length_ns };
            }
            from_ns += length_ns;
        }
        Changes::None
    }

    fn connections(&self, world: &Synthetic) -> u32 {
        let Self { args, scenario } = self;
        let usual = match (self.herd(), &args.target, args.vms) {
            (Some(herd), _, _) => herd.callers,
            // One address to ask from, with enough connections that requests do not wait in line.
            (None, Some(_), None) => 64,
            (None, Some(_), Some(_)) => world.vms.min(CONNECTIONS_DEFAULT_MAX),
            (None, None, _) => {
                scenario.connections.unwrap_or_else(|| world.vms.min(CONNECTIONS_DEFAULT_MAX))
            }
        };
        args.connections.unwrap_or(usual)
    }
}

fn origin(args: &RunArgs) -> Origin {
    match &args.target {
        // VM addresses reach loopback only, and mean something only to a user who asked for VMs.
        Some(target) if !target.url.address.ip().is_loopback() || args.vms.is_none() => {
            Origin::System
        }
        Some(target) if target.url.address.is_ipv6() => Origin::System,
        Some(_) | None => Origin::PerVm,
    }
}

fn check_cores(args: &RunArgs) -> Result<(), SettingsError> {
    let allowed = allowed();
    match args.cores.iter().find(|core| !allowed.contains(core)) {
        Some(&core) => Err(SettingsError::Core { core, allowed }),
        None => Ok(()),
    }
}

fn cores(args: &RunArgs) -> Cores {
    if args.target.is_some() {
        // The cores of a foreign target are unknown. The scheduler keeps the generator out of its
        // way, unless the user names cores.
        return Cores { broker: None, generator: args.cores.clone() };
    }
    Cores::split(&allowed())
}

fn default_threads(args: &RunArgs, cores: &Cores) -> usize {
    own_cores(args, cores).clamp(1, THREADS_MAX)
}

/// Returns the way in which a thread waits.
///
/// A thread may spin where that takes no time from the target. It does so on a core of the
/// generator, or where a core is left beside a target that may be on this machine.
fn waiting(args: &RunArgs, cores: &Cores, threads: usize) -> Waiting {
    if threads <= own_cores(args, cores) { Waiting::Spin } else { Waiting::Sleep }
}

/// Returns the number of cores for the generator alone. A foreign target, without `--cores`, counts
/// as one core of this machine.
fn own_cores(args: &RunArgs, cores: &Cores) -> usize {
    let unpinned = args.target.is_some() && cores.generator.is_empty();
    if unpinned { allowed().len().saturating_sub(1) } else { cores.generator.len() }
}

fn notes(args: &RunArgs, cores: &Cores, waiting: Waiting) -> Vec<String> {
    let mut notes = Vec::new();
    if waiting == Waiting::Sleep {
        notes.push("the generator has no cores of its own and sleeps while it waits: every answer may be noticed tens of microseconds late".to_owned());
    }
    if args.target.is_none() && cores.broker.is_none() {
        notes.push("broker and generator share one core and disturb each other".to_owned());
    }
    if cfg!(debug_assertions) {
        notes.push("this is an unoptimised build; build with --release to measure".to_owned());
    }
    notes
}

/// Returns the span in nanoseconds. The caller ensures that it is below a week.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
