//! Checks the simulator against queueing theory. Seeds are fixed, so a tolerance that holds once always
//! holds.

use std::num::NonZeroUsize;

use proptest::prelude::*;

use super::super::service::Service;
use super::*;
use crate::harness::nanos::Nanos;

const SERVICE_NS: f64 = 100_000.0;

fn shape(cores: usize, mint_queue: usize) -> Shape {
    let cores = NonZeroUsize::new(cores).unwrap();
    Shape { cores, lanes: cores, mint_queue, slice: Nanos::from_millis(3) }
}

fn costs(hit: Service, mint: Service) -> Costs {
    Costs { hit, mint, way: Service::Constant(0.0) }
}

fn hits(per_second: f64, seconds: u64) -> Window {
    Window {
        hits_per_second: per_second,
        misses_per_second: 0.0,
        renewals_per_second: 0.0,
        storm: None,
        adopted: None,
        length: Duration::from_secs(seconds),
    }
}

fn storm(vms: u32, within: Duration, sdk: Sdk) -> Window {
    let storm = Storm { vms, tokens_each: 1, within, sdks: vec![(sdk, 1.0)] };
    Window { storm: Some(storm), ..hits(0.0, 0) }
}

fn near(measured: f64, theory: f64, tolerance: f64) {
    assert!((measured / theory - 1.0).abs() < tolerance, "measured {measured}, theory {theory}");
}

#[test]
fn a_memoryless_server_waits_as_theory_says() {
    for load in [0.3, 0.5, 0.8] {
        let costs = costs(Service::Exponential(SERVICE_NS), Service::Constant(0.0));
        let played = play(&hits(load * 1e9 / SERVICE_NS, 60), &shape(1, 10), &costs, 1);
        let mean = SERVICE_NS / (1.0 - load);
        near(played.hits.mean(), mean, 0.03);
        near(float(played.hits.value_at_quantile(0.99)), mean * 100_f64.ln(), 0.05);
        near(played.utilisation, load, 0.02);
    }
}

#[test]
fn a_constant_server_waits_half_of_that() {
    for load in [0.3, 0.5, 0.8] {
        let costs = costs(Service::Constant(SERVICE_NS), Service::Constant(0.0));
        let played = play(&hits(load * 1e9 / SERVICE_NS, 60), &shape(1, 10), &costs, 2);
        // The formula of Pollaczek and Khinchine.
        near(played.hits.mean(), SERVICE_NS * (1.0 + load / (2.0 * (1.0 - load))), 0.02);
    }
}

#[test]
fn lanes_share_one_queue_as_erlang_says() {
    const CORES: i32 = 4;
    let load = 0.7;
    let offered = f64::from(CORES) * load;
    let misses_per_second = offered * 1e9 / SERVICE_NS;
    let window = Window { misses_per_second, ..hits(0.0, 20) };
    let costs = costs(Service::Constant(0.0), Service::Exponential(SERVICE_NS));
    // Requests take no time, and run at once.
    let shape = Shape { slice: Nanos::ZERO, ..shape(4, 100_000) };
    let played = play(&window, &shape, &costs, 3);
    let term = |n: i32| offered.powi(n) / (1..=n).map(f64::from).product::<f64>();
    let last = term(CORES) / (1.0 - load);
    let waits = last / ((0..CORES).map(term).sum::<f64>() + last);
    let mean = SERVICE_NS * (1.0 + waits / (f64::from(CORES) * (1.0 - load)));
    near(played.minted.mean(), mean, 0.02);
}

#[test]
fn a_storm_beyond_the_pace_of_the_lanes_waits_as_a_fluid_would() {
    // 4000 mints at 1 ms within 2 s on one core: the last token comes after 4 s.
    let costs = costs(Service::Constant(0.0), Service::Constant(1e6));
    let storm = storm(4000, Duration::from_secs(2), Sdk::Go);
    let played = play(&storm, &shape(1, 100_000), &costs, 4);
    near(played.recovery.as_secs_f64(), 2.0, 0.02);
    near(float(played.minted.value_at_quantile(0.99)), 1.98e9, 0.03);
    assert_eq!((played.refused, played.gave_up, played.requests), (0, 0, 4000));
    assert!((1900..2100).contains(&played.queue_peak), "{}", played.queue_peak);
}

#[test]
fn a_full_queue_refuses_and_kits_come_back_or_give_up() {
    let costs = costs(Service::Constant(10_000.0), Service::Constant(1e6));
    let mut plan = storm(4000, Duration::from_millis(500), Sdk::MsalPython);
    let stubborn = play(&plan, &shape(1, 500), &costs, 5);
    assert_eq!(stubborn.gave_up, stubborn.refused);
    assert_eq!(stubborn.gave_up + stubborn.minted.len(), 4000);
    assert!(stubborn.gave_up > 2500, "{}", stubborn.gave_up);
    plan.storm = plan.storm.map(|storm| Storm { sdks: vec![(Sdk::Go, 1.0)], ..storm });
    let patient = play(&plan, &shape(1, 500), &costs, 5);
    assert!(patient.gave_up < stubborn.gave_up / 2, "{}", patient.gave_up);
    assert!(patient.requests > 4000);
}

