//! What a target must do, whatever its speed: answer, answer rightly, and mint as often as it says.

use std::fmt;

use super::changes::ledger::Judgement;
use super::changes::writes::Writes;
use super::changes::{Report, Rotated, Truth};
use super::generator::{Classes, Plan};
use super::metrics::Counters;
use super::recorder::Tally;
use super::session::Counted;
use super::verify::Verdict;
use super::verify::moment::Moments;
use super::workload::Workload;

/// A check that failed: the target does not do what it must.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// Sampled answers were wrong.
    Answers(Verdict),
    /// Changes were refused or not answered.
    Changes {
        /// How many.
        failed: u64,
        /// Of how many.
        total: u64,
        /// What became of the first of them.
        reason: String,
    },
    /// Tokens or refusals came when they must not.
    Churn(Judgement),
    /// More requests ended without a token than may.
    Errors {
        /// Requests without a token, warm-up included.
        count: u64,
        /// All requests, warm-up included.
        total: u64,
        /// The share that is allowed.
        share_max: f64,
    },
    /// A herd did not end in exactly one mint.
    HerdMints {
        /// Herds that ran.
        herds: u32,
        /// Tokens minted meanwhile.
        mints: f64,
    },
    /// Not every caller of a herd got a token.
    HerdTokens {
        /// Callers of all herds.
        callers: u64,
        /// Tokens that came back.
        tokens: u64,
    },
    /// A run in which every request has a key of its own did not mint for each.
    MintCounts {
        /// The broker's counters.
        counted: Counters,
        /// Tokens that came back.
        tokens: u64,
    },
    /// No request met an identity that was away.
    NothingRemoved,
    /// All sampled tokens are signed by one key.
    NothingRotated {
        /// How often the keys were rotated.
        rotations: u64,
    },
    /// No certificate was rolled.
    NothingRolled,
    /// There are keys to verify with, but nothing was verified.
    NothingVerified,
    /// The published keys could not be read.
    KeysUnread {
        /// How often.
        count: u64,
    },
    /// Sampled tokens were signed with keys that were not published at their moment.
    Rotation(Moments),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers(verdict) => write!(f, "of {verdict}"),
            Self::Changes { failed, total, reason } => {
                write!(f, "{failed} of {total} changes failed, the first with: {reason}")
            }
            Self::Churn(judgement) => write!(
                f,
                "{} tokens came after their identity was removed, and {} requests were refused although the identity was there",
                judgement.tokens_after_removal, judgement.refused_wrongly
            ),
            Self::Errors { count, total, share_max } => write!(
                f,
                "{count} of {total} requests ended without a token, more than {:.2} %",
                share_max * 100.0
            ),
            Self::HerdMints { herds, mints } => write!(
                f,
                "{herds} herds, each on one cold key, led to {mints} mints instead of {herds}"
            ),
            Self::HerdTokens { callers, tokens } => {
                write!(f, "{callers} callers of the herds got {tokens} tokens")
            }
            Self::MintCounts { counted, tokens } => write!(
                f,
                "every request had a new key, but {tokens} tokens came with {} hits, {} coalesced, {} misses and {} mints",
                counted.hits,
                counted.coalesced,
                counted.misses,
                counted.foreground_mints()
            ),
            Self::KeysUnread { count } => {
                write!(f, "the published keys could not be read {count} times")
            }
            Self::NothingRemoved => f.write_str(
                "no request met an identity that was away, which proves nothing; raise --rate, --changes or --duration",
            ),
            Self::NothingRolled => f.write_str("no certificate was rolled, which proves nothing"),
            Self::NothingRotated { rotations } => write!(
                f,
                "all sampled tokens are signed by one key although keys rotated {rotations} times, which proves nothing; raise --duration or --samples"
            ),
            Self::Rotation(moments) => write!(
                f,
                "{} sampled tokens were signed with keys that were not published yet, {} with keys that were withdrawn too soon",
                moments.unpublished, moments.withdrawn
            ),
            Self::NothingVerified => f.write_str("no token came back that could be verified"),
        }
    }
}

/// Every check that failed.
pub(super) fn failures(
    plan: &Plan,
    tally: &Tally,
    broker: Option<&Counted>,
    verdict: Option<Verdict>,
    changes: Option<&Report>,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    failures.extend(errors(plan, tally));
    if let Some(report) = changes {
        failures.extend(changed(report));
    }
    failures.extend(verdict.filter(|verdict| verdict.faults() > 0).map(Failure::Answers));
    if verdict.is_some_and(|verdict| verdict.sampled == 0) {
        failures.push(Failure::NothingVerified);
    }
    if let Some(Counted { whole, .. }) = broker {
        failures.extend(counters(plan, tally, whole));
    }
    failures
}

