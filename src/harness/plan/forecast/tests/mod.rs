//! Forecasts of small fleets, and of random ones.

mod answers;
mod properties;

use super::*;
use crate::harness::plan::fit::Basis;
use crate::harness::plan::fleet_file::tests::parse;
use crate::harness::plan::simulate::service::Service;

fn cost(core_us: f64) -> Cost {
    Cost { core_us, low_us: core_us, high_us: core_us, basis: Basis::Processor }
}

fn costs() -> Costs {
    Costs {
        hit: Service::Constant(10_000.0),
        mint: Service::Constant(290_000.0),
        way: Service::Constant(30_000.0),
    }
}

/// Returns the common question of these tests, which each test then changes.
fn question<'a>(fleet: &'a Fleet, costs: &'a Costs) -> Question<'a> {
    Question {
        fleet,
        costs,
        hit: cost(10.0),
        mint: cost(300.0),
        memory: Some(MemoryModel { base_bytes: 1e8, token_bytes: 2000.0 }),
        limit_ns: 2e6,
        quantile: 0.99,
        target: 0.6,
        replications: 3,
        seed: 1,
    }
}

fn answered(question: &Question<'_>) -> Forecast {
    forecast(question, &|_| ControlFlow::Continue(())).unwrap()
}

fn ask(text: &str) -> Forecast {
    answered(&question(&parse(text).unwrap(), &costs()))
}

#[test]
fn busy_cores_are_the_sum_of_what_is_asked() {
    let forecast =
        ask("[fleet]\nvms = 2000\nuncached-per-second = 10.0\n[nodes]\ncores = 1\nlost = 0\n");
    // 20,000 hits per second at 10 us, and next to no mints.
    assert!((forecast.demand.cores_busy - 0.2).abs() < 0.005, "{forecast:?}");
    assert!((forecast.cores_for_day - 0.2 / 0.6).abs() < 0.01);
    assert_eq!((forecast.nodes_needed, forecast.nodes), (Some(1), 1));
    let used = forecast.steady.utilisation.mean;
    assert!((used - 0.2).abs() < 0.02, "{used}");
    assert!(forecast.lost.is_none() && forecast.storm.is_none());
    let memory = forecast.memory_per_node_bytes.unwrap();
    assert!((memory - 1.04e8).abs() < 1.0, "{memory}");
}

#[test]
fn a_storm_decides_on_the_nodes_and_a_lost_one_needs_a_spare() {
    // 4000 mints of 0.3 ms are 1.2 s of a core; within 0.1 s and a p99 of 0.4 s that takes 3.
    let text = "[fleet]\nvms = 4000\n[storm]\nvms = 4000\nwithin = \"100ms\"\np99 = \"400ms\"\n\
                [nodes]\ncores = 1\nlost = 1\n";
    let forecast = ask(text);
    assert_eq!(forecast.nodes_needed, Some(4));
    let storm = forecast.storm_lost.unwrap();
    let p99_ms = storm.token_p99_ms.unwrap().mean;
    assert!((280.0..400.0).contains(&p99_ms), "{storm:?}");
    assert!(forecast.storm.unwrap().token_p99_ms.unwrap().mean < p99_ms);
}

#[test]
fn more_load_never_needs_fewer_nodes() {
    let nodes = |rate: u32| {
        let text =
            format!("[fleet]\nvms = 1000\nuncached-per-second = {rate}.0\n[nodes]\ncores = 1\n");
        ask(&text).nodes_needed.unwrap()
    };
    let needed = [20, 60, 120, 200].map(nodes);
    assert!(needed.is_sorted(), "{needed:?}");
    assert!(needed[3] >= 4, "{needed:?}");
}

#[test]
fn what_no_number_of_nodes_can_do_is_said() {
    // A single mint takes longer than the storm allows.
    let text = "[fleet]\nvms = 100\n[storm]\nvms = 100\nwithin = \"1s\"\np99 = \"100us\"\n\
                [nodes]\ncores = 1\n";
    assert_eq!(ask(text).nodes_needed, None);
}

#[test]
fn a_node_that_is_asked_for_far_too_much_is_played_to_an_end() {
    let text = "[fleet]\nvms = 1000000\nuncached-per-second = 1000.0\n\
                [nodes]\ncores = 1\ncount = 1\nlost = 0\n";
    let forecast = ask(text);
    assert_eq!(forecast.nodes_needed, None);
    assert!(forecast.steady.utilisation.mean > 0.9, "{forecast:?}");
}

