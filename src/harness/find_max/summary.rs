//! The answer of a search: its bracket, in numbers and in words.

use super::bracket::Bracket;
use crate::base::clock::readable_us;
use crate::harness::document::find_max::{Answer, End, Level, Verdict};
use crate::harness::document::percentiles::{Bounded, ResponsePercentiles, Standing};
use crate::harness::report::text::pauses;

/// Answer of a search.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    /// Result of the search.
    pub(crate) answer: Answer,
    /// The highest rate that met the objectives.
    pub(crate) met: Option<End>,
    /// The lowest rate that missed one.
    pub(crate) missed: Option<End>,
    /// The lowest and the highest rate of which nobody can tell.
    pub(crate) open: Option<[f64; 2]>,
    /// The rate that the generator could not send, if that ended the search.
    pub(crate) unsent: Option<f64>,
    /// The answer in words.
    pub(crate) sentences: Vec<String>,
}

impl Summary {
    /// Sums up a search with these levels.
    pub(crate) fn of(bracket: &Bracket, levels: &[Level], objectives: &str) -> Self {
        let end = |rate: Option<f64>, verdict| {
            let is_it = |level: &&Level| Some(level.rate) == rate && level.verdict == verdict;
            let level = levels.iter().rev().find(is_it)?;
            Some(End { rate: level.rate, response_us: level.response_us })
        };
        let missed = end(bracket.missed, Verdict::Missed);
        let before = |unsent: &f64| bracket.missed.is_none_or(|missed| *unsent < missed);
        let mut summary = Self {
            answer: Answer::Unknown,
            met: end(bracket.met, Verdict::Met),
            missed,
            open: bracket
                .open
                .first()
                .copied()
                .zip(bracket.open.last().copied())
                .map(<[f64; 2]>::from),
            unsent: bracket.unsent.filter(before),
            sentences: Vec::new(),
        };
        summary.answer = match (summary.met, summary.missed) {
            (Some(_), Some(_)) => Answer::Bracket,
            (Some(_), None) => Answer::AtLeast,
            (None, Some(_)) => Answer::Below,
            (None, None) => Answer::Unknown,
        };
        summary.sentences = summary.said(levels, objectives);
        summary
    }

    fn said(&self, levels: &[Level], objectives: &str) -> Vec<String> {
        let at = |end: &End| format!("{}/s ({})", shown(end.rate), times(end.response_us));
        let met = self.met.as_ref().map(|end| format!("{} met {objectives}", at(end)));
        let missed = self.missed.as_ref().map(|end| format!("{} missed it", at(end)));
        let open = self.open.map(|ends| open(ends, levels));
        let unsent = self.unsent.map(|rate| unsent(rate, levels));
        let shares = levels.iter().map(|level| pauses::share(level.paused_s, level.duration_s));
        let paused = pauses::of_levels(shares);
        let parts = [Some(self.headline(objectives)), met, missed, open, unsent, paused];
        parts.into_iter().flatten().collect()
    }

    fn headline(&self, objectives: &str) -> String {
        match (self.met, self.missed) {
            (Some(met), Some(missed)) => format!(
                "the highest rate within {objectives} lies between {}/s and {}/s, {:.1} % apart",
                shown(met.rate),
                shown(missed.rate),
                (missed.rate / met.rate - 1.0) * 100.0
            ),
            (Some(met), None) => {
                format!("the highest rate within {objectives} is at least {}/s", shown(met.rate))
            }
            (None, Some(missed)) => {
                let missed = shown(missed.rate);
                format!("no rate is known to be within {objectives}; {missed}/s is beyond it")
            }
            (None, None) => format!("nobody can tell of any rate if it is within {objectives}"),
        }
    }
}

/// Names the rates between the ends of which nobody can tell, and the cause at the last of them.
fn open([low, high]: [f64; 2], levels: &[Level]) -> String {
    let cause = cause(high, levels);
    if low < high {
        format!("nobody can tell of {}/s to {}/s: {cause}", shown(low), shown(high))
    } else {
        format!("nobody can tell of {}/s: {cause}", shown(low))
    }
}

fn unsent(rate: f64, levels: &[Level]) -> String {
    format!(
        "the generator could not send {}/s, which says nothing of the target: {}; add --threads on more cores, or use a quieter machine",
        shown(rate),
        cause(rate, levels)
    )
}

