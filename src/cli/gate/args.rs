//! Flags of `mintbench gate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::count_args::CountArgs;
use crate::harness::gate::metric::Metric;
use crate::harness::gate::required::Required;
use crate::harness::scenario::spec::Scenario;

/// Fail a build that is slower than another, or that does more work.
///
/// Runs both builds as brokers of the same world, loads them in turns, and compares the pairs. Takes about
/// a minute with the default flags. With --count it compares what both do for a request, which no other load
/// of the machine disturbs.
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("against").required(true).args(["base", "base_rev", "baseline"]),
    after_help = "Exit codes: 0 pass; 1 slower, or a failed check; 2 usage; 3 cannot tell; 4 invalid (the generator or \
the host was the bottleneck); 6 no baseline, or one that cannot be repeated here; 130 interrupted."
)]
pub(crate) struct GateArgs {
    /// Scenario: steady or mint [default: steady]
    #[arg(env = "MINTBENCH_GATE_SCENARIO")]
    pub(super) scenario: Option<Scenario>,
    /// Executable of the base
    #[arg(long, value_name = "PATH", env = "MINTBENCH_GATE_BASE")]
    pub(super) base: Option<PathBuf>,
    /// Git revision of the base, built in a work tree beside target/; the build is kept
    #[arg(long, value_name = "REV", env = "MINTBENCH_GATE_BASE_REV")]
    pub(super) base_rev: Option<String>,
    /// Result folder of `mintbench run` on this machine, as the base
    #[arg(long, value_name = "DIR", env = "MINTBENCH_GATE_BASELINE")]
    pub(super) baseline: Option<PathBuf>,
    /// Executable of the candidate [default: this one]
    #[arg(long, value_name = "PATH", env = "MINTBENCH_GATE_CANDIDATE")]
    pub(super) candidate: Option<PathBuf>,
    /// Git revision of the candidate, built like that of the base
    #[arg(long, value_name = "REV", conflicts_with = "candidate")]
    #[arg(env = "MINTBENCH_GATE_CANDIDATE_REV")]
    pub(super) candidate_rev: Option<String>,
    /// Metrics that must all be judged: cpu, memory, hit-ratio, and hit, miss or coalesced with .p50 or
    /// .p99 [default: cpu, memory, hit-ratio; the classes if the machine allows]
    #[arg(long, value_name = "METRIC", value_delimiter = ',', env = "MINTBENCH_GATE_METRICS")]
    pub(super) metrics: Vec<Metric>,
    /// Metric without which the gate cannot tell, like hit.p99; p99 stands for that of every class that the
    /// load has
    #[arg(long, value_name = "METRIC", value_delimiter = ',', env = "MINTBENCH_GATE_REQUIRE")]
    pub(super) require: Vec<Required>,
    /// Slow-down that must not pass, like 5%
    #[arg(long, value_name = "SHARE", default_value = "3%", value_parser = share, env = "MINTBENCH_GATE_LIMIT")]
    pub(super) limit: f64,
    /// Slow-down that is tolerated: a candidate fails if it is certainly slower than this
    #[arg(long, value_name = "SHARE", default_value = "0.5%", value_parser = share, env = "MINTBENCH_GATE_TOLERANCE")]
    pub(super) tolerance: f64,
    /// Probability that a candidate fails although it is not slower
    #[arg(long, value_name = "CHANCE", default_value = "0.05", value_parser = share, env = "MINTBENCH_GATE_ALPHA")]
    pub(super) alpha: f64,
    /// Probability that a slow-down of the limit does not pass, and that one of the smallest effect fails
    #[arg(long, value_name = "CHANCE", default_value = "0.9", value_parser = share, env = "MINTBENCH_GATE_POWER")]
    pub(super) power: f64,
    /// Pairs before the gate first looks for a verdict beyond doubt; each further look doubles them
    #[arg(long, value_name = "N", default_value_t = 6, env = "MINTBENCH_GATE_PAIRS")]
    pub(super) pairs: usize,
    /// Pairs after which the gate ends in any case [default: four times --pairs]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_PAIRS_MAX")]
    pub(super) pairs_max: Option<usize>,
    /// Requests per second [default: 6500; mint: 200]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_RATE")]
    pub(super) rate: Option<f64>,
    /// Length of the measured part of each leg [default: 500ms; mint: 1s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_GATE_DURATION")]
    pub(super) duration: Option<Duration>,
    /// Load before the measured part of each leg [default: 150ms; mint: 500ms]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_GATE_WARMUP")]
    pub(super) warmup: Option<Duration>,
    /// VMs of the synthetic world [default: 40; mint: 100]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_VMS")]
    pub(super) vms: Option<u32>,
    /// User-assigned identities of each VM [default: 1; mint: 20]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_USER_ASSIGNED")]
    pub(super) user_assigned: Option<u32>,
    /// Connections, held open throughout a leg [default: one per VM, at most 1000]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_CONNECTIONS")]
    pub(super) connections: Option<u32>,
    /// Seed of the first pair; each pair has the next number [default: 1]
    #[arg(long, value_name = "N", env = "MINTBENCH_GATE_SEED")]
    pub(super) seed: Option<u64>,
    /// Write a JUnit file with a test case for each metric
    #[arg(long, value_name = "FILE", env = "MINTBENCH_GATE_JUNIT")]
    pub(super) junit: Option<PathBuf>,
    /// Write a comment for a pull request
    #[arg(long, value_name = "FILE", env = "MINTBENCH_GATE_MARKDOWN")]
    pub(super) markdown: Option<PathBuf>,
    /// Folder for gate.json and the distributions of both builds (.hgrm); with --count for count.json
    #[arg(long, value_name = "DIR", env = "MINTBENCH_GATE_OUT")]
    pub(super) out: Option<PathBuf>,
    /// Print gate.json or count.json instead of the tables
    #[arg(long, env = "MINTBENCH_GATE_JSON")]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) count: CountArgs,
}

/// Parses a share or a probability: `5%`, `0.05`.
fn share(text: &str) -> Result<f64, String> {
    let refused = || format!("`{text}` is not a share; write it like 5% or 0.05");
    let (number, scale) = match text.trim().strip_suffix('%') {
        Some(percent) => (percent.trim(), 100.0),
        None => (text.trim(), 1.0),
    };
    let number: f64 = number.parse().map_err(|_| refused())?;
    if number.is_finite() && number >= 0.0 { Ok(number / scale) } else { Err(refused()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_with_and_without_per_cent() {
        assert_eq!(share("5%"), Ok(0.05));
        assert_eq!(share(" 2.5 % "), Ok(0.025));
        assert_eq!(share("0.05"), Ok(0.05));
        for wrong in ["", "%", "-1%", "NaN", "five"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