/// A change that fails leaves open what the answers should be; one that nobody met shows nothing.
fn changed(report: &Report) -> Vec<Failure> {
    let mut failures = Vec::new();
    let Writes { failed, first_failure, .. } = &report.writes;
    if *failed > 0 {
        let reason = first_failure.clone().unwrap_or_default();
        failures.push(Failure::Changes { failed: *failed, total: report.writes.count(), reason });
    }
    match report.truth {
        Truth::Churn(judgement) => {
            if judgement.tokens_after_removal + judgement.refused_wrongly > 0 {
                failures.push(Failure::Churn(judgement));
            }
            if judgement.tokens_after_removal + judgement.refused_rightly == 0 {
                failures.push(Failure::NothingRemoved);
            }
        }
        Truth::Rotate(Rotated { moments, certificates, unread }) => {
            if unread > 0 {
                failures.push(Failure::KeysUnread { count: unread });
            }
            if certificates == 0 {
                failures.push(Failure::NothingRolled);
            }
            if moments.unpublished + moments.withdrawn > 0 {
                failures.push(Failure::Rotation(moments));
            }
            if moments.signing_keys < 2 {
                failures.push(Failure::NothingRotated { rotations: moments.rotations });
            }
        }
    }
    failures
}

/// Our own broker has no excuse: it is asked for what it has, and no faster than it can.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn errors(plan: &Plan, tally: &Tally) -> Option<Failure> {
    let share_max = match plan.classes {
        Classes::Broker | Classes::Churned => 0.0,
        Classes::Foreign => plan.errors_max,
    };
    let (count, total) = (tally.failures, tally.failures + tally.refused + tally.tokens);
    (count as f64 > share_max * total as f64).then_some(Failure::Errors { count, total, share_max })
}

fn counters(plan: &Plan, tally: &Tally, whole: &Counters) -> Vec<Failure> {
    let mut failures = Vec::new();
    match plan.workload {
        Workload::Herd(herds) => {
            let mints = whole.foreground_mints();
            if !equal(mints, herds.herds.into()) {
                failures.push(Failure::HerdMints { herds: herds.herds, mints });
            }
            let (callers, tokens) =
                (u64::from(herds.herds) * u64::from(herds.callers), tally.tokens);
            if tokens != callers {
                failures.push(Failure::HerdTokens { callers, tokens });
            }
        }
        Workload::Mint(_) if !minted_for_each(tally, whole) => {
            failures.push(Failure::MintCounts { counted: *whole, tokens: tally.tokens });
        }
        Workload::Mint(_) | Workload::Steady(..) => {}
    }
    failures
}

/// A request that was lost on the way may have been minted for or not; no other may.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn minted_for_each(tally: &Tally, whole: &Counters) -> bool {
    let (misses, mints) = (whole.misses, whole.foreground_mints());
    let ordered = tally.tokens as f64 <= misses && misses <= mints;
    let exact = equal(misses, tally.tokens) && equal(mints, tally.tokens);
    equal(whole.hits, 0)
        && equal(whole.coalesced, 0)
        && if tally.lost > 0 { ordered } else { exact }
}

