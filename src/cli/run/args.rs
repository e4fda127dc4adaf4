//! Flags of `mintbench run`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::files::OutputArgs;
use super::first_argument::FirstArgument;
use crate::cli::target::{TargetArgs, TargetUrl};
use crate::harness::dialect::url::HttpUrl;
use crate::harness::scenario::objective::Objective;
use crate::harness::scenario::phases::Arrivals;
use crate::harness::scenario::run_plan::{Bounds, Pausing};
use crate::harness::scenario::spec::Scenario;

/// Measure a token endpoint with open-loop load.
///
/// Without a URL and without --target, a broker with a synthetic world is started in a child process and measured.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every objective met, or none asked; 1 failed check; 2 usage; 3 cannot tell if an \
objective is met; 4 nothing can be said (rate not reached, requests not sent, median unknown; with --strict: any \
disturbance); 5 objective missed; 130 interrupted. With --find-max: 0 the highest rate lies between two rates; 1 wrong \
answers; 2 usage; 3 one of the two is not known; 4 nothing can be said; 130 interrupted."
)]
pub(crate) struct RunArgs {
    /// Scenario: boot-storm, churn, herd, mint, outage, refresh-wave, rotate, steady, throttle, or a .toml
    /// file of your own (docs/scenarios.md); or a URL to measure with plain requests [default: steady]
    #[arg(
        id = "scenario",
        value_name = "SCENARIO|URL",
        env = "MINTBENCH_RUN_SCENARIO",
        hide_env_values = true
    )]
    pub(super) first: Option<FirstArgument>,
    /// Print the file of a scenario, as a start for your own, and end
    #[arg(long, value_name = "SCENARIO", env = "MINTBENCH_RUN_PRINT_SCENARIO")]
    pub(super) print_scenario: Option<Scenario>,
    /// Endpoint to measure instead of a broker of our own [default path: that of the protocol]
    #[arg(long, value_name = "[PROTOCOL+]URL", env = "MINTBENCH_RUN_TARGET")]
    #[arg(hide_env_values = true, hide_default_value = true)]
    pub(super) target: Option<TargetUrl>,
    /// URL of the published keys of --target, which verify the answers
    #[arg(long, value_name = "URL", env = "MINTBENCH_RUN_JWKS")]
    #[arg(hide_env_values = true, hide_default_value = true)]
    pub(super) jwks: Option<HttpUrl>,
    /// Requests per second, for a scenario of one phase with one rate; slow answers do not lower it (open
    /// loop) [default: the scenario's]
    #[arg(long, short, value_name = "N", env = "MINTBENCH_RUN_RATE")]
    pub(super) rate: Option<f64>,
    /// Length of the measured part, like 30s, for a scenario of one phase [default: the scenario's]
    #[arg(long, short, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_RUN_DURATION")]
    pub(super) duration: Option<Duration>,
    /// End of the run after N requests of the measured part, for a scenario of one phase with one rate; with
    /// the rate, this decides the length, so that --duration does not go with it
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..), env = "MINTBENCH_RUN_REQUESTS")]
    pub(super) requests: Option<u64>,
    /// Load before the measured part [default: the scenario's]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_RUN_WARMUP")]
    pub(super) warmup: Option<Duration>,
    /// Spacing of the requests, in all phases [default: the scenario's]
    #[arg(long, value_enum, env = "MINTBENCH_RUN_ARRIVALS")]
    pub(super) arrivals: Option<Arrivals>,
    /// Speed of a replayed trace: 2 is twice as fast as recorded [default: the scenario's]
    #[arg(long, value_name = "FACTOR", env = "MINTBENCH_RUN_SPEED")]
    pub(super) speed: Option<f64>,
    /// VMs of the synthetic world [default: the scenario's; with --target: 1]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_VMS")]
    pub(super) vms: Option<u32>,
    /// User-assigned identities of each VM [default: the scenario's; with --target: 0]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_USER_ASSIGNED")]
    pub(super) user_assigned: Option<u32>,
    /// Connections, held open throughout [default: the scenario's, or one per VM, at most 1000; herd: one per caller]
    #[arg(long, short, value_name = "N", env = "MINTBENCH_RUN_CONNECTIONS")]
    pub(super) connections: Option<u32>,
    /// Generator threads [default: one per core that the broker does not use]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_THREADS")]
    pub(super) threads: Option<usize>,
    /// Cores for the generator's threads alone, like 1 or 1,3; the target must not run there
    #[arg(long, value_name = "N", value_delimiter = ',', env = "MINTBENCH_RUN_CORES")]
    pub(super) cores: Vec<usize>,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1, env = "MINTBENCH_RUN_SEED")]
    pub(super) seed: u64,
    /// Objective for the response time, like 'p99<2ms' or 'hit.p99.9<500us'; a failed request misses it; may be repeated
    #[arg(long, value_name = "BOUND", value_delimiter = ',', env = "MINTBENCH_RUN_SLO")]
    pub(super) slo: Vec<Objective>,
    /// Call every disturbed run invalid (exit code 4), and judge objectives by the times as recorded, without bounds
    #[arg(long, env = "MINTBENCH_RUN_STRICT")]
    pub(super) strict: bool,
    /// Timeout of a request
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration, env = "MINTBENCH_RUN_TIMEOUT")]
    pub(super) timeout: Duration,
    /// Rule for what the response time would have been if the generator had never been late
    #[arg(long, value_name = "RULE", value_enum, default_value_t, env = "MINTBENCH_RUN_BOUNDS")]
    pub(super) bounds: Bounds,
    #[command(flatten)]
    pub(super) pacing: PacingArgs,
    /// Largest number of attempts: the run is repeated until each --slo is met or missed (without --slo: until the
    /// p50 and the p99 are measured), and the first run that decides is reported [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20), env = "MINTBENCH_RUN_ATTEMPTS")]
    pub(super) attempts: Option<u32>,
    #[command(flatten)]
    pub(super) search: SearchArgs,
    /// Length of the pacing test before the load, which sends no requests; 0s for no test
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration, env = "MINTBENCH_RUN_PACER_TEST")]
    pub(super) pacer_test: Duration,
    /// Number of answers to verify after the run
    #[arg(long, value_name = "N", default_value_t = 1000, env = "MINTBENCH_RUN_SAMPLES")]
    pub(super) samples: usize,
    /// herd: number of bursts, each on another cold key [default: 5]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_HERDS")]
    pub(super) herds: Option<u32>,
    /// herd: number of callers of each burst [default: 10000]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_CALLERS")]
    pub(super) callers: Option<u32>,
    /// churn: maximum number of changes per second [default: 20]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_CHANGES")]
    pub(super) changes: Option<u32>,
    /// churn: delay after which the broker applies a change, as a test of the checks
    #[arg(long, value_name = "TIME", hide = true, env = "MINTBENCH_RUN_PROPAGATION_DELAY")]
    pub(super) propagation_delay: Option<String>,
    /// rotate: number of key rotations [default: one every 2 s]
    #[arg(long, value_name = "N", env = "MINTBENCH_RUN_ROTATIONS")]
    pub(super) rotations: Option<u32>,
    /// Largest allowed share of failed requests to --target; our own broker may fail none [default: 0.01]
    #[arg(long, value_name = "SHARE", env = "MINTBENCH_RUN_MAX_ERRORS")]
    pub(super) max_errors: Option<f64>,
    /// Signature algorithm of our broker: RS256, ES256 or `EdDSA` [default: the broker's]
    #[arg(long, value_name = "ALG", conflicts_with = "target", env = "MINTBENCH_RUN_ALG")]
    pub(super) alg: Option<String>,
    /// Folder of the results [default: results/TIME-SCENARIO, in UTC]
    #[arg(long, value_name = "DIR", env = "MINTBENCH_RUN_OUT")]
    pub(super) out: Option<PathBuf>,
    #[command(flatten)]
    pub(super) outputs: OutputArgs,
    /// Print run.json instead of the table
    #[arg(long, env = "MINTBENCH_RUN_JSON")]
    pub(super) json: bool,
    /// Show no progress
    #[arg(long, short, env = "MINTBENCH_RUN_QUIET")]
    pub(super) quiet: bool,
    /// Address of `/metrics` with the progress of the run, for Prometheus; port 0 takes a free one
    #[arg(long, value_name = "ADDR", env = "MINTBENCH_RUN_METRICS")]
    pub(super) metrics: Option<SocketAddr>,
    // Last, because its heading applies to all items that follow.
    #[command(flatten)]
    pub(super) access: TargetArgs,
}

