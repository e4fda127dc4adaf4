//! The judged result of a run.

use std::borrow::Cow;

use super::changes::ChangesReport;
use super::checks;
use super::conditions::Conditions;
use super::failure::{Failure, is_final};
use super::gap_fit::GapFit;
use super::standing::Bounds;
use super::steady_state::{Seconds, SteadyState};
use super::undisturbed::Undisturbed;
use super::validity::limits::lag_limit;
use super::validity::{self, Evidence, Reason, Shape};
use super::verify::Verdict;
use crate::harness::class::Class;
use crate::harness::machine::host::strain::Strain;
use crate::harness::nanos::Nanos;
use crate::harness::record::blocks::Blocks;
use crate::harness::record::broker_counters::Counted;
use crate::harness::record::collector::Totals;
use crate::harness::record::intervals::{IntervalSet, Latencies};
use crate::harness::record::measured::Measured;
use crate::harness::record::self_report::SelfReport;
use crate::harness::record::tally::Tally;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::scenario::workload::Workload;

/// The judged result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Measurements of the generator.
    pub measured: Measured,
    /// Latencies of all requests.
    pub all: Latencies,
    /// Latencies of all requests that did not fail.
    pub good: Latencies,
    /// Counts of the broker; none for a foreign target.
    pub broker: Option<Counted>,
    /// Result of the verification; none without keys.
    pub verdict: Option<Verdict>,
    /// Changes made during the run; none if none were planned.
    pub changes: Option<ChangesReport>,
    /// Conditions of the run.
    pub conditions: Conditions,
    /// Latency over the time in which nothing disturbed the run.
    pub undisturbed: Undisturbed,
    /// Length of the measured part in nanoseconds. Shorter than planned if the user ended the run.
    pub duration: Nanos,
    /// Requests acted on per second of the measured part; none for bursts.
    pub rate_achieved: Option<f64>,
    /// Answers per second of the measured part.
    pub rate_answered: f64,
    /// Disturbances and faults of the run. By the strict rule each makes the run invalid; see
    /// [`Ruling`](super::ruling::Ruling).
    pub reasons: Vec<Reason>,
    /// Checks that failed.
    pub failures: Vec<Failure>,
}

/// Findings about a run apart from the measurements of the generator.
#[derive(Debug)]
pub struct Findings {
    /// Counts of the broker; none for a foreign target.
    pub broker: Option<Counted>,
    /// Report of the broker about itself during the measured part.
    pub self_report: Option<SelfReport>,
    /// Result of the verification; none without keys.
    pub verdict: Option<Verdict>,
    /// Changes made during the run; none if none were planned.
    pub changes: Option<ChangesReport>,
    /// Disturbance of the generator by the machine.
    pub strain: Strain,
    /// Latency and cache hits of each second.
    pub seconds: Seconds,
    /// Latency over the time in which nothing disturbed the run.
    pub undisturbed: Undisturbed,
}

/// Judges the measurements of a run.
pub fn judge(plan: &RunPlan, measured: Measured, findings: Findings) -> Outcome {
    let Findings { broker, self_report, verdict, changes, strain, seconds, undisturbed } = findings;
    let (good, all) = merged(&measured.totals.whole);
    // The limits of lateness follow from the times of good answers, because a refusal may take no
    // time.
    let judged = judged(&good, &all);
    let duration = measured.cut.map_or(plan.duration, |cut| cut.measured);
    let shape = shape(&plan.workload, &measured.tally);
    let conditions = Conditions {
        strain,
        gap_fit: GapFit::of(&measured.pacing, lag_limit(&judged.service)),
        steady: seconds.steady_state(plan, &measured.totals),
        hit_ratios: seconds.hit_ratios(plan),
        broker: self_report,
    };
    let reasons = validity::judge(&Evidence {
        cut: measured.cut,
        shape,
        unsent: measured.tally.unsent,
        lag: &all.lag,
        notice: &measured.notice,
        service: &judged.service,
        response: &judged.response,
        causes: &measured.tally.causes,
        hiccup: &measured.hiccup,
        busy_share: measured.busy_share,
        duration,
        conditions: &conditions,
    });
    let mut failures =
        checks::failures(plan, &measured, broker.as_ref(), verdict, changes.as_ref());
    failures.retain(|failure| measured.cut.is_none() || is_final(failure));
    let running = duration.saturating_sub(measured.paused);
    let rate_achieved = match shape {
        Shape::Bursts { .. } => None,
        Shape::Rate { .. } => Some(rate(measured.tally.acted, running)),
    };
    let rate_answered = rate(measured.tally.answered, running);
    Outcome {
        measured,
        all,
        good,
        broker,
        verdict,
        changes,
        conditions,
        undisturbed,
        duration,
        rate_achieved,
        rate_answered,
        reasons,
        failures,
    }
}

