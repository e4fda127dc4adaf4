//! Turns the counts of both builds into verdicts.

use std::collections::{BTreeMap, BTreeSet};

use super::allowance::Allowances;
use super::counting::{Counts, FunctionCost};
use crate::harness::class::Class;
use crate::harness::document::count::{CountedMetric, GrownFunction, Work};
use crate::harness::document::gate::Verdict;

/// Counts of both builds, each of several processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sides {
    /// Counts of the base.
    pub(crate) base: Vec<Counts>,
    /// Counts of the candidate.
    pub(crate) candidate: Vec<Counts>,
}

/// Judges every metric that both builds have.
pub(super) fn metrics(sides: &Sides, allowances: &Allowances) -> Vec<CountedMetric> {
    let keys: BTreeSet<(Class, Work)> =
        sides.base.iter().flat_map(|counts| counts.work.keys().copied()).collect();
    let of = |counts: &[Counts], key| -> Vec<f64> {
        counts.iter().filter_map(|counts| counts.work.get(&key).copied()).collect()
    };
    let judged = |key: (Class, Work)| {
        let (base, candidate) = (of(&sides.base, key), of(&sides.candidate, key));
        let known = !base.is_empty() && !candidate.is_empty();
        known.then(|| metric(key, base, candidate, allowances))
    };
    keys.into_iter().filter_map(judged).collect()
}

fn metric(
    (class, work): (Class, Work),
    base: Vec<f64>,
    candidate: Vec<f64>,
    allowances: &Allowances,
) -> CountedMetric {
    let allowed = allowances.growth(work, mean(&base));
    let low = least(&candidate) - most(&base);
    let high = most(&candidate) - least(&base);
    let change = mean(&candidate) - mean(&base);
    let verdict = verdict([low, high], allowed);
    CountedMetric {
        class,
        work,
        base,
        candidate,
        change,
        change_bounds: [low, high],
        allowed,
        verdict,
    }
}

/// Returns the verdict on a growth that lies between two bounds.
fn verdict([low, high]: [f64; 2], allowed: f64) -> Verdict {
    // Without growth nothing fails, even if nothing is allowed.
    let too_much = |growth: f64| growth > 0.0 && growth >= allowed;
    match (too_much(low), too_much(high)) {
        (true, _) => Verdict::Fail,
        (false, true) => Verdict::Inconclusive,
        (false, false) => Verdict::Pass,
    }
}

/// Returns the verdict of the whole gate.
pub(super) fn overall(metrics: &[CountedMetric], failures: [&[String]; 2]) -> Verdict {
    let any = |verdict| metrics.iter().any(|metric| metric.verdict == verdict);
    let [base, candidate] = failures;
    if !candidate.is_empty() {
        Verdict::Fail
    } else if !base.is_empty() || metrics.is_empty() {
        // A comparison with a broken base says nothing.
        Verdict::Invalid
    } else if any(Verdict::Fail) {
        Verdict::Fail
    } else if any(Verdict::Inconclusive) {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    }
}

/// Most functions that are named for a class. The growth of a common function shows in few.
const NAMED_MAX: usize = 10;
/// Smallest growth of a function that is named, as a share of the instructions of a request. Less is not
/// repeatable.
const GROWTH_MIN: f64 = 0.000_2;

/// Returns the functions that take more instructions in the candidate: by class, the largest first.
pub(super) fn grown(sides: &Sides) -> Vec<GrownFunction> {
    let classes: BTreeSet<Class> =
        sides.base.iter().flat_map(|counts| counts.functions.keys().copied()).collect();
    classes.into_iter().flat_map(|class| of_class(sides, class)).collect()
}

fn of_class(sides: &Sides, class: Class) -> Vec<GrownFunction> {
    let (base, candidate) = (functions(&sides.base, class), functions(&sides.candidate, class));
    let total: f64 = base.values().map(|cost| cost.own).sum();
    let grown = |(name, now): (&&str, &FunctionCost)| {
        let before = base.get(name).copied().unwrap_or_default();
        GrownFunction {
            class,
            function: (*name).to_owned(),
            base: before.own,
            candidate: now.own,
            change: now.own - before.own,
            change_inclusive: now.inclusive - before.inclusive,
        }
    };
    let mut grown: Vec<GrownFunction> = candidate.iter().map(grown).collect();
    grown.retain(|function| function.change >= (total * GROWTH_MIN).max(1.0));
    grown.sort_by(|one, other| other.change.total_cmp(&one.change));
    grown.truncate(NAMED_MAX);
    grown
}

