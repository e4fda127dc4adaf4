//! Answers with an interval of costs, and with doubts.

use std::convert::Infallible;

use super::*;
use crate::harness::document::plan::NodesRange;
use crate::harness::plan::answer::{Answer, Simulated, Terms};
use crate::harness::plan::fit::Side;
use crate::harness::plan::level::Level;
use crate::harness::plan::level::tests::level;
use crate::harness::plan::search;
use crate::harness::plan::search::search;

const TERMS: Terms<'_> = Terms { slo: "p99<2ms", target: 0.6 };

fn side(run: impl Fn(f64) -> Level) -> Side {
    let (limit_ns, resolution) = (2e6, 1.1);
    let terms =
        search::Terms { limit_ns, start: 100.0, rate_max: 1e5, resolution, repeats: 1, seed: 1 };
    let Ok(found) = search(terms, &mut |rate| Ok::<_, Infallible>(run(rate)));
    Side::fit(found, 1).unwrap()
}

fn server(rate: f64) -> Level {
    Level { cpu_us: Some(100.0), ..level(rate, 1e5 + 1e9 / (10_000.0 - rate).max(1.0)) }
}

/// Returns the answer of a fleet whose forecast is `forecast`, and its sentences in one text.
fn answer(
    forecast: &Forecast,
    (at_least, at_most): (Option<u64>, Option<u64>),
    count: Option<u64>,
    doubts: &[String],
) -> (Answer, String) {
    let side = side(server);
    let simulated = Simulated { forecast, range: NodesRange { at_least, at_most }, count, doubts };
    let (answer, said) = Answer::of([Ok(&side), Ok(&side)], Some(simulated), TERMS);
    (answer, said.join(" "))
}

const FLEET: &str = "[fleet]\nvms = 1000\nuncached-per-second = 240.0\n[nodes]\ncores = 1\n";

#[test]
fn the_range_of_nodes_is_said_with_the_number() {
    let forecast = ask(FLEET);
    let needed = forecast.nodes_needed.unwrap();
    let ends = (Some(needed - 1), Some(needed + 1));
    let (verdict, said) = answer(&forecast, ends, None, &[]);
    assert_eq!(verdict, Answer::Sufficient);
    let words = format!(
        "{needed} nodes (at least {}, at most {}) of 1 core are the least for ",
        needed - 1,
        needed + 1
    );
    assert!(said.starts_with(&words), "{said}");
    let (verdict, said) = answer(&forecast, (Some(needed), Some(needed)), None, &[]);
    assert!(verdict == Answer::Sufficient && !said.contains("at most"), "{said}");
    let (verdict, said) = answer(&forecast, (Some(needed), Some(3 * needed)), None, &[]);
    assert_eq!(verdict, Answer::Undecided);
    assert!(said.starts_with("Cannot tell: the costs vary too much: "), "{said}");
    assert!(said.contains("By the model alone: "), "{said}");
    assert_eq!(answer(&forecast, (Some(needed), None), None, &[]).0, Answer::Undecided);
}

#[test]
fn a_number_of_nodes_is_enough_if_it_is_for_the_highest_costs() {
    let forecast = ask(FLEET);
    let needed = forecast.nodes_needed.unwrap();
    let ends = (Some(needed - 1), Some(needed + 1));
    let given = |count: u64| {
        let missed = if count < needed { vec!["too busy".to_owned()] } else { Vec::new() };
        let forecast = Forecast { nodes: count, missed, ..forecast.clone() };
        answer(&forecast, ends, Some(count), &[])
    };
    assert_eq!(given(needed + 1).0, Answer::Sufficient);
    for count in [needed - 1, needed] {
        let (verdict, said) = given(count);
        assert_eq!(verdict, Answer::Undecided);
        assert!(said.starts_with(&format!("Cannot tell: {count} nodes may be enough")), "{said}");
    }
    assert_eq!(given(needed - 2).0, Answer::Insufficient);
}

#[test]
fn a_check_that_contradicts_the_model_leaves_no_answer() {
    let forecast = ask(FLEET);
    let needed = forecast.nodes_needed;
    let doubts = ["the model is off".to_owned()];
    let (verdict, said) = answer(&forecast, (needed, needed), None, &doubts);
    assert_eq!(verdict, Answer::Undecided);
    assert!(said.starts_with("Cannot tell: the model is off. By the model alone: "), "{said}");
}

#[test]
fn without_a_rate_within_the_objective_the_cause_decides() {
    let said = |run: fn(f64) -> Level| {
        let side = side(run);
        let (answer, said) = Answer::of([Ok(&side), Ok(&side)], None, TERMS);
        (answer, said.join(" "))
    };
    let slow = |rate| Level { cpu_us: Some(100.0), ..level(rate, 3e6) };
    assert_eq!(said(slow).0, Answer::Unreachable);
    let between = |rate| Level { lower_ns: Some(1e6), cpu_us: Some(100.0), ..level(rate, 3e6) };
    let (answer, text) = said(between);
    assert!(
        answer == Answer::Undecided && text.starts_with("Cannot tell: no measured rate"),
        "{text}"
    );
    let shared = |rate| Level { taken: Some(0.2), cpu_us: Some(100.0), ..level(rate, 3e6) };
    let (answer, text) = said(shared);
    assert!(answer == Answer::Undecided && text.contains("for 20.0 % of the time"), "{text}");
    let limited = |rate| Level {
        generator: Some("busy".to_owned()),
        cpu_us: Some(100.0),
        ..level(rate, 1e5)
    };
    assert_eq!(said(limited).0, Answer::Unknown);
}
