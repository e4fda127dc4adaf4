//! Displays of a run in progress: the live view, and the metrics for Prometheus.

mod metrics;
mod text;
mod view;

use std::sync::Arc;

use self::metrics::MetricsServer;
use self::text::Header;
use self::view::{LiveView, Mode};
use super::args::RunArgs;
use super::error::RunError;
use crate::cli::terminal::say;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::session::progress::RunProgress;
use crate::harness::session::subject::Subject;

/// Displays of a run in progress, which end when dropped.
pub(super) struct Displays {
    pub(super) progress: Arc<RunProgress>,
    _live: LiveView,
    _metrics: Option<MetricsServer>,
}

impl Displays {
    pub(super) fn start(
        args: &RunArgs,
        scenario: &str,
        plan: &RunPlan,
        subject: &Subject,
    ) -> Result<Self, RunError> {
        let progress = Arc::new(RunProgress::of(&plan.workload));
        let header = Header {
            scenario: scenario.to_owned(),
            target: subject.target().to_string(),
            rate: plan.workload.level(),
            warmup: plan.warmup,
            length: plan.warmup + plan.duration,
        };
        let serve = |address| {
            let (progress, header) = (Arc::clone(&progress), header.clone());
            let server = MetricsServer::start(address, progress, header, plan.cores.clone());
            server.map_err(|source| RunError::Metrics { address, source })
        };
        let metrics = args.metrics.map(serve).transpose()?;
        if let Some(server) = &metrics {
            say(format_args!("metrics   http://{}/metrics", server.address()));
        }
        let mode = if args.quiet { Mode::Quiet } else { Mode::of_terminal() };
        let live = LiveView::start(mode, Arc::clone(&progress), header, plan.cores.clone());
        Ok(Self { progress, _live: live, _metrics: metrics })
    }
}
