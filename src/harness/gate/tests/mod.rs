//! Error rates of whole gates on a simulated machine.
//!
//! The simulated machine drifts: a slope, a random walk that all builds share, and a penalty for the
//! second leg. Its processes differ, and some legs are disturbed. The looks, the metrics and the rules
//! are those of a default gate.

mod neighbour;
mod turns;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

use super::judge::{Finding, Verdict, judge, judged, overall};
use super::leg::{Leg, Pair, Side};
use super::metric::{Metric, Scale};
use super::policy::tests::policy;
use super::policy::{Design, MetricChoice, Policy};

const GATES: u64 = 400;

/// Effects of the machine on a leg.
#[derive(Clone, Copy)]
struct Machine {
    /// Standard deviation of the logarithm of a leg.
    noise: f64,
    /// Standard deviation of the step from leg to leg that all builds share.
    walk: f64,
    /// Slow-down of each leg relative to the one before.
    slope: f64,
    /// Slow-down of the second leg of a pair.
    second: f64,
    /// Number of legs among which one is slower by half; 0 for none.
    disturbed: u32,
}

const CALM: Machine = Machine { noise: 0.01, walk: 0.0, slope: 0.0, second: 0.0, disturbed: 0 };
const ROUGH: Machine =
    Machine { noise: 0.015, walk: 0.02, slope: 0.002, second: 0.01, disturbed: 20 };

const FIVE: [&str; 5] = ["cpu", "memory", "hit-ratio", "hit.p50", "hit.p99"];

/// Returns a policy of these metrics, with ten pairs and one look.
fn one_look(metrics: &[&str]) -> Policy {
    Policy { looks: vec![10], ..policy(metrics) }
}

struct Simulated {
    rng: StdRng,
    machine: Machine,
    walked: f64,
    legs: f64,
}

impl Simulated {
    fn new(machine: Machine, seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), machine, walked: 0.0, legs: 0.0 }
    }

    fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.rng)
    }

    /// Returns a leg of a build that is slower by `slower` (a logarithm) in every metric.
    fn leg(&mut self, policy: &Policy, slower: f64) -> Leg {
        self.walked += self.machine.walk * self.normal();
        self.legs += 1.0;
        let mut leg = Leg { kept_rate: true, ..Leg::default() };
        for metric in &policy.metrics {
            let every = self.machine.disturbed;
            let hit = every > 0 && self.rng.random_range(0..every) == 0;
            let noise = self.machine.noise * self.normal() + if hit { 0.4 } else { 0.0 };
            let shared = self.walked + self.machine.slope * self.legs;
            let value = match metric.scale() {
                Scale::Ratio => 100.0 * (shared + noise + slower).exp(),
                Scale::Loss => 0.99 - (noise + slower) / 5.0,
            };
            leg.values.insert(*metric, value);
        }
        leg
    }

    fn pair(&mut self, policy: &Policy, number: usize, slower: f64) -> Pair {
        let (second, mirrored) = (self.machine.second, number % 2 == 1);
        let (of_base, of_candidate) =
            if mirrored { (second, slower) } else { (0.0, slower + second) };
        let (base, candidate) = if mirrored {
            let candidate = self.leg(policy, of_candidate);
            (self.leg(policy, of_base), candidate)
        } else {
            let base = self.leg(policy, of_base);
            (base, self.leg(policy, of_candidate))
        };
        let first = if mirrored { Side::Candidate } else { Side::Base };
        Pair::apart(number as u64, first, base, candidate)
    }
}

/// Runs one gate as the command does.
fn gate(policy: &Policy, machine: Machine, slower: f64, seed: u64) -> (Verdict, Vec<Finding>) {
    let mut simulated = Simulated::new(machine, seed);
    let (mut pairs, mut findings) = (Vec::new(), Vec::new());
    for look in &policy.looks {
        while pairs.len() < *look {
            pairs.push(simulated.pair(policy, pairs.len(), slower));
        }
        findings = judge(&pairs, policy);
        if overall(&pairs, &findings, policy) != Verdict::Inconclusive {
            break;
        }
    }
    (overall(&pairs, &findings, policy), findings)
}

fn share(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / f64::from(u32::try_from(GATES).unwrap())
}

fn count(verdict: Verdict, gates: &[(Verdict, Vec<Finding>)]) -> f64 {
    share(gates.iter().filter(|(found, _)| *found == verdict).count())
}

