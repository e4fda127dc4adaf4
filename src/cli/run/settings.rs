//! From flags, which may be absent, to a plan, in which everything is decided.

use std::time::Duration;

use super::{RunArgs, Scenario};
use crate::load::changes::Changes;
use crate::load::cores::{Cores, allowed, raise_file_limit};
use crate::load::generator::{Classes, Origin, Plan, Waiting};
use crate::load::schedule::Arrivals;
use crate::load::workload::{Fill, Herds, Pace, Workload, keyspace};
use crate::world::synthetic::{Synthetic, SyntheticError};

/// Why the flags do not make a run.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum SettingsError {
    #[error("--rate {0} is out of range; use a number above 0, up to 10000000")]
    Rate(f64),
    #[error("--duration {} is out of range; use 100ms to 24h", humantime::format_duration(*.0))]
    Duration(Duration),
    #[error("--warmup {} is out of range; use 0s to 24h", humantime::format_duration(*.0))]
    Warmup(Duration),
    #[error("--timeout {} is out of range; use 1ms to 1h", humantime::format_duration(*.0))]
    Timeout(Duration),
    #[error("--pacer-test {} is out of range; use 0s to 1m", humantime::format_duration(*.0))]
    PacerTest(Duration),
    #[error("--{flag} {value} is out of range; use 1 to {max}")]
    Count { flag: &'static str, value: u64, max: u64 },
    #[error("--max-errors {0} is out of range; use a share of 0 to 1")]
    MaxErrors(f64),
    #[error("`{scenario}` does not use --{flag}; leave it out")]
    Ignored { scenario: &'static str, flag: &'static str },
    #[error("`{0}` starts a broker of its own, to know its keys and counters; leave out --target")]
    NeedsBroker(&'static str),
    #[error(
        "this run needs {needed} distinct keys and the world has {keys}; lower --rate or --duration, or raise --vms or --user-assigned"
    )]
    Keyspace { needed: u64, keys: u64 },
    #[error(
        "each of {herds} herds needs a user-assigned identity of its own and there are {user_assigned}; raise --user-assigned or lower --herds"
    )]
    HerdKeys { herds: u32, user_assigned: u32 },
    #[error(
        "{connections} connections need more open files than the limit of {limit}; lower --connections (or --callers), or raise `ulimit -n`"
    )]
    Files { connections: u32, limit: u64 },
    #[error(
        "`churn` needs VMs with at least 2 user-assigned identities: with fewer, a VM that loses one answers with the other; raise --user-assigned"
    )]
    ChurnIdentities,
    #[error(
        "`rotate` makes two certificates for each of {identities} identities, each in about a tenth of a second; lower --vms or --user-assigned to {CERTIFICATES_MAX} identities at most"
    )]
    Certificates { identities: u64 },
    #[error(
        "--rotations {rotations} in {} is too often; leave at least {} between two", humantime::format_duration(*.duration), humantime::format_duration(ROTATION_GAP_MIN)
    )]
    Rotations { rotations: u32, duration: Duration },
    #[error("the world cannot be made")]
    World(#[from] SyntheticError),
}

/// What all flags, defaults and the machine come to.
#[derive(Debug)]
pub(in crate::cli) struct Settings {
    pub(in crate::cli) plan: Plan,
    pub(in crate::cli) notes: Vec<String>,
}

/// The defaults of a scenario; together they keep a plain run under a minute.
struct Defaults {
    rate: f64,
    duration: Duration,
    warmup: Duration,
    vms: u32,
    user_assigned: u32,
}

/// The first herd waits for the generator to settle.
const FIRST_HERD: Duration = Duration::from_millis(500);
/// Time for one herd to be served and for the broker to become idle again.
const HERD_GAP: Duration = Duration::from_secs(2);
/// Above this, several VMs share a connection one after the other.
const CONNECTIONS_DEFAULT_MAX: u32 = 1000;
/// Room for everything that is not a connection of the load.
const OTHER_FILES: u64 = 64;
/// A self-test tells no more after a minute.
const PACER_TEST_MAX: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);
/// More threads than any machine has cores for.
const THREADS_MAX: usize = 1024;
/// Some 4 KB each, for every thread and class.
const SAMPLES_MAX: usize = 50_000;
/// What an administrator's tools, and a disk, may bear; each waits for the one before in any case.
const CHANGES_DEFAULT: u32 = 20;
const CHANGES_MAX: u32 = 10_000;
/// A verifier that reads the keys five times meanwhile has no excuse.
const ROTATION_GAP_MIN: Duration = Duration::from_secs(1);
const ROTATE_CONNECTIONS: u32 = 100;
/// All made within some ten seconds of a broker's core.
const CERTIFICATES_MAX: u64 = 100;
const ROTATION_GAP_DEFAULT: Duration = Duration::from_secs(2);
const HERDS_DEFAULT: u32 = 5;
const CALLERS_DEFAULT: u32 = 10_000;
/// A foreign target may have a limit, or a deploy, of its own.
const ERRORS_MAX_DEFAULT: f64 = 0.01;

