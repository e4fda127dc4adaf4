//! Flags of `mintbench plan`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::harness::plan::search::Terms;
use crate::harness::scenario::objective::Objective;

/// Default signature algorithm of the broker.
pub(super) const ALG: &str = "RS256";

/// Forecast the cores that a fleet needs, and its latency in a boot storm
///
/// Measures hits and then mints of a broker of its own, each up to the highest rate within the
/// objective. Measures a mix and storms that the model is not fitted to, and checks the model by them.
/// Simulates the fleet with the measured costs, and with those at both ends of their interval. Takes
/// some minutes. See docs/planning.md.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the nodes are enough; 1 the broker gave wrong answers or ended; 2 usage; 3 cannot tell (the machine was too disturbed, or the check \
contradicts the model); 4 the calibration allows no plan (the generator was the limit throughout); 5 no number of nodes is enough, nodes.count is not, or no \
measured rate meets the objective; 130 interrupted."
)]
pub(crate) struct PlanArgs {
    /// Fleet file (TOML): callers, request rates and nodes
    #[arg(long, value_name = "FILE", env = "MINTBENCH_PLAN_FLEET")]
    pub(super) fleet: PathBuf,
    /// Objective for the response time of hits and of mints
    #[arg(long, value_name = "BOUND", default_value = "p99<2ms", env = "MINTBENCH_PLAN_SLO")]
    pub(super) slo: Objective,
    /// Largest allowed share of core time, also with lost nodes
    #[arg(long, value_name = "SHARE", default_value = "0.6", value_parser = target, env = "MINTBENCH_PLAN_TARGET")]
    pub(super) target: f64,
    /// Result folders of `run steady` and `run mint` for the calibration, instead of a measurement
    #[arg(long, value_name = "DIR", num_args = 1.., env = "MINTBENCH_PLAN_FROM", value_delimiter = ',')]
    pub(super) from: Vec<PathBuf>,
    /// Length of each level [default: 5s; with --quick: 1s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, env = "MINTBENCH_PLAN_LEVELS_DURATION")]
    pub(super) levels_duration: Option<Duration>,
    /// Measure few, short and coarse levels up to low rates: for a test of a fleet file only
    #[arg(long, env = "MINTBENCH_PLAN_QUICK")]
    pub(super) quick: bool,
    /// Do not measure the mix and the storms that check the model
    #[arg(long, env = "MINTBENCH_PLAN_NO_HELD_OUT")]
    pub(super) no_held_out: bool,
    /// Number of simulations of each situation of the fleet
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=1000), env = "MINTBENCH_PLAN_REPLICATIONS")]
    pub(super) replications: u32,
    /// Signature algorithm: RS256, ES256 or `EdDSA` [default: the broker's, RS256]
    #[arg(long, value_name = "ALG", env = "MINTBENCH_PLAN_ALG")]
    pub(super) alg: Option<String>,
    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 1, env = "MINTBENCH_PLAN_SEED")]
    pub(super) seed: u64,
    /// Folder for plan.json and plan.txt [default: none]
    #[arg(long, value_name = "DIR", env = "MINTBENCH_PLAN_OUT")]
    pub(super) out: Option<PathBuf>,
    /// Print plan.json instead of sentences
    #[arg(long, env = "MINTBENCH_PLAN_JSON")]
    pub(super) json: bool,
}

impl PlanArgs {
    /// Returns the range and the resolution of a search.
    pub(super) const fn terms(&self, start: f64, rate_max: f64) -> Terms {
        // The cost of a request varies by more from one moment to the next.
        let (resolution, repeats) = if self.quick { (1.5, 1) } else { (1.1, 1) };
        let (limit_ns, seed) = (self.slo.limit_ns(), self.seed);
        Terms { limit_ns, start, rate_max, resolution, repeats, seed }
    }
}

fn target(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "not a number; use 0.05 to 0.95".to_owned())?;
    let allowed = (0.05..=0.95).contains(&share);
    allowed.then_some(share).ok_or_else(|| "use 0.05 to 0.95".to_owned())
}
