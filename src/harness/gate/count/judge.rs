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
    let mut metrics: Vec<CountedMetric> = keys.into_iter().filter_map(judged).collect();
    mark_uncounted(&mut metrics);
    metrics
}

fn metric(
    (class, work): (Class, Work),
    base: Vec<f64>,
    candidate: Vec<f64>,
    allowances: &Allowances,
) -> CountedMetric {
    let allowed = allowances.growth((class, work), mean(&base));
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
        not_counted: None,
        verdict,
    }
}

/// Smallest number of allocations per request that shows that Valgrind sees the allocator. The table shows less as 0.
const SEEN_MIN: f64 = 0.05;

/// Marks the metrics whose counts are not those of the work for a request.
fn mark_uncounted(metrics: &mut [CountedMetric]) {
    let is_seen = |metric: &CountedMetric| {
        metric.work == Work::Allocations && most(&metric.candidate) >= SEEN_MIN
    };
    // No allocation for a hit is an answer if a miss makes some. If no request makes any, the server may have an
    // allocator of its own.
    let is_unseen = !metrics.iter().any(is_seen);
    for metric in metrics {
        metric.not_counted = match metric.work {
            Work::Allocations | Work::AllocatedBytes => is_unseen.then(|| UNSEEN.to_owned()),
            Work::Instructions | Work::SystemCalls => done_elsewhere(metric),
            Work::WrittenBytes => None,
        };
        if metric.not_counted.is_some() {
            metric.verdict = Verdict::Inconclusive;
        }
    }
}

const UNSEEN: &str = "no request of the candidate made an allocation that Valgrind sees";

/// Returns a reason if a process did less than one of this work for a request. Then another process answered.
fn done_elsewhere(metric: &CountedMetric) -> Option<String> {
    let sides = [("base", &metric.base), ("candidate", &metric.candidate)];
    let idle = sides.into_iter().filter(|(_, counts)| least(counts) < 1.0);
    let idle: Vec<&str> = idle.map(|(side, _)| side).collect();
    (!idle.is_empty()).then(|| format!("below 1 for each request in the {}", idle.join(" and ")))
}

/// Returns true if another process than the counted one answered the requests.
pub(super) fn is_done_elsewhere(metric: &CountedMetric) -> bool {
    let is_needed = matches!(metric.work, Work::Instructions | Work::SystemCalls);
    is_needed && metric.not_counted.is_some()
}

/// Returns true if the metric was counted and has this verdict.
pub(super) fn has(metric: &CountedMetric, verdict: Verdict) -> bool {
    metric.not_counted.is_none() && metric.verdict == verdict
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
    let any = |verdict| metrics.iter().any(|metric| has(metric, verdict));
    let [base, candidate] = failures;
    if !candidate.is_empty() {
        Verdict::Fail
    } else if !base.is_empty() || metrics.is_empty() || metrics.iter().any(is_done_elsewhere) {
        // A comparison with a broken base says nothing, nor do the counts of a process that does not answer.
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

    type Counted = (Class, Work, f64);

    /// Returns the metrics of two sides, each of one process with this work of these classes.
    fn of_work(base: &[Counted], candidate: &[Counted]) -> Vec<CountedMetric> {
        let side = |work: &[Counted]| {
            let work = work.iter().map(|(class, work, count)| ((*class, *work), *count)).collect();
            vec![Counts { work, ..Counts::default() }]
        };
        let sides = Sides { base: side(base), candidate: side(candidate) };
        metrics(&sides, &Allowances::with(&[]))
    }

    fn one(work: Work, base: f64, candidate: f64) -> CountedMetric {
        of_work(&[(Class::All, work, base)], &[(Class::All, work, candidate)]).remove(0)
    }

    #[test]
    fn a_process_that_does_nothing_for_a_request_is_not_the_server() {
        for work in [Work::Instructions, Work::SystemCalls] {
            for (base, candidate, of) in
                [(0.0, 0.0, "base and candidate"), (2.0, 0.9, "candidate"), (0.0, 2.0, "base")]
            {
                let metric = one(work, base, candidate);
                let said = metric.not_counted.clone().unwrap();
                assert_eq!(said, format!("below 1 for each request in the {of}"));
                assert_eq!(overall(&[metric], [&[], &[]]), Verdict::Invalid);
            }
            assert_eq!(one(work, 1.0, 1.0).not_counted, None);
        }
    }

    #[test]
    fn allocations_that_no_request_makes_are_not_counted_and_not_equal() {
        use Work::{AllocatedBytes, Allocations};
        for work in [Allocations, AllocatedBytes] {
            let metric = one(work, 0.0, 0.0);
            assert!(metric.not_counted.is_some() && metric.verdict == Verdict::Inconclusive);
            // The rest of the gate decides.
            let calls = one(Work::SystemCalls, 2.0, 2.0);
            assert_eq!(overall(&[metric, calls], [&[], &[]]), Verdict::Pass);
        }
        // The candidate may only have another allocator.
        assert!(one(Allocations, 12.0, 0.0).not_counted.is_some());
        let more = one(Allocations, 0.0, 1.0);
        assert_eq!((more.not_counted, more.verdict), (None, Verdict::Fail));
    }

    #[test]
    fn a_hit_without_allocations_is_an_answer_if_a_miss_makes_some() {
        let work = [(Class::Hit, Work::Allocations, 0.0), (Class::Miss, Work::Allocations, 40.0)];
        for metric in of_work(&work, &work) {
            assert_eq!((metric.not_counted, metric.verdict), (None, Verdict::Pass));
        }
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
