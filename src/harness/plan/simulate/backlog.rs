//! The backlog of a window, and the test for growth without end.

use std::time::Duration;

use crate::harness::nanos::Nanos;

/// Mean backlog in two quarters of a window: requests without an answer yet, and waiting renewals.
#[derive(Clone, Debug)]
pub(crate) struct Backlog {
    /// Start and end of the second and of the last quarter.
    quarters: [(Nanos, Nanos); 2],
    /// Sum of backlog times nanoseconds in each quarter.
    areas: [f64; 2],
}

/// Ratio of the backlogs in the last and the second quarter from which a backlog grows. Steady growth
/// from an empty node gives 2.3.
const GROWTH: f64 = 1.5;

impl Backlog {
    /// Returns an empty backlog of a window of this length.
    pub(crate) fn new(length: Duration) -> Self {
        let length = Nanos::from(length);
        let quarter = length / 4;
        Self { quarters: [(quarter, quarter * 2), (quarter * 3, length)], areas: [0.0; 2] }
    }

    /// Adds a stretch of time with `waiting` requests and renewals.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(crate) fn add(&mut self, from: Nanos, to: Nanos, waiting: u64) {
        for ((start, end), area) in self.quarters.iter().zip(&mut self.areas) {
            let overlap = to.min(*end).saturating_sub(from.max(*start));
            *area += overlap.as_f64() * waiting as f64;
        }
    }

    /// Returns the mean backlog of the second and of the last quarter.
    pub(crate) fn means(&self) -> [f64; 2] {
        let length = |(start, end): (Nanos, Nanos)| (end - start).max(Nanos::new(1)).as_f64();
        let [middle_length, last_length] = self.quarters.map(length);
        let [middle, last] = self.areas;
        [middle / middle_length, last / last_length]
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
            backlog.add(Nanos::SECOND * second, Nanos::SECOND * (second + 1), waiting);
        }
        // The backlog after the end of the window does not count.
        backlog.add(Nanos::from_secs(4), Nanos::from_secs(9), 1000);
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
