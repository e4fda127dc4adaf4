//! When a run says nothing about its target, because the generator or the host was the bottleneck.
//!
//! The rules are relative to what was measured: 50 us of lag ruin a run against a 100 us endpoint
//! and do not matter against one of 20 ms.

use std::fmt;

use hdrhistogram::Histogram;

/// What the rules look at; times in nanoseconds.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// How the requests were spaced.
    pub shape: Shape,
    /// Requests that the generator never acted on.
    pub unsent: u64,
    /// Lag of all requests.
    pub lag: &'a Histogram<u64>,
    /// How late answers may have been noticed.
    pub notice: &'a Histogram<u64>,
    /// Service time of all requests.
    pub service: &'a Histogram<u64>,
    /// Response time of all requests.
    pub response: &'a Histogram<u64>,
    /// Lateness of the probe in the generator's loop.
    pub hiccup: &'a Histogram<u64>,
    /// Share of the busiest generator thread that was not idle.
    pub busy_share: f64,
    /// Share of the machine's time that the hypervisor took away.
    pub steal_share: f64,
}

/// How the requests were spaced, since a burst cannot be on time one by one.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Instants with many requests each, this far apart.
    Bursts {
        /// From one instant to the next, in nanoseconds.
        gap_ns: u64,
    },
    /// A rate, over time.
    Rate {
        /// Requests that were meant to start within the measured part.
        scheduled: u64,
        /// Requests that the generator acted on within it.
        acted: u64,
    },
}

/// Why a run is invalid.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// A burst was still being written when it should have been over.
    Burst {
        /// The latest write, in nanoseconds after the instant.
        max_ns: u64,
        /// What is allowed.
        limit_ns: u64,
    },
    /// The generator had no time to spare.
    Busy {
        /// Its share.
        share: f64,
    },
    /// The host stopped the generator's loop.
    Hiccup {
        /// The 99.9th percentile of the probe's lateness in nanoseconds.
        p999_ns: u64,
        /// What is allowed.
        limit_ns: u64,
    },
    /// The generator was late as a rule.
    Lag {
        /// The 99th percentile in nanoseconds.
        p99_ns: u64,
        /// What is allowed.
        limit_ns: u64,
    },
    /// The generator was late where it shows in the tail.
    LagTail {
        /// The 99.9th percentile in nanoseconds.
        p999_ns: u64,
        /// What is allowed.
        limit_ns: u64,
    },
    /// Nothing came back to judge by.
    NoRequests,
    /// The generator looked for answers too seldom.
    Notice {
        /// The 99th percentile in nanoseconds.
        p99_ns: u64,
        /// What is allowed.
        limit_ns: u64,
    },
    /// The generator looked for answers too seldom for the tail.
    NoticeTail {
        /// The 99.9th percentile in nanoseconds.
        p999_ns: u64,
        /// What is allowed.
        limit_ns: u64,
    },
    /// The rate was missed.
    Rate {
        /// Requests that were meant.
        scheduled: u64,
        /// Requests that were acted on in time.
        acted: u64,
    },
    /// The hypervisor gave the time to others.
    Steal {
        /// The share it took.
        share: f64,
    },
    /// Requests were left over.
    Unsent {
        /// How many.
        count: u64,
    },
}

/// Lag below this is as good as the clock and the loop get.
const LAG_FLOOR_NS: u64 = 20_000;
/// The generator's own errors may be a tenth of what it measures.
const TENTH: u64 = 10;
/// Above this a thread cannot take up a random burst.
const BUSY_MAX: f64 = 0.8;
/// One per cent of the machine's time already is seconds of stall in a minute.
const STEAL_MAX: f64 = 0.01;
/// A rate within this is the rate.
const RATE_TOLERANCE: f64 = 0.01;
/// Every reason why the run is invalid; none for a valid run.
pub fn judge(evidence: &Evidence<'_>) -> Vec<Reason> {
    let p = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile);
    let mut reasons = Vec::new();
    if evidence.response.is_empty() {
        reasons.push(Reason::NoRequests);
    }
    if evidence.unsent > 0 {
        reasons.push(Reason::Unsent { count: evidence.unsent });
    }
    reasons.extend(match evidence.shape {
        Shape::Bursts { gap_ns } => burst(evidence.lag, gap_ns).into_iter().collect(),
        Shape::Rate { scheduled, acted } => paced(evidence, scheduled, acted),
    });
    if evidence.busy_share > BUSY_MAX {
        reasons.push(Reason::Busy { share: evidence.busy_share });
    }
    if evidence.steal_share > STEAL_MAX {
        reasons.push(Reason::Steal { share: evidence.steal_share });
    }
    let (p999_ns, limit_ns) = (p(evidence.hiccup, 0.999), p(evidence.response, 0.99) / TENTH);
    if p999_ns > limit_ns {
        reasons.push(Reason::Hiccup { p999_ns, limit_ns });
    }
    reasons
}

