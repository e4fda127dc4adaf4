//! Rules that find faults and disturbances of runs, in which the generator or the host was the
//! bottleneck, not the target.
//!
//! The rules are relative to the measured times: 50 us of lag ruin a run against a 100 us endpoint
//! and do not matter against one of 20 ms.

mod headline;
pub mod limits;
mod reason;
mod usable;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

pub use self::headline::{Headline, QUIETER};
use self::limits::{
    BUSY_MAX, FAULT_EVERY, RATE_TOLERANCE, STEAL_MAX, THROTTLED_MAX, burst_limit, lag_limit,
    tail_limit,
};
pub use self::reason::Reason;
pub use self::usable::Usable;
use super::conditions::Conditions;
use super::gap_fit::GapFit;
use super::steady_state::{HitRatios, SteadyState};
use crate::harness::dialect::outcome::Cause;
use crate::harness::machine::host::strain::{Paging, Strain};
use crate::harness::nanos::Nanos;
use crate::harness::record::measured::Cut;

/// Measurements that the validity rules judge. Times in nanoseconds.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The point at which the user ended the run early, if so.
    pub cut: Option<Cut>,
    /// Spacing of the requests.
    pub shape: Shape,
    /// Requests that were scheduled but never acted on.
    pub unsent: u64,
    /// Lag of all requests.
    pub lag: &'a Histogram<u64>,
    /// Upper bounds of the delays with which answers were noticed.
    pub notice: &'a Histogram<u64>,
    /// Service time of the good answers, or of all requests if no answer was good.
    pub service: &'a Histogram<u64>,
    /// Response time of the same requests.
    pub response: &'a Histogram<u64>,
    /// Causes of failed requests.
    pub causes: &'a BTreeMap<Cause, u64>,
    /// Lateness of the probe in the generator's loop.
    pub hiccup: &'a Histogram<u64>,
    /// The highest share of time that a generator thread was not idle.
    pub busy_share: f64,
    /// Length of the measured part.
    pub duration: Nanos,
    /// Conditions on the machine during the run, and the course of the run over time.
    pub conditions: &'a Conditions,
}

/// Spacing of the requests. Bursts have rules of their own, because their requests cannot be on
/// time one by one.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Instants with many requests each, at equal distances.
    Bursts {
        /// Distance of the instants.
        gap: Nanos,
    },
    /// A rate over time.
    Rate {
        /// Requests whose intended start lies in the measured part.
        scheduled: u64,
        /// Requests that the generator acted on within the measured part.
        acted: u64,
    },
}

/// Returns every fault and disturbance; none for an undisturbed run.
pub fn judge(evidence: &Evidence<'_>) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = evidence.cut.map(Reason::Interrupted).into_iter().collect();
    if evidence.response.is_empty() {
        reasons.push(Reason::NoRequests);
    }
    if evidence.unsent > 0 {
        reasons.push(Reason::Unsent { count: evidence.unsent });
    }
    reasons.extend(impeded(evidence.causes));
    reasons.extend(match evidence.shape {
        Shape::Bursts { gap } => burst(evidence.lag, gap).into_iter().collect(),
        Shape::Rate { scheduled, acted } => paced(evidence, scheduled, acted),
    });
    if evidence.busy_share > BUSY_MAX {
        reasons.push(Reason::Busy { share: evidence.busy_share });
    }
    reasons.extend(strained(&evidence.conditions.strain, evidence.duration));
    reasons.extend(unsteady(evidence.conditions));
    let (p999, limit) = (Nanos::at_quantile(evidence.hiccup, 0.999), tail_limit(evidence.response));
    if p999 > limit {
        reasons.push(Reason::Hiccup { p999, limit });
    }
    reasons
}

/// Returns the resources that this machine lacked to send every request.
fn impeded(causes: &BTreeMap<Cause, u64>) -> impl Iterator<Item = Reason> {
    causes.iter().filter_map(|(cause, count)| {
        let remedy = cause.remedy()?;
        Some(Reason::Impeded { cause: *cause, count: *count, remedy })
    })
}

/// Returns the disturbances of the generator by the machine within `duration`.
pub(crate) fn strained(strain: &Strain, duration: Nanos) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let Strain { steal_share, throttled_share, paging } = *strain;
    if steal_share > STEAL_MAX {
        reasons.push(Reason::Steal { share: steal_share });
    }
    if throttled_share > THROTTLED_MAX {
        reasons.push(Reason::Throttled { share: throttled_share });
    }
    let limit = (duration / FAULT_EVERY).max(1);
    let Paging { major_faults, swapped_kib } = paging;
    if major_faults > limit || swapped_kib > 0 {
        reasons.push(Reason::Paging { paging, limit });
    }
    reasons
}

/// Returns the reasons about gaps, hit ratio and steady state.
fn unsteady(conditions: &Conditions) -> Vec<Reason> {
    let gaps = conditions.gap_fit.filter(GapFit::is_off).map(Reason::Gaps);
    let ratios = conditions.hit_ratios.filter(HitRatios::is_unstable);
    let drift = match conditions.steady {
        SteadyState::Drifting { drift, decided: true } => Some(Reason::Unsteady(drift)),
        _ => None,
    };
    [gaps, ratios.map(Reason::HitRatio), drift].into_iter().flatten().collect()
}

