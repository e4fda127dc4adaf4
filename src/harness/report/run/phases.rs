//! The phases of a run.

use crate::base::clock::us;
use crate::harness::class::Class;
use crate::harness::document::extra::Extra;
use crate::harness::document::run::classes::PhaseClass;
use crate::harness::document::run::phases::{Phase as PhaseResult, RateSteps};
use crate::harness::judge::outcome::Outcome;
use crate::harness::nanos::Nanos;
use crate::harness::record::intervals::Latencies;
use crate::harness::report::quantiles::{bounded, percentiles};
use crate::harness::scenario::phases::Phase;
use crate::harness::scenario::run_plan::RunPlan;

/// Returns the results of each phase that had begun. A single phase is the whole measured part.
pub(super) fn of(plan: &RunPlan, outcome: &Outcome) -> Vec<PhaseResult> {
    let Some(phases) = plan.workload.phases() else { return Vec::new() };
    let (totals, tally) = (&outcome.measured.totals, &outcome.measured.tally);
    let sets =
        if tally.phases.is_empty() { std::slice::from_ref(&totals.whole) } else { &tally.phases };
    let mut start = Nanos::ZERO;
    let begun = phases.phases.iter().zip(sets).map(|(phase, set)| {
        let begins = start;
        start += phase.length;
        let length = phase.length.min(outcome.duration.saturating_sub(begins));
        (!length.is_zero()).then(|| PhaseResult {
            name: phase.name.clone(),
            start_s: us(begins.as_u64()) / 1e6,
            duration_s: us(length.as_u64()) / 1e6,
            arrivals: phase.spacing().to_owned(),
            rate_target: mean_rate(phase, length),
            rate_course: rate_course(phase, length),
            classes: set
                .seen()
                .map(|(class, of)| (class, phase_class(outcome, class, of)))
                .collect(),
            extra: Extra::new(),
        })
    });
    begun.flatten().collect()
}

/// Returns the mean of the intended rate over the first `length` of a phase.
fn mean_rate(phase: &Phase, length: Nanos) -> f64 {
    if length == phase.length {
        return phase.mean_rate();
    }
    phase
        .planned(length)
        .first()
        .map_or(0.0, |requests| requests * 1e9 / (us(length.as_u64()) * 1e3))
}

/// Maximum number of steps of a phase, more than a chart shows.
const STEPS_MAX: u64 = 600;

/// Returns the steps that begin within the first `length`, or none for a constant rate.
fn rate_course(phase: &Phase, length: Nanos) -> Option<RateSteps> {
    if phase.level().is_some() {
        return None;
    }
    let seconds = phase.length.div_ceil(Nanos::SECOND * STEPS_MAX).max(1);
    let step = Nanos::SECOND * seconds;
    let rate = |(begins_ns, requests): (u64, f64)| {
        let own = phase.length.saturating_sub(Nanos::new(begins_ns)).min(step);
        (requests * 1e12 / (us(own.as_u64()) * 1e3)).round() / 1e3
    };
    let begins = (0..length.as_u64()).step_by(usize::try_from(step.as_u64()).ok()?);
    Some(RateSteps { step_s: seconds, rates: begins.zip(phase.planned(step)).map(rate).collect() })
}

fn phase_class(outcome: &Outcome, class: Class, latencies: &Latencies) -> PhaseClass {
    let count = latencies.response.len();
    PhaseClass {
        count,
        errors: if class.is_failure() { count } else { 0 },
        response_us: bounded(&outcome.bounds_of(class, latencies)),
        service_us: percentiles(&latencies.service),
        extra: Extra::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::scenario::phases::{Arrivals, Timing};
    use crate::harness::scenario::profile::Profile;

    fn ramp(length: Nanos) -> Phase {
        Phase {
            name: "boot".to_owned(),
            arrivals: Arrivals::Poisson,
            timing: Timing::Rate(Profile::ramp(500.0, 2500.0, length)),
            length,
            mix: Vec::new(),
        }
    }

    #[test]
    fn a_ramp_has_the_mean_rate_of_each_second() {
        let phase = ramp(Nanos::SECOND * 4);
        let course = rate_course(&phase, phase.length).unwrap();
        assert_eq!((course.step_s, course.rates), (1, vec![750.0, 1250.0, 1750.0, 2250.0]));
        // The last step is half a second long.
        let short = ramp(Nanos::SECOND * 5 / 2);
        let course = rate_course(&short, short.length).unwrap();
        assert_eq!(course.rates, [900.0, 1700.0, 2300.0]);
    }

    #[test]
    fn a_phase_that_was_cut_has_the_mean_rate_of_what_there_is() {
        let phase = ramp(Nanos::SECOND * 4);
        assert!((mean_rate(&phase, Nanos::SECOND * 4) - 1500.0).abs() < 1e-9);
        assert!((mean_rate(&phase, Nanos::SECOND * 2) - 1000.0).abs() < 1e-9);
        assert_eq!(rate_course(&phase, Nanos::SECOND * 2).unwrap().rates, [750.0, 1250.0]);
    }

    #[test]
    fn a_long_phase_has_no_more_steps_than_a_chart_shows() {
        let phase = ramp(Nanos::SECOND * 3_600);
        let course = rate_course(&phase, phase.length).unwrap();
        assert_eq!((course.step_s, course.rates.len()), (6, 600));
    }

    #[test]
    fn a_rate_that_does_not_change_has_no_course() {
        let timing = Timing::Rate(Profile::constant(5.0, Nanos::SECOND));
        assert!(rate_course(&Phase { timing, ..ramp(Nanos::SECOND) }, Nanos::SECOND).is_none());
    }
}