fn paced(evidence: &Evidence<'_>, scheduled: u64, acted: u64) -> Vec<Reason> {
    let p = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile);
    let mut reasons = Vec::new();
    if is_off(scheduled, acted) {
        reasons.push(Reason::Rate { scheduled, acted });
    }
    let limit_ns = LAG_FLOOR_NS.max(p(evidence.service, 0.5) / TENTH);
    let tail_limit_ns = p(evidence.response, 0.99) / TENTH;
    let (p99_ns, tail_ns) = (p(evidence.lag, 0.99), p(evidence.lag, 0.999));
    if p99_ns > limit_ns {
        reasons.push(Reason::Lag { p99_ns, limit_ns });
    }
    if tail_ns > tail_limit_ns {
        reasons.push(Reason::LagTail { p999_ns: tail_ns, limit_ns: tail_limit_ns });
    }
    let (p99_ns, tail_ns) = (p(evidence.notice, 0.99), p(evidence.notice, 0.999));
    if p99_ns > limit_ns {
        reasons.push(Reason::Notice { p99_ns, limit_ns });
    }
    if tail_ns > tail_limit_ns {
        reasons.push(Reason::NoticeTail { p999_ns: tail_ns, limit_ns: tail_limit_ns });
    }
    reasons
}

/// The schedule is known, so there is no chance in this; but one request may be due so shortly
/// before the end that it is acted on after it.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn is_off(scheduled: u64, acted: u64) -> bool {
    scheduled.abs_diff(acted) as f64 > (RATE_TOLERANCE * scheduled as f64).max(1.0)
}

/// In a burst all requests are due at once and one thread writes them one after the other, so
/// their lag is the time the burst takes to write. That is no fault unless the burst smears into
/// the time of the next one: a quarter of the gap is taken as the limit.
fn burst(lag: &Histogram<u64>, gap_ns: u64) -> Option<Reason> {
    let (max_ns, limit_ns) = (lag.max(), gap_ns / 4);
    (max_ns > limit_ns).then_some(Reason::Burst { max_ns, limit_ns })
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Burst { max_ns, limit_ns } => write!(
                f,
                "a burst took {} us to write, more than {} us (a quarter of the time between bursts); lower --callers",
                us(*max_ns),
                us(*limit_ns)
            ),
            Self::Busy { share } => write!(
                f,
                "the busiest generator thread worked {:.0} % of the time, more than {:.0} %; lower --rate or give it more --threads on more cores",
                share * 100.0,
                BUSY_MAX * 100.0
            ),
            Self::Hiccup { p999_ns, limit_ns } => write!(
                f,
                "the host stopped the generator: the p99.9 of its 1 kHz probe is {} us, more than {} us (a tenth of the p99 response); stop what else runs on this machine",
                us(*p999_ns),
                us(*limit_ns)
            ),
            Self::Lag { p99_ns, limit_ns } => write!(
                f,
                "the generator was late: the p99 of its lag is {} us, more than {} us (a tenth of the median service time, at least 20 us); lower --rate or stop what else runs here",
                us(*p99_ns),
                us(*limit_ns)
            ),
            Self::LagTail { p999_ns, limit_ns } => write!(
                f,
                "the generator was late in the tail: the p99.9 of its lag is {} us, more than {} us (a tenth of the p99 response); stop what else runs on this machine",
                us(*p999_ns),
                us(*limit_ns)
            ),
            Self::NoRequests => {
                f.write_str("no request of the measured part has ended; raise --rate or --duration")
            }
            Self::Notice { p99_ns, limit_ns } => write!(
                f,
                "the generator may have noticed answers late: by up to {} us at the p99, more than {} us (a tenth of the median service time, at least 20 us); lower --rate or give it more --threads on more cores",
                us(*p99_ns),
                us(*limit_ns)
            ),
            Self::NoticeTail { p999_ns, limit_ns } => write!(
                f,
                "the generator may have noticed answers late in the tail: by up to {} us at the p99.9, more than {} us (a tenth of the p99 response); stop what else runs on this machine",
                us(*p999_ns),
                us(*limit_ns)
            ),
            Self::Rate { scheduled, acted } => write!(
                f,
                "the generator acted on {acted} requests in time where {scheduled} were meant, more than {:.0} % off; lower --rate or give it more --threads on more cores",
                RATE_TOLERANCE * 100.0
            ),
            Self::Steal { share } => write!(
                f,
                "the hypervisor took {:.1} % of the machine's time, more than {:.0} %; measure on another machine or at another time",
                share * 100.0,
                STEAL_MAX * 100.0
            ),
            Self::Unsent { count } => write!(
                f,
                "the generator did not get to {count} requests before the run ended, more than 0; lower --rate"
            ),
        }
    }
}

