//! Limits of the generator at a level, apart from disturbances by the host.
//!
//! A busy thread, a missed rate and unsent requests are limits of the generator. A thread that was late
//! although it had time was disturbed by the host. The bounds of the percentile hold this lateness. Only
//! for a stored result without lower bounds it counts as a limit, if it alone could make the objective
//! fail.

use hdrhistogram::Histogram;

use crate::harness::document::run::Run;
use crate::harness::judge::validity::Reason;
use crate::harness::judge::validity::limits::BUSY_MAX;
use crate::harness::scenario::objective::Objective;
use crate::harness::stats::float::float;

/// Minimum share of the target rate. A Poisson stream of a few seconds varies by less than 5 %.
const RATE_MIN: f64 = 0.95;

/// Faults of a level.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// Reason why the generator was the limit, if it was.
    pub(super) generator: Option<String>,
    /// Disturbances by the host.
    pub(super) noise: Vec<String>,
}

impl Faults {
    /// Sorts the reasons of a run.
    pub(super) fn of(reasons: &[Reason]) -> Self {
        let (limits, noise): (Vec<&Reason>, Vec<&Reason>) =
            reasons.iter().partition(|reason| is_limit(reason));
        let words = |reasons: Vec<&Reason>| -> Vec<String> {
            reasons.into_iter().map(ToString::to_string).collect()
        };
        let generator = (!limits.is_empty()).then(|| words(limits).join("; "));
        Self { generator, noise: words(noise) }
    }

    /// Applies the same rules to a stored run. `lag` is given for a run without lower bounds.
    pub(super) fn of_stored(run: &Run, lag: Option<&Histogram<u64>>, slo: &Objective) -> Self {
        let busy = run.validity.generator_cpu_share;
        let missed = run.load.rate_achieved.zip(run.load.rate_target);
        let generator = if busy > BUSY_MAX {
            Some(format!("a generator thread was busy {:.0} % of the time", busy * 100.0))
        } else if run.validity.unsent > 0 {
            Some(format!("it did not get to {} requests", run.validity.unsent))
        } else if let Some((achieved, _)) = missed.filter(|(of, target)| *of < RATE_MIN * *target) {
            Some(format!("it acted on {achieved:.1} requests per second only"))
        } else {
            lag.and_then(|lag| too_late(lag, slo))
        };
        let noise = if generator.is_some() { Vec::new() } else { run.validity.faults() };
        Self { generator, noise }
    }
}

const fn is_limit(reason: &Reason) -> bool {
    match reason {
        Reason::Busy { .. }
        | Reason::Impeded { .. }
        | Reason::Rate { .. }
        | Reason::Unsent { .. } => true,
        Reason::Burst { .. }
        | Reason::Gaps(_)
        | Reason::HitRatio(_)
        | Reason::Hiccup { .. }
        | Reason::Interrupted(_)
        | Reason::Lag { .. }
        | Reason::LagTail { .. }
        | Reason::Median { .. }
        | Reason::NoRequests
        | Reason::Notice { .. }
        | Reason::NoticeTail { .. }
        | Reason::Paging { .. }
        | Reason::Steal { .. }
        | Reason::Throttled { .. }
        | Reason::Unsteady(_) => false,
    }
}

/// Returns a reason if lateness of the generator alone could make the objective fail.
fn too_late(lag: &Histogram<u64>, slo: &Objective) -> Option<String> {
    let late = float(lag.value_at_quantile(slo.quantile()));
    (late > slo.limit_ns() / 2.0).then(|| {
        format!(
            "it was {:.1} us late at the p{} itself, more than half of the limit",
            late / 1e3,
            slo.quantile() * 100.0
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::nanos::Nanos;
    use crate::harness::record::intervals::histogram;

    #[test]
    fn lateness_is_noise_and_a_rate_that_was_missed_is_a_limit() {
        let late = Reason::LagTail { p999: Nanos::SECOND, limit: Nanos::ZERO };
        let faults = Faults::of(std::slice::from_ref(&late));
        assert_eq!((faults.generator, faults.noise.len()), (None, 1));
        let faults = Faults::of(&[late, Reason::Rate { scheduled: 100, acted: 50 }]);
        assert!(faults.generator.unwrap().contains("acted on 50 requests"));
        assert_eq!(faults.noise.len(), 1);
    }

    #[test]
    fn without_lower_bounds_a_late_generator_is_the_limit() {
        let mut lag = histogram();
        lag.record_n(1_100_000, 100).unwrap();
        let slo = "p99<2ms".parse().unwrap();
        assert!(too_late(&lag, &slo).unwrap().contains("us late at the p99 itself"));
        assert_eq!(too_late(&lag, &"p99<3ms".parse().unwrap()), None);
    }
}
