//! Verdicts on service-level objectives.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::harness::class::Class;
use crate::harness::nanos::Nanos;
use crate::harness::record::intervals::histogram;
use crate::harness::record::measured::Measured;
use crate::harness::scenario::objective::Objective;
use crate::harness::stats::binomial::at_least;
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
            if objective.class().map_or(!class.is_failure(), |own| own == class) {
                // All histograms have equal bounds, so adding cannot fail.
                let _ = answers.response.add(response);
            } else if class.is_failure() && objective.class().is_none_or(Class::is_token) {
                answers.failed += response.len();
            }
        }
        answers
    }

    /// Returns the answers of a run that the objective covers.
    pub fn of_run(objective: &Objective, measured: &Measured) -> Self {
        let phases = &measured.tally.phases;
        // A single phase is the whole measured part.
        let of_phase = objective.phase_index().and_then(|index| phases.get(index));
        let set = of_phase.unwrap_or(&measured.totals.whole);
        Self::of(objective, set.seen().map(|(class, latencies)| (class, &latencies.response)))
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
    fn over(&self, objective: &Objective) -> u64 {
        let steps = self.response.iter_recorded();
        let over = steps.filter(|step| !objective.allows(Nanos::new(step.value_iterated_to())));
        over.map(|step| step.count_at_value()).sum::<u64>() + self.failed
    }
}

/// Verdict on an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The percentile is within the limit.
    Met,
    /// The percentile is beyond the limit.
    Missed,
    /// There are too few answers to tell.
    Inconclusive,
}

impl Verdict {
    /// Returns true if the objective is met, or none if there are too few answers to tell.
    pub const fn met(self) -> Option<bool> {
        match self {
            Self::Met => Some(true),
            Self::Missed => Some(false),
            Self::Inconclusive => None,
        }
    }
}

/// Verdict on an objective, with its basis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Percentile in nanoseconds; none if it is a failed request, or if there are too few answers.
    pub measured_ns: Option<u64>,
    /// Number of answers, including failed requests.
    pub count: u64,
    /// Number of answers that is always enough.
    pub count_min: u64,
}

impl Judgement {
    /// Judges these answers.
    ///
    /// A percentile is known from ten answers beyond it. With fewer, the objective is never met. It is
    /// missed if more answers are over the limit than chance explains.
    pub fn of(objective: &Objective, answers: &Answers) -> Self {
        let quantile = objective.quantile();
        let (count, count_min, measured_ns) =
            (answers.count(), answers_min(quantile), answers.at_quantile(quantile));
        let verdict = if count >= count_min {
            if measured_ns.is_some_and(|ns| objective.allows(Nanos::new(ns))) {
                Verdict::Met
            } else {
                Verdict::Missed
            }
        } else if at_least(answers.over(objective), count, 1.0 - quantile) <= CHANCE {
            Verdict::Missed
        } else {
            Verdict::Inconclusive
        };
        let measured_ns = measured_ns.filter(|_| verdict != Verdict::Inconclusive);
        Self { verdict, measured_ns, count, count_min }
    }

    /// Judges a run.
    pub fn of_run(objective: &Objective, measured: &Measured) -> Self {
        Self::of(objective, &Answers::of_run(objective, measured))
    }
}

/// Returns the number of answers that puts [`BEYOND_MIN`] beyond a percentile; 1 for the maximum, which
/// has none beyond it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is positive, and a cast beyond u64 saturates"
)]
fn answers_min(quantile: f64) -> u64 {
    let beyond = 1.0 - quantile;
    if beyond > 0.0 { (BEYOND_MIN / beyond * (1.0 - ROUNDING)).ceil() as u64 } else { 1 }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verdict, measured_ns, count, count_min } = self;
        let verdict = match verdict {
            Verdict::Met => "met",
            Verdict::Missed => "BREACHED",
            Verdict::Inconclusive if *count == 0 => {
                return f.write_str("cannot tell, no such answers");
            }
            Verdict::Inconclusive => {
                return write!(
                    f,
                    "cannot tell from {count} answers, {count_min} are needed; raise --duration or --rate"
                );
            }
        };
        match measured_ns.map(|ns| Duration::from_nanos(ns / 1000 * 1000)) {
            Some(time) => write!(f, "{verdict}, measured {}", humantime::format_duration(time)),
            None => write!(f, "{verdict}, the percentile is a failed request"),
        }
    }
}