fn gates(policy: &Policy, machine: Machine, slower: f64) -> Vec<(Verdict, Vec<Finding>)> {
    (0..GATES).map(|seed| gate(policy, machine, slower, seed)).collect()
}

#[test]
fn equal_builds_fail_at_most_as_often_as_stated_over_all_metrics_and_looks() {
    for machine in [CALM, ROUGH] {
        let failed = count(Verdict::Fail, &gates(&policy(&FIVE), machine, 0.0));
        assert!(failed <= 0.05, "{failed}");
    }
    // At the tolerance itself, where the whole error rate is used.
    let just = Policy { tolerance: 0.0, ..policy(&FIVE) };
    for machine in [CALM, ROUGH] {
        let failed = count(Verdict::Fail, &gates(&just, machine, 0.0));
        // Allow twice the standard error of 400 gates for chance.
        assert!(failed <= 0.05 + 0.022, "{failed}");
    }
}

#[test]
fn equal_builds_on_a_calm_machine_pass() {
    let passed = count(Verdict::Pass, &gates(&policy(&FIVE), CALM, 0.0));
    assert!(passed >= 0.95, "{passed}");
}

#[test]
fn what_is_at_least_the_smallest_effect_fails_and_never_passes_unseen() {
    for (machine, metrics) in [(CALM, &FIVE[..1]), (CALM, &FIVE[..]), (ROUGH, &FIVE[..1])] {
        let policy = policy(metrics);
        let made = gates(&policy, machine, 0.05_f64.ln_1p());
        let sharp: Vec<bool> = made
            .iter()
            .filter(|(_, findings)| {
                let limit = |m: Metric| policy.limit_of(m);
                judged(findings).all(|judged| judged.smallest < limit(judged.metric))
            })
            .map(|(verdict, _)| *verdict == Verdict::Fail)
            .collect();
        let failed = sharp.iter().filter(|failed| **failed).count();
        assert!(failed * 100 >= sharp.len() * 97, "{failed} of {}", sharp.len());
        let passed = count(Verdict::Pass, &made);
        assert!(passed <= 0.01, "{passed}");
    }
}

#[test]
fn half_as_much_again_as_the_smallest_effect_is_found() {
    let policy = policy(&["cpu"]);
    for machine in [CALM, ROUGH] {
        let found = (0..GATES).filter(|seed| {
            // What this very gate says of equal builds is what it promises.
            let (_, findings) = gate(&policy, machine, 0.0, *seed);
            let smallest = judged(&findings).next().map_or(f64::INFINITY, |j| j.smallest);
            gate(&policy, machine, 1.5 * smallest, *seed).0 == Verdict::Fail
        });
        let found = share(found.count());
        assert!(found >= 0.97, "{found}");
    }
}

#[test]
fn a_gate_that_cannot_tell_says_that_its_smallest_effect_is_above_the_limit() {
    let noisy = Machine { noise: 0.06, ..CALM };
    let policy = policy(&FIVE[..3]);
    let mut open = 0;
    for (_, findings) in gates(&policy, noisy, 0.02) {
        for judged in judged(&findings).filter(|j| j.verdict == Verdict::Inconclusive) {
            open += 1;
            assert!(judged.smallest >= policy.limit_of(judged.metric), "{judged:?}");
        }
    }
    assert!(open > 0);
}

/// Returns the counts of invalid pairs and of pairs with too few samples, for each finding.
fn unjudged(findings: &[Finding]) -> Vec<Option<(usize, usize)>> {
    let counts = |(_, finding): &Finding| finding.as_ref().err().map(|n| (n.invalid, n.missing));
    findings.iter().map(counts).collect()
}

