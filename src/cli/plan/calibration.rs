//! Costs of hits and of mints that a plan is computed from.

use crate::harness::plan::fit::{FitError, Quiet, Side};
use crate::harness::plan::search::Found;
use crate::harness::record::intervals::histogram;

/// Measured or stored calibration.
#[derive(Debug)]
pub(super) struct Calibration {
    pub(super) hit: Result<Side, FitError>,
    pub(super) mint: Result<Side, FitError>,
    pub(super) notes: Vec<String>,
}

impl Calibration {
    pub(super) fn new(hit: Found, mint: Found, seed: u64, mut notes: Vec<String>) -> Self {
        for (name, found) in [("hits", &hit), ("mints", &mint)] {
            notes.extend(disturbed(name, found));
        }
        Self { hit: Side::fit(hit, seed), mint: Side::fit(mint, seed), notes }
    }

    pub(super) fn sides(&self) -> Option<(&Side, &Side)> {
        self.hit.as_ref().ok().zip(self.mint.as_ref().ok())
    }
}

/// Returns a note if the host disturbed levels of a search. A shared machine disturbs nearly every tail,
/// so such levels are kept. Their bounds are wider, and the answer is lower than on a quiet machine.
fn disturbed(name: &str, found: &Found) -> Option<String> {
    let mut noisy = found.probes.iter().filter(|probe| !probe.level.noise.is_empty());
    let count = noisy.clone().count();
    let example = noisy.next_back()?.level.noise.first()?;
    Some(format!(
        "{count} of {} levels of {name} were disturbed by the host, so that their percentiles are too high and the rates found too low, if anything; for instance: {example}",
        found.probes.len()
    ))
}

/// Returns the service times at the lowest rate where the generator was not the limit.
pub(super) fn quiet(hit: &Side, mint: &Side) -> Quiet {
    let lowest = |side: &Side| {
        let usable = side.found.probes.iter().filter(|probe| probe.level.generator.is_none());
        let lowest = usable.min_by(|a, b| a.rate.total_cmp(&b.rate));
        lowest.map_or_else(histogram, |probe| probe.level.service.clone())
    };
    Quiet { hit: lowest(hit), mint: lowest(mint) }
}
