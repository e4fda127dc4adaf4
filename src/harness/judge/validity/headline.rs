//! A summary of an invalid or disturbed run in one sentence: the usable percentiles, the main cause, and one
//! remedy.

use std::fmt;

use super::reason::Reason;
use super::usable::Usable;
use crate::base::clock::readable;
use crate::harness::nanos::Nanos;

/// A summary of the reasons of an invalid or disturbed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// The percentiles that are still usable.
    pub usable: Usable,
    /// The main cause in a few words.
    pub cause: String,
    /// The remedy.
    pub remedy: &'static str,
}

impl Headline {
    /// Returns the headline of these reasons. Returns `None` without reasons, or for a run that was only
    /// interrupted.
    pub fn of(reasons: &[Reason]) -> Option<Self> {
        let usable = Usable::of(reasons);
        let (cause, remedy) = explain(main_cause(reasons, usable)?);
        Some(Self { usable, cause, remedy })
    }
}

impl fmt::Display for Headline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { usable, cause, remedy } = self;
        write!(f, "{}: {cause}; {remedy}", usable.as_str())
    }
}

/// Returns the reason that spoils most. If that is lateness, returns the cause of the lateness if
/// it is known.
fn main_cause(reasons: &[Reason], usable: Usable) -> Option<&Reason> {
    let first = |wanted: &dyn Fn(&Reason) -> bool| {
        reasons.iter().filter(|reason| wanted(reason)).min_by_key(|reason| rank(reason))
    };
    // An interrupt may leave all percentiles usable.
    let worst = first(&|reason| reason.leaves() == usable && usable != Usable::All)?;
    let origin = match worst {
        // Late requests also make the gaps differ from the schedule; the lateness itself is easier
        // to understand.
        Reason::Gaps(_) => first(&makes_late).or_else(|| first(&is_lateness)),
        late if is_lateness(late) => first(&makes_late),
        _ => None,
    };
    Some(origin.unwrap_or(worst))
}

/// Returns true if the reason may have made the generator late.
const fn makes_late(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Busy { .. }
            | Reason::Throttled { .. }
            | Reason::Steal { .. }
            | Reason::Paging { .. }
            | Reason::Hiccup { .. }
    )
}

const fn is_lateness(reason: &Reason) -> bool {
    matches!(
        reason,
        Reason::Lag { .. }
            | Reason::LagTail { .. }
            | Reason::Notice { .. }
            | Reason::NoticeTail { .. }
            | Reason::Gaps(_)
    )
}

/// Returns the rank of a reason as a cause: a reason may have caused those of higher rank.
const fn rank(reason: &Reason) -> u8 {
    match reason {
        Reason::Impeded { .. } => 0,
        Reason::NoRequests | Reason::Median { .. } => 1,
        Reason::Busy { .. } => 2,
        Reason::Unsent { .. } => 3,
        Reason::Rate { .. } => 4,
        Reason::Burst { .. } => 5,
        Reason::Throttled { .. } => 6,
        Reason::Steal { .. } => 7,
        Reason::Paging { .. } => 8,
        Reason::Hiccup { .. } => 9,
        Reason::LagTail { .. } => 10,
        Reason::Lag { .. } => 11,
        Reason::NoticeTail { .. } => 12,
        Reason::Notice { .. } => 13,
        Reason::Gaps(_) => 14,
        Reason::HitRatio(_) => 15,
        Reason::Unsteady(_) => 16,
        Reason::Interrupted(_) => 17,
    }
}

const SLOWER: &str = "lower --rate or raise --threads";
/// Remedy for a machine that disturbs the generator.
pub const QUIETER: &str = "use a quieter machine or lower --rate";