fn paced(evidence: &Evidence<'_>, scheduled: u64, acted: u64) -> Vec<Reason> {
    let p = Nanos::at_quantile;
    let mut reasons = Vec::new();
    if is_off(scheduled, acted) {
        reasons.push(Reason::Rate { scheduled, acted });
    }
    let limit = lag_limit(evidence.service);
    let tail_limit = tail_limit(evidence.response);
    let usable = |late| Usable::with_lateness(late, evidence.service, evidence.response);
    let (p99, tail) = (p(evidence.lag, 0.99), p(evidence.lag, 0.999));
    if p99 > limit {
        reasons.push(Reason::Lag { p99, limit, usable: usable(evidence.lag) });
    }
    if tail > tail_limit {
        reasons.push(Reason::LagTail { p999: tail, limit: tail_limit });
    }
    let (p99, tail) = (p(evidence.notice, 0.99), p(evidence.notice, 0.999));
    if p99 > limit {
        reasons.push(Reason::Notice { p99, limit, usable: usable(evidence.notice) });
    }
    if tail > tail_limit {
        reasons.push(Reason::NoticeTail { p999: tail, limit: tail_limit });
    }
    reasons
}

/// Returns true if the rate was missed. The schedule is known, so chance plays no part. But one
/// request may be due so shortly before the end that it is acted on after it.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn is_off(scheduled: u64, acted: u64) -> bool {
    scheduled.abs_diff(acted) as f64 > (RATE_TOLERANCE * scheduled as f64).max(1.0)
}

/// Returns a reason if a burst took too long to write. In a burst all requests are due at once and
/// one thread writes them in turn, so their lag is the time that the burst takes to write. That is
/// a fault only if the burst reaches into the time of the next one; the limit is a quarter of the
/// gap.
fn burst(lag: &Histogram<u64>, gap: Nanos) -> Option<Reason> {
    let (max, limit) = (Nanos::new(lag.max()), burst_limit(gap));
    (max > limit).then_some(Reason::Burst { max, limit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::record::intervals::histogram;
    use crate::harness::stats::stationarity::Drift;

    fn filled(value_ns: u64) -> Histogram<u64> {
        let mut histogram = histogram();
        histogram.record_n(value_ns, 10_000).unwrap();
        histogram
    }

    fn check(lag_ns: u64, change: impl FnOnce(&mut Evidence<'_>), expected: &[&str]) {
        let (lag, service, notice) = (filled(lag_ns), filled(100_000), filled(500));
        let (response, hiccup) = (filled(300_000), filled(1_000));
        let mut evidence = Evidence {
            cut: None,
            shape: Shape::Rate { scheduled: 1000, acted: 1000 },
            unsent: 0,
            lag: &lag,
            notice: &notice,
            service: &service,
            response: &response,
            causes: &BTreeMap::new(),
            hiccup: &hiccup,
            busy_share: 0.1,
            duration: Nanos::from_secs(30),
            conditions: &Conditions::default(),
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
    }

    #[test]
    fn requests_that_this_machine_could_not_send_make_a_run_invalid_and_name_the_remedy() {
        let causes = |cause| -> &'static _ { Box::leak(Box::new(BTreeMap::from([(cause, 7)]))) };
        for (cause, remedy) in [
            (
                Cause::LocalPorts,
                "7 requests: local ports used up; widen net.ipv4.ip_local_port_range",
            ),
            (Cause::OpenFiles, "ulimit -n"),
            (Cause::SocketMemory, "free memory"),
        ] {
            check(500, |e| e.causes = causes(cause), &[remedy]);
        }
        check(500, |e| e.causes = causes(Cause::Reset(None)), &[]);
    }

    #[test]
    fn what_the_machine_did_is_held_against_the_run() {
        let strain = |strain| move |conditions: &mut Conditions| conditions.strain = strain;
        let paging = |major_faults, swapped_kib| Strain {
            paging: Paging { major_faults, swapped_kib },
            ..Strain::default()
        };
        check_conditions(strain(Strain { steal_share: 0.02, ..Strain::default() }), &["2.0 %"]);
        let throttled = Strain { throttled_share: 0.004, ..Strain::default() };
        check_conditions(strain(throttled), &["for 0.40 % of the time, more than 0.1 %"]);
        check_conditions(strain(paging(3, 0)), &[]);
        check_conditions(strain(paging(4, 0)), &["4 page faults from disk, more than 3"]);
        check_conditions(strain(paging(0, 8)), &["8 KiB more in swap"]);
    }

    #[test]
    fn what_did_not_stay_as_it_was_is_held_against_the_run() {
        let drift = Drift { first: 100_000.0, second: 150_000.0 };
        let drifting =
            |decided| move |c: &mut Conditions| c.steady = SteadyState::Drifting { drift, decided };
        check_conditions(drifting(true), &["100 us in the first half and 150 us"]);
        check_conditions(drifting(false), &[]);
        let ratios = HitRatios { first: 0.9, second: 0.95, apart: 9.0 };
        check_conditions(|c| c.hit_ratios = Some(ratios), &["90.00 % hits in the first half"]);
        let fit = GapFit { gaps: 999, acted: 0.5, intended: 0.02, limit: 0.043 };
        check_conditions(|c| c.gap_fit = Some(fit), &["999 gaps are 0.500"]);
        check_conditions(|c| c.gap_fit = Some(GapFit { acted: 0.04, ..fit }), &[]);
    }

    fn check_conditions(change: impl FnOnce(&mut Conditions), expected: &[&str]) {
        let mut conditions = Conditions::default();
        change(&mut conditions);
        let conditions: &'static Conditions = Box::leak(Box::new(conditions));
        check(500, |evidence| evidence.conditions = conditions, expected);
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
        let burst = Shape::Bursts { gap: Nanos::from_secs(2) };
        check(80_000_000, |e| e.shape = burst, &[]);
        check(600_000_000, |e| e.shape = burst, &["a burst took"]);
    }
}
