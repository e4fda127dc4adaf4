//! What was changed during a run and what that showed, as `run.json` has it.

use serde::Serialize;

use super::run_json::{Percentiles, whole_number};
use crate::clock::us;
use crate::load::changes::{Report, Rotated, Truth};
use crate::load::session::Outcome;

#[derive(Debug, Serialize)]
pub(super) struct ChangesJson {
    count: u64,
    failed: u64,
    ack_us: Percentiles,
}

#[derive(Debug, Serialize)]
pub(super) struct ChurnJson {
    removals: u64,
    refused_rightly: u64,
    refused_wrongly: u64,
    tokens_rightly: u64,
    tokens_after_removal: u64,
    undecided: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct RotationJson {
    rotations: u64,
    signing_keys: u64,
    key_sets: u64,
    key_sets_unread: u64,
    certificates: u64,
    unpublished: u64,
    withdrawn: u64,
    unwatched: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct OutageJson {
    down_s: f64,
    mint_failures: Option<u64>,
}

impl ChangesJson {
    pub(super) fn new(report: &Report) -> Self {
        let writes = &report.writes;
        Self {
            count: writes.count(),
            failed: writes.failed,
            ack_us: Percentiles::of(&writes.acknowledged),
        }
    }
}

impl ChurnJson {
    pub(super) fn of(report: &Report) -> Option<Self> {
        let Truth::Churn(judgement) = report.truth else { return None };
        Some(Self {
            removals: judgement.removals,
            refused_rightly: judgement.refused_rightly,
            refused_wrongly: judgement.refused_wrongly,
            tokens_rightly: judgement.tokens_rightly,
            tokens_after_removal: judgement.tokens_after_removal,
            undecided: judgement.undecided,
        })
    }
}

impl RotationJson {
    pub(super) fn of(report: &Report) -> Option<Self> {
        let Truth::Rotate(rotated) = report.truth else { return None };
        let Rotated { moments, certificates, unread } = rotated;
        Some(Self {
            rotations: moments.rotations,
            signing_keys: moments.signing_keys,
            key_sets: moments.key_sets,
            key_sets_unread: unread,
            certificates,
            unpublished: moments.unpublished,
            withdrawn: moments.withdrawn,
            unwatched: moments.unwatched,
        })
    }
}

impl OutageJson {
    pub(super) fn of(report: &Report, outcome: &Outcome) -> Option<Self> {
        let Truth::Outage { down_ns } = report.truth else { return None };
        let measured = outcome.broker.and_then(|counted| counted.measured);
        let failures = measured.map(|counters| whole_number(counters.mint_failures));
        Some(Self { down_s: us(down_ns) / 1e6, mint_failures: failures })
    }
}