#[test]
fn legs_that_are_invalid_or_empty_leave_a_metric_unjudged() {
    let wanted = one_look(&["cpu", "hit.p50", "miss.p99"]);
    let mut simulated = Simulated::new(CALM, 1);
    let mut pairs: Vec<Pair> = (0..10).map(|n| simulated.pair(&wanted, n, 0.0)).collect();
    for pair in pairs.iter_mut().take(4) {
        pair.base.reasons.push("late".to_owned());
    }
    for pair in &mut pairs {
        for leg in [&mut pair.base, &mut pair.candidate] {
            leg.values.remove(&"miss.p99".parse().unwrap());
        }
    }
    let findings = judge(&pairs, &wanted);
    assert_eq!(unjudged(&findings), [None, Some((4, 0))]);
    // No latency was judged, so the gate has not shown that the candidate is as fast.
    assert_eq!(overall(&pairs, &findings, &wanted), Verdict::Inconclusive);
    let costs = one_look(&["cpu"]);
    assert_eq!(overall(&pairs, &judge(&pairs, &costs), &costs), Verdict::Pass);
    let named = Policy { metric_choice: MetricChoice::Named, ..wanted };
    let findings = judge(&pairs, &named);
    assert_eq!(unjudged(&findings), [None, Some((4, 0)), Some((0, 10))]);
    assert_eq!(overall(&pairs, &findings, &named), Verdict::Invalid);
    pairs[3].candidate.failures.push("wrong".to_owned());
    assert_eq!(overall(&pairs, &findings, &named), Verdict::Fail);
    pairs[3].candidate.failures.clear();
    pairs[3].base.failures.push("wrong".to_owned());
    assert_eq!(overall(&pairs, &findings, &named), Verdict::Invalid);
}

#[test]
fn a_class_that_only_the_candidate_lost_is_told_and_does_not_pass() {
    let wanted = one_look(&["cpu", "hit.p50", "miss.p50", "coalesced.p50"]);
    let mut simulated = Simulated::new(CALM, 1);
    let mut pairs: Vec<Pair> = (0..10).map(|n| simulated.pair(&wanted, n, 0.0)).collect();
    for pair in &mut pairs {
        pair.candidate.values.remove(&"miss.p50".parse().unwrap());
        pair.base.values.remove(&"coalesced.p50".parse().unwrap());
    }
    let findings = judge(&pairs, &wanted);
    let sides: Vec<_> =
        findings.iter().map(|(_, f)| f.as_ref().err().map(|n| (n.lost, n.gained))).collect();
    assert_eq!(sides, [None, None, Some((10, 0)), Some((0, 10))]);
    assert_eq!(overall(&pairs, &findings, &wanted), Verdict::Inconclusive);
    let without = [0, 1, 3].map(|place| findings[place].clone());
    assert_eq!(overall(&pairs, &without, &wanted), Verdict::Pass);
    // A leg off its rate says nothing about which values exist.
    for pair in &mut pairs {
        pair.base.kept_rate = false;
    }
    let none = Some((10, 0));
    assert_eq!(unjudged(&judge(&pairs, &wanted)), [none, None, none, none]);
}

#[test]
fn samples_that_are_lost_and_gained_by_chance_do_not_stop_a_pass() {
    let wanted = one_look(&["hit.p50", "miss.p50"]);
    let mut simulated = Simulated::new(CALM, 1);
    let mut pairs: Vec<Pair> = (0..10).map(|n| simulated.pair(&wanted, n, 0.0)).collect();
    for (number, pair) in pairs.iter_mut().enumerate() {
        let leg = if number < 7 { &mut pair.candidate } else { &mut pair.base };
        leg.values.remove(&"miss.p50".parse().unwrap());
    }
    let findings = judge(&pairs, &wanted);
    assert!(findings[1].1.is_err());
    assert_eq!(overall(&pairs, &findings, &wanted), Verdict::Pass);
}

#[test]
fn one_stored_run_never_shows_less_than_runs_differ_by() {
    let paired = policy(&["cpu"]);
    let stored = Policy { design: Design::Baseline, looks: vec![100], ..paired.clone() };
    let mut simulated = Simulated::new(CALM, 3);
    let base = simulated.leg(&stored, 0.0);
    let mut pairs: Vec<Pair> = (0..100).map(|n| simulated.pair(&stored, n, 0.0)).collect();
    for pair in &mut pairs {
        pair.base = base.clone();
    }
    let smallest = |policy: &Policy| judged(&judge(&pairs, policy)).next().unwrap().smallest;
    let tolerated = stored.tolerated(Metric::Cpu);
    // (t(0.95) + t(0.99)) s for a hundred runs of deviation 0.01.
    assert!(smallest(&stored) - tolerated > 0.03, "{}", smallest(&stored));
    assert!(smallest(&paired) - tolerated < 0.02, "{}", smallest(&paired));
}
