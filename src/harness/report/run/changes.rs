//! The changes made during a run and their effects, for `run.json`.

use super::broker::whole_number;
use crate::base::clock::us;
use crate::harness::document::extra::Extra;
use crate::harness::document::run::changes::{Changes, Churn, Outage, Rotation};
use crate::harness::judge::changes::{ChangesReport, ChangesVerdict, RotationVerdict};
use crate::harness::judge::outcome::Outcome;
use crate::harness::report::quantiles::percentiles;

/// Returns the number of changes and the times of their acknowledgements.
pub(super) fn writes(report: &ChangesReport) -> Changes {
    let writes = &report.writes;
    Changes {
        count: writes.count(),
        failed: writes.failed,
        ack_us: percentiles(&writes.acknowledged),
        extra: Extra::new(),
    }
}

/// Returns the verdict on the answers to VMs that lost and got identities.
pub(super) fn churn(report: &ChangesReport) -> Option<Churn> {
    let ChangesVerdict::Churn(counts) = report.verdict else { return None };
    Some(Churn { counts, extra: Extra::new() })
}

/// Returns the verdict on the tokens while keys were rotated.
pub(super) fn rotation(report: &ChangesReport) -> Option<Rotation> {
    let ChangesVerdict::Rotation(rotated) = report.verdict else { return None };
    let RotationVerdict { keys, certificates, unread } = rotated;
    Some(Rotation {
        rotations: keys.rotations,
        signing_keys: keys.signing_keys,
        key_sets: keys.key_sets,
        key_sets_unread: unread,
        certificates,
        unpublished: keys.unpublished,
        withdrawn: keys.withdrawn,
        unwatched: keys.unwatched,
        extra: Extra::new(),
    })
}

/// Returns how long the token service was away, and how many mints failed.
pub(super) fn outage(report: &ChangesReport, outcome: &Outcome) -> Option<Outage> {
    let ChangesVerdict::Outage { down } = report.verdict else { return None };
    let measured = outcome.broker.and_then(|counted| counted.measured);
    let failures = measured.map(|counters| whole_number(counters.mint_failures));
    Some(Outage { down_s: us(down.as_u64()) / 1e6, mint_failures: failures })
}
