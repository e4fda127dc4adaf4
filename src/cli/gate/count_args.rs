//! Flags of `mintbench gate --count`.

use clap::Args;

use crate::harness::document::count::Work;
use crate::harness::gate::count::allowance::{self, Allowance};

/// Flags of a gate that counts.
#[derive(Debug, Args)]
#[command(next_help_heading = "Count")]
pub(super) struct CountArgs {
    /// Compare the work for a request instead of times: instructions, allocations, allocated bytes, system
    /// calls and written bytes. Needs Valgrind, and no quiet machine
    #[arg(
        long,
        env = "MINTBENCH_GATE_COUNT",
        conflicts_with_all = [
            "scenario", "baseline", "metrics", "require", "limit", "tolerance", "alpha", "power", "pairs", "pairs_max", "rate",
            "duration", "warmup", "vms", "user_assigned", "connections", "seed",
        ]
    )]
    pub(super) count: bool,
    /// Growth that is allowed, as a share or per request, like instructions=0.5% or allocations=1; may be
    /// repeated [default: instructions=0.3%, allocations=0, allocated-bytes=1%, system-calls=0,
    /// written-bytes=1%]
    #[arg(long, value_name = "WORK=GROWTH", value_delimiter = ',', value_parser = allowance::parse, requires = "count")]
    #[arg(env = "MINTBENCH_GATE_ALLOW")]
    pub(super) allow: Vec<(Work, Allowance)>,
    /// Processes of each build that are counted
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2,
        requires = "count",
        env = "MINTBENCH_GATE_COUNTS"
    )]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=20))]
    pub(super) counts: u8,
    /// Command that starts a server which is no mintbench: {program} stands for --base or --candidate, {port}
    /// for a free port
    #[arg(long, value_name = "LINE", requires_all = ["count", "url", "base", "candidate"])]
    #[arg(env = "MINTBENCH_GATE_COMMAND")]
    pub(super) command: Option<String>,
    /// URL of the GETs that such a server answers with 2xx, like `http://127.0.0.1:{port}/path`
    #[arg(
        long,
        value_name = "URL",
        requires = "command",
        env = "MINTBENCH_GATE_URL",
        hide_env_values = true
    )]
    pub(super) url: Option<String>,
    /// Header of these requests; may be repeated
    #[arg(long, value_name = "NAME: VALUE", requires = "command", env = "MINTBENCH_GATE_HEADER")]
    #[arg(hide_env_values = true)]
    pub(super) header: Vec<String>,
}
