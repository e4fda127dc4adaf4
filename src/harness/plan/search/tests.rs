//! The search against simulated servers.
#![expect(clippy::float_cmp, reason = "exact by construction")]

use super::super::level::tests::level;
use super::*;
use std::convert::Infallible;

const LIMIT_NS: f64 = 2e6;

fn terms() -> Terms {
    Terms { limit_ns: LIMIT_NS, start: 100.0, rate_max: 1e6, resolution: 1.03, repeats: 3, seed: 1 }
}

fn found(terms: Terms, mut run: impl FnMut(f64) -> Level) -> Found {
    let Ok(found) = search(terms, &mut |rate| Ok::<_, Infallible>(run(rate)));
    found
}

fn check(found: &Found, truth: f64) {
    let (met, missed) = (found.met.as_ref().unwrap(), found.missed.as_ref().unwrap());
    assert!(met.rate <= truth && truth <= missed.rate, "{} {}", met.rate, missed.rate);
    assert!(missed.rate / met.rate <= 1.0301, "{} {}", met.rate, missed.rate);
}

/// Returns the p99 of the time in M/M/1, which is exponential with rate mu - lambda.
fn memoryless(rate: f64, service_ns: f64) -> Level {
    let left = 1e9 / service_ns - rate;
    if left <= 0.0 {
        let answered = 1e9 / service_ns;
        return Level { answered, growing: true, upper_ns: None, ..level(rate, 1.0) };
    }
    level(rate, 100_f64.ln() / left * 1e9)
}

#[test]
fn the_rate_of_a_memoryless_server_is_found() {
    let truth = 10_000.0 - 100_f64.ln() / LIMIT_NS * 1e9;
    let found = found(terms(), |rate| memoryless(rate, 100_000.0));
    check(&found, truth);
    assert!(found.probes.len() < 35, "{}", found.probes.len());
    assert!(found.curve.is_sorted_by(|a, b| a.upper_ns <= b.upper_ns * (1.0 + 1e-9)));
}

#[test]
fn the_last_two_levels_are_repeated_in_shuffled_order() {
    let found = found(terms(), |rate| memoryless(rate, 100_000.0));
    let rates: Vec<f64> = found.probes.iter().map(|probe| probe.rate).collect();
    let last = &rates[rates.len() - 6..];
    let low = last.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(last.iter().filter(|rate| **rate == low).count(), 3);
    assert!(last.windows(2).filter(|pair| pair[0] != pair[1]).count() > 1, "{last:?}");
}

#[test]
fn a_stall_during_one_level_is_not_the_limit() {
    let mut stalls = 1;
    let found = found(terms(), |rate| {
        let stalled = rate > 1000.0 && stalls > 0;
        stalls -= u32::from(stalled);
        if stalled { level(rate, 10.0 * LIMIT_NS) } else { memoryless(rate, 100_000.0) }
    });
    check(&found, 10_000.0 - 2302.585);
}

#[test]
fn a_first_rate_that_is_too_high_is_halved() {
    let start = Terms { start: 100_000.0, ..terms() };
    check(&found(start, |rate| memoryless(rate, 100_000.0)), 10_000.0 - 2302.585);
}

#[test]
fn a_server_that_never_meets_it_has_no_rate() {
    let found = found(terms(), |rate| {
        let answered = rate.min(2000.0);
        Level { answered, ..level(rate, 2.0 * LIMIT_NS) }
    });
    assert!(found.probes.iter().any(|probe| probe.level.is_overrun()));
    assert!(found.met.is_none());
    assert_eq!(found.missed.unwrap().missed, Some(Cause::Slo));
}

#[test]
fn a_generator_at_its_limit_is_never_capacity() {
    let found = found(terms(), |rate| {
        let generator = (rate > 5000.0).then(|| "busy".to_owned());
        Level { generator, ..memoryless(rate, 10_000.0) }
    });
    assert!(found.met.unwrap().rate <= 5000.0);
    let missed = found.missed.unwrap();
    assert_eq!(missed.missed, Some(Cause::Generator("busy".to_owned())));
}