/// Minimum number of answers beyond a percentile. With fewer, a few bad moments decide it.
const BEYOND_MIN: f64 = 10.0;
/// Maximum error of a calculation with decimal shares.
const ROUNDING: f64 = 1e-9;
/// Maximum probability that an objective which is met looks missed, if there are too few answers to know
/// the percentile.
const CHANCE: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(times: &[(u64, u64)], failed: u64) -> Answers {
        let mut response = histogram();
        for (ns, count) in times {
            response.record_n(*ns, *count).unwrap();
        }
        Answers { response, failed }
    }

    fn judge(objective: &str, answers: &Answers) -> (Verdict, Option<u64>) {
        let judgement = Judgement::of(&objective.parse().unwrap(), answers);
        (judgement.verdict, judgement.measured_ns)
    }

    #[test]
    fn failed_requests_are_slower_than_every_objective() {
        let answers = answers(&[(1_000, 9_800)], 200);
        assert_eq!(judge("p98<1ms", &answers), (Verdict::Met, Some(1_000)));
        assert_eq!(judge("p98<1us", &answers), (Verdict::Missed, Some(1_000)));
        assert_eq!(judge("p99<1h", &answers), (Verdict::Missed, None));
        assert_eq!(judge("max<1h", &answers), (Verdict::Missed, None));
        assert_eq!(
            judge("p50<1h", &super::Answers { failed: 20, ..none() }),
            (Verdict::Missed, None)
        );
    }

    fn none() -> Answers {
        answers(&[], 0)
    }

    #[test]
    fn a_failed_request_counts_against_every_class_of_good_answers() {
        let [hits, errors] = [answers(&[(1_000, 90)], 0), answers(&[(10, 10)], 0)];
        let seen = [(Class::Hit, &hits.response), (Class::Error, &errors.response)];
        let counts = |text: &str| {
            let answers = Answers::of(&text.parse().unwrap(), seen.into_iter());
            (answers.response.len(), answers.failed)
        };
        for text in ["p50<1s", "hit.p50<1s"] {
            assert_eq!(counts(text), (90, 10), "{text}");
        }
        assert_eq!(counts("miss.p50<1s"), (0, 10));
        assert_eq!(counts("error.p50<1s"), (10, 0));
        assert_eq!(counts("refused.p50<1s"), (0, 0));
    }

    #[test]
    fn a_percentile_needs_ten_answers_beyond_it_to_be_met() {
        for (objective, enough) in [
            ("p50<1s", 20),
            ("p90<1s", 100),
            ("p99<1s", 1_000),
            ("p99.99<1s", 100_000),
            ("max<1s", 1),
        ] {
            let fast = |count| answers(&[(5_000_000, count)], 0);
            assert_eq!(judge(objective, &fast(enough)).0, Verdict::Met, "{objective}");
            let fewer = if enough > 1 { fast(enough - 1) } else { none() };
            assert_eq!(judge(objective, &fewer), (Verdict::Inconclusive, None), "{objective}");
        }
    }

    #[test]
    fn few_answers_show_a_miss_that_is_no_chance() {
        let over = |count| answers(&[(5_000_000, 100 - count), (2_000_000_000, count)], 0);
        // One of a hundred may be over the limit; three are over it in one case of thirteen.
        assert_eq!(judge("p99<1s", &over(3)).0, Verdict::Inconclusive);
        assert_eq!(judge("p99<1s", &over(4)).0, Verdict::Missed);
        assert_eq!(judge("p99.99<1s", &answers(&[(5, 22)], 1)).0, Verdict::Missed);
        assert_eq!(judge("p99<1s", &answers(&[(5, 96)], 4)), (Verdict::Missed, None));
    }
}