/// Whether a counter, which travels as a decimal number, is this integer.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn equal(counter: f64, count: u64) -> bool {
    (counter - count as f64).abs() < 0.5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::changes::Changes;
    use crate::load::cores::Cores;
    use crate::load::generator::{Origin, Waiting};
    use crate::load::schedule::Arrivals;
    use crate::load::workload::{Fill, Herds, Pace};
    use crate::world::synthetic::Synthetic;

    const PACE: Pace =
        Pace { arrivals: Arrivals::Constant, rate: 100.0, length_ns: 1_000_000_000, seed: 1 };
    const STEADY: Workload = Workload::Steady(PACE, Fill(0));

    fn plan(workload: Workload, classes: Classes) -> Plan {
        Plan {
            world: Synthetic { vms: 1, user_assigned: 0, seed: 1 },
            workload,
            origin: Origin::System,
            classes,
            changes: Changes::None,
            connections: 1,
            threads: 1,
            cores: Cores { broker: None, generator: Vec::new() },
            waiting: Waiting::Sleep,
            rehearsal_ns: 0,
            warmup_ns: 0,
            duration_ns: 1_000_000_000,
            timeout_ns: 1,
            samples: 1,
            errors_max: 0.01,
            seed: 1,
        }
    }

    fn check(
        plan: &Plan,
        (tokens, errors): (u64, u64),
        counters: Option<Counters>,
        sampled: Option<u64>,
    ) -> Vec<String> {
        let tally = Tally { tokens, failures: errors, lost: errors, ..Tally::default() };
        let counted = counters.map(|whole| Counted { measured: whole, whole });
        let verdict = sampled.map(|sampled| Verdict { sampled, ..Verdict::default() });
        let failures = failures(plan, &tally, counted.as_ref(), verdict, None);
        failures.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_run_in_which_nothing_works_fails() {
        let ours = plan(STEADY, Classes::Broker);
        let failed = check(&ours, (0, 100), Some(Counters::default()), Some(0));
        assert!(failed[0].contains("100 of 100 requests"), "{failed:?}");
        assert!(failed[1].contains("no token"), "{failed:?}");
    }

    #[test]
    fn one_error_fails_our_broker_and_a_budget_of_them_a_foreign_target() {
        assert_eq!(check(&plan(STEADY, Classes::Broker), (9_999, 1), None, None).len(), 1);
        let foreign = plan(STEADY, Classes::Foreign);
        assert!(check(&foreign, (9_900, 100), None, None).is_empty());
        assert_eq!(check(&foreign, (9_899, 101), None, None).len(), 1);
    }

    fn check_changes(truth: Truth, change: impl FnOnce(&mut Writes)) -> String {
        let mut writes = Writes::default();
        change(&mut writes);
        let failed = changed(&Report { writes, truth });
        failed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn one_token_after_removal_fails_a_churn_and_so_does_one_refusal_too_many() {
        let good = Judgement { refused_rightly: 5, tokens_rightly: 9, ..Judgement::default() };
        let check = |judgement| check_changes(Truth::Churn(judgement), |_| ());
        assert_eq!(check(good), "");
        let token = check(Judgement { tokens_after_removal: 1, ..good });
        assert!(token.starts_with("1 tokens came after"), "{token}");
        let refused = check(Judgement { refused_wrongly: 2, ..good });
        assert!(refused.contains("and 2 requests were refused"), "{refused}");
        assert!(check(Judgement { refused_rightly: 0, ..good }).contains("proves nothing"));
        let failed = check_changes(Truth::Churn(good), |writes| {
            (writes.failed, writes.first_failure) = (1, Some("status 500".to_owned()));
        });
        assert_eq!(failed, "1 of 1 changes failed, the first with: status 500");
    }

    #[test]
    fn a_token_of_another_moments_key_fails_a_rotation_and_one_key_proves_nothing() {
        let good = Moments { rotations: 3, signing_keys: 2, ..Moments::default() };
        let rotated = |moments| Rotated { moments, certificates: 1, unread: 0 };
        let check = |moments| check_changes(Truth::Rotate(rotated(moments)), |_| ());
        assert_eq!(check(good), "");
        assert!(check(Moments { unpublished: 1, ..good }).starts_with("1 sampled tokens"));
        assert!(check(Moments { withdrawn: 1, ..good }).contains(", 1 with keys"));
        assert!(check(Moments { signing_keys: 1, ..good }).contains("rotated 3 times"));
        let unread = Rotated { unread: 4, ..rotated(good) };
        let unread = check_changes(Truth::Rotate(unread), |_| ());
        assert!(unread.contains("could not be read 4 times"), "{unread}");
        let none = Rotated { certificates: 0, ..rotated(good) };
        assert!(check_changes(Truth::Rotate(none), |_| ()).contains("no certificate"));
    }

    #[test]
    fn a_herd_is_one_mint_each_and_a_token_for_every_caller() {
        let herds = Herds { herds: 2, callers: 50, first_ns: 0, gap_ns: 1 };
        let ours = plan(Workload::Herd(herds), Classes::Broker);
        let mints = |mints| Some(Counters { mints, ..Counters::default() });
        assert!(check(&ours, (100, 0), mints(2.0), Some(1)).is_empty());
        assert!(check(&ours, (100, 0), mints(3.0), Some(1))[0].contains("3 mints"));
        assert!(check(&ours, (99, 0), mints(2.0), Some(1))[0].contains("99 tokens"));
    }

    #[test]
    fn a_minting_run_counts_exactly_unless_requests_were_lost() {
        let ours = plan(Workload::Mint(PACE), Classes::Broker);
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
