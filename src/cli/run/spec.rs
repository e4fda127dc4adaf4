//! Turns the flags of `mintbench run` into the definition of a run.

use std::time::Duration;

use super::args::RunArgs;
use super::first_argument::FirstArgument;
use crate::cli::target::{TargetError, TargetUrl};
use crate::harness::scenario::spec::{
    CHANGES_MAX, ChangeSpec, Herd, Rate, RunSpec, Scenario, SpecError, World,
};

/// Reason why the flags make no run.
#[derive(Debug, thiserror::Error)]
pub(super) enum FlagError {
    #[error("--alg is for our own broker, and the URL names another target; leave one out")]
    Alg,
    #[error("`{scenario}` does not use --{flag}; leave it out")]
    Ignored { scenario: Scenario, flag: &'static str },
    #[error("--find-max needs an objective; add one like --slo 'p99<5ms'")]
    NoObjective,
    #[error(
        "`{0}` is no load that can be repeated at other rates; --find-max needs one phase with one rate and keys that return, like steady"
    )]
    NotRepeatable(Scenario),
    #[error("--{0} is of no use with --find-max; leave it out")]
    NotSearched(&'static str),
    #[error("--requests and --duration both say when the run ends; leave one out")]
    Ends,
    #[error(
        "--requests {requests} take {} at this rate, and a run takes 100ms at least; use --requests {enough} or more, or lower --rate",
        shown(*.length)
    )]
    FewRequests { requests: u64, length: Duration, enough: u64 },
    #[error(
        "--requests {requests} take {} at this rate, and a run takes 24h at most; lower --requests, or raise --rate",
        shown(*.length)
    )]
    ManyRequests { requests: u64, length: Duration },
    #[error(
        "--{flag} says nothing of the phases of `{scenario}`; write it into a file of your own: {}",
        own_file(scenario)
    )]
    Phased { scenario: Scenario, flag: &'static str },
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("--target and the URL as the first argument are two targets; leave one out")]
    Targets,
}

/// Warm-up of each level of a search, if the user names none: the target is warm from the level before.
const FIND_MAX_WARMUP: Duration = Duration::from_secs(1);
/// Number of answers that are verified after each level, at most.
const FIND_MAX_SAMPLES: usize = 100;

/// Formats a length in whole milliseconds, or in whole seconds from a minute on.
fn shown(length: Duration) -> humantime::FormattedDuration {
    let whole = if length < Duration::from_mins(1) {
        Duration::from_millis(u64::from(length.subsec_millis()) + 1000 * length.as_secs())
    } else {
        Duration::from_secs(length.as_secs())
    };
    humantime::format_duration(whole)
}

/// Returns the way to a scenario file that the user can edit.
fn own_file(scenario: &Scenario) -> String {
    match scenario {
        Scenario::File(path) => format!("edit {}", path.display()),
        built_in => format!("mintbench run --print-scenario {built_in} > my.toml"),
    }
}

impl RunArgs {
    /// Returns the scenario, and the target at an address that takes connections.
    ///
    /// # Errors
    /// Returns [`FlagError`] when the flags name two targets, or when a flag is about a target and there
    /// is none.
    pub(super) fn subject(&self) -> Result<(Scenario, Option<TargetUrl>), FlagError> {
        let (scenario, target) = match (&self.first, &self.target) {
            (Some(FirstArgument::Target(_)), Some(_)) => return Err(FlagError::Targets),
            (Some(FirstArgument::Target(_)), None) if self.alg.is_some() => {
                return Err(FlagError::Alg);
            }
            (Some(FirstArgument::Target(target)), None) => (Scenario::Steady, Some(target)),
            (Some(FirstArgument::Scenario(scenario)), target) => {
                (scenario.clone(), target.as_ref())
            }
            (None, target) => (Scenario::Steady, target.as_ref()),
        };
        if target.is_none() {
            self.check_no_target()?;
        }
        Ok((scenario, target.map(TargetUrl::reached)))
    }

