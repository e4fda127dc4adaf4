//! A simulated queue with planted gaps of the machine and planted stalls of the target.

use std::collections::BTreeMap;

use super::fluid::{Span, Utilisation, distance, spoiled};
use super::sorted::{GUARDS, rounded};
use super::*;
use crate::harness::class::Class;
use crate::harness::record::witness::{Disturbance, Kept, Trail, Witness};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1};

/// Law of a simulated target: one server that takes requests in order.
#[derive(Clone, Copy)]
struct Law {
    rate: f64,
    mean_service_ns: f64,
    seconds: u64,
    seed: u64,
}

/// Time in which the server of the simulated queue does nothing.
#[derive(Clone, Copy, Debug)]
struct Stop {
    from: u64,
    to: u64,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Something takes the server's core. Witnesses see it.
    Neighbour,
    /// The server sleeps or waits for a lock. Nobody sees it.
    Own,
}

const STALL: u64 = 20_000_000;
const SECOND: u64 = 1_000_000_000;

fn exponential(rng: &mut StdRng, mean: f64) -> u64 {
    let unit: f64 = Exp1.sample(rng);
    whole(unit * mean)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
fn whole(nanos: f64) -> u64 {
    nanos as u64
}

/// Returns gaps of 1 to 20 ms that take this share of the time.
fn neighbour(seconds: u64, share: f64, seed: u64) -> Vec<Stop> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut stops = Vec::new();
    let mut at = 0;
    loop {
        let length = rng.random_range(1_000_000..20_000_000_u64);
        at += exponential(&mut rng, 10_500_000.0 * (1.0 - share) / share);
        if at + length > seconds * SECOND {
            return stops;
        }
        stops.push(Stop { from: at, to: at + length, cause: Cause::Neighbour });
        at += length;
    }
}

/// Returns a stall of 20 ms in each second, at a random time.
fn stalls(seconds: u64, seed: u64) -> Vec<Stop> {
    let mut rng = StdRng::seed_from_u64(seed);
    let stall = |second: u64| {
        let from = second * SECOND + rng.random_range(0..SECOND - STALL);
        Stop { from, to: from + STALL, cause: Cause::Own }
    };
    (0..seconds).map(stall).collect()
}

/// Returns the end of `work` that begins at `from`, on a server that stops at times.
fn served(from: u64, work: u64, stops: &[Stop]) -> u64 {
    let mut end = from + work;
    let next = stops.partition_point(|stop| stop.to <= from);
    for stop in stops.iter().skip(next) {
        if stop.from >= end {
            break;
        }
        end += stop.to - stop.from.max(from);
    }
    end
}

/// Joins stops that overlap. They are sorted by their beginnings.
fn joined(stops: &[Stop]) -> Vec<Stop> {
    let mut joined: Vec<Stop> = Vec::new();
    for stop in stops {
        match joined.last_mut() {
            Some(last) if stop.from <= last.to => last.to = last.to.max(stop.to),
            _ => joined.push(*stop),
        }
    }
    joined
}

/// Serves the load, and returns each request: its intended start and its response time.
fn serve(law: Law, stops: &[Stop]) -> Vec<(u64, u64)> {
    let stops = &joined(stops);
    let mut rng = StdRng::seed_from_u64(law.seed);
    let (mut due, mut free) = (0, 0);
    let mut requests = Vec::new();
    loop {
        due += exponential(&mut rng, 1e9 / law.rate);
        if due > law.seconds * SECOND {
            return requests;
        }
        let work = exponential(&mut rng, law.mean_service_ns);
        free = served(free.max(due), work, stops);
        requests.push((due, free - due));
    }
}

/// Sorts the requests second by second, as a run does.
fn sorted(requests: &[(u64, u64)], stops: &[Stop], law: Law) -> Sorted {
    let window = Window { start: Nanos::ZERO, end: Nanos::from_secs(law.seconds) };
    let mut sorted = Sorted::default();
    let mut trails: BTreeMap<u64, Trail> = BTreeMap::new();
    for (due, response) in requests {
        let trail = trails.entry((due + response) / SECOND).or_default();
        trail.requests.push(kept(*due, *response));
    }
    for seen in witnessed(stops) {
        trails.entry(seen.to / Nanos::SECOND).or_default().disturbances.push(seen);
    }
    for (second, mut trail) in trails {
        trail.utilisation = Some(law.rate * law.mean_service_ns / 1e9);
        sorted.take(&trail);
        sorted.judge_before(Nanos::from_secs(second), window, &|| ());
    }
    sorted.judge_before(Nanos::MAX, window, &|| ());
    sorted
}

