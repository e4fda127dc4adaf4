//! Gates with the default settings on a shared machine: no leg is valid, and the turns are compared.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use super::super::judge::{Finding, Verdict, judge, judged, overall};
use super::super::leg::{Leg, Pair, Side};
use super::super::metric::Metric;
use super::super::policy::Policy;
use super::super::policy::tests::default_policy;
use super::{FIVE, GATES};
use crate::harness::stats::median::median;
use crate::harness::stats::paired::signed_rank::hodges_lehmann;

/// Scatter of a shared machine, as standard deviations of logarithms.
#[derive(Clone, Copy)]
struct Shared {
    /// Difference of two processes of one build.
    processes: f64,
    /// Difference of two turns beside each other.
    turns: f64,
    /// Share of the turns that a neighbour slows by up to half, on one side.
    disturbed: f64,
}

/// Scatter on a virtual machine with two cores, beside builds: pairs of twenty turns then differ by
/// 1.4 %, as they did there.
const SHARED: Shared = Shared { processes: 0.007, turns: 0.05, disturbed: 0.1 };

/// Turns of each leg.
const TURNS: usize = 20;

fn normal(rng: &mut StdRng) -> f64 {
    StandardNormal.sample(rng)
}

/// Returns the differences of the turns of a metric that is slower by `slower` (a logarithm).
fn turns(rng: &mut StdRng, machine: Shared, slower: f64) -> Vec<f64> {
    let pair = slower + machine.processes * normal(rng);
    let turn = |rng: &mut StdRng| {
        let hit = rng.random_range(0.0..1.0) < machine.disturbed;
        let side = if rng.random() { 0.5 } else { -0.5 };
        let lost = if hit { side * rng.random_range(0.0..1.0) } else { 0.0 };
        pair + machine.turns * normal(rng) + lost
    };
    (0..TURNS).map(|_| turn(rng)).collect()
}

fn leg(rng: &mut StdRng) -> Leg {
    let mut leg = Leg { kept_rate: true, reasons: vec!["late".to_owned()], ..Leg::default() };
    for name in FIVE {
        let value = match name {
            "hit-ratio" => 1.0,
            "hit.p99" => 500.0 * (0.3 * normal(rng)).exp(),
            _ => 50.0 * (0.001 * normal(rng)).exp(),
        };
        leg.values.insert(name.parse().unwrap(), value);
    }
    leg
}

/// Returns pair number `number` with a candidate whose median response time is slower by `slower`.
fn pair(rng: &mut StdRng, machine: Shared, number: usize, slower: f64) -> Pair {
    let (base, candidate) = (leg(rng), leg(rng));
    let by_turn = [(Metric::Cpu, turns(rng, machine, 0.0))].into();
    let hit = hodges_lehmann(&turns(rng, machine, slower)).unwrap();
    let by_request = [("hit.p50".parse().unwrap(), hit)].into();
    Pair {
        seed: number as u64,
        first: Side::first_of(number),
        base,
        candidate,
        by_turn,
        by_request,
    }
}

/// Runs one gate as the command does.
fn gate(policy: &Policy, machine: Shared, slower: f64, seed: u64) -> (Verdict, Vec<Finding>) {
    let rng = &mut StdRng::seed_from_u64(seed);
    let mut pairs = Vec::new();
    for look in &policy.looks {
        while pairs.len() < *look {
            pairs.push(pair(rng, machine, pairs.len(), slower));
        }
        let findings = judge(&pairs, policy);
        let verdict = overall(&pairs, &findings, policy);
        if verdict != Verdict::Inconclusive || Some(look) == policy.looks.last() {
            return (verdict, findings);
        }
    }
    unreachable!("a policy has a look")
}

fn gates(count: u64, slower: f64) -> Vec<(Verdict, Vec<Finding>)> {
    let policy = default_policy(&FIVE);
    (0..count).map(|seed| gate(&policy, SHARED, slower, seed)).collect()
}

fn fails(gates: &[(Verdict, Vec<Finding>)], by: Option<&str>) -> usize {
    let metric: Option<Metric> = by.map(|name| name.parse().unwrap());
    let failed = |findings: &[Finding]| {
        let mut fails = judged(findings).filter(|judged| judged.verdict == Verdict::Fail);
        fails.any(|judged| metric.is_none_or(|metric| judged.metric == metric))
    };
    gates.iter().filter(|(verdict, f)| *verdict == Verdict::Fail && failed(f)).count()
}

#[test]
fn equal_builds_on_a_shared_machine_pass_and_hardly_ever_fail() {
    let gates = gates(GATES, 0.0);
    let (failed, passed) =
        (fails(&gates, None), gates.iter().filter(|(v, _)| *v == Verdict::Pass).count());
    assert!(failed as u64 <= GATES / 60, "{failed}");
    assert!(passed as u64 >= GATES * 9 / 10, "{passed}");
}

#[test]
fn a_median_that_is_three_per_cent_longer_is_found_although_no_leg_is_valid() {
    let found = fails(&gates(60, 0.03_f64.ln_1p()), Some("hit.p50"));
    assert!(found >= 54, "{found} of 60");
}

#[test]
fn the_smallest_effect_on_a_median_is_two_per_cent_and_is_kept() {
    let hit: Metric = "hit.p50".parse().unwrap();
    let smallest: Vec<f64> = gates(60, 0.0)
        .iter()
        .filter_map(|(_, findings)| judged(findings).find(|judged| judged.metric == hit))
        .map(|judged| judged.smallest)
        .collect();
    let typical = median(&smallest);
    assert!(smallest.len() == 60 && typical <= 0.02, "{typical}");
    let found = fails(&gates(60, typical), Some("hit.p50"));
    assert!(found >= 54, "{found} of 60");
}

#[test]
fn a_gate_that_lacks_what_is_required_cannot_tell() {
    let metrics = [&FIVE[..], &["miss.p99"]].concat();
    let with = |required: &str| {
        let required = vec![required.parse().unwrap()];
        let policy = Policy { required, ..default_policy(&metrics) };
        gate(&policy, SHARED, 0.0, 1)
    };
    // The legs are invalid, and nothing is a miss.
    assert_eq!(with("hit.p50").0, Verdict::Pass);
    assert_eq!(with("p50").0, Verdict::Pass);
    for (required, unjudged) in [("p99", 1), ("hit.p99", 1), ("miss.p99", 2)] {
        let (verdict, findings) = with(required);
        assert_eq!(verdict, Verdict::Inconclusive, "{required}");
        assert_eq!(findings.iter().filter(|(_, f)| f.is_err()).count(), unjudged, "{required}");
    }
}