impl Outcome {
    /// Returns the latencies of the good answers, or of all requests if no answer was good.
    pub fn judged(&self) -> &Latencies {
        judged(&self.good, &self.all)
    }

    /// Returns the bounds of the response times of these requests.
    pub fn bounds(&self) -> Bounds<'_> {
        let none_good = self.good.response.is_empty();
        let seen = self.measured.totals.whole.seen().map(|(class, _)| class);
        let classes: Vec<Class> = seen.filter(|class| none_good || !class.is_failure()).collect();
        self.bounds_over_time(self.judged(), &classes)
    }

    /// Returns the bounds of the response times of a class.
    pub fn bounds_of<'a>(&'a self, class: Class, latencies: &'a Latencies) -> Bounds<'a> {
        self.bounds_over_time(latencies, &[class])
    }

    fn bounds_over_time<'a>(&'a self, latencies: &'a Latencies, classes: &[Class]) -> Bounds<'a> {
        let Totals { responses, lowers, .. } = &self.measured.totals;
        let bounds = Bounds::new(&latencies.response, Some(&latencies.lower));
        if !self.is_steady_by_design() {
            return bounds;
        }
        let together = |blocks: &'a Blocks| match classes {
            [only] => Cow::Borrowed(blocks.of(*only)),
            several => Cow::Owned(blocks.together(several.iter().copied())),
        };
        Bounds { upper_blocks: together(responses), lower_blocks: together(lowers), ..bounds }
    }

    /// Returns true if the load and the target stay the same, so that stretches of time can be compared.
    pub(super) fn is_steady_by_design(&self) -> bool {
        self.conditions.steady != SteadyState::NotExpected
    }
}

fn judged<'a>(good: &'a Latencies, all: &'a Latencies) -> &'a Latencies {
    if good.response.is_empty() { all } else { good }
}

/// Returns the latencies of the requests that did not fail, and of all requests.
fn merged(set: &IntervalSet) -> (Latencies, Latencies) {
    let mut good = Latencies::default();
    set.good().for_each(|(_, latencies)| good.add(latencies));
    let mut all = good.clone();
    set.seen().filter(|(class, _)| class.is_failure()).for_each(|(_, failed)| all.add(failed));
    (good, all)
}

#[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^53")]
fn rate(count: u64, duration: Nanos) -> f64 {
    count as f64 * 1e9 / duration.max(Nanos::new(1)).as_f64()
}

/// Returns the spacing of the requests, with the counts that show if the generator kept to it.
const fn shape(workload: &Workload, tally: &Tally) -> Shape {
    match workload {
        Workload::Herd(herds) => Shape::Bursts { gap: herds.gap },
        Workload::Phases(_) => Shape::Rate { scheduled: tally.scheduled, acted: tally.acted },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::scenario::mix::Kind;
    use crate::harness::scenario::workload::Herds;
    use crate::harness::scenario::workload::tests::one;

    #[test]
    fn a_rate_is_judged_by_what_was_scheduled_and_a_herd_is_not() {
        // The mean rate gives 100 requests, the schedule drew 90. The rule compares with the 90
        // drawn.
        let tally = Tally { scheduled: 90, acted: 90, ..Tally::default() };
        let rate = shape(&one(100.0, Kind::New { repeat: 1 }), &tally);
        assert!(matches!(rate, Shape::Rate { scheduled: 90, acted: 90 }), "{rate:?}");
        let herds = Herds { herds: 1, callers: 9, first: Nanos::ZERO, gap: Nanos::new(7) };
        let bursts = shape(&Workload::Herd(herds), &tally);
        assert!(matches!(bursts, Shape::Bursts { gap } if gap == Nanos::new(7)), "{bursts:?}");
    }
}
