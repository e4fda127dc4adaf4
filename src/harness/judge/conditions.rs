//! Conditions of a run: disturbances by the machine, kept gaps, steady state and the report of the broker.

use super::gap_fit::GapFit;
use super::steady_state::{HitRatios, SteadyState};
use crate::harness::machine::host::strain::Strain;
use crate::harness::record::self_report::SelfReport;

/// Conditions of the measured part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Disturbance of the generator by the machine.
    pub strain: Strain,
    /// Comparison of the gaps between requests with the schedule; `None` where it says nothing.
    pub gap_fit: Option<GapFit>,
    /// Result of the steady-state check.
    pub steady: SteadyState,
    /// Cache hit ratios of the two halves; `None` where unknown, or where no steady state is
    /// expected.
    pub hit_ratios: Option<HitRatios>,
    /// Report of our broker about itself; `None` for a foreign target.
    pub broker: Option<SelfReport>,
}
