//! Checks of a target at any speed: it answers, answers correctly, and mints as often as it should.

use super::changes::{ChangesReport, ChangesVerdict, RotationVerdict};
use super::failure::Failure;
use super::throttle::Share;
use super::verify::Verdict;
use crate::harness::class::Class;
use crate::harness::dialect::outcome::Cause;
use crate::harness::record::broker_counters::{Counted, Counters};
use crate::harness::record::intervals::IntervalSet;
use crate::harness::record::measured::Measured;
use crate::harness::record::tally::Tally;
use crate::harness::record::writes::Writes;
use crate::harness::scenario::changes::Changes;
use crate::harness::scenario::phases::{Expectation, Phases};
use crate::harness::scenario::run_plan::{Classes, RunPlan};
use crate::harness::scenario::workload::Workload;
use crate::harness::schedule::traffic::{NewKeyCounts, Traffic};

/// Returns every check that failed.
pub(super) fn failures(
    plan: &RunPlan,
    measured: &Measured,
    broker: Option<&Counted>,
    verdict: Option<Verdict>,
    changes: Option<&ChangesReport>,
) -> Vec<Failure> {
    let tally = &measured.tally;
    let mut failures = Vec::new();
    let share = Share::of(plan, measured);
    failures.extend(errors(plan, tally, share));
    match share {
        Some(Share { throttled: 0, .. }) => failures.push(Failure::NoThrottle),
        Some(share) if !share.is_fair() => failures.push(Failure::Share(share)),
        _ => {}
    }
    if let Some(report) = changes {
        failures.extend(changed(report));
    }
    failures.extend(verdict.filter(|verdict| verdict.faults() > 0).map(Failure::Answers));
    if verdict.is_some_and(|verdict| verdict.sampled == 0) {
        failures.push(Failure::NoVerification);
    }
    if let Some(counted) = broker {
        failures.extend(counters(plan, tally, &counted.whole));
        failures.extend(expected(plan, &measured.totals.whole, counted));
    }
    failures
}

/// Checks the changes of a run.
///
/// A failed change leaves open which answers are correct. A change that no request met shows
/// nothing.
fn changed(report: &ChangesReport) -> Vec<Failure> {
    let mut failures = Vec::new();
    let Writes { failed, first_failure, .. } = &report.writes;
    if *failed > 0 {
        let reason = first_failure.clone().unwrap_or_default();
        failures.push(Failure::Changes { failed: *failed, total: report.writes.count(), reason });
    }
    match report.verdict {
        ChangesVerdict::Churn(judgement) => {
            if judgement.tokens_after_removal + judgement.refused_wrongly > 0 {
                failures.push(Failure::Churn(judgement));
            }
            if judgement.tokens_after_removal + judgement.refused_rightly == 0 {
                failures.push(Failure::NoRemoval);
            }
        }
        // The broker's counters show the outage.
        ChangesVerdict::Outage { .. } => {}
        ChangesVerdict::Rotation(RotationVerdict { keys, certificates, unread }) => {
            if unread > 0 {
                failures.push(Failure::UnreadKeys { count: unread });
            }
            if certificates == 0 {
                failures.push(Failure::NoCertificateRoll);
            }
            if keys.unpublished + keys.withdrawn > 0 {
                failures.push(Failure::Rotation(keys));
            }
            if keys.signing_keys < 2 {
                failures.push(Failure::NoRotation { rotations: keys.rotations });
            }
        }
    }
    failures
}

/// Checks the share of failed requests.
///
/// Our own broker may have none: it is asked for identities that it has, at a rate that it can
/// serve. Only a VM that asks for more than its limit is refused rightly.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn errors(plan: &RunPlan, tally: &Tally, share: Option<Share>) -> Option<Failure> {
    let share_max = match plan.classes {
        Classes::Broker | Classes::Churned => 0.0,
        Classes::Foreign => plan.errors_max,
    };
    let throttled = share.map_or(0, |share| share.throttled);
    let count = tally.failures.saturating_sub(throttled);
    let total = count + throttled + tally.refused + tally.tokens;
    let cause = most_frequent(tally);
    (count as f64 > share_max * total as f64).then_some(Failure::Errors {
        count,
        total,
        cause,
        share_max,
    })
}

/// Returns the most frequent cause of failure on the target's side.
fn most_frequent(tally: &Tally) -> Option<Cause> {
    let causes = tally.causes.iter().filter(|(cause, _)| cause.remedy().is_none());
    causes.max_by_key(|(_, count)| **count).map(|(cause, _)| *cause)
}