/// Returns the highest rate that is tried with a server of 10,000/s. `cpu_us` is the counted
/// processor time for each request in microseconds; without it, levels beyond the capacity are given
/// up.
fn highest_tried(cpu_us: Option<f64>) -> f64 {
    let found = found(terms(), |rate| {
        let level = memoryless(rate, 100_000.0);
        if !level.growing {
            return level;
        }
        Level { quantile_ns: cpu_us.and(level.quantile_ns), cpu_us, ..level }
    });
    found.probes.iter().map(|probe| probe.rate).fold(0.0, f64::max)
}

#[test]
fn levels_that_were_left_over_end_the_doubling_whether_the_core_was_full_or_not() {
    for cpu_us in [100.0, 70.0] {
        let highest = highest_tried(Some(cpu_us));
        assert!((12_800.0..60_000.0).contains(&highest), "{highest}");
    }
}

#[test]
fn levels_that_were_given_up_do_not_tell_whether_the_core_was_full() {
    assert_eq!(highest_tried(None), terms().rate_max);
}

#[test]
fn a_rate_that_is_met_beyond_the_bracket_gets_a_bracket_as_fine() {
    // A stall of the generator at one rate, far below the capacity of the broker.
    let mut stalls = 2;
    let found = found(terms(), |rate| {
        let stalled = rate > 300.0 && rate <= 400.0 && stalls > 0;
        stalls -= u32::from(stalled);
        let generator = stalled.then(|| "late".to_owned());
        Level { generator, ..memoryless(rate, 100_000.0) }
    });
    check(&found, 10_000.0 - 2302.585);
}

#[test]
fn one_lucky_level_beyond_the_limit_is_smoothed_away() {
    let mut beyond = 0;
    let found = found(terms(), |rate| {
        beyond += u32::from(rate > 12_000.0);
        let lucky = rate > 12_000.0 && beyond == 2;
        if lucky { level(rate, LIMIT_NS / 10.0) } else { memoryless(rate, 100_000.0) }
    });
    assert!(beyond > 2);
    assert!(found.met.unwrap().rate < 9_000.0);
}

#[test]
fn the_largest_rate_allowed_has_no_bracket() {
    let bounded = Terms { rate_max: 5000.0, ..terms() };
    let found = found(bounded, |rate| level(rate, 1000.0));
    assert_eq!(found.met.unwrap().rate, 5000.0);
    assert!(found.missed.is_none());
}

#[test]
fn rates_at_which_nobody_can_tell_stay_between_the_brackets() {
    let truth = 10_000.0 - 2302.585;
    // Near the limit the generator may have added half of the time.
    let found = found(terms(), |rate| {
        let level = memoryless(rate, 100_000.0);
        Level { lower_ns: level.upper_ns.map(|ns| ns / 2.0), ..level }
    });
    let (met, missed) = (found.met.as_ref().unwrap(), found.missed.as_ref().unwrap());
    // At half of the service rate left the lower bound reaches the limit.
    let beyond = 10_000.0 - 2302.585 / 2.0;
    assert!(met.rate <= truth && truth <= met.rate * 1.0301, "{}", met.rate);
    assert!(missed.rate >= beyond && beyond >= missed.rate / 1.0301, "{}", missed.rate);
    assert!(found.undecided().count() > 1);
    assert!(found.undecided().all(|rate| rate > truth && rate < beyond));
}

#[test]
fn undecided_rates_alone_are_neither_met_nor_missed() {
    let bounded = Terms { rate_max: 5000.0, ..terms() };
    let found = found(bounded, |rate| Level { lower_ns: Some(1.0), ..level(rate, 2.0 * LIMIT_NS) });
    assert!(found.met.is_none() && found.missed.is_none());
    assert!(found.undecided().count() > 5);
}

#[test]
fn rates_rise_faster_while_the_core_is_nearly_idle() {
    let levels = |cpu_us| {
        let found = found(terms(), |rate| Level { cpu_us, ..memoryless(rate, 100_000.0) });
        check(&found, 10_000.0 - 2302.585);
        found.probes.len()
    };
    let (known, unknown) = (levels(Some(100.0)), levels(None));
    assert!(known < unknown, "{known} {unknown}");
}
