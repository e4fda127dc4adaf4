//! Flags of `mintbench compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cli::target::{TargetArgs, TargetUrl};
use crate::harness::scenario::phases::Arrivals;

/// Compare two token endpoints, or two stored results: the ratio of their latencies with its interval.
///
/// Two endpoints (--target A --target B) get the same load in short blocks that alternate, so drift of the machine
/// affects both alike. Two result folders (compare A B) were measured apart, so drift is part of their ratios.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 compared, whatever the ratio; 2 usage; 4 invalid (the generator or the host \
was the bottleneck, or too many requests failed), or with --strict an invalid result; 6 with --strict, results of \
unlike machines; 130 interrupted."
)]
pub(crate) struct CompareArgs {
    /// An endpoint, or a TOML file that describes one (docs/targets.md): twice, A and then B
    #[arg(
        long,
        value_name = "[PROTOCOL+]URL",
        env = "MINTBENCH_COMPARE_TARGET",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub(super) target: Vec<TargetUrl>,
    /// Pairs of blocks
    #[arg(long, value_name = "N", default_value_t = 20, env = "MINTBENCH_COMPARE_PAIRS")]
    pub(super) pairs: u32,
    /// Length of the measured part of each block
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration, env = "MINTBENCH_COMPARE_BLOCK")]
    pub(super) block: Duration,
    /// Load before the measured part of each block
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = humantime::parse_duration, env = "MINTBENCH_COMPARE_WARMUP")]
    pub(super) warmup: Duration,
    /// Requests per second
    #[arg(long, value_name = "N", default_value_t = 1000.0, env = "MINTBENCH_COMPARE_RATE")]
    pub(super) rate: f64,
    /// Spacing of the requests [default: poisson]
    #[arg(long, value_enum, env = "MINTBENCH_COMPARE_ARRIVALS")]
    pub(super) arrivals: Option<Arrivals>,
    /// Connections to each endpoint, opened again for each block [default: 64]
    #[arg(long, value_name = "N", env = "MINTBENCH_COMPARE_CONNECTIONS")]
    pub(super) connections: Option<u32>,
    /// Generator threads [default: the number of cores, less one]
    #[arg(long, value_name = "N", env = "MINTBENCH_COMPARE_THREADS")]
    pub(super) threads: Option<usize>,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1, env = "MINTBENCH_COMPARE_SEED")]
    pub(super) seed: u64,
    /// Timeout of a request
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration, env = "MINTBENCH_COMPARE_TIMEOUT")]
    pub(super) timeout: Duration,
    /// Share of the requests of a block that may fail [default: 0.01]
    #[arg(long, value_name = "SHARE", env = "MINTBENCH_COMPARE_MAX_ERRORS")]
    pub(super) max_errors: Option<f64>,
    /// Print JSON instead of the table
    #[arg(long, env = "MINTBENCH_COMPARE_JSON")]
    pub(super) json: bool,
    // These come last, because a help heading applies to all flags after it.
    #[command(flatten)]
    pub(super) folders: FolderArgs,
    #[command(flatten)]
    pub(super) access: TargetArgs,
}

/// Result folders to compare, and their flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "Two stored results")]
pub(super) struct FolderArgs {
    /// Result folders A and B, compared without a measurement
    #[arg(
        value_name = "DIR",
        num_args = 1..,
        value_delimiter = ',',
        env = "MINTBENCH_COMPARE_DIRS",
        conflicts_with_all = ["target", "pairs", "block", "warmup", "rate", "arrivals", "connections", "threads", "seed", "timeout", "max_errors"]
    )]
    pub(super) dirs: Vec<PathBuf>,
    /// Also write the comparison of the folders as one HTML file
    #[arg(long, value_name = "FILE", requires = "dirs", env = "MINTBENCH_COMPARE_HTML")]
    pub(super) html: Option<PathBuf>,
    /// Fail if one of the runs is invalid or the machines differ, instead of a warning
    #[arg(long, requires = "dirs", env = "MINTBENCH_COMPARE_STRICT")]
    pub(super) strict: bool,
}