fn kept(due: u64, response: u64) -> Kept {
    let response_ns = u32::try_from(response).unwrap_or(u32::MAX);
    Kept { intended: Nanos::new(due), response_ns, lower_ns: response_ns, class: Class::Hit }
}

fn view(sorted: &Sorted) -> Result<Quiet, Hidden> {
    Undisturbed::of(sorted, Neighbourhood::Apart).classes[&Class::Hit].clone()
}

#[expect(clippy::cast_precision_loss, reason = "times are small")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

fn p99(requests: &[(u64, u64)]) -> u64 {
    let mut times: Vec<u64> = requests.iter().map(|(_, response)| *response).collect();
    times.sort_unstable();
    times[times.len() * 99 / 100]
}

#[test]
fn the_law_is_found_again_beside_a_neighbour() {
    let mut near = 0;
    for seed in 0..10 {
        let law = Law { rate: 1_500.0, mean_service_ns: 200_000.0, seconds: 60, seed };
        let (quiet, noise) = (serve(law, &[]), neighbour(60, 0.15, seed));
        let disturbed = serve(law, &noise);
        assert!(p99(&disturbed) > p99(&quiet) * 2);
        let seen = view(&sorted(&disturbed, &noise, law)).unwrap();
        assert!(seen.guard.as_u64() >= seen.response.p99 && seen.share < 0.8, "{seen:?}");
        near += u32::from((ratio(seen.response.p99, p99(&quiet)) - 1.0).abs() < 0.1);
    }
    assert!(near >= 9, "{near} of 10");
}

#[test]
fn stalls_of_the_target_stay_in() {
    let law = Law { rate: 800.0, mean_service_ns: 250_000.0, seconds: 900, seed: 3 };
    let own = stalls(law.seconds, 4);
    let mut stops = [neighbour(law.seconds, 0.1, 5), own.clone()].concat();
    stops.sort_by_key(|stop| stop.from);
    let requests = serve(law, &stops);
    let of_target: Vec<Stop> =
        stops.iter().filter(|stop| stop.cause == Cause::Own).copied().collect();
    let stalled = |due: u64| {
        let next = of_target.partition_point(|stop| stop.to <= due);
        of_target.get(next).is_some_and(|stop| stop.from <= due)
    };
    let spans = spoiled_time(&witnessed(&stops), law);
    let seen = view(&sorted(&requests, &stops, law)).unwrap();
    let guard = seen.guard;
    let is_kept = |due: u64| distance(&spans, Nanos::new(due)).is_some_and(|left| left >= guard);
    let count = |of: &dyn Fn(u64) -> bool| {
        u64::try_from(requests.iter().filter(|(due, _)| of(*due)).count()).unwrap()
    };
    let kept = ratio(count(&is_kept), requests.len() as u64);
    let kept_stalled = ratio(count(&|due| stalled(due) && is_kept(due)), count(&stalled));
    assert!((0.9..=1.1).contains(&(kept_stalled / kept)), "{kept_stalled} of {kept}");
    // The p99 is that of the target with its stalls, and without the neighbour.
    let alone = p99(&serve(law, &own));
    let p99 = seen.response.p99;
    assert!((ratio(p99, alone) - 1.0).abs() < 0.1, "{p99} instead of {alone}");
}

/// Returns what witnesses see of the stops.
fn witnessed(stops: &[Stop]) -> Vec<Disturbance> {
    let seen = stops.iter().filter(|stop| stop.cause == Cause::Neighbour);
    let seen = seen.map(|stop| {
        let [from, to] = [stop.from, stop.to].map(Nanos::new);
        Disturbance { from, to, lost: to - from, witness: Witness::TargetWait }
    });
    seen.collect()
}

fn spoiled_time(disturbances: &[Disturbance], law: Law) -> Vec<Span> {
    spoiled(disturbances, Utilisation::Measured(law.rate * law.mean_service_ns / 1e9))
}

#[test]
fn without_disturbances_everything_is_kept() {
    let law = Law { rate: 1_000.0, mean_service_ns: 100_000.0, seconds: 30, seed: 1 };
    let requests = serve(law, &[]);
    let seen = view(&sorted(&requests, &[], law)).unwrap();
    assert_eq!((seen.count, seen.share), (requests.len() as u64, 1.0));
    assert!((ratio(seen.response.p99, p99(&requests)) - 1.0).abs() < 0.01);
    assert!(seen.p99_interval.is_ok());
}