#[test]
fn callers_that_find_their_token_do_not_hide_those_that_end_without_one() {
    let storm = "[storm]\nvms = 200\nwithin = \"20ms\"\np99 = \"1s\"\n[kits]\nmsal-python = 1.0\n";
    let share = |uncached: u32| {
        let text = format!(
            "[fleet]\nvms = 200\nuncached-per-second = {uncached}.0\n{storm}\
             [nodes]\ncores = 1\ncount = 1\nlost = 0\nmint-queue = 1\n"
        );
        ask(&text).storm.unwrap().gave_up_share.mean
    };
    let (alone, beside) = (share(0), share(200));
    assert!(alone > 0.5 && beside > alone * 0.8, "{alone} {beside}");
}

#[test]
fn headroom_is_negative_where_the_rest_is_too_few() {
    let text = "[fleet]\nvms = 1000\nuncached-per-second = 80.0\n[nodes]\ncores = 1\ncount = 2\n";
    let forecast = ask(text);
    assert!(forecast.headroom_lost < 0.0, "{}", forecast.headroom_lost);
    assert_eq!(forecast.nodes, 2);
}

#[test]
fn the_loss_of_a_node_decides_on_the_number() {
    // One node can serve the busiest minute and also the load after a loss. But just after one of two
    // nodes is lost, one answer of ten waits for a new token. At a limit below the cost of a mint, that
    // takes more nodes.
    let text = "[fleet]\nvms = 20000\nuncached-per-second = 0.1\n[nodes]\ncores = 1\n";
    let (fleet, costs) = (parse(text).unwrap(), costs());
    let needed = |limit_ns| {
        let forecast =
            answered(&Question { limit_ns, replications: 2, ..question(&fleet, &costs) });
        assert_eq!(forecast.missed, Vec::<String>::new());
        let lost = forecast.lost.unwrap();
        assert!(lost.quantile_ms.high * 1e6 <= limit_ns, "{lost:?}");
        (forecast.nodes_needed.unwrap(), forecast.fewer_missed)
    };
    assert_eq!(needed(2e6), (2, Vec::new()));
    let (nodes, fewer) = needed(200_000.0);
    assert!(nodes > 4, "{nodes}");
    let [slow] = &fewer[..] else { panic!("{fewer:?}") };
    assert!(slow.starts_with("nodes lost: the objective's percentile is "), "{slow}");
}

#[test]
fn a_refused_caller_counts_even_if_it_comes_back_in_time() {
    let needed = |queue: u32| {
        let text = format!(
            "[fleet]\nvms = 4000\n[storm]\nvms = 4000\nwithin = \"100ms\"\np99 = \"1m\"\n\
             [kits]\ngo = 1.0\n[nodes]\ncores = 1\nlost = 0\nmint-queue = {queue}\n"
        );
        let forecast = ask(&text);
        let refused = forecast.storm.unwrap().refused_share.mean;
        assert!(forecast.missed.is_empty() && refused <= 0.0, "{refused}");
        (forecast.nodes_needed.unwrap(), forecast.fewer_missed)
    };
    assert_eq!(needed(4000).0, 1);
    let (nodes, fewer) = needed(500);
    assert!(nodes > 3, "{nodes}");
    assert!(
        fewer.iter().any(|missed| missed.ends_with(" of the requests are answered 503")),
        "{fewer:?}"
    );
}

#[test]
fn a_queue_of_renewals_without_an_end_is_not_enough() {
    // Four cores are hardly used, but a single lane renews at most 3.4 of about 4.5 tokens per second.
    let costs = Costs {
        hit: Service::Constant(1e6),
        mint: Service::Constant(290e6),
        way: Service::Constant(0.0),
    };
    let played = |lanes: u32| {
        let text = format!(
            "[fleet]\nvms = 1200\ntoken-lifetime = \"500s\"\nuncached-per-second = 0.05\n\
             [nodes]\ncores = 4\ncount = 1\nlost = 0\nlanes = {lanes}\n"
        );
        let fleet = parse(&text).unwrap();
        let (hit, mint) = (cost(1000.0), cost(291_000.0));
        answered(&Question { hit, mint, limit_ns: 2e9, ..question(&fleet, &costs) })
    };
    let one = played(1);
    assert!(one.steady.utilisation.mean < 0.5 && one.steady.growing, "{one:?}");
    assert!(
        one.missed.contains(&Missed::Growing { case: Case::Busiest }.to_string()),
        "{:?}",
        one.missed
    );
    assert_eq!(one.nodes_needed, Some(2));
    let four = played(4);
    assert!(!four.steady.growing && four.nodes_needed == Some(1), "{four:?}");
}

#[test]
fn a_forecast_that_is_interrupted_has_no_result() {
    let fleet = parse("[fleet]\nvms = 10\n[nodes]\ncores = 1\n").unwrap();
    let interrupted = forecast(&question(&fleet, &costs()), &|_| ControlFlow::Break(()));
    assert_eq!(interrupted.unwrap_err(), Interrupted);
}
