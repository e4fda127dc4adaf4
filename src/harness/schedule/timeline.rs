//! Clock of a run, and the turns of two interleaved runs, so that drift of the machine affects both
//! alike.
//!
//! Each run sends only in its own turns and pauses in those of the other. The speed of a shared
//! machine changes by a tenth within seconds, but hardly from one turn to the next, some thirty
//! milliseconds later. In "Duet benchmarking" (R. Bulej et al., ICPE 2020) both run at the very
//! same time, which needs a core for each. Nothing else of a run changes: its schedule is cut into
//! turns, and its requests keep their order, and their gaps within a turn.
//!
//! This is pure arithmetic. *Own* time is that of the schedule, *wall* time that of both runs. Both
//! are in nanoseconds from the start of the load, which is the start of a period.

use std::time::Duration;

use crate::base::clock::{Clock, Monotonic, Seconds, UnixSeconds};
use crate::harness::nanos::Nanos;

/// Clock of a run, tied to wall time.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Clock of all times in nanoseconds.
    pub clock: Monotonic,
    /// Wall time at the zero of the clock.
    pub wall: UnixSeconds,
}

impl Epoch {
    /// Starts the clock of a run.
    pub fn start(clock: &dyn Clock) -> Self {
        Self { clock: Monotonic::start(), wall: clock.now() }
    }

    /// Returns the wall time at an instant of the run's clock.
    pub fn wall_at(&self, at: Nanos) -> UnixSeconds {
        self.wall + Seconds::from(Duration::from(at))
    }
}

/// Turn of a run in each period of two interleaved runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The first half of each period.
    First,
    /// The second half of each period.
    Second,
}

/// Clock of a run, and its turn if it is interleaved with another run.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// Clock of the run. Both interleaved runs have the same clock, and periods begin at multiples
    /// of their length on it.
    pub epoch: Epoch,
    /// Half of each period that belongs to this run; `None` for a run on its own.
    pub turn: Option<Turn>,
}

/// Length of a turn: long enough for hundreds of requests, short enough that the machine does not
/// change.
pub const TURN: Nanos = Nanos::from_millis(25);
/// Length of the pause after each turn, in which its requests are answered before the next turn
/// begins.
pub const PAUSE: Nanos = Nanos::from_millis(3);
/// Length of a period: a turn of each run, and their pauses.
pub const PERIOD: Nanos = Nanos::new(2 * HALF.as_u64());
const HALF: Nanos = Nanos::new(TURN.as_u64() + PAUSE.as_u64());

impl Turn {
    /// Returns the wall time of an instant of own time.
    pub fn wall_time(self, own: Nanos) -> Nanos {
        PERIOD * (own / TURN) + self.offset() + own % TURN
    }

    /// Returns the own time at an instant of wall time. It stands still in the turns of the other
    /// run.
    pub fn own_time(self, wall: Nanos) -> Nanos {
        let within = (wall % PERIOD).saturating_sub(self.offset());
        TURN * (wall / PERIOD) + within.min(TURN)
    }

    /// Returns the first instant from `wall` on that belongs to this run: its turn, or the pause
    /// after it.
    pub fn next_instant(self, wall: Nanos) -> Nanos {
        let (begun, within) = (PERIOD * (wall / PERIOD), wall % PERIOD);
        match self {
            Self::First if within < HALF => wall,
            Self::First => begun + PERIOD,
            Self::Second if within < HALF => begun + HALF,
            Self::Second => wall,
        }
    }

    /// Returns the number of the period in which a request of this run is due at `at`, on the clock of
    /// both runs; `None` outside the turns of this run.
    pub fn period_of(self, at: Nanos) -> Option<u64> {
        (self.next_instant(at) == at).then_some(at / PERIOD)
    }

    const fn offset(self) -> Nanos {
        match self {
            Self::First => Nanos::ZERO,
            Self::Second => HALF,
        }
    }
}

impl Timeline {
    /// Starts the clock of a run on its own.
    pub fn start(clock: &dyn Clock) -> Self {
        Self { epoch: Epoch::start(clock), turn: None }
    }

    /// Returns the start of the load, at or after `at`. Interleaved runs start with a period.
    pub fn load_start(&self, at: Nanos) -> Nanos {
        self.turn.map_or(at, |_| at.next_multiple_of(PERIOD))
    }

    /// Returns the wall time that this own time takes, with the turns of the other run.
    pub fn wall_span(&self, own: Nanos) -> Nanos {
        self.turn.map_or(own, |_| PERIOD * own.div_ceil(TURN))
    }

    /// Returns the due time, from the start of the load, of a request that the schedule has at
    /// `own`.
    pub fn due_time(&self, own: Nanos) -> Nanos {
        self.turn.map_or(own, |turn| turn.wall_time(own))
    }

    /// Returns the time of the schedule at `wall` from the start of the load.
    pub fn own_time(&self, wall: Nanos) -> Nanos {
        self.turn.map_or(wall, |turn| turn.own_time(wall))
    }
}

/// Returns the start of half `number` on the clock of both runs, which is the end of the half
/// before it.
pub fn half_begins(number: u64) -> Nanos {
    HALF * number
}

/// Returns the number of the half in which `at` lies, on the clock of both runs.
pub fn half_of(at: Nanos) -> u64 {
    at / HALF
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timeline(turn: Turn) -> Timeline {
        let epoch = Epoch { clock: Monotonic::start(), wall: UnixSeconds(0) };
        Timeline { epoch, turn: Some(turn) }
    }

    /// Returns numbers of nanoseconds below `end`.
    fn nanos(end: u64) -> impl Strategy<Value = Nanos> {
        (0..end).prop_map(Nanos::new)
    }

    fn turns() -> impl Strategy<Value = Turn> {
        prop_oneof![Just(Turn::First), Just(Turn::Second)]
    }

    proptest! {
        #[test]
        fn own_time_is_found_again_in_wall_time(turn in turns(), own in nanos(1 << 50)) {
            let wall = turn.wall_time(own);
            prop_assert_eq!(turn.own_time(wall), own);
            // Every request is due within a turn of this run.
            prop_assert_eq!(turn.next_instant(wall), wall);
            prop_assert!(wall < timeline(turn).wall_span(own + Nanos::new(1)));
        }

        #[test]
        fn order_and_gaps_within_a_turn_are_kept(
            turn in turns(), own in nanos(1 << 50), gap in nanos(TURN.as_u64()),
        ) {
            let wall_gap = turn.wall_time(own + gap) - turn.wall_time(own);
            let same_turn = own / TURN == (own + gap) / TURN;
            prop_assert_eq!(wall_gap, if same_turn { gap } else { gap + PERIOD - TURN });
        }

        #[test]
        fn no_instant_belongs_to_both(wall in nanos(1 << 50)) {
            let belongs = |turn: Turn| turn.next_instant(wall) == wall;
            prop_assert!(belongs(Turn::First) != belongs(Turn::Second));
            for turn in [Turn::First, Turn::Second] {
                let next = turn.next_instant(wall);
                prop_assert!(next >= wall && next - wall <= HALF);
                prop_assert_eq!(turn.next_instant(next), next);
            }
        }

        #[test]
        fn own_time_never_goes_back(turn in turns(), wall in nanos(1 << 50), step in nanos(PERIOD.as_u64())) {
            prop_assert!(turn.own_time(wall) <= turn.own_time(wall + step));
        }
    }
}
