//! Turns flags into the runs of a gate and its policy.

use std::time::Duration;

use super::args::GateArgs;
use crate::harness::gate::baseline::{Baseline, BaselineError};
use crate::harness::gate::metric::Metric;
use crate::harness::gate::policy::{Design, MetricChoice, Policy};
use crate::harness::gate::required::Required;
use crate::harness::machine::host::Host;
use crate::harness::scenario::phases::Arrivals;
use crate::harness::scenario::spec::{RunSpec, Scenario, SpecError, World};
use crate::harness::schedule::timeline::TURN;

/// Reasons why the flags do not describe a gate.
#[derive(Debug, thiserror::Error)]
pub(super) enum GateSettingsError {
    #[error("a gate compares `steady` and `mint`, not `{0}`")]
    Scenario(String),
    #[error("with --baseline the load is that of the stored run; leave out --{0}")]
    OfBaseline(&'static str),
    #[error(
        "--pairs {pairs} and --pairs-max {max} are out of range; use 2 to {PAIRS_MAX}, and the second not below the first"
    )]
    Pairs { pairs: usize, max: usize },
    #[error("--{flag} {value} is out of range; use {range}")]
    Chance { flag: &'static str, value: f64, range: &'static str },
    #[error("--tolerance has to be below --limit: between the two a verdict may go either way")]
    Tolerance,
    #[error("the baseline has no rate of requests that a gate can repeat")]
    NoRate,
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Settings of a gate, from flags and defaults.
#[derive(Debug)]
pub(super) struct GateSettings {
    /// Definition of each leg's run, except for its seed.
    pub(super) spec: RunSpec,
    pub(super) policy: Policy,
    pub(super) notes: Vec<String>,
}

/// Maximum number of pairs. A thousand pairs take an hour; more would look for an effect that nobody
/// notices.
const PAIRS_MAX: usize = 1000;
/// Length of each leg. Legs are short, because only differences between processes count, so there should
/// be many.
const DURATION: Duration = Duration::from_secs(1);
const WARMUP: Duration = Duration::from_millis(500);
/// VMs of the world. Their tokens are cached within the warm-up, even with the slowest signatures.
const VMS: u32 = 100;
/// Verified answers of each leg: a tenth of those of a run, because there are many legs.
const SAMPLES: usize = 100;

/// Reads the stored run that the flags name, if they name one.
pub(super) fn baseline(args: &GateArgs) -> Result<Option<Baseline>, BaselineError> {
    let host = Host::read();
    let read =
        |path: &std::path::PathBuf| Baseline::read(path, &host.fingerprint(), &host.cpu_model);
    args.baseline.as_ref().map(read).transpose()
}

impl GateSettings {
    /// Chooses everything that the flags leave open.
    pub(super) fn resolve(
        args: &GateArgs,
        baseline: Option<&Baseline>,
    ) -> Result<Self, GateSettingsError> {
        let spec = match baseline {
            None => new_run(args)?,
            Some(baseline) => stored_run(args, baseline)?,
        };
        let mut notes = Vec::new();
        let design = if baseline.is_some() { Design::Baseline } else { Design::Pairs };
        if design == Design::Baseline {
            notes.push("the baseline is one run: how much such runs differ is taken from the candidate's, and no number of legs makes up for it; --base or --base-rev see smaller effects".to_owned());
        }
        Ok(Self { spec, policy: policy(args, design)?, notes })
    }
}

fn new_run(args: &GateArgs) -> Result<RunSpec, GateSettingsError> {
    let scenario = args.scenario.clone().unwrap_or(Scenario::Steady);
    if !matches!(scenario, Scenario::Steady | Scenario::Mint) {
        return Err(GateSettingsError::Scenario(scenario.as_str().to_owned()));
    }
    let spec = RunSpec::read(scenario)?;
    let spec = match args.rate {
        Some(rate) => spec.at_rate(rate),
        None => spec,
    };
    let spec = spec.lasting(whole_turns(args.duration.unwrap_or(DURATION)));
    Ok(RunSpec {
        warmup: whole_turns(args.warmup.unwrap_or(WARMUP)),
        world: World {
            vms: Some(args.vms.unwrap_or(VMS)),
            user_assigned: args.user_assigned.or(spec.world.user_assigned),
        },
        connections: args.connections.or(spec.connections),
        seed: args.seed.unwrap_or(1),
        samples: SAMPLES,
        ..spec
    })
}

