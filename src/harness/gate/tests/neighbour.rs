//! Gates beside a neighbour that takes the cores: no leg is valid for percentiles.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use super::super::judge::{Verdict, judge, judged, overall};
use super::super::leg::{Leg, Pair, Side};
use super::super::metric::Metric;
use super::super::policy::Policy;
use super::{FIVE, GATES, policy};

/// The gate of the bug report: few pairs and a wide limit.
fn few() -> Policy {
    Policy { limit: 0.6, tolerance: 0.4, looks: vec![6], ..policy(&FIVE) }
}

/// Effects of a host on the two legs of a pair, as logarithms.
type Host = fn(&mut StdRng) -> [f64; 2];

/// Half of the legs are slower, by a factor of up to a hundred.
fn wild(rng: &mut StdRng) -> [f64; 2] {
    [(); 2].map(|()| if rng.random() { rng.random_range(0.0..4.6) } else { 0.0 })
}

/// One leg of each pair is ten times slower; the other is not.
fn one_of_two(rng: &mut StdRng) -> [f64; 2] {
    if rng.random() { [0.0, 2.3] } else { [2.3, 0.0] }
}

/// Both legs lose some milliseconds, hardly ever the same amount.
fn busy(rng: &mut StdRng) -> [f64; 2] {
    [(); 2].map(|()| rng.random_range(0.0..0.5))
}

fn leg(rng: &mut StdRng, metrics: &[Metric], lost: f64, slower: f64) -> Leg {
    let mut leg = Leg { kept_rate: true, reasons: vec!["late".to_owned()], ..Leg::default() };
    for metric in metrics {
        let noise: f64 = StandardNormal.sample(rng);
        let value = match metric {
            Metric::HitRatio => 1.0,
            Metric::Response(..) => 100.0 * (lost + slower + 0.02 * noise).exp(),
            Metric::Cpu | Metric::Memory => 100.0 * (0.002 * noise).exp(),
        };
        leg.values.insert(*metric, value);
    }
    leg
}

fn pairs(policy: &Policy, host: Host, slower: f64, seed: u64) -> Vec<Pair> {
    let rng = &mut StdRng::seed_from_u64(seed);
    let all = 0..*policy.looks.last().unwrap();
    all.map(|number| {
        let [of_base, of_candidate] = host(rng);
        let base = leg(rng, &policy.metrics, of_base, 0.0);
        let candidate = leg(rng, &policy.metrics, of_candidate, slower);
        let first = Side::first_of(number);
        Pair::apart(number as u64, first, base, candidate)
    })
    .collect()
}

fn gate(policy: &Policy, host: Host, slower: f64, seed: u64) -> Verdict {
    let pairs = pairs(policy, host, slower, seed);
    let verdicts = policy.looks.iter().map(|look| {
        let pairs = &pairs[..*look];
        overall(pairs, &judge(pairs, policy), policy)
    });
    let mut decided = verdicts.filter(|verdict| *verdict != Verdict::Inconclusive);
    decided.next().unwrap_or(Verdict::Inconclusive)
}

fn count(verdict: Verdict, policy: &Policy, host: Host, slower: f64) -> u64 {
    let found = |seed: &u64| gate(policy, host, slower, *seed) == verdict;
    (0..GATES).filter(found).count() as u64
}

#[test]
fn equal_builds_beside_a_neighbour_hardly_ever_fail_and_cannot_pass() {
    for policy in [policy(&FIVE), few()] {
        for host in [wild, busy] {
            let failed = count(Verdict::Fail, &policy, host, 0.0);
            assert!(failed <= GATES / 100, "{failed}");
            assert_eq!(count(Verdict::Inconclusive, &policy, host, 0.0), GATES - failed);
        }
    }
}

#[test]
fn equal_builds_fail_at_most_as_often_as_stated_on_the_worst_of_hosts() {
    // Nothing is tolerated, so that any direction that all pairs share is beyond the limit.
    for looks in [vec![5], vec![6], vec![10, 20]] {
        let strict = Policy { tolerance: 0.0, limit: 1e-6, looks, ..policy(&FIVE[3..]) };
        for host in [wild, busy, one_of_two] {
            let failed = count(Verdict::Fail, &strict, host, 0.0);
            // Allow twice the standard error of 400 gates for chance.
            assert!(failed <= GATES / 20 + 9, "{failed} at {:?}", strict.looks);
        }
    }
}

#[test]
fn a_factor_of_forty_fails_whatever_the_host_did() {
    for policy in [policy(&FIVE), few()] {
        assert_eq!(count(Verdict::Fail, &policy, busy, 40.0_f64.ln()), GATES);
    }
}

#[test]
fn what_fails_in_spite_of_the_host_is_marked_and_lies_beyond_the_limit() {
    let policy = few();
    let pairs = pairs(&policy, busy, 40.0_f64.ln(), 1);
    let findings = judge(&pairs, &policy);
    let latency: Vec<_> = judged(&findings).filter(|judged| judged.metric.is_latency()).collect();
    assert_eq!(latency.len(), 2);
    for judged in latency {
        assert!(judged.disturbed, "{judged:?}");
        assert!(judged.bounds.low > policy.limit_of(judged.metric), "{judged:?}");
        assert!(judged.p < 0.05, "{judged:?}");
    }
    let costs: Vec<_> = judged(&findings).filter(|judged| !judged.metric.is_latency()).collect();
    assert!(costs.len() == 3 && costs.iter().all(|judged| !judged.disturbed), "{costs:?}");
}

#[test]
fn one_pair_within_the_limit_leaves_a_disturbed_metric_unjudged() {
    let policy = few();
    let mut pairs = pairs(&policy, busy, 40.0_f64.ln(), 1);
    for pair in &mut pairs[5..] {
        pair.candidate.values = pair.base.values.clone();
    }
    let findings = judge(&pairs, &policy);
    assert!(!judged(&findings).any(|judged| judged.metric.is_latency()));
    assert_eq!(overall(&pairs, &findings, &policy), Verdict::Inconclusive);
}

#[test]
fn a_candidate_that_is_too_slow_for_the_rate_fails_and_one_that_outruns_the_base_does_not() {
    let policy = few();
    let mut slow = pairs(&policy, busy, 40.0_f64.ln(), 1);
    for pair in &mut slow {
        pair.candidate.kept_rate = false;
    }
    assert_eq!(overall(&slow, &judge(&slow, &policy), &policy), Verdict::Fail);
    // The candidate does more in the same time, so its cost per request may exceed that of such a base.
    let mut fast = pairs(&policy, busy, -40.0_f64.ln(), 1);
    for pair in &mut fast {
        pair.base.kept_rate = false;
        pair.candidate.values.insert(Metric::Cpu, 1000.0);
    }
    assert_ne!(overall(&fast, &judge(&fast, &policy), &policy), Verdict::Fail);
}