/// Returns the mean cost of each function in these counts.
fn functions(counts: &[Counts], class: Class) -> BTreeMap<&str, FunctionCost> {
    let of_class = || counts.iter().filter_map(|counts| counts.functions.get(&class));
    let share = ratio(of_class().count());
    let mut sum: BTreeMap<&str, FunctionCost> = BTreeMap::new();
    for (name, cost) in of_class().flatten() {
        let of = sum.entry(name).or_default();
        of.own += cost.own * share;
        of.inclusive += cost.inclusive * share;
    }
    sum
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() * ratio(values.len())
}

/// Returns the share of one in `count`.
#[expect(clippy::cast_precision_loss, reason = "a handful of counts")]
fn ratio(count: usize) -> f64 {
    1.0 / count.max(1) as f64
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(instructions: f64, allocations: f64) -> Counts {
        let work = [(Work::Instructions, instructions), (Work::Allocations, allocations)];
        Counts {
            work: work.into_iter().map(|(work, count)| ((Class::Hit, work), count)).collect(),
            ..Counts::default()
        }
    }

    /// Returns the verdicts on instructions and on allocations.
    fn check(base: [(f64, f64); 2], candidate: [(f64, f64); 2]) -> [Verdict; 2] {
        let of = |side: [(f64, f64); 2]| side.map(|(i, a)| counts(i, a)).to_vec();
        let sides = Sides { base: of(base), candidate: of(candidate) };
        let metrics = metrics(&sides, &Allowances::with(&[]));
        [metrics[0].verdict, metrics[1].verdict]
    }

    const BASE: [(f64, f64); 2] = [(20_000.0, 12.0), (20_002.0, 12.0)];

    #[test]
    fn more_than_allowed_fails_and_less_passes() {
        use Verdict::{Fail, Pass};
        assert_eq!(check(BASE, BASE), [Pass, Pass]);
        assert_eq!(check(BASE, [(20_100.0, 13.0), (20_101.0, 13.0)]), [Fail, Fail]);
        assert_eq!(check(BASE, [(20_050.0, 12.4), (20_051.0, 12.4)]), [Pass, Pass]);
        assert_eq!(check(BASE, [(20_050.0, 12.5), (20_051.0, 12.5)]), [Pass, Fail]);
        assert_eq!(check(BASE, [(10_000.0, 2.0), (10_000.0, 2.0)]), [Pass, Pass]);
    }

    #[test]
    fn counts_that_differ_by_more_than_allowed_tell_nothing() {
        let wild = [(20_000.0, 12.0), (20_200.0, 12.7)];
        assert_eq!(check(BASE, wild), [Verdict::Inconclusive, Verdict::Inconclusive]);
        assert_eq!(check(wild, wild), [Verdict::Inconclusive, Verdict::Inconclusive]);
        // Not if both are far beyond.
        assert_eq!(check(BASE, [(30_000.0, 12.0), (30_200.0, 12.0)])[0], Verdict::Fail);
    }

    #[test]
    fn a_metric_of_which_the_base_has_none_fails_only_if_it_grows() {
        assert_eq!(verdict([0.0, 0.0], 0.0), Verdict::Pass);
        assert_eq!(verdict([1.0, 1.0], 0.0), Verdict::Fail);
    }

    #[test]
    fn a_failed_check_decides_before_any_count() {
        let failed = ["wrong answer".to_owned()];
        assert_eq!(overall(&[], [&[], &failed]), Verdict::Fail);
        assert_eq!(overall(&[], [&failed, &[]]), Verdict::Invalid);
        assert_eq!(overall(&[], [&[], &[]]), Verdict::Invalid);
    }

    #[test]
    fn functions_that_grew_come_largest_first_and_others_not_at_all() {
        let with = |costs: &[(&str, f64)]| {
            let cost = |own: &f64| FunctionCost { own: *own, inclusive: *own };
            let costs = costs.iter().map(|(name, own)| ((*name).to_owned(), cost(own)));
            let functions = [(Class::Hit, costs.collect())].into();
            vec![Counts { functions, ..Counts::default() }]
        };
        let sides = Sides {
            base: with(&[("parse", 9_000.0), ("sign", 900.0), ("same", 100.0), ("gone", 7.0)]),
            candidate: with(&[
                ("parse", 9_050.0),
                ("sign", 800.0),
                ("same", 100.5),
                ("new", 300.0),
            ]),
        };
        let grown = grown(&sides);
        let named: Vec<(&str, f64)> =
            grown.iter().map(|grown| (grown.function.as_str(), grown.change)).collect();
        assert_eq!(named, [("new", 300.0), ("parse", 50.0)]);
    }
}