/// Rounds a time up to a whole number of turns.
fn whole_turns(span: Duration) -> Duration {
    let turn = Duration::from(TURN);
    let turns = span.as_nanos().div_ceil(turn.as_nanos());
    turn.saturating_mul(u32::try_from(turns).unwrap_or(u32::MAX))
}

fn stored_run(args: &GateArgs, baseline: &Baseline) -> Result<RunSpec, GateSettingsError> {
    let given = [
        ("scenario", args.scenario.is_some()),
        ("rate", args.rate.is_some()),
        ("duration", args.duration.is_some()),
        ("warmup", args.warmup.is_some()),
        ("vms", args.vms.is_some()),
        ("user-assigned", args.user_assigned.is_some()),
        ("connections", args.connections.is_some()),
        ("seed", args.seed.is_some()),
    ];
    if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
        return Err(GateSettingsError::OfBaseline(flag));
    }
    let scenario: Option<Scenario> = baseline.scenario.parse().ok();
    let scenario = scenario.filter(|s| matches!(s, Scenario::Steady | Scenario::Mint));
    let scenario =
        scenario.ok_or_else(|| GateSettingsError::Scenario(baseline.scenario.clone()))?;
    let load = &baseline.load;
    let seconds = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(DURATION);
    // A value that does not fit is out of the range of its flag, whose check reports it.
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let spec = RunSpec::read(scenario)?
        .at_rate(load.rate_target.ok_or(GateSettingsError::NoRate)?)
        .lasting(seconds(load.duration_s));
    let arrivals = Arrivals::ALL.into_iter().find(|arrivals| arrivals.as_str() == load.arrivals);
    let spec = match arrivals {
        Some(arrivals) => spec.spaced(arrivals),
        None => spec,
    };
    Ok(RunSpec {
        warmup: seconds(load.warmup_s),
        world: World { vms: Some(count(load.vms)), user_assigned: Some(count(load.user_assigned)) },
        connections: Some(count(load.connections)),
        threads: Some(usize::try_from(load.threads).unwrap_or(usize::MAX)),
        seed: baseline.seed,
        samples: SAMPLES,
        ..spec
    })
}

fn policy(args: &GateArgs, design: Design) -> Result<Policy, GateSettingsError> {
    let max = args.pairs_max.unwrap_or(args.pairs.saturating_mul(2).min(PAIRS_MAX));
    if args.pairs < 2 || max < args.pairs || max > PAIRS_MAX {
        return Err(GateSettingsError::Pairs { pairs: args.pairs, max });
    }
    for (flag, value, range) in [
        ("alpha", args.alpha, 0.0001..=0.5),
        ("power", args.power, 0.5..=0.9999),
        ("limit", args.limit, 0.001..=10.0),
    ] {
        if !range.contains(&value) {
            let range = match flag {
                "alpha" => "0.0001 to 0.5",
                "power" => "0.5 to 0.9999",
                _ => "0.1% to 1000%",
            };
            return Err(GateSettingsError::Chance { flag, value, range });
        }
    }
    if args.tolerance >= args.limit {
        return Err(GateSettingsError::Tolerance);
    }
    let Choice { metrics, metric_choice, added } = choose(args);
    Ok(Policy {
        design,
        alpha: args.alpha,
        power: args.power,
        tolerance: args.tolerance,
        limit: args.limit,
        metrics,
        metric_choice,
        added,
        required: args.require.clone(),
        looks: Policy::doubling(args.pairs, max),
    })
}

/// Metrics of a gate.
struct Choice {
    metrics: Vec<Metric>,
    metric_choice: MetricChoice,
    /// Metrics that only a required percentile added.
    added: Vec<Metric>,
}

/// Returns the metrics that the flags name, and those that they require.
fn choose(args: &GateArgs) -> Choice {
    let all = Metric::ALL.into_iter();
    if args.metrics.is_empty() {
        let metric_choice = MetricChoice::Default;
        return Choice { metrics: all.collect(), metric_choice, added: Vec::new() };
    }
    let asked = |metric: &Metric| {
        let required = Required::Metric(*metric);
        args.metrics.contains(metric) || args.require.contains(&required)
    };
    let required = |metric: &Metric| args.require.iter().any(|required| required.covers(*metric));
    let metrics: Vec<Metric> = all.filter(|metric| asked(metric) || required(metric)).collect();
    let added = metrics.iter().copied().filter(|metric| !asked(metric)).collect();
    Choice { metrics, metric_choice: MetricChoice::Named, added }
}
