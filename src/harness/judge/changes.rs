//! Report on the changes of a run, and the verdict on the answers.

use super::ledger::Judgement;
use super::verify::key_timeline::KeyTimelineVerdict;
use crate::harness::nanos::Nanos;
use crate::harness::record::writes::Writes;

/// Report on the changes of a run.
#[derive(Clone, Debug)]
pub struct ChangesReport {
    /// Requests that changed something.
    pub writes: Writes,
    /// Verdict on the answers.
    pub verdict: ChangesVerdict,
}

/// Verdict on the answers of a run with changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangesVerdict {
    /// Verdict on the answers to VMs that lost identities and got them back.
    Churn(Judgement),
    /// No verdict beyond the general checks; the token service was away.
    Outage {
        /// Length of the outage.
        down: Nanos,
    },
    /// Verdict on the sampled answers, signed by changing keys.
    Rotation(RotationVerdict),
}

/// Results of a run that rotates keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RotationVerdict {
    /// Sampled tokens compared with the key sets of their time.
    pub keys: KeyTimelineVerdict,
    /// Identity certificates that were rolled.
    pub certificates: u64,
    /// Failed attempts to read the published keys.
    pub unread: u64,
}
