//! The undisturbed view: latency over the time in which no witness saw something take a core.
//!
//! Whole stretches of time are left out, and only witnesses decide which. No request is left out for its
//! latency, and none because others were outstanding. The stretch of a disturbance ends when the
//! backlog has drained by the model in `fluid`. It begins a *guard* before the disturbance, because
//! requests of that time may have been under way. A percentile that is not above the guard is exact:
//! each request that it counts as faster was answered before the disturbance.
//!
//! The guard is chosen at the end of the run, when the percentiles are known. Until then each request is
//! kept with the longest guard that would keep it.

mod fluid;
mod sorted;
#[cfg(test)]
mod tests;
mod view;

use std::io;

use self::sorted::Sorted;
pub use self::view::{Hidden, LeftOut, Quantiles, Quiet, Undisturbed};
use crate::base::clock::{Monotonic, UnixSeconds};
use crate::harness::nanos::Nanos;
use crate::harness::record::collector::IntervalSink;
use crate::harness::record::intervals::{INTERVAL, IntervalSet, Rest, Window};
use crate::harness::record::witness::Neighbourhood;
use crate::harness::schedule::timeline::Timeline;

/// Treatment of the answers of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sorting {
    /// The answers are only passed on, because no witness watches the run.
    Never,
    /// The answers are sorted while the run goes on.
    Running,
}

impl Sorting {
    /// Returns the treatment in a run. The work of sorting would disturb the other of two interleaved
    /// runs.
    pub(crate) const fn of(timeline: &Timeline) -> Self {
        if timeline.turn.is_some() { Self::Never } else { Self::Running }
    }
}

/// Sink that passes intervals on and sorts the answers by what the witnesses saw.
pub(crate) struct UndisturbedSink<'a> {
    sink: &'a mut dyn IntervalSink,
    sorting: Sorting,
    window: Option<Window>,
    sorted: Sorted,
}

impl<'a> UndisturbedSink<'a> {
    pub(crate) fn passing_to(sink: &'a mut dyn IntervalSink, sorting: Sorting) -> Self {
        Self { sink, sorting, window: None, sorted: Sorted::default() }
    }

    /// Returns the view of the whole run, which had this clock.
    pub(crate) fn into_view(
        mut self,
        neighbourhood: Neighbourhood,
        clock: Monotonic,
    ) -> Undisturbed {
        if let Some(window) = self.window {
            self.sorted.judge_before(Nanos::MAX, window, &|| ());
        }
        let zero = wall_zero(clock);
        let listed = self.sorted.listed.iter().map(|span| LeftOut::of(*span, zero));
        let left_out = listed.collect();
        Undisturbed { left_out, ..Undisturbed::of(&self.sorted, neighbourhood) }
    }
}

/// Returns the wall time at the zero of a clock, since 1970.
fn wall_zero(clock: Monotonic) -> Nanos {
    // The narrowest of some readings. Something may take the core during one.
    let readings = (0..READINGS).map(|_| clock.wall_distance_ns());
    let narrowest = readings.min_by_key(|distance| distance.end() - distance.start());
    Nanos::new(narrowest.map_or(0, |distance| *distance.start()))
}

/// Readings of the wall clock.
const READINGS: usize = 8;

impl IntervalSink for UndisturbedSink<'_> {
    fn begin(&mut self, window: Window, start: UnixSeconds) -> io::Result<()> {
        self.window = Some(window).filter(|_| self.sorting == Sorting::Running);
        self.sink.begin(window, start)
    }

    fn interval(&mut self, set: &IntervalSet, rest: Rest<'_>) -> io::Result<()> {
        if let Some(window) = self.window {
            self.sorted.take(&set.trail);
            // By the end of an interval, the notes of the witnesses about the one before are complete.
            let begins = window.start.saturating_add(INTERVAL.saturating_mul(set.index));
            self.sorted.judge_before(begins, window, rest);
        }
        self.sink.interval(set, rest)
    }
}
