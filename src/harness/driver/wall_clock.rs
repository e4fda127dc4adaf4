//! Times of the kernel's wall clock on the run's clock.

use crate::base::clock::Monotonic;
use crate::harness::nanos::Nanos;

use super::looks::Between;

/// Distance of the wall clock from the run's clock.
///
/// Linux derives both from one counter, so the distance is constant until somebody sets the wall
/// clock. Each reading bounds it, and many readings bound it to some tens of nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    distance: Between,
}

impl WallClock {
    /// Reads both clocks.
    pub(super) fn read(clock: Monotonic) -> Self {
        let distance = clock.wall_distance_ns();
        let [earliest, latest] = [*distance.start(), *distance.end()].map(Nanos::new);
        Self { distance: Between { earliest, latest } }
    }

    /// Takes a later reading into account. One that contradicts the former ones replaces them,
    /// because the wall clock was set.
    pub(super) fn update(&mut self, later: Self) {
        self.distance = self.distance.narrowed(later.distance).unwrap_or(later.distance);
    }

    /// Returns a time of the wall clock on the run's clock.
    pub(super) const fn on_run_clock(&self, wall: Nanos) -> Between {
        let Between { earliest, latest } = self.distance;
        Between { earliest: wall.saturating_sub(latest), latest: wall.saturating_sub(earliest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(earliest: u64, latest: u64) -> WallClock {
        let [earliest, latest] = [earliest, latest].map(Nanos::new);
        WallClock { distance: Between { earliest, latest } }
    }

    #[test]
    fn readings_narrow_the_distance_until_the_clock_is_set() {
        let mut wall = reading(1_000, 1_090);
        let at = |wall: &WallClock| {
            let Between { earliest, latest } = wall.on_run_clock(Nanos::new(1_500));
            [earliest, latest].map(Nanos::as_u64)
        };
        assert_eq!(at(&wall), [410, 500]);
        wall.update(reading(1_030, 1_120));
        assert_eq!(at(&wall), [410, 470]);
        wall.update(reading(990, 2_000));
        assert_eq!(at(&wall), [410, 470]);
        wall.update(reading(700, 780));
        assert_eq!(at(&wall), [720, 800]);
    }

    #[test]
    fn the_wall_clock_is_read_between_two_readings_of_the_run_clock() {
        let clock = Monotonic::start();
        let mut wall = WallClock::read(clock);
        let narrow = (0..1_000).any(|_| {
            wall.update(WallClock::read(clock));
            wall.distance.width() < Nanos::from_micros(5)
        });
        assert!(narrow, "{wall:?}");
    }
}
