//! Costs of hits and of mints that a plan is computed from.

use crate::harness::plan::fit::{FitError, Quiet, Side};
use crate::harness::plan::search::{Found, Probe};
use crate::harness::record::intervals::histogram;
use crate::harness::report::text::pauses;

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
            notes.extend(paused(name, found));
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

/// Returns a note if the schedule paused for long.
fn paused(name: &str, found: &Found) -> Option<String> {
    let shares = found.probes.iter().map(|probe| probe.level.paused);
    Some(format!("{name}: {}", pauses::of_levels(shares)?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::plan::level::Level;
    use crate::harness::plan::level::tests::level;
    use crate::harness::plan::search::{Terms, judge};

    #[test]
    fn long_pauses_are_noted_for_each_search() {
        let found = |paused| {
            let terms = Terms {
                limit_ns: 2e6,
                start: 1.0,
                rate_max: 1e6,
                resolution: 1.1,
                repeats: 0,
                seed: 1,
            };
            let levels = [100.0, 200.0].map(|rate| Level { paused, ..level(rate, 1e5) });
            judge(terms, levels.to_vec())
        };
        let notes = Calibration::new(found(Some(0.1)), found(Some(0.01)), 1, Vec::new()).notes;
        let paused: Vec<&String> = notes.iter().filter(|note| note.contains("paused")).collect();
        let [note] = paused.as_slice() else { panic!("{notes:?}") };
        assert!(note.starts_with("hits: at 2 of 2 levels the schedule paused"), "{note}");
    }
}