#[test]
fn renewals_never_delay_a_storm_by_more_than_one_signature() {
    let costs = costs(Service::Constant(0.0), Service::Constant(1e6));
    let alone = storm(500, Duration::from_secs(1), Sdk::Go);
    let beside = Window { renewals_per_second: 2000.0, ..alone.clone() };
    // Requests run at once, so that only the queues matter.
    let shape = Shape { slice: Nanos::ZERO, ..shape(1, 8192) };
    let p50 = |window: &Window| play(window, &shape, &costs, 6).minted.value_at_quantile(0.5);
    assert!(p50(&beside) < p50(&alone) + 2_000_000, "{} {}", p50(&beside), p50(&alone));
}

#[test]
fn renewals_that_find_their_queue_full_are_counted() {
    let costs = costs(Service::Constant(0.0), Service::Constant(1e6));
    let play_with = |queue| {
        let window = Window { renewals_per_second: 2000.0, ..hits(0.0, 4) };
        play(&window, &shape(1, queue), &costs, 11)
    };
    // A thousand renewals per second are done; as many wait or are put off.
    let (short, long) = (play_with(100), play_with(10_000));
    near(float(short.put_off), 3900.0, 0.1);
    assert_eq!(long.put_off, 0);
    let [middle, end] = long.backlog;
    near(middle, 1500.0, 0.1);
    near(end, 3500.0, 0.1);
}

#[test]
fn each_adopted_key_is_minted_once() {
    let costs = costs(Service::Constant(10_000.0), Service::Constant(300_000.0));
    let adopted = Some(Adopted { keys: 200, per_second: 2000.0 });
    let window = Window { adopted, ..hits(1000.0, 5) };
    let played = play(&window, &shape(2, 8192), &costs, 7);
    assert!((200..400).contains(&played.minted.len()), "{}", played.minted.len());
    assert!(played.hits.len() > 12_000);
}

#[test]
fn the_same_seed_plays_the_same_window() {
    let costs = costs(Service::Exponential(20_000.0), Service::Exponential(300_000.0));
    let window =
        Window { hits_per_second: 5000.0, ..storm(300, Duration::from_secs(1), Sdk::Rust) };
    let outcome = |seed| {
        let played = play(&window, &shape(2, 50), &costs, seed);
        (played.requests, played.refused, played.recovery, played.hits.mean().to_bits())
    };
    assert_eq!(outcome(8), outcome(8));
    assert_ne!(outcome(8), outcome(9));
}

#[test]
fn every_core_has_callers_however_many_there_are() {
    let costs = costs(Service::Constant(SERVICE_NS), Service::Constant(0.0));
    // 60 % of 100 cores: if some cores had no callers, the rest would be full.
    let played = play(&hits(0.6 * 100.0 * 1e9 / SERVICE_NS, 1), &shape(100, 10), &costs, 10);
    near(played.utilisation, 0.6, 0.03);
    assert!(played.hits.value_at_quantile(0.99) < 1_500_000, "{:?}", played.utilisation);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_is_lost(
        seed: u64, cores in 1_usize..5, queue in 1_usize..200, vms in 0_u32..400,
        hits_per_second in 0.0..3000.0, misses_per_second in 0.0..500.0, sdk in 0..Sdk::ALL.len(),
    ) {
        let costs = costs(Service::Exponential(20_000.0), Service::Exponential(500_000.0));
        let window = Window { hits_per_second, misses_per_second, ..storm(vms, Duration::from_millis(300), Sdk::ALL[sdk]) };
        let played = play(&window, &shape(cores, queue), &costs, seed);
        let ended = played.hits.len() + played.minted.len() + played.gave_up;
        // A caller that is refused and comes back counts as one more request each time.
        let came_back = played.refused - played.gave_up;
        prop_assert_eq!(played.requests - came_back, ended);
        let by_second: usize = played.seconds.iter().map(Vec::len).sum();
        prop_assert!(by_second as u64 <= played.hits.len() + played.minted.len());
        prop_assert!((0.0..=1.0).contains(&played.utilisation), "{}", played.utilisation);
    }

    #[test]
    fn more_cores_never_slow_a_storm_down_beyond_noise(seed: u64, cores in 1_usize..6, vms in 1000_u32..2000) {
        let costs = costs(Service::Constant(10_000.0), Service::Exponential(1e6));
        // More than all cores can do in that time, because the last percentile of a short queue is
        // mostly chance.
        let storm = storm(vms, Duration::from_millis(100), Sdk::Go);
        let p99 = |cores| float(play(&storm, &shape(cores, 8192), &costs, seed).minted.value_at_quantile(0.99));
        prop_assert!(p99(cores + 1) <= 1.1 * p99(cores), "{} {}", p99(cores + 1), p99(cores));
    }
}
