//! `mintbench gate`: is the candidate slower than the base?

mod builds;
mod died;
mod legs;
mod outputs;
mod revision;
mod settings;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use self::builds::{BuildError, Builds};
use self::legs::{LegError, Legs};
use self::outputs::OutputError;
use self::settings::{GateSettings, GateSettingsError};
use super::run::Scenario;
use super::run::settings::Settings;
use super::{Exit, refuse, signals};
use crate::base::clock::{Clock, SystemClock};
use crate::cli::terminal::Stream;
use crate::harness::gate::baseline::BaselineError;
use crate::harness::gate::document;
use crate::harness::gate::document::Identity;
use crate::harness::gate::judge::Verdict;
use crate::harness::gate::metric::Metric;
use crate::harness::gate::text;
use crate::harness::machine::stop::Stop;

/// Fail a build that is slower than another.
///
/// Runs both builds as brokers of the same world, in turns, and compares what the pairs say. With
/// no flag but the base it takes about a minute.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("against").required(true).args(["base", "base_rev", "baseline"]),
    after_help = "Exit codes: 0 pass; 1 slower, or a failed check; 2 usage; 3 cannot tell; 4 invalid (the generator or \
the host was the bottleneck); 6 no baseline, or one that cannot be repeated here; 130 interrupted."
)]
pub struct GateArgs {
    /// What is sent: steady or mint [default: steady]
    #[arg(env = "MINTBENCH_GATE_SCENARIO")]
    pub(super) scenario: Option<Scenario>,
    /// Compare with this mintbench executable
    #[arg(long, value_name = "PATH", env = "MINTBENCH_GATE_BASE")]
    pub(super) base: Option<PathBuf>,
    /// Compare with this git revision, built in a work tree beside target/; the build is kept
    #[arg(long, value_name = "REV", env = "MINTBENCH_GATE_BASE_REV")]
    pub(super) base_rev: Option<String>,
    /// Compare with this result folder of `mintbench run` on this machine
    #[arg(long, value_name = "DIR", env = "MINTBENCH_GATE_BASELINE")]
    pub(super) baseline: Option<PathBuf>,
    /// The mintbench executable to judge [default: this one]
    #[arg(long, value_name = "PATH", env = "MINTBENCH_GATE_CANDIDATE")]
    pub(super) candidate: Option<PathBuf>,
    /// What to compare, all of which must then be judged: cpu, memory, hit-ratio, and hit, miss or
    /// coalesced with .p50 or .p99 [default: cpu, memory, hit-ratio and, where the machine allows, the classes]
    #[arg(long, value_name = "METRIC", value_delimiter = ',', env = "MINTBENCH_GATE_METRICS")]
    pub(super) metrics: Vec<Metric>,
    /// The slow-down that must not pass, like 5%
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = settings::share, env = "MINTBENCH_GATE_LIMIT")]
    pub(super) limit: f64,
    /// The slow-down that nobody minds: more than this, beyond doubt, fails
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = settings::share, env = "MINTBENCH_GATE_TOLERANCE")]
    pub(super) tolerance: f64,
    /// How often a candidate that is not slower may fail
    #[arg(long, value_name = "CHANCE", default_value = "0.05", value_parser = settings::share, env = "MINTBENCH_GATE_ALPHA")]
    pub(super) alpha: f64,
    /// How often a slow-down of the limit must not pass, and one of the smallest effect must fail
    #[arg(long, value_name = "CHANCE", default_value = "0.99", value_parser = settings::share, env = "MINTBENCH_GATE_POWER")]
    pub(super) power: f64,
    /// Pairs before the first look whether there is a verdict; each look doubles them
    #[arg(long, value_name = "N", default_value_t = 10, env = "MINTBENCH_GATE_PAIRS")]
    pub(super) pairs: usize,
    /// Pairs after which the gate gives up: cannot tell [default: twice --pairs]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_PAIRS_MAX")]
    pub(super) pairs_max: Option<usize>,
    /// Requests per second [default: 5000; mint: 200]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_RATE")]
    pub(super) rate: Option<f64>,
    /// Length of the measured part of each leg [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_GATE_DURATION")]
    pub(super) duration: Option<Duration>,
    /// Load before the measured part of each leg [default: 500ms]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_GATE_WARMUP")]
    pub(super) warmup: Option<Duration>,
    /// VMs of the synthetic world [default: 100]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_VMS")]
    pub(super) vms: Option<u32>,
    /// User-assigned identities of each VM [default: 2; mint: 20]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_USER_ASSIGNED")]
    pub(super) user_assigned: Option<u32>,
    /// Connections, held open throughout a leg [default: one per VM, at most 1000]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_CONNECTIONS")]
    pub(super) connections: Option<u32>,
    /// Of the first pair; each pair has the next [default: 1]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_SEED")]
    pub(super) seed: Option<u64>,
    /// Write a JUnit file with a test case for each metric
    #[arg(long, value_name = "FILE", env = "MINTBENCH_GATE_JUNIT")]
    pub(super) junit: Option<PathBuf>,
    /// Write a comment for a pull request
    #[arg(long, value_name = "FILE", env = "MINTBENCH_GATE_MARKDOWN")]
    pub(super) markdown: Option<PathBuf>,
    /// Folder for gate.json and the distributions of both builds (.hgrm)
    #[arg(long, value_name = "DIR", env = "MINTBENCH_GATE_OUT")]
    pub(super) out: Option<PathBuf>,
    /// Print gate.json instead of the tables
    #[arg(long, env = "MINTBENCH_GATE_JSON")]
    pub(super) json: bool,
}