/// Nanoseconds as microseconds with one decimal.
fn us(ns: u64) -> String {
    format!("{}.{}", ns / 1000, ns % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::recorder::histogram;

    fn filled(value_ns: u64) -> Histogram<u64> {
        let mut histogram = histogram();
        histogram.record_n(value_ns, 10_000).unwrap();
        histogram
    }

    fn check(lag_ns: u64, change: impl FnOnce(&mut Evidence<'_>), expected: &[&str]) {
        let (lag, service, notice) = (filled(lag_ns), filled(100_000), filled(500));
        let (response, hiccup) = (filled(300_000), filled(1_000));
        let mut evidence = Evidence {
            shape: Shape::Rate { scheduled: 1000, acted: 1000 },
            unsent: 0,
            lag: &lag,
            notice: &notice,
            service: &service,
            response: &response,
            hiccup: &hiccup,
            busy_share: 0.1,
            steal_share: 0.0,
        };
        change(&mut evidence);
        let reasons: Vec<String> = judge(&evidence).iter().map(Reason::to_string).collect();
        assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
        for (reason, part) in reasons.iter().zip(expected) {
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn a_punctual_run_is_valid_and_every_rule_can_fail_it() {
        check(500, |_| {}, &[]);
        check(25_000, |_| {}, &["p99 of its lag is 25"]);
        check(50_000, |_| {}, &["p99 of its lag", "p99.9 of its lag"]);
        check(500, |e| e.unsent = 3, &["3 requests"]);
        check(500, |e| e.busy_share = 0.9, &["90 %"]);
        check(500, |e| e.steal_share = 0.02, &["2.0 %"]);
    }

    #[test]
    fn looking_for_answers_too_seldom_is_judged_like_lag() {
        let leak = |value_ns| -> &'static Histogram<u64> { Box::leak(Box::new(filled(value_ns))) };
        let (late, very_late) = (leak(25_000), leak(40_000));
        check(500, |e| e.notice = late, &["by up to 25"]);
        check(500, |e| e.notice = very_late, &["at the p99,", "at the p99.9,"]);
        check(500, |e| e.hiccup = very_late, &["1 kHz probe"]);
    }

    #[test]
    fn a_rate_is_missed_by_more_than_one_per_cent_and_more_than_one_request() {
        let shape = |scheduled, acted| Shape::Rate { scheduled, acted };
        check(500, |e| e.shape = shape(1000, 990), &[]);
        check(500, |e| e.shape = shape(1000, 989), &["989 requests in time where 1000"]);
        check(500, |e| e.shape = shape(1000, 1011), &["1011 requests"]);
        check(500, |e| e.shape = shape(20, 19), &[]);
    }

    #[test]
    fn a_burst_may_lag_by_the_time_it_takes_to_write() {
        let burst = Shape::Bursts { gap_ns: 2_000_000_000 };
        check(80_000_000, |e| e.shape = burst, &[]);
        check(600_000_000, |e| e.shape = burst, &["a burst took"]);
    }
}
