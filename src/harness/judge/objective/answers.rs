//! Answers that an objective is judged by.

use hdrhistogram::Histogram;

use crate::harness::class::Class;
use crate::harness::judge::standing::{BEYOND_MIN, ROUNDING};
use crate::harness::nanos::Nanos;
use crate::harness::record::intervals::{IntervalSet, histogram};
use crate::harness::record::measured::Measured;
use crate::harness::scenario::objective::Objective;
use crate::harness::stats::float::float;

/// Answers that an objective is judged by.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Response times of the answers that came, in nanoseconds.
    pub response: Histogram<u64>,
    /// Failed requests, which count as slower than every objective.
    pub failed: u64,
}

impl Answers {
    /// Returns the answers of these classes that the objective covers.
    ///
    /// A failed request might have been of any class of good answers, so it counts against the objective
    /// of each. An objective of a class of failures or refusals covers only that class.
    pub fn of<'a>(
        objective: &Objective,
        classes: impl Iterator<Item = (Class, &'a Histogram<u64>)>,
    ) -> Self {
        let mut answers = Self { response: histogram(), failed: 0 };
        for (class, response) in classes {
            match cover(objective, class) {
                Cover::Answer => {
                    // All histograms have equal bounds, so adding cannot fail.
                    let _ = answers.response.add(response);
                }
                Cover::Failed => answers.failed += response.len(),
                Cover::Nothing => {}
            }
        }
        answers
    }

    /// Returns the answers of a run that the objective covers.
    pub(super) fn of_run(objective: &Objective, measured: &Measured) -> Self {
        let set = Self::set(objective, measured);
        Self::of(objective, set.seen().map(|(class, latencies)| (class, &latencies.response)))
    }

    /// Returns the latencies of the phase of an objective, or of the whole measured part.
    pub(super) fn set<'a>(objective: &Objective, measured: &'a Measured) -> &'a IntervalSet {
        let phases = &measured.tally.phases;
        // A single phase is the whole measured part.
        let of_phase = objective.phase_index().and_then(|index| phases.get(index));
        of_phase.unwrap_or(&measured.totals.whole)
    }

    /// Returns the number of answers, including failed requests.
    pub fn count(&self) -> u64 {
        self.response.len() + self.failed
    }

    /// Returns a percentile of these answers in nanoseconds. Failed requests count as the slowest
    /// answers. Returns none if the percentile is one of them, or if there are no answers.
    pub fn at_quantile(&self, quantile: f64) -> Option<u64> {
        let Self { response, .. } = self;
        let quantile = quantile * float(self.count()) / float(response.len());
        let came = !response.is_empty() && quantile <= 1.0 + ROUNDING;
        came.then(|| response.value_at_quantile(quantile))
    }

    /// Returns the number of answers over the limit, including failed requests.
    pub(super) fn over(&self, objective: &Objective) -> u64 {
        let steps = self.response.iter_recorded();
        let over = steps.filter(|step| !objective.allows(Nanos::new(step.value_iterated_to())));
        over.map(|step| step.count_at_value()).sum::<u64>() + self.failed
    }
}

/// Part that the answers of a class have in the judgement of an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cover {
    /// Their response times count.
    Answer,
    /// They count as slower than the objective.
    Failed,
    /// They do not count.
    Nothing,
}

pub(super) fn cover(objective: &Objective, class: Class) -> Cover {
    if objective.class().map_or(!class.is_failure(), |own| own == class) {
        Cover::Answer
    } else if class.is_failure() && objective.class().is_none_or(Class::is_token) {
        Cover::Failed
    } else {
        Cover::Nothing
    }
}

/// Returns the number of answers that puts ten samples beyond a percentile; 1 for the maximum, which
/// has none beyond it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is positive, and a cast beyond u64 saturates"
)]
pub fn answers_min(quantile: f64) -> u64 {
    let beyond = 1.0 - quantile;
    if beyond > 0.0 { (BEYOND_MIN / beyond * (1.0 - ROUNDING)).ceil() as u64 } else { 1 }
}