/// Flags of the search for the highest rate.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct SearchArgs {
    /// Search the highest rate that meets every --slo, from --rate on (default 500), in levels of --duration
    /// (default 10s); --attempts is how often a rate is measured of which nobody can tell (default 3)
    #[arg(long, env = "MINTBENCH_RUN_FIND_MAX")]
    pub(super) find_max: bool,
    /// Largest distance of the rates around the limit, in per cent of the lower one
    #[arg(
        long = "find-max-within",
        value_name = "PERCENT",
        default_value = "5%",
        requires = "find_max",
        env = "MINTBENCH_RUN_FIND_MAX_WITHIN"
    )]
    pub(super) within: Within,
    /// Largest rate that --find-max may try
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1_000_000.0,
        requires = "find_max",
        env = "MINTBENCH_RUN_RATE_MAX"
    )]
    pub(super) rate_max: f64,
}

/// Distance of two rates as a share of the lower one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Within(pub(super) f64);

/// Error: a text is not a distance of two rates.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is out of range; use 0.5% to 100%")]
pub(super) struct WithinError(String);

impl FromStr for Within {
    type Err = WithinError;

    fn from_str(text: &str) -> Result<Self, WithinError> {
        let percent = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
        let percent = percent.ok().filter(|percent| (0.5..=100.0).contains(percent));
        percent.map(|percent| Self(percent / 100.0)).ok_or_else(|| WithinError(text.to_owned()))
    }
}

/// Flags about the pace of the requests.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct PacingArgs {
    /// Send on schedule even if something stops the generator: what was due meanwhile goes out in a burst
    #[arg(long, env = "MINTBENCH_RUN_NO_PAUSE")]
    no_pause: bool,
}

impl RunArgs {
    /// Returns the largest number of attempts.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts.unwrap_or(1)
    }

    /// Returns the rate of the flags, or the first rate of a search.
    pub(super) fn first_rate(&self) -> Option<f64> {
        self.rate.or(self.search.find_max.then_some(FIND_MAX_RATE))
    }
}

/// Default first rate of a search, which any server bears.
const FIND_MAX_RATE: f64 = 500.0;

impl PacingArgs {
    /// Returns when the schedule may pause.
    pub(super) const fn pausing(self) -> Pausing {
        if self.no_pause { Pausing::Never } else { Pausing::Witnessed }
    }
}
