//! What a run was made under, beside the load itself: everything else that its judgement looks at.

use super::course::{HitRatios, SteadyState};
use super::host::strain::Strain;
use super::pacing::GapFit;
use super::self_report::SelfReport;

/// The conditions of the measured part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// What the machine did to the generator.
    pub strain: Strain,
    /// How the gaps between requests compare with the schedule; none where that says nothing.
    pub gap_fit: Option<GapFit>,
    /// Whether there was a steady state.
    pub steady: SteadyState,
    /// The share of cache hits over time; none where nobody knows.
    pub hit_ratios: Option<HitRatios>,
    /// What our broker said of itself; none for a foreign target.
    pub broker: Option<SelfReport>,
}