impl Defaults {
    fn of(args: &RunArgs) -> Self {
        let (rate, seconds, warmup, user_assigned) = match args.scenario {
            Scenario::Herd => (0.0, 0, 0, herds(args).max(2)),
            Scenario::Mint => (200.0, 20, 2, 20),
            Scenario::Rotate => (5000.0, 30, 5, 1),
            Scenario::Churn | Scenario::Steady => (5000.0, 30, 5, 2),
        };
        let foreign = args.target.is_some();
        Self {
            rate,
            duration: Duration::from_secs(seconds),
            warmup: Duration::from_secs(warmup),
            // Nothing is known of a foreign world: ask without a selector, from one place.
            vms: match args.scenario {
                _ if foreign => 1,
                // Each identity needs a certificate first.
                Scenario::Rotate => 10,
                _ => 1000,
            },
            user_assigned: if foreign { 0 } else { user_assigned },
        }
    }
}

/// Warm-up and measured part.
#[derive(Clone, Copy)]
struct Lengths {
    warmup: Duration,
    duration: Duration,
}

impl Settings {
    /// Decides everything that the flags leave open.
    pub(in crate::cli) fn resolve(args: &RunArgs) -> Result<Self, SettingsError> {
        check_ignored(args)?;
        check_ranges(args)?;
        let defaults = Defaults::of(args);
        let world = Synthetic {
            vms: args.vms.unwrap_or(defaults.vms),
            user_assigned: args.user_assigned.unwrap_or(defaults.user_assigned),
            seed: args.seed,
        };
        // The text form knows the bounds.
        let world: Synthetic = world.to_string().parse()?;
        let lengths = lengths(args, &defaults)?;
        let cores = cores(args);
        let threads = args.threads.unwrap_or_else(|| default_threads(args, &cores));
        let waiting = waiting(args, &cores, threads);
        let notes = notes(args, &cores, waiting);
        let plan = Plan {
            workload: workload(args, &defaults, &world, lengths)?,
            origin: origin(args),
            classes: classes(args),
            changes: changes(args, &world, lengths)?,
            connections: connections(args, &world),
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

/// A flag that changes nothing would be taken for one that did.
fn check_ignored(args: &RunArgs) -> Result<(), SettingsError> {
    let herd = args.scenario == Scenario::Herd;
    let flags = [
        ("herds", args.herds.is_some(), herd),
        ("callers", args.callers.is_some(), herd),
        ("rate", args.rate.is_some(), !herd),
        ("duration", args.duration.is_some(), !herd),
        ("warmup", args.warmup.is_some(), !herd),
        ("arrivals", args.arrivals.is_some(), !herd),
        ("changes", args.changes.is_some(), args.scenario == Scenario::Churn),
        ("propagation-delay", args.propagation_delay.is_some(), args.scenario == Scenario::Churn),
        ("rotations", args.rotations.is_some(), args.scenario == Scenario::Rotate),
    ];
    match flags.iter().find(|(_, given, used)| *given && !used) {
        Some((flag, ..)) => Err(SettingsError::Ignored { scenario: args.scenario.as_str(), flag }),
        None => Ok(()),
    }
}

fn herds(args: &RunArgs) -> u32 {
    args.herds.unwrap_or(HERDS_DEFAULT)
}

fn callers(args: &RunArgs) -> u32 {
    args.callers.unwrap_or(CALLERS_DEFAULT)
}

fn check_ranges(args: &RunArgs) -> Result<(), SettingsError> {
    let counts = [
        ("herds", u64::from(herds(args)), u64::from(Synthetic::USER_ASSIGNED_MAX)),
        ("callers", callers(args).into(), u32::MAX.into()),
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
    Ok(())
}

fn lengths(args: &RunArgs, defaults: &Defaults) -> Result<Lengths, SettingsError> {
    if args.scenario == Scenario::Herd {
        // A herd has no warm-up, its key is cold; its length follows from the herds.
        let duration = FIRST_HERD + HERD_GAP * herds(args);
        return Ok(Lengths { warmup: Duration::ZERO, duration });
    }
    let warmup = args.warmup.unwrap_or(defaults.warmup);
    let duration = args.duration.unwrap_or(defaults.duration);
    if warmup > DAY {
        return Err(SettingsError::Warmup(warmup));
    }
    if !(Duration::from_millis(100)..=DAY).contains(&duration) {
        return Err(SettingsError::Duration(duration));
    }
    Ok(Lengths { warmup, duration })
}

fn workload(
    args: &RunArgs,
    defaults: &Defaults,
    world: &Synthetic,
    Lengths { warmup, duration }: Lengths,
) -> Result<Workload, SettingsError> {
    const RATE_MAX: f64 = 1e7; // 100 ns apart: below the cost of one request.
    if args.scenario != Scenario::Steady && args.target.is_some() {
        return Err(SettingsError::NeedsBroker(args.scenario.as_str()));
    }
    if args.scenario == Scenario::Herd {
        return herd(args, world);
    }
    let rate = args.rate.unwrap_or(defaults.rate);
    if !(rate > 0.0 && rate <= RATE_MAX) {
        return Err(SettingsError::Rate(rate));
    }
    let (arrivals, seed) = (args.arrivals.unwrap_or(Arrivals::Poisson), args.seed);
    let length = warmup + duration;
    let pace = Pace { arrivals, rate, length_ns: nanos(length), seed };
    if args.scenario != Scenario::Mint {
        return Ok(Workload::Steady(pace, Fill::within(warmup, rate, world)));
    }
    let (needed, keys) = (keys_needed(rate, length), keyspace(world));
    if needed > keys {
        return Err(SettingsError::Keyspace { needed, keys });
    }
    Ok(Workload::Mint(pace))
}

const fn classes(args: &RunArgs) -> Classes {
    match args.scenario {
        Scenario::Churn => Classes::Churned,
        _ if args.target.is_some() => Classes::Foreign,
        _ => Classes::Broker,
    }
}

fn changes(
    args: &RunArgs,
    world: &Synthetic,
    Lengths { duration, .. }: Lengths,
) -> Result<Changes, SettingsError> {
    match args.scenario {
        Scenario::Churn if world.user_assigned < 2 => Err(SettingsError::ChurnIdentities),
        Scenario::Churn => {
            Ok(Changes::Churn { per_second: args.changes.unwrap_or(CHANGES_DEFAULT) })
        }
        Scenario::Rotate => {
            let identities = u64::from(world.vms) * (u64::from(world.user_assigned) + 1);
            if identities > CERTIFICATES_MAX {
                return Err(SettingsError::Certificates { identities });
            }
            let fitting = duration.as_nanos() / ROTATION_GAP_DEFAULT.as_nanos();
            let default = u32::try_from(fitting).unwrap_or(u32::MAX).max(1);
            let rotations = args.rotations.unwrap_or(default);
            if args.rotations.is_some() && duration / rotations.max(1) < ROTATION_GAP_MIN {
                return Err(SettingsError::Rotations { rotations, duration });
            }
            Ok(Changes::Rotate { rotations })
        }
        Scenario::Herd | Scenario::Mint | Scenario::Steady => Ok(Changes::None),
    }
}

fn herd(args: &RunArgs, world: &Synthetic) -> Result<Workload, SettingsError> {
    let (herds, user_assigned) = (herds(args), world.user_assigned);
    if user_assigned < herds {
        return Err(SettingsError::HerdKeys { herds, user_assigned });
    }
    Ok(Workload::Herd(Herds {
        herds,
        callers: callers(args),
        first_ns: nanos(FIRST_HERD),
        gap_ns: nanos(HERD_GAP),
    }))
}

/// What a Poisson stream asks for at most: six standard deviations above its mean.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive and below 10^7 x 2 days"
)]
fn keys_needed(rate: f64, length: Duration) -> u64 {
    let mean = rate * length.as_secs_f64();
    (mean + 6.0 * mean.sqrt()).ceil() as u64
}

fn connections(args: &RunArgs, world: &Synthetic) -> u32 {
    args.connections.unwrap_or(match (args.scenario, &args.target, args.vms) {
        (Scenario::Herd, _, _) => callers(args),
        // Few VMs, but no reason to wait in line either.
        (Scenario::Rotate, _, _) => world.vms.max(ROTATE_CONNECTIONS),
        // One place to ask from, but no reason to wait in line for it.
        (_, Some(_), None) => 64,
        _ => world.vms.min(CONNECTIONS_DEFAULT_MAX),
    })
}

fn origin(args: &RunArgs) -> Origin {
    match &args.target {
        // VM addresses reach loopback only, and mean something only to who asked for VMs.
        Some(target) if !target.address.ip().is_loopback() || args.vms.is_none() => Origin::System,
        Some(target) if target.address.is_ipv6() => Origin::System,
        Some(_) | None => Origin::PerVm,
    }
}

fn cores(args: &RunArgs) -> Cores {
    if args.target.is_some() {
        // Where a foreign target runs is unknown: let the scheduler keep out of its way.
        return Cores { broker: None, generator: Vec::new() };
    }
    Cores::split(&allowed())
}

fn default_threads(args: &RunArgs, cores: &Cores) -> usize {
    let foreign = || allowed().len().saturating_sub(1);
    let cores = if args.target.is_some() { foreign() } else { cores.generator.len() };
    cores.clamp(1, THREADS_MAX)
}

/// A thread may spin where that takes no time from the target: on a core of the generator, or,
/// beside a target that may be on this machine, where a core is left.
fn waiting(args: &RunArgs, cores: &Cores, threads: usize) -> Waiting {
    let own = if args.target.is_some() {
        allowed().len().saturating_sub(1)
    } else {
        cores.generator.len()
    };
    if threads <= own { Waiting::Spin } else { Waiting::Sleep }
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

/// The caller guarantees a span below a week.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
