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
/// Looks of a gate after the first.
const DOUBLINGS: u32 = 2;

/// Load of each leg that the flags leave open.
struct Defaults {
    /// Requests per second; none for the rate of the scenario.
    rate: Option<f64>,
    duration: Duration,
    warmup: Duration,
    vms: u32,
    /// User-assigned identities of each VM; none for the number of the scenario.
    user_assigned: Option<u32>,
}

/// Short legs of a small world, because each pair starts two processes: the default pairs and their
/// starts take less than a minute. The tokens are cached within the warm-up, even with the slowest
/// signatures.
const STEADY: Defaults = Defaults {
    rate: Some(6_500.0),
    duration: Duration::from_millis(500),
    warmup: Duration::from_millis(150),
    vms: 40,
    user_assigned: Some(1),
};
/// Longer legs, because mints are few, and each needs a new key.
const MINT: Defaults = Defaults {
    rate: None,
    duration: Duration::from_secs(1),
    warmup: Duration::from_millis(500),
    vms: 100,
    user_assigned: None,
};
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
    let defaults = match &scenario {
        Scenario::Steady => STEADY,
        Scenario::Mint => MINT,
        other => return Err(GateSettingsError::Scenario(other.as_str().to_owned())),
    };
    let spec = RunSpec::read(scenario)?;
    let spec = match args.rate.or(defaults.rate) {
        Some(rate) => spec.at_rate(rate),
        None => spec,
    };
    let spec = spec.lasting(whole_turns(args.duration.unwrap_or(defaults.duration)));
    Ok(RunSpec {
        warmup: whole_turns(args.warmup.unwrap_or(defaults.warmup)),
        world: World {
            vms: Some(args.vms.unwrap_or(defaults.vms)),
            user_assigned: args
                .user_assigned
                .or(defaults.user_assigned)
                .or(spec.world.user_assigned),
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
    let seconds = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(STEADY.duration);
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
    let last = args.pairs.saturating_mul(1 << DOUBLINGS).min(PAIRS_MAX);
    let max = args.pairs_max.unwrap_or(last);
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
    let Asked { metrics, choice: metric_choice, added } = asked(args);
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
struct Asked {
    metrics: Vec<Metric>,
    choice: MetricChoice,
    /// Metrics that only a required percentile added.
    added: Vec<Metric>,
}

/// Returns the metrics that the flags name, and those that they require.
fn asked(args: &GateArgs) -> Asked {
    let all = Metric::ALL.into_iter();
    if args.metrics.is_empty() {
        let choice = MetricChoice::Default;
        return Asked { metrics: all.collect(), choice, added: Vec::new() };
    }
    let named = |metric: &Metric| {
        let required = Required::Metric(*metric);
        args.metrics.contains(metric) || args.require.contains(&required)
    };
    let required = |metric: &Metric| args.require.iter().any(|required| required.covers(*metric));
    let metrics: Vec<Metric> = all.filter(|metric| named(metric) || required(metric)).collect();
    let added = metrics.iter().copied().filter(|metric| !named(metric)).collect();
    Asked { metrics, choice: MetricChoice::Named, added }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::harness::gate::policy::tests::default_policy;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        gate: GateArgs,
    }

    fn resolved(flags: &[&str]) -> GateSettings {
        let words = ["gate", "--base", "mintbench"].into_iter().chain(flags.iter().copied());
        GateSettings::resolve(&Command::parse_from(words).gate, None).unwrap()
    }

    fn names(metrics: &[Metric]) -> Vec<String> {
        metrics.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_gate_without_flags_has_the_rules_that_were_simulated() {
        let all = names(&Metric::ALL);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(resolved(&[]).policy, default_policy(&all));
    }

    #[test]
    fn required_metrics_are_compared_and_percentiles_only_of_classes_that_the_load_has() {
        let policy = resolved(&["--metrics=cpu", "--require=p99,memory"]).policy;
        let percentiles = ["hit.p99", "miss.p99", "coalesced.p99"];
        assert_eq!(names(&policy.metrics), [&["cpu", "memory"][..], &percentiles].concat());
        assert_eq!(names(&policy.added), percentiles);
        let policy = resolved(&["--require=hit.p99"]).policy;
        assert_eq!((policy.metrics.len(), policy.added.len()), (Metric::ALL.len(), 0));
    }
}