#[test]
fn the_list_of_spoiled_time_tells_which_answers_were_left_out() {
    let law = Law { rate: 1_500.0, mean_service_ns: 200_000.0, seconds: 20, seed: 7 };
    let noise = neighbour(law.seconds, 0.2, 8);
    let requests = serve(law, &noise);
    let sorted = sorted(&requests, &noise, law);
    assert!(sorted.listed.is_sorted_by(|a, b| a.to < b.from));
    let outside =
        requests.iter().filter(|(due, _)| distance(&sorted.listed, Nanos::new(*due)).is_some());
    let stored = (0..=GUARDS.len()).flat_map(|level| sorted.responses.of((Class::Hit, level)));
    let stored: u64 = stored.flatten().map(|(_, times)| times).sum();
    assert_eq!(outside.count() as u64, stored);
    assert!(stored < requests.len() as u64);
}

#[test]
fn what_cannot_stand_for_the_run_is_not_shown() {
    let law = Law { rate: 1_000.0, mean_service_ns: 100_000.0, seconds: 5, seed: 1 };
    let noise = neighbour(5, 0.6, 2);
    let of = |requests: &[(u64, u64)], stops: &[Stop]| view(&sorted(requests, stops, law));
    assert!(matches!(of(&serve(law, &noise), &noise), Err(Hidden::Share(share)) if share < 0.34));
    assert_eq!(of(&serve(law, &[])[..900], &[]), Err(Hidden::Few(900)));
    let slow: Vec<(u64, u64)> = (0..2_000).map(|at| (at * 1_000_000, 300_000_000)).collect();
    assert!(matches!(of(&slow, &[]), Err(Hidden::Slow(_))));
    let mut full = sorted(&serve(law, &[]), &[], law);
    full.dropped = 1;
    assert_eq!(view(&full), Err(Hidden::Room));
    let unknown = Undisturbed::of(&full, Neighbourhood::Unknown);
    assert_eq!(unknown.classes[&Class::Hit], Err(Hidden::Neighbourhood));
}

#[test]
fn a_stall_beyond_memory_counts_as_disturbed() {
    let window = Window { start: Nanos::ZERO, end: Nanos::from_secs(100) };
    let mut sorted = Sorted::default();
    let mut trail = Trail::default();
    trail.requests.extend([kept(1_000, 5), kept(90 * SECOND, 5)]);
    sorted.take(&trail);
    sorted.judge_before(Nanos::MAX, window, &|| ());
    assert_eq!(sorted.all[&Class::Hit], 2);
    assert_eq!(sorted.responses.of((Class::Hit, GUARDS.len())).len(), 80.min(91_usize.div_ceil(2)));
}

proptest! {
    #[test]
    fn rounding_up_is_within_a_thousandth(nanos: u32) {
        let up = rounded(nanos);
        prop_assert!(up >= u64::from(nanos));
        prop_assert!(up - u64::from(nanos) <= u64::from(nanos) / 1024);
    }

    #[test]
    fn no_answer_counts_for_its_latency(
        due in prop::collection::vec(0_u64..SECOND, 1..50),
        gaps in prop::collection::vec((0_u64..SECOND, 200_000_u64..20_000_000), 0..10),
    ) {
        // The same requests, once fast and once slow, are sorted alike.
        let window = Window { start: Nanos::ZERO, end: Nanos::SECOND };
        let levels = |response: u64| {
            let mut sorted = Sorted::default();
            let mut trail = Trail::default();
            trail.requests.extend(due.iter().map(|due| kept(*due, response)));
            trail.disturbances.extend(gaps.iter().map(|(from, length)| Disturbance {
                from: Nanos::new(*from),
                to: Nanos::new(from + length),
                lost: Nanos::new(*length),
                witness: Witness::GeneratorClock,
            }));
            sorted.take(&trail);
            sorted.judge_before(Nanos::MAX, window, &|| ());
            let count = |level| -> u64 {
                sorted.responses.of((Class::Hit, level)).iter().flatten().map(|(_, times)| times).sum()
            };
            (0..=GUARDS.len()).map(count).collect::<Vec<u64>>()
        };
        prop_assert_eq!(levels(1_000), levels(900_000_000));
    }
}