fn counters(plan: &RunPlan, tally: &Tally, whole: &Counters) -> Vec<Failure> {
    let mut failures = Vec::new();
    if matches!(plan.changes, Changes::Outage { .. }) && whole.mint_failures < 1.0 {
        failures.push(Failure::NoFailedMint);
    }
    match &plan.workload {
        Workload::Herd(herds) => {
            let mints = whole.foreground_mints();
            if !equal(mints, herds.herds.into()) {
                failures.push(Failure::HerdMints { herds: herds.herds, mints });
            }
            let (callers, tokens) =
                (u64::from(herds.herds) * u64::from(herds.callers), tally.tokens);
            if tokens + tally.impeded != callers {
                failures.push(Failure::HerdTokens { callers, tokens });
            }
        }
        Workload::Phases(phases) if phases.only_new() => {
            if !minted_for_each(tally, whole) {
                failures.push(Failure::MintCounts { counted: *whole, tokens: tally.tokens });
            }
        }
        Workload::Phases(phases) => failures.extend(mints(plan, phases, tally, whole)),
    }
    failures
}

/// Number of keys above which a cache of the usual size may drop tokens and mint them again.
const KEYS_MAX: u64 = 100_000;

/// Checks that each new key caused a cache miss, and that no key was minted twice where nothing
/// expires or changes.
fn mints(plan: &RunPlan, phases: &Phases, tally: &Tally, whole: &Counters) -> Vec<Failure> {
    let mut failures = Vec::new();
    let new = if phases.any_new() {
        Traffic::of(&plan.workload, &plan.world).new_key_counts()
    } else {
        NewKeyCounts::default()
    };
    // The broker may not have seen requests that were lost or never sent.
    let complete = tally.lost == 0 && tally.unsent == 0;
    if complete && whole.misses + 0.5 < float(new.keys) {
        failures.push(Failure::NewKeys { keys: new.keys, misses: whole.misses });
    }
    let keys = phases.reused_keys(&plan.world) + new.keys;
    let lasting = phases.tokens_outlive_run && keys <= KEYS_MAX;
    let unchanged = matches!(plan.changes, Changes::None | Changes::Outage { .. });
    let mints = whole.foreground_mints();
    if lasting && unchanged && mints > float(keys) + 0.5 {
        failures.push(Failure::RepeatedMints { mints, keys });
    }
    failures
}

/// Checks the expectations that the scenario states.
fn expected(plan: &RunPlan, whole: &IntervalSet, counted: &Counted) -> Vec<Failure> {
    let Some(phases) = plan.workload.phases() else { return Vec::new() };
    let expectations = phases.expect.iter().filter_map(|expectation| match expectation {
        Expectation::Hits => waited(plan, phases, whole),
        Expectation::Refreshes => {
            let (refreshes, keys) = (counted.measured?.refreshes, phases.filled(&plan.world)?.0);
            (refreshes + 0.5 < float(keys)).then_some(Failure::Refreshes { refreshes, keys })
        }
    });
    expectations.collect()
}

fn waited(plan: &RunPlan, phases: &Phases, whole: &IntervalSet) -> Option<Failure> {
    let waiting = [Class::Miss, Class::Coalesced];
    let waiters = whole.seen().filter(|(class, _)| waiting.contains(class));
    let count = waiters.map(|(_, latencies)| latencies.response.len()).sum();
    let new = if phases.any_new() {
        Traffic::of(&plan.workload, &plan.world).new_key_counts().requests
    } else {
        0
    };
    (count > new).then_some(Failure::MintWaits { count, new })
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}

/// Returns true if the broker counted one mint for each token. Only a lost request may add further
/// mints.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn minted_for_each(tally: &Tally, whole: &Counters) -> bool {
    let (misses, mints) = (whole.misses, whole.foreground_mints());
    let ordered = tally.tokens as f64 <= misses && misses <= mints;
    let exact = equal(misses, tally.tokens) && equal(mints, tally.tokens);
    equal(whole.hits, 0)
        && equal(whole.coalesced, 0)
        && if tally.lost > 0 { ordered } else { exact }
}

