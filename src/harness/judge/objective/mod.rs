//! Verdicts on service-level objectives.

mod bounded;

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

pub use self::bounded::{AnswersOverTime, BoundedAnswers, over_time};
use super::outcome::Outcome;
use super::ruling::Rule;
use super::standing::{BEYOND_MIN, ROUNDING, are_close};
use crate::base::clock::readable;
use crate::harness::class::Class;
use crate::harness::nanos::Nanos;
use crate::harness::record::intervals::{IntervalSet, histogram};
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
    fn of_run(objective: &Objective, measured: &Measured) -> Self {
        let set = Self::set(objective, measured);
        Self::of(objective, set.seen().map(|(class, latencies)| (class, &latencies.response)))
    }

    /// Returns the latencies of the phase of an objective, or of the whole measured part.
    fn set<'a>(objective: &Objective, measured: &'a Measured) -> &'a IntervalSet {
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
    fn over(&self, objective: &Objective) -> u64 {
        let steps = self.response.iter_recorded();
        let over = steps.filter(|step| !objective.allows(Nanos::new(step.value_iterated_to())));
        over.map(|step| step.count_at_value()).sum::<u64>() + self.failed
    }
}

/// Part that the answers of a class have in the judgement of an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cover {
    /// Their response times count.
    Answer,
    /// They count as slower than the objective.
    Failed,
    /// They do not count.
    Nothing,
}

fn cover(objective: &Objective, class: Class) -> Cover {
    if objective.class().map_or(!class.is_failure(), |own| own == class) {
        Cover::Answer
    } else if class.is_failure() && objective.class().is_none_or(Class::is_token) {
        Cover::Failed
    } else {
        Cover::Nothing
    }
}

/// Verdict on an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The percentile is within the limit.
    Met,
    /// The percentile is beyond the limit.
    Missed,
    /// Nobody can tell: there are too few answers, or the bounds of the percentile are too wide.
    Inconclusive,
}

impl Verdict {
    /// Returns true if the objective is met, or none if nobody can tell.
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
    /// Percentile in nanoseconds, as recorded; none if it is a failed request, or if there are too few answers.
    pub measured_ns: Option<u64>,
    /// Lower bound of the percentile; none also if it is not known.
    pub lower_ns: Option<u64>,
    /// Number of answers, including failed requests.
    pub count: u64,
    /// Number of answers that is always enough.
    pub count_min: u64,
}

impl Judgement {
    /// Judges these answers by their response times as recorded: the strict rule, and that of results without lower
    /// bounds.
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
        Self { verdict, measured_ns, lower_ns: None, count, count_min }
    }

    /// Judges a run.
    pub fn of_run(rule: Rule, objective: &Objective, outcome: &Outcome) -> Self {
        match rule {
            Rule::Strict => Self::of(objective, &Answers::of_run(objective, &outcome.measured)),
            Rule::Bounds => Self::by_bounds(objective, &BoundedAnswers::of_run(objective, outcome)),
        }
    }

    /// Returns the bounds of the percentile, if they are more than 10 % apart.
    fn apart(&self) -> Option<(u64, u64)> {
        let (lower_ns, upper_ns) = self.lower_ns.zip(self.measured_ns)?;
        (!are_close(lower_ns, upper_ns)).then_some((lower_ns, upper_ns))
    }

    /// Writes why nobody can tell, and what to do.
    fn undecided(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { measured_ns, count, count_min, .. } = self;
        if *count == 0 {
            return f.write_str("cannot tell, no such answers");
        }
        if count < count_min {
            return write!(
                f,
                "cannot tell from {count} answers, {count_min} are needed; raise --duration or --rate"
            );
        }
        match (self.apart(), measured_ns.map(readable)) {
            (Some((lower_ns, upper_ns)), _) => {
                let [lower, upper] = [lower_ns, upper_ns].map(readable);
                write!(
                    f,
                    "cannot tell, it lies between {lower} and {upper}; use a quieter machine or lower --rate"
                )
            }
            (None, Some(time)) => {
                write!(f, "cannot tell, {time} is too close for {count} answers; raise --duration")
            }
            (None, None) => {
                f.write_str("cannot tell, it may be a failed request; raise --duration")
            }
        }
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
        let verdict = match self.verdict {
            Verdict::Met => "met",
            Verdict::Missed => "BREACHED",
            Verdict::Inconclusive => return self.undecided(f),
        };
        match (self.measured_ns.map(shown), self.apart(), self.verdict) {
            (_, Some((_, upper_ns)), Verdict::Met) => {
                write!(f, "{verdict}, at most {}", shown(upper_ns))
            }
            (_, Some((lower_ns, _)), _) => write!(f, "{verdict}, at least {}", shown(lower_ns)),
            (Some(time), None, _) => write!(f, "{verdict}, measured {time}"),
            (None, None, _) => write!(f, "{verdict}, the percentile is a failed request"),
        }
    }
}

/// Formats a time as exactly as objectives are written, to the microsecond.
fn shown(ns: u64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_nanos(ns / 1000 * 1000))
}

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