    /// Refuses flags about a target if there is none, because they would have no effect.
    fn check_no_target(&self) -> Result<(), TargetError> {
        self.access.check_absent()?;
        let flags = [
            ("cores", !self.cores.is_empty()),
            ("jwks", self.jwks.is_some()),
            ("max-errors", self.max_errors.is_some()),
        ];
        match flags.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(TargetError::NoTarget(flag)),
            None => Ok(()),
        }
    }

    /// Returns the definition of the run: the scenario, changed by the flags.
    ///
    /// # Errors
    /// Returns [`FlagError`] when the scenario cannot be read, or when a flag would have no effect.
    pub(super) fn spec(
        &self,
        scenario: Scenario,
        target: Option<&TargetUrl>,
    ) -> Result<RunSpec, FlagError> {
        let mut spec = RunSpec::read(scenario)?;
        self.check_ignored(&spec)?;
        self.check_phased(&spec)?;
        self.check_find_max(&spec)?;
        if self.requests.is_some() && self.duration.is_some() {
            return Err(FlagError::Ends);
        }
        if let Some(target) = target {
            spec = spec.against(target.url.address);
        }
        let spec = self.shaped(spec);
        let finding = self.search.find_max;
        Ok(RunSpec {
            warmup: self.warmup.unwrap_or(if finding { FIND_MAX_WARMUP } else { spec.warmup }),
            herd: spec.herd.map(|herd| self.herd(herd)),
            changes: spec.changes.map(|changes| self.changes(changes)).transpose()?,
            objectives: [self.slo.clone(), spec.objectives].concat(),
            world: World {
                vms: self.vms.or(spec.world.vms),
                user_assigned: self.user_assigned.or(spec.world.user_assigned),
            },
            extra_serve_args: self.serve_args(),
            connections: self.connections.or(spec.connections),
            threads: self.threads,
            cores: self.cores.clone(),
            timeout: self.timeout,
            bounds: self.bounds,
            pausing: self.pacing.pausing(),
            pacer_test: if finding { Duration::ZERO } else { self.pacer_test },
            samples: if finding { self.samples.min(FIND_MAX_SAMPLES) } else { self.samples },
            errors_max: self.max_errors.unwrap_or(spec.errors_max),
            seed: self.seed,
            ..spec
        })
    }

    /// Refuses a search without an objective, of a load that cannot be repeated at other rates, and flags that it
    /// does not use.
    fn check_find_max(&self, spec: &RunSpec) -> Result<(), FlagError> {
        if !self.search.find_max {
            return Ok(());
        }
        if self.slo.is_empty() && spec.objectives.is_empty() {
            return Err(FlagError::NoObjective);
        }
        if spec.constant_rate().is_none() || spec.needs_broker() {
            return Err(FlagError::NotRepeatable(spec.scenario.clone()));
        }
        let flags = [
            ("requests", self.requests.is_some()),
            ("metrics", self.metrics.is_some()),
            ("out-json, --out-csv or --out-markdown", self.outputs.is_given()),
        ];
        match flags.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(FlagError::NotSearched(flag)),
            None => Ok(()),
        }
    }

    /// Returns the run with the rate, the duration, the spacing and the speed of the flags.
    fn shaped(&self, mut spec: RunSpec) -> RunSpec {
        if let Some(rate) = self.first_rate() {
            spec = spec.at_rate(rate);
        }
        if let Some(duration) = self.duration {
            spec = spec.lasting(duration);
        }
        if let Some(length) = self.expected_length(&spec) {
            spec = spec.lasting(length);
        }
        if let Some(arrivals) = self.arrivals {
            spec = spec.spaced(arrivals);
        }
        if let Some(speed) = self.speed {
            spec = spec.replayed_at(speed);
        }
        spec
    }

    fn herd(&self, Herd { herds, callers }: Herd) -> Herd {
        Herd { herds: self.herds.unwrap_or(herds), callers: self.callers.unwrap_or(callers) }
    }

    fn changes(&self, changes: ChangeSpec) -> Result<ChangeSpec, SpecError> {
        let allowed = 1..=CHANGES_MAX;
        match (changes, self.changes) {
            (ChangeSpec::Churn { .. }, Some(per_second)) if !allowed.contains(&per_second) => {
                let (value, max) = (per_second.into(), CHANGES_MAX.into());
                Err(SpecError::Count { flag: "changes", value, max })
            }
            (ChangeSpec::Churn { per_second }, given) => {
                Ok(ChangeSpec::Churn { per_second: given.or(per_second) })
            }
            (ChangeSpec::Rotate { rotations }, _) => {
                Ok(ChangeSpec::Rotate { rotations: self.rotations.or(rotations) })
            }
        }
    }

    /// Returns the arguments of `serve` for our broker.
    fn serve_args(&self) -> Vec<String> {
        let flags = [("--alg", &self.alg), ("--propagation-delay", &self.propagation_delay)];
        let given = flags.iter().filter_map(|(flag, value)| Some([*flag, value.as_deref()?]));
        given.flatten().map(str::to_owned).collect()
    }

    /// Refuses flags that the scenario does not use.
    fn check_ignored(&self, spec: &RunSpec) -> Result<(), FlagError> {
        let herd = spec.herd.is_some();
        let churn = matches!(spec.changes, Some(ChangeSpec::Churn { .. }));
        let rotate = matches!(spec.changes, Some(ChangeSpec::Rotate { .. }));
        let flags = [
            ("herds", self.herds.is_some(), herd),
            ("callers", self.callers.is_some(), herd),
            ("rate", self.rate.is_some(), !herd),
            ("duration", self.duration.is_some(), !herd),
            ("requests", self.requests.is_some(), !herd),
            ("warmup", self.warmup.is_some(), !herd),
            ("arrivals", self.arrivals.is_some(), !herd),
            ("changes", self.changes.is_some(), churn),
            ("propagation-delay", self.propagation_delay.is_some(), churn),
            ("rotations", self.rotations.is_some(), rotate),
            ("speed", self.speed.is_some(), spec.replays()),
        ];
        match flags.into_iter().find(|(_, given, used)| *given && !used) {
            Some((flag, ..)) => Err(FlagError::Ignored { scenario: spec.scenario.clone(), flag }),
            None => Ok(()),
        }
    }

    /// Refuses flags that cannot change several phases, or a rate that is not constant.
    fn check_phased(&self, spec: &RunSpec) -> Result<(), FlagError> {
        let (herd, single) = (spec.herd.is_some(), spec.single_phase());
        let constant = single.is_some_and(|phase| matches!(phase.rate, Rate::Constant(_)));
        let flags = [
            ("rate", self.rate.is_some(), constant || herd),
            ("duration", self.duration.is_some(), single.is_some() || herd),
            ("requests", self.requests.is_some(), constant || herd),
        ];
        match flags.into_iter().find(|(_, given, used)| *given && !used) {
            Some((flag, ..)) => Err(FlagError::Phased { scenario: spec.scenario.clone(), flag }),
            None => Ok(()),
        }
    }
}