/// Returns true if a counter is this integer. Counters travel as decimal numbers.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn equal(counter: f64, count: u64) -> bool {
    (counter - count as f64).abs() < 0.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::synthetic::Synthetic;
    use crate::harness::dialect::outcome::{Status, Wait};
    use crate::harness::judge::ledger::Judgement;
    use crate::harness::judge::verify::key_timeline::KeyTimelineVerdict;
    use crate::harness::machine::cores::Cores;
    use crate::harness::nanos::Nanos;
    use crate::harness::record::collector::Totals;
    use crate::harness::record::intervals::{Ended, histogram};
    use crate::harness::record::measured::Pacing;
    use crate::harness::record::witness::Neighbourhood;
    use crate::harness::scenario::mix::Kind;
    use crate::harness::scenario::run_plan::{Bounds, Origin, Pausing, Waiting};
    use crate::harness::scenario::workload::Herds;
    use crate::harness::scenario::workload::tests::{one, phase, phases};
    use std::sync::Arc;

    fn steady() -> Workload {
        one(100.0, Kind::Popular { exponent: 1.0 })
    }

    fn plan(workload: Workload, classes: Classes) -> RunPlan {
        RunPlan {
            world: Synthetic { vms: 1, user_assigned: 0, seed: 1 },
            workload,
            origin: Origin::System,
            classes,
            changes: Changes::None,
            connections: 1,
            threads: 1,
            cores: Cores { broker: None, generator: Vec::new() },
            waiting: Waiting::Sleep,
            bounds: Bounds::default(),
            pausing: Pausing::Never,
            rehearsal: Nanos::ZERO,
            warmup: Nanos::ZERO,
            duration: Nanos::SECOND,
            timeout: Nanos::new(1),
            samples: 1,
            errors_max: 0.01,
            seed: 1,
        }
    }

    fn check(
        plan: &RunPlan,
        (tokens, errors): (u64, u64),
        counters: Option<Counters>,
        sampled: Option<u64>,
    ) -> Vec<String> {
        let tally = Tally { tokens, failures: errors, lost: errors, ..Tally::default() };
        let measured = Measured {
            totals: Totals::default(),
            tally,
            busy_share: 0.0,
            hiccup: histogram(),
            notice: histogram(),
            pacing: Pacing::default(),
            samples: Vec::new(),
            samples_full: false,
            paused: Nanos::ZERO,
            neighbourhood: Neighbourhood::Apart,
            cut: None,
        };
        let counted =
            counters.map(|whole| Counted { measured: Some(whole), whole, anonymous_bytes: None });
        let verdict = sampled.map(|sampled| Verdict { sampled, ..Verdict::default() });
        let failures = failures(plan, &measured, counted.as_ref(), verdict, None);
        failures.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_run_in_which_nothing_works_fails() {
        let ours = plan(steady(), Classes::Broker);
        let failed = check(&ours, (0, 100), Some(Counters::default()), Some(0));
        assert!(failed[0].contains("100 of 100 requests"), "{failed:?}");
        assert!(failed[1].contains("no token"), "{failed:?}");
    }

    #[test]
    fn the_most_frequent_cause_of_the_target_is_named() {
        let causes =
            [(Cause::Timeout(Wait::Answer), 2), (Cause::NoToken, 3), (Cause::LocalPorts, 9)].into();
        let tally = Tally { tokens: 1, failures: 5, impeded: 9, causes, ..Tally::default() };
        let failed = errors(&plan(steady(), Classes::Broker), &tally, None).unwrap().to_string();
        assert_eq!(
            failed,
            "5 of 6 requests failed, warm-up included, more than 0.00 %; the most frequent cause: no token"
        );
    }

    #[test]
    fn what_this_machine_could_not_send_fails_no_check() {
        let herds = Herds { herds: 1, callers: 50, first: Nanos::ZERO, gap: Nanos::new(1) };
        let tally = Tally { tokens: 40, impeded: 10, lost: 10, ..Tally::default() };
        let whole = Counters { mints: 1.0, misses: 1.0, ..Counters::default() };
        let ours = plan(Workload::Herd(herds), Classes::Broker);
        assert_eq!(counters(&ours, &tally, &whole), []);
        assert_eq!(errors(&ours, &tally, None), None);
    }

    #[test]
    fn one_error_fails_our_broker_and_a_budget_of_them_a_foreign_target() {
        assert_eq!(check(&plan(steady(), Classes::Broker), (9_999, 1), None, None).len(), 1);
        let foreign = plan(steady(), Classes::Foreign);
        assert!(check(&foreign, (9_900, 100), None, None).is_empty());
        assert_eq!(check(&foreign, (9_899, 101), None, None).len(), 1);
    }

    #[test]
    fn only_the_vm_above_its_limit_may_be_throttled() {
        let share = Share { limit: 20, seconds: 1.0, tokens: 20, throttled: 70 };
        let failed = |failures| {
            let tally = Tally { tokens: 100, failures, ..Tally::default() };
            errors(&plan(steady(), Classes::Broker), &tally, Some(share))
        };
        assert_eq!(failed(70), None);
        let said = failed(71).unwrap().to_string();
        assert!(said.starts_with("1 of 171 requests failed"), "{said}");
    }

    fn check_changes(verdict: ChangesVerdict, change: impl FnOnce(&mut Writes)) -> String {
        let mut writes = Writes::default();
        change(&mut writes);
        let failed = changed(&ChangesReport { writes, verdict });
        failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn one_token_after_removal_fails_a_churn_and_so_does_one_refusal_too_many() {
        let good = Judgement { refused_rightly: 5, tokens_rightly: 9, ..Judgement::default() };
        let check = |judgement| check_changes(ChangesVerdict::Churn(judgement), |_| ());
        assert_eq!(check(good), "");
        let token = check(Judgement { tokens_after_removal: 1, ..good });
        assert!(token.starts_with("1 tokens came after"), "{token}");
        let refused = check(Judgement { refused_wrongly: 2, ..good });
        assert!(refused.contains("and 2 requests were refused"), "{refused}");
        assert!(check(Judgement { refused_rightly: 0, ..good }).contains("proves nothing"));
        let failed = check_changes(ChangesVerdict::Churn(good), |writes| {
            (writes.failed, writes.first_failure) = (1, Some("status 500".to_owned()));
        });
        assert_eq!(failed, "1 of 1 changes failed, the first with: status 500");
    }

    #[test]
    fn a_token_of_another_moments_key_fails_a_rotation_and_one_key_proves_nothing() {
        let good =
            KeyTimelineVerdict { rotations: 3, signing_keys: 2, ..KeyTimelineVerdict::default() };
        let rotated = |keys| RotationVerdict { keys, certificates: 1, unread: 0 };
        let check = |keys| check_changes(ChangesVerdict::Rotation(rotated(keys)), |_| ());
        assert_eq!(check(good), "");
        assert!(
            check(KeyTimelineVerdict { unpublished: 1, ..good }).starts_with("1 sampled tokens")
        );
        assert!(check(KeyTimelineVerdict { withdrawn: 1, ..good }).contains(", 1 with keys"));
        assert!(check(KeyTimelineVerdict { signing_keys: 1, ..good }).contains("rotated 3 times"));
        let unread = RotationVerdict { unread: 4, ..rotated(good) };
        let unread = check_changes(ChangesVerdict::Rotation(unread), |_| ());
        assert!(unread.contains("could not be read 4 times"), "{unread}");
        let none = RotationVerdict { certificates: 0, ..rotated(good) };
        assert!(check_changes(ChangesVerdict::Rotation(none), |_| ()).contains("no certificate"));
    }

    #[test]
    fn a_herd_is_one_mint_each_and_a_token_for_every_caller() {
        let herds = Herds { herds: 2, callers: 50, first: Nanos::ZERO, gap: Nanos::new(1) };
        let ours = plan(Workload::Herd(herds), Classes::Broker);
        let mints = |mints| Some(Counters { mints, ..Counters::default() });
        assert!(check(&ours, (100, 0), mints(2.0), Some(1)).is_empty());
        assert!(check(&ours, (100, 0), mints(3.0), Some(1))[0].contains("3 mints"));
        assert!(check(&ours, (99, 0), mints(2.0), Some(1))[0].contains("99 tokens"));
    }

    /// Returns a plan with a warm-up of ten requests and then these kinds, with one key that comes
    /// back.
    fn expecting(expect: Expectation, kinds: &[Kind]) -> RunPlan {
        let warmup = phase("w", 10.0, Kind::Popular { exponent: 0.0 });
        let measured = kinds.iter().map(|kind| phase("m", 3.0, *kind)).collect();
        let phases = Phases { expect: vec![expect], ..phases(Some(warmup), measured) };
        plan(Workload::Phases(Arc::new(phases)), Classes::Broker)
    }

    fn missed(times: u64) -> IntervalSet {
        let mut set = IntervalSet::new(0);
        for _ in 0..times {
            let ended = Ended {
                class: Class::Miss,
                status: Status::Http(200),
                cause: None,
                intended: Nanos::ZERO,
                acted: Nanos::ZERO,
                written: Some(Nanos::ZERO),
                end: Nanos::new(1),
                added: Nanos::ZERO,
            };
            set.record_until(&ended, ended.end);
        }
        set
    }

    #[test]
    fn whoever_expects_hits_lets_only_requests_for_new_keys_wait() {
        let check = |kinds: &[Kind], misses| {
            let plan = expecting(Expectation::Hits, kinds);
            let whole = Counters::default();
            let counted = Counted { measured: Some(whole), whole, anonymous_bytes: None };
            expected(&plan, &missed(misses), &counted).len()
        };
        let hit = Kind::Popular { exponent: 0.0 };
        assert_eq!((check(&[hit], 0), check(&[hit], 1)), (0, 1));
        let new = Kind::New { repeat: 1 };
        assert_eq!((check(&[hit, new], 3), check(&[hit, new], 4)), (0, 1));
    }

    #[test]
    fn whoever_expects_renewals_wants_one_of_every_key() {
        let plan = expecting(Expectation::Refreshes, &[Kind::Popular { exponent: 0.0 }]);
        let check = |measured| {
            let whole = Counters::default();
            expected(&plan, &missed(0), &Counted { measured, whole, anonymous_bytes: None }).len()
        };
        let renewed = |refreshes| Some(Counters { refreshes, ..Counters::default() });
        assert_eq!((check(renewed(1.0)), check(renewed(0.0))), (0, 1));
        assert_eq!(check(None), 0, "what was not counted fails nothing");
    }

    #[test]
    fn no_key_is_minted_twice_and_every_new_one_once() {
        let hits = plan(steady(), Classes::Broker);
        let counted = |misses, mints| Some(Counters { misses, mints, ..Counters::default() });
        assert!(check(&hits, (100, 0), counted(1.0, 1.0), Some(1)).is_empty());
        let again = check(&hits, (100, 0), counted(2.0, 2.0), Some(1));
        assert!(again[0].contains("minted twice"), "{again:?}");
        // The three requests for a new key share one key; another key comes back.
        let herd = [Kind::Popular { exponent: 0.0 }, Kind::New { repeat: 3 }];
        let mixed = expecting(Expectation::Refreshes, &herd);
        let renewed = |misses| {
            let counters = Counters { mints: 3.0, refreshes: 1.0, misses, ..Counters::default() };
            check(&mixed, (16, 0), Some(counters), Some(1))
        };
        assert!(renewed(2.0).is_empty(), "{:?}", renewed(2.0));
        let unseen = renewed(0.0);
        assert!(unseen[0].contains("1 keys were asked for"), "{unseen:?}");
    }

    #[test]
    fn an_outage_in_which_no_mint_failed_proves_nothing() {
        let changes = Changes::Outage { from: Nanos::ZERO, length: Nanos::new(1) };
        let outage = RunPlan { changes, ..plan(steady(), Classes::Broker) };
        let failed = |mint_failures| {
            let counters = Counters { mint_failures, ..Counters::default() };
            check(&outage, (100, 0), Some(counters), Some(1)).len()
        };
        assert_eq!((failed(1.0), failed(0.0)), (0, 1));
    }

    #[test]
    fn a_minting_run_counts_exactly_unless_requests_were_lost() {
        let ours = plan(one(100.0, Kind::New { repeat: 1 }), Classes::Broker);
        let counted = |misses, mints| Some(Counters { misses, mints, ..Counters::default() });
        assert!(check(&ours, (100, 0), counted(100.0, 100.0), Some(1)).is_empty());
        assert_eq!(check(&ours, (100, 0), counted(101.0, 101.0), Some(1)).len(), 1);
        // Lost requests fail as errors, but not again as miscounts.
        assert_eq!(check(&ours, (100, 1), counted(101.0, 101.0), Some(1)).len(), 1);
        assert_eq!(check(&ours, (100, 1), counted(99.0, 99.0), Some(1)).len(), 2);
        let hit = Counters { hits: 1.0, misses: 100.0, mints: 100.0, ..Counters::default() };
        assert_eq!(check(&ours, (100, 0), Some(hit), Some(1)).len(), 1);
    }
}