/// Returns the cause in a few words, and the remedy.
fn explain(reason: &Reason) -> (String, &'static str) {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    match reason {
        Reason::NoRequests => {
            ("no request of the measured part has ended".into(), "raise --rate or --duration")
        }
        Reason::Impeded { cause, remedy, .. } => (cause.to_string(), *remedy),
        Reason::Median { count } => {
            (format!("{count} answers are too few for a median"), "raise --rate or --duration")
        }
        Reason::Busy { share } => {
            (format!("the generator was busy for {} of the time", percent(*share)), SLOWER)
        }
        Reason::Unsent { count } => (format!("{count} requests were never sent"), SLOWER),
        Reason::Rate { scheduled, acted } if acted > scheduled => (
            format!("{acted} requests were sent in the time of {scheduled}, late ones among them"),
            SLOWER,
        ),
        Reason::Rate { scheduled, acted } => {
            (format!("{acted} of {scheduled} requests were sent in time"), SLOWER)
        }
        Reason::Burst { max, .. } => {
            (format!("a burst took {} to write", readable(max.as_u64())), "lower --callers")
        }
        Reason::Throttled { share } => (
            format!("a CPU quota stopped the generator for {} of the time", percent(*share)),
            "raise the quota (cpu.max)",
        ),
        Reason::Steal { share } => (
            format!("the hypervisor took {} of the time", percent(*share)),
            "use another machine, or another time",
        ),
        Reason::Paging { .. } => {
            ("the generator waited for memory".into(), "free memory on this machine")
        }
        Reason::Hiccup { p999, .. } => (core_taken(*p999), QUIETER),
        Reason::Interrupted(cut) => (
            format!(
                "{} of {} requests were under way at the interrupt",
                cut.unfinished,
                cut.unfinished + cut.ended
            ),
            "let the run end",
        ),
        Reason::Lag { p99, .. } => (late("the generator was late by", *p99, "its p99"), QUIETER),
        Reason::LagTail { p999, .. } => {
            (late("the generator was late by", *p999, "its p99.9"), QUIETER)
        }
        Reason::Notice { p99, .. } => {
            (late("answers were noticed late by up to", *p99, "the p99"), SLOWER)
        }
        Reason::NoticeTail { p999, .. } => {
            (late("answers were noticed late by up to", *p999, "the p99.9"), QUIETER)
        }
        Reason::Gaps(_) => {
            ("requests did not arrive as the random stream that was meant".into(), QUIETER)
        }
        Reason::HitRatio(_) => {
            ("the cache was still filling".into(), "raise --warmup or lower --vms")
        }
        Reason::Unsteady(_) => {
            ("the latency was not steady".into(), "raise --warmup or lower --rate")
        }
    }
}

fn core_taken(time: Nanos) -> String {
    format!("this machine took the generator's core for {} or more", readable(time.as_u64()))
}

fn late(what: &str, time: Nanos, percentile: &str) -> String {
    format!("{what} {} at {percentile}", readable(time.as_u64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::record::measured::Cut;

    fn says(reasons: &[Reason]) -> String {
        Headline::of(reasons).map_or(String::new(), |headline| headline.to_string())
    }

    #[test]
    fn a_headline_says_what_is_usable_why_not_all_and_what_to_do() {
        let lag =
            Reason::Lag { p99: Nanos::new(73_200), limit: Nanos::new(20_000), usable: Usable::P50 };
        let tail = Reason::LagTail { p999: Nanos::new(2_469_800), limit: Nanos::new(104_300) };
        let hiccup = Reason::Hiccup { p999: Nanos::new(2_490_300), limit: Nanos::new(104_300) };
        assert_eq!(
            says(&[lag.clone(), tail.clone(), hiccup]),
            "p50 is usable; p90 and above are not: this machine took the generator's core for 2.49 ms or more; use a quieter machine or lower --rate"
        );
        assert_eq!(
            says(&[tail]),
            "p50 and p90 are usable; p99 and above are not: the generator was late by 2.47 ms at its p99.9; use a quieter machine or lower --rate"
        );
        assert_eq!(Headline::of(&[]), None);
    }

    #[test]
    fn requests_under_way_at_an_interrupt_spoil_the_percentiles_that_they_may_move() {
        let cut = |unfinished| {
            let cut = Cut {
                measured: Nanos::new(1),
                planned: Nanos::new(2),
                unfinished,
                ended: 1000 - unfinished,
            };
            says(&[Reason::Interrupted(cut)])
        };
        assert_eq!(cut(1), "");
        assert_eq!(
            cut(10),
            "p50 and p90 are usable; p99 and above are not: 10 of 1000 requests were under way at the interrupt; let the run end"
        );
        assert!(cut(50).starts_with("p50 is usable; p90 and above are not"));
        assert!(cut(51).starts_with("no percentile is usable"));
    }

    #[test]
    fn a_load_that_was_not_made_is_named_before_the_machine() {
        let unsent = Reason::Unsent { count: 3 };
        let hiccup = Reason::Hiccup { p999: Nanos::new(5_000_000), limit: Nanos::new(1) };
        let said = says(&[hiccup, unsent]);
        assert!(said.starts_with("no percentile is usable: 3 requests were never sent"), "{said}");
    }

    #[test]
    fn a_backlog_from_the_warm_up_is_not_called_a_part_of_the_measured_requests() {
        let few = says(&[Reason::Rate { scheduled: 201, acted: 187 }]);
        assert!(few.contains("187 of 201 requests were sent in time"), "{few}");
        let many = says(&[Reason::Rate { scheduled: 201, acted: 245 }]);
        assert!(many.contains("245 requests were sent in the time of 201"), "{many}");
    }
}
