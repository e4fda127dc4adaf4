//! The broker of a run: its counters, its build, and the verification of its answers.

use crate::harness::document::extra::Extra;
use crate::harness::document::run::broker::{Broker, BrokerBuild, Verified};
use crate::harness::judge::outcome::Outcome;
use crate::harness::record::self_report;

/// Returns the counters of the measured part, or none for a foreign target or unknown counters.
pub(super) fn broker(outcome: &Outcome) -> Option<Broker> {
    let counted = outcome.broker.as_ref()?;
    let (measured, anonymous_bytes) = (counted.measured?, counted.anonymous_bytes);
    let said = outcome.conditions.broker.as_ref();
    Some(Broker {
        mints: whole_number(measured.mints),
        hits: whole_number(measured.hits),
        misses: whole_number(measured.misses),
        coalesced: whole_number(measured.coalesced),
        refreshes: whole_number(measured.refreshes),
        cpu_us_per_request: measured.cpu_us_per_request(),
        rss_bytes: Some(whole_number(measured.rss_bytes)),
        anonymous_bytes,
        build: said.and_then(|said| said.build.as_ref()).map(build),
        major_faults: said.map(|said| said.major_faults),
        extra: Extra::new(),
    })
}

/// Returns the faults that verification of the sampled answers found.
pub(super) fn verified(outcome: &Outcome) -> Verified {
    let verdict = outcome.verdict;
    Verified {
        sampled: verdict.map_or(0, |verdict| verdict.sampled),
        bad_signature: verdict.map(|verdict| verdict.bad_signature),
        wrong_identity: verdict.and_then(|verdict| verdict.wrong_identity),
        wrong_audience: verdict.and_then(|verdict| verdict.wrong_audience),
        wrong_issuer: verdict.and_then(|verdict| verdict.wrong_issuer),
        wrong_expiry: verdict.map(|verdict| verdict.wrong_expiry),
        expired: verdict.map(|verdict| verdict.expired),
        extra: Extra::new(),
    }
}

/// Returns the build that the broker reports.
fn build(reported: &self_report::BrokerBuild) -> BrokerBuild {
    let self_report::BrokerBuild { version, commit, dirty, profile } = reported.clone();
    BrokerBuild { version, git_commit: commit, git_dirty: dirty, profile }
}

/// Rounds a counter, which travels as a decimal number. A counter that was reset in between counts as
/// zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative here")]
pub(super) fn whole_number(counter: f64) -> u64 {
    counter.max(0.0).round() as u64
}
