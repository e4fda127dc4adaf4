//! Costs of hits and of mints that a plan is computed from.

use crate::harness::plan::fit::{FitError, Quiet, Side};
use crate::harness::plan::search::{Found, Probe};
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
            notes.extend(shared(name, found));
        }
        Self { hit: Side::fit(hit, seed), mint: Side::fit(mint, seed), notes }
    }

    pub(super) fn sides(&self) -> Option<(&Side, &Side)> {
        self.hit.as_ref().ok().zip(self.mint.as_ref().ok())
    }
}

/// Share of a core that others must have taken to be worth a note.
const TAKEN_MIN: f64 = 0.01;

/// Returns a note if the host disturbed levels of a search. A shared machine disturbs nearly every tail,
/// so such levels are kept. Their bounds are wider.
fn disturbed(name: &str, found: &Found) -> Option<String> {
    let mut noisy = found.probes.iter().filter(|probe| !probe.level.noise.is_empty());
    let count = noisy.clone().count();
    let example = noisy.next_back()?.level.noise.first()?;
    Some(format!(
        "{count} of {} levels of {name} were disturbed by the host, which the bounds of their percentiles hold; for instance: {example}",
        found.probes.len()
    ))
}

/// Returns a note if other programs took the broker's core.
fn shared(name: &str, found: &Found) -> Option<String> {
    let taken = found.probes.iter().filter_map(|probe| probe.level.taken);
    let taken: Vec<f64> = taken.filter(|taken| *taken > TAKEN_MIN).collect();
    let most = taken.iter().copied().reduce(f64::max)?;
    Some(format!(
        "at {} of {} levels of {name} other programs took the broker's core while it was needed, for up to {:.0} % of the time: rates found are too low, costs are without that time",
        taken.len(),
        found.probes.len(),
        most * 100.0
    ))
}

/// Returns the times of answers at the lowest rate where the generator was not the limit: those while no
/// witness saw a disturbance, if they are known at any such rate, or else all service times.
pub(super) fn quiet(hit: &Side, mint: &Side) -> Quiet {
    let lowest = |side: &Side| {
        let usable = side.found.probes.iter().filter(|probe| probe.level.generator.is_none());
        let mut usable: Vec<&Probe> = usable.collect();
        usable.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        let undisturbed = usable.iter().find_map(|probe| probe.level.undisturbed.clone());
        let service = || usable.first().map(|probe| probe.level.service.clone());
        undisturbed.or_else(service).unwrap_or_else(histogram)
    };
    Quiet { hit: lowest(hit), mint: lowest(mint) }
}