/// Reasons why a gate has no verdict.
#[derive(Debug, thiserror::Error)]
enum GateError {
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Leg(#[from] LegError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Settings(#[from] GateSettingsError),
    #[error("the gate was interrupted")]
    Interrupted { known: String },
    #[error("cannot write the verdict to standard output")]
    Print(#[source] io::Error),
}

impl GateError {
    fn exit(&self) -> Exit {
        match self {
            Self::Baseline(_) => Exit::NoBaseline,
            _ => Exit::Usage,
        }
    }
}

/// Runs the command.
pub fn main(args: &GateArgs) -> Exit {
    let stop = Arc::new(Stop::default());
    signals::listen(Arc::clone(&stop));
    let result = run(args, &SystemClock, &stop);
    let consequence = "there is no verdict, and no file was written";
    match result {
        Err(GateError::Interrupted { known }) => {
            // Standard output gets whole JSON or nothing.
            let out = if args.json { Stream::Error } else { Stream::Output };
            signals::interrupted_after(&known, out, consequence)
        }
        // Failures after the interruption are caused by it.
        Err(_) if stop.is_requested() => signals::interrupted(consequence),
        Err(error) => {
            refuse(&error);
            error.exit()
        }
        Ok(verdict) => exit(verdict),
    }
}

const fn exit(verdict: Verdict) -> Exit {
    match verdict {
        Verdict::CannotTell => Exit::Inconclusive,
        Verdict::Fail => Exit::Failed,
        Verdict::Invalid => Exit::Invalid,
        Verdict::Pass => Exit::Pass,
    }
}

fn run(args: &GateArgs, clock: &dyn Clock, stop: &Arc<Stop>) -> Result<Verdict, GateError> {
    let baseline = settings::baseline(args)?;
    let GateSettings { run, policy, notes } = GateSettings::resolve(args, baseline.as_ref())?;
    let _folder = outputs::check(args)?;
    let Settings { plan, notes: of_runs } = legs::settings(&run, 0)?;
    let Builds { base, candidate } = Builds::find(args, baseline, stop)?;
    let started_at = clock.now();
    let legs = Legs { run: &run, base: &base, candidate: &candidate, clock, stop };
    let made = legs.make(&policy)?;
    if stop.is_requested() {
        let known = text::so_far(made.pairs.len(), &made.findings);
        return Err(GateError::Interrupted { known });
    }
    let identity = Identity {
        started_at,
        scenario: run.scenario.as_str().to_owned(),
        seed: run.seed,
        base: base.name,
        candidate: candidate.name,
        notes: [of_runs, notes].concat(),
    };
    let document = document::document(identity, &plan, &policy, &made.pairs, &made.findings);
    outputs::write(args, &document, &made.pairs)?;
    outputs::print(args, &document).map_err(GateError::Print)?;
    Ok(document.verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_the_exit_code_that_the_help_states() {
        let codes = [
            (Verdict::Pass, 0),
            (Verdict::Fail, 1),
            (Verdict::CannotTell, 3),
            (Verdict::Invalid, 4),
        ];
        for (verdict, code) in codes {
            assert_eq!(exit(verdict) as i32, code, "{verdict:?}");
        }
    }
}
