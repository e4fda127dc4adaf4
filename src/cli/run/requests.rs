//! Length of a run that ends after a number of requests.

use std::time::Duration;

use super::args::RunArgs;
use super::spec::FlagError;
use crate::harness::scenario::spec::{LENGTH_MIN, ProcessLimits, Resolved, RunSpec};
use crate::harness::schedule::traffic::Traffic;

/// Length with which a run can be planned, whatever the number of its requests.
const ANY_LENGTH: Duration = Duration::from_secs(1);

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
        let expected = spec.duration();
        if expected > LENGTH_MIN && !RunSpec::allows(expected) {
            return Err(FlagError::ManyRequests { requests, length: expected });
        }
        let lengths = Lengths::of(&spec, limits)?;
        let length = lengths.of_requests(requests).unwrap_or(expected);
        if RunSpec::allows(length) {
            return Ok(spec.lasting(length));
        }
        if length > LENGTH_MIN {
            return Err(FlagError::ManyRequests { requests, length });
        }
        let length = if expected < LENGTH_MIN { expected } else { length };
        Err(FlagError::FewRequests { requests, length, enough: lengths.enough(requests) })
    }
}

/// Lengths of runs with the schedule of one definition.
struct Lengths(Resolved);

impl Lengths {
    fn of(spec: &RunSpec, limits: &ProcessLimits) -> Result<Self, FlagError> {
        Ok(Self(spec.clone().lasting(ANY_LENGTH).resolve(limits)?))
    }

    /// Returns the length in which this number of requests starts.
    fn of_requests(&self, requests: u64) -> Option<Duration> {
        let phases = self.0.plan.workload.phases()?;
        Traffic::length_of(phases, requests).map(Duration::from)
    }

    /// Returns the least number of requests that take long enough, where `few` do not.
    fn enough(&self, mut few: u64) -> u64 {
        let is_enough =
            |requests| self.of_requests(requests).is_none_or(|length| length >= LENGTH_MIN);
        let doubled = std::iter::successors(Some(few), |few| few.checked_mul(2));
        let mut most = doubled.skip(1).find(|requests| is_enough(*requests)).unwrap_or(u64::MAX);
        while most - few > 1 {
            let middle = few + (most - few) / 2;
            if is_enough(middle) { most = middle } else { few = middle }
        }
        most
    }
}
