//! Count of the levels of a calibration: how many were measured, and about how many are left.

use crate::harness::plan::search::Terms;

/// Number of levels that fill a cache.
pub(super) const FILL: u64 = 1;
/// Number of storms. They are short, and the speed of a shared machine changes by a third from one to
/// the next.
pub(super) const STORMS: usize = 3;
/// Number of levels of the mix between two repeats of the calibration.
pub(super) const AGAIN_EVERY: usize = 5;

/// Count of the levels of a plan.
#[derive(Clone, Debug)]
pub(super) struct LevelCount {
    /// Number of levels that have begun.
    begun: u64,
    /// Approximate number of levels left in the current stage.
    left: u64,
    /// Approximate number of levels of each later stage, the next one last.
    later: Vec<u64>,
}

impl LevelCount {
    /// Starts with the stages in their order, each with its approximate number of levels.
    pub(super) fn new(stages: &[u64]) -> Self {
        Self { begun: 0, left: 0, later: stages.iter().rev().copied().collect() }
    }

    /// Goes on to the next stage, whatever number of levels the last one had.
    pub(super) fn next_stage(&mut self) {
        self.left = self.later.pop().unwrap_or_default();
    }

    /// Counts a level. Returns its number, the approximate number of all levels, and the approximate
    /// number left including this one.
    pub(super) fn next_level(&mut self) -> (u64, u64, u64) {
        self.begun += 1;
        self.left = self.left.saturating_sub(1);
        let after = self.left + self.later.iter().sum::<u64>();
        (self.begun, self.begun + after, after + 1)
    }
}

/// Returns the approximate number of levels of a search: doublings up to the middle of the range, of
/// which the first are larger steps, halvings of the last gap, overloaded levels, and repeats.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "dozens")]
pub(super) fn levels(terms: &Terms) -> u64 {
    const OVERRUN: f64 = 4.0;
    let doublings = (terms.rate_max / terms.start).max(1.0).log2() / 2.0;
    let halvings = (2_f64.ln() / terms.resolution.ln()).max(1.0).log2();
    let repeats = 2.0 * f64::from(terms.repeats);
    (1.0 + doublings + halvings + OVERRUN + repeats).ceil() as u64
}

/// Returns the approximate numbers of levels of the storms and of the mix, where the search of the mix
/// has `search`.
pub(super) const fn held_out_levels(search: u64) -> [u64; 2] {
    // Mints are measured before each storm, and both sides between the levels of the mix.
    let again = search.div_ceil(AGAIN_EVERY as u64);
    [2 * STORMS as u64, 2 * FILL + search + 2 * again]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_levels_is_never_below_what_was_measured() {
        let mut count = LevelCount::new(&[2, 3]);
        count.next_stage();
        let told: Vec<_> = (0..4).map(|_| count.next_level()).collect();
        // A stage may have more levels than expected.
        assert_eq!(told, [(1, 5, 5), (2, 5, 4), (3, 6, 4), (4, 7, 4)]);
        count.next_stage();
        assert_eq!(count.next_level(), (5, 7, 3));
        for _ in 0..9 {
            let (number, all, left) = count.next_level();
            assert!(number <= all && left >= 1, "{number} {all} {left}");
        }
    }

    #[test]
    fn a_whole_search_has_about_two_dozen_levels() {
        let terms = Terms {
            limit_ns: 2e6,
            start: 1000.0,
            rate_max: 1e6,
            resolution: 1.03,
            repeats: 3,
            seed: 1,
        };
        assert!((18..28).contains(&levels(&terms)), "{}", levels(&terms));
    }
}