/// Returns the cause that the last level of a rate gives.
#[expect(clippy::float_cmp, reason = "the rates are the same values")]
fn cause(rate: f64, levels: &[Level]) -> String {
    let of_rate = levels.iter().rev().find(|level| level.rate == rate);
    of_rate.and_then(|level| level.cause.clone()).unwrap_or_default()
}

/// Formats a rate: whole numbers from 100 on, else one decimal place.
pub(crate) fn shown(rate: f64) -> String {
    if rate < 99.95 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// Returns the p50 and the p99 with their bounds.
fn times(of: ResponsePercentiles) -> String {
    let one = |name, of: Option<Bounded>| {
        let Some(of) = of else { return format!("{name} unknown") };
        let upper = readable_us(of.upper);
        match (of.standing, of.lower) {
            (Standing::Bounded, Some(lower)) => format!("{name} {} to {upper}", readable_us(lower)),
            _ => format!("{name} {upper}"),
        }
    };
    format!("{}, {}", one("p50", of.p50), one("p99", of.p99))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(rate: f64, verdict: Verdict, cause: Option<&str>) -> Level {
        let us = |value, lower| Bounded {
            value,
            lower: Some(lower),
            upper: value,
            standing: if lower < 0.9 * value { Standing::Bounded } else { Standing::Measured },
        };
        let response_us = ResponsePercentiles {
            p50: Some(us(100.0, 99.0)),
            p99: Some(us(rate, rate / 2.0)),
            ..ResponsePercentiles::default()
        };
        Level {
            rate,
            duration_s: 10.0,
            rate_achieved: rate,
            rate_answered: rate,
            paused_s: Some(0.0),
            failed: 0,
            verdict,
            cause: cause.map(str::to_owned),
            response_us,
            slo: Vec::new(),
            disturbances: Vec::new(),
        }
    }

    #[test]
    fn a_bracket_names_its_ends_and_what_lies_between_them() {
        let levels = [
            level(500.0, Verdict::Met, None),
            level(1000.0, Verdict::Missed, None),
            level(700.0, Verdict::Open, Some("p99<1ms: cannot tell")),
        ];
        let bracket =
            Bracket { met: Some(500.0), missed: Some(1000.0), open: vec![700.0], unsent: None };
        let summary = Summary::of(&bracket, &levels, "p99<1ms");
        assert_eq!((summary.answer, summary.open), (Answer::Bracket, Some([700.0, 700.0])));
        assert_eq!(
            summary.sentences,
            [
                "the highest rate within p99<1ms lies between 500/s and 1000/s, 100.0 % apart",
                "500/s (p50 100 us, p99 250 us to 500 us) met p99<1ms",
                "1000/s (p50 100 us, p99 500 us to 1.00 ms) missed it",
                "nobody can tell of 700/s: p99<1ms: cannot tell",
            ]
        );
    }

    #[test]
    fn long_pauses_are_said_with_the_answer_and_at_their_level() {
        let mut levels = [level(500.0, Verdict::Met, None), level(1000.0, Verdict::Missed, None)];
        levels[1].paused_s = Some(0.8);
        let bracket =
            Bracket { met: Some(500.0), missed: Some(1000.0), open: Vec::new(), unsent: None };
        let summary = Summary::of(&bracket, &levels, "p99<1ms");
        let last = summary.sentences.last().unwrap();
        assert!(last.starts_with("at 1 of 2 levels the schedule paused"), "{last}");
        let table = super::super::text::table(&levels);
        let paused = table.lines().filter(|line| line.contains("10 s, 8 % paused"));
        assert_eq!(paused.count(), 1, "{table}");
    }

    #[test]
    fn a_generator_at_its_limit_is_no_verdict_on_the_target() {
        let levels = [
            level(500.0, Verdict::Met, None),
            level(1000.0, Verdict::Unsent, Some("990 requests were never sent")),
        ];
        let bracket = Bracket { met: Some(500.0), unsent: Some(1000.0), ..Bracket::default() };
        let summary = Summary::of(&bracket, &levels, "p99<1ms");
        assert_eq!((summary.answer, summary.unsent), (Answer::AtLeast, Some(1000.0)));
        let last = summary.sentences.last().unwrap();
        assert!(last.contains("1000/s, which says nothing of the target: 990 requests"), "{last}");
        let nothing = Summary::of(&Bracket::default(), &[], "p99<1ms");
        assert_eq!(nothing.answer, Answer::Unknown);
    }
}
