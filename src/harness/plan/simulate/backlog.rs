//! The backlog of a window, and the test for growth without end.

use std::time::Duration;

/// Mean backlog in two quarters of a window: requests without an answer yet, and waiting renewals.
#[derive(Clone, Debug)]
pub(crate) struct Backlog {
    /// Start and end of the second and of the last quarter, in nanoseconds.
    quarters: [(u64, u64); 2],
    /// Sum of backlog times nanoseconds in each quarter.
    areas: [f64; 2],
}

/// Ratio of the backlogs in the last and the second quarter from which a backlog grows. Steady growth
/// from an empty node gives 2.3.
const GROWTH: f64 = 1.5;

impl Backlog {
    /// Returns an empty backlog of a window of this length.
    pub(crate) fn new(length: Duration) -> Self {
        let ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        let quarter = ns / 4;
        Self { quarters: [(quarter, 2 * quarter), (3 * quarter, ns)], areas: [0.0; 2] }
    }

    /// Adds a stretch of time with `waiting` requests and renewals.
    #[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^53")]
    pub(crate) fn add(&mut self, from_ns: u64, to_ns: u64, waiting: u64) {
        for ((start, end), area) in self.quarters.iter().zip(&mut self.areas) {
            let overlap_ns = to_ns.min(*end).saturating_sub(from_ns.max(*start));
            *area += overlap_ns as f64 * waiting as f64;
        }
    }

    /// Returns the mean backlog of the second and of the last quarter.
    #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ns")]
    pub(crate) fn means(&self) -> [f64; 2] {
        let [middle_ns, end_ns] = self.quarters.map(|(start, end)| (end - start).max(1) as f64);
        let [middle, end] = self.areas;
        [middle / middle_ns, end / end_ns]
    }
}

/// Returns true if the backlog grows over several simulations of a window, taken together. A backlog of
/// at most one for each core is not a queue.
pub(crate) fn is_growing(means: impl Iterator<Item = [f64; 2]>, cores: f64) -> bool {
    let sum = |sums: (f64, f64, f64), [middle, end]: [f64; 2]| {
        (sums.0 + middle, sums.1 + end, sums.2 + 1.0)
    };
    let (middle, end, plays) = means.fold((0.0, 0.0, 0.0), sum);
    end > GROWTH * middle && end - middle > cores * plays
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a window of four seconds whose backlog is `waiting` in each of its quarters.
    fn means(waiting: [u64; 4]) -> [f64; 2] {
        let mut backlog = Backlog::new(Duration::from_secs(4));
        for (second, waiting) in (0..).zip(waiting) {
            backlog.add(second * 1_000_000_000, (second + 1) * 1_000_000_000, waiting);
        }
        // The backlog after the end of the window does not count.
        backlog.add(4_000_000_000, 9_000_000_000, 1000);
        backlog.means()
    }

    #[test]
    fn the_second_quarter_is_compared_with_the_last() {
        let [middle, end] = means([1, 20, 3, 40]);
        assert!((middle - 20.0).abs() < 1e-6 && (end - 40.0).abs() < 1e-6, "{middle} {end}");
    }

    #[test]
    fn a_queue_that_gets_longer_all_the_time_grows_and_one_that_stands_does_not() {
        let growing = |waiting: [u64; 4]| is_growing([means(waiting); 3].into_iter(), 2.0);
        assert!(growing([10, 20, 30, 40]));
        assert!(!growing([0, 20, 21, 22]));
        assert!(!growing([50, 40, 20, 0]));
        // One request at each core is work, not a queue.
        assert!(!growing([0, 0, 1, 2]));
    }
}
