//! Length of a run that ends after a number of requests.

use std::time::Duration;

use super::args::RunArgs;
use super::spec::FlagError;
use crate::harness::scenario::spec::{ProcessLimits, RunSpec};
use crate::harness::schedule::traffic::Traffic;

impl RunArgs {
    /// Returns the length that the requests of `--requests` take on average.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(super) fn expected_length(&self, spec: &RunSpec) -> Option<Duration> {
        let rate = spec.constant_rate().filter(|rate| *rate > 0.0)?;
        let seconds = self.requests? as f64 / rate;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    /// Returns the run that ends when the schedule would send one request more than `--requests`.
    ///
    /// # Errors
    /// Returns [`FlagError`] when that takes too short or too long, or when the run cannot be planned.
    pub(super) fn until_requests(
        &self,
        spec: RunSpec,
        limits: &ProcessLimits,
    ) -> Result<RunSpec, FlagError> {
        let Some(requests) = self.requests else { return Ok(spec) };
        let allowed = |length: Duration| {
            let fits = RunSpec::allows(length);
            if fits { Ok(length) } else { Err(FlagError::Requests { requests, length }) }
        };
        allowed(spec.duration())?;
        let plan = spec.resolve(limits)?.plan;
        let phases = plan.workload.phases();
        let length = phases.and_then(|phases| Traffic::length_of(phases, requests));
        let length = allowed(length.map_or(spec.duration(), Duration::from))?;
        Ok(spec.lasting(length))
    }
}
