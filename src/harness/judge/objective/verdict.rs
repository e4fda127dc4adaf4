//! Verdict on an objective, by the response times as recorded.

use std::fmt;
use std::time::Duration;

use super::answers::{Answers, answers_min};
use crate::base::clock::readable;
use crate::harness::judge::standing::are_close;
use crate::harness::nanos::Nanos;
use crate::harness::scenario::objective::Objective;
use crate::harness::stats::binomial::at_least;

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
    /// Ends of the sampling interval in nanoseconds: the percentile of another run may lie there by chance.
    pub interval_ns: Option<(u64, u64)>,
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
        Self { verdict, measured_ns, lower_ns: None, interval_ns: None, count, count_min }
    }

    /// Returns the bounds of the percentile, if they are more than 10 % apart.
    fn apart(&self) -> Option<(u64, u64)> {
        let (lower_ns, upper_ns) = self.lower_ns.zip(self.measured_ns)?;
        (!are_close(lower_ns, upper_ns)).then_some((lower_ns, upper_ns))
    }

    /// Returns why nobody can tell, for a verdict of this kind.
    pub fn doubt(&self) -> String {
        let Self { measured_ns, count, count_min, .. } = self;
        if *count == 0 {
            return "cannot tell, no such answers".to_owned();
        }
        if count < count_min {
            return format!("cannot tell from {count} answers, {count_min} are needed");
        }
        if let Some((lower_ns, upper_ns)) = self.apart() {
            let [lower, upper] = [lower_ns, upper_ns].map(readable);
            return format!("cannot tell, it lies between {lower} and {upper}");
        }
        match (measured_ns.map(readable), self.interval_ns) {
            (Some(time), Some((low_ns, high_ns))) => {
                let [low, high] = [low_ns, high_ns].map(readable);
                format!(
                    "cannot tell, it is {time} in this run, and may be {low} to {high} in another"
                )
            }
            (Some(time), None) => format!("cannot tell, {time} is too close for {count} answers"),
            (None, _) => "cannot tell, it may be a failed request".to_owned(),
        }
    }

    /// Writes why nobody can tell, and what to do.
    fn undecided(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doubt())?;
        let advice = match self {
            Self { count: 0, .. } => return Ok(()),
            Self { count, count_min, .. } if count < count_min => "raise --duration or --rate",
            _ if self.apart().is_some() => "use a quieter machine or lower --rate",
            _ => "raise --duration",
        };
        write!(f, "; {advice}")
    }
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
    use crate::harness::class::Class;
    use crate::harness::record::intervals::histogram;

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
