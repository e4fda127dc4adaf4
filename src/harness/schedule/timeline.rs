//! Clock of a run, and the turns of two interleaved runs, so that drift of the machine affects both alike.
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
    pub fn wall_at(&self, at_ns: u64) -> UnixSeconds {
        self.wall + Seconds::from(Duration::from_nanos(at_ns))
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
pub const TURN_NS: u64 = 25_000_000;

/// Length of the pause after each turn, in which its requests are answered before the next turn
/// begins.
pub const PAUSE_NS: u64 = 3_000_000;

/// Length of a period: a turn of each run, and their pauses.
pub const PERIOD_NS: u64 = 2 * HALF_NS;

const HALF_NS: u64 = TURN_NS + PAUSE_NS;

impl Turn {
    /// Returns the wall time of an instant of own time.
    pub const fn wall_ns(self, own_ns: u64) -> u64 {
        own_ns / TURN_NS * PERIOD_NS + self.offset_ns() + own_ns % TURN_NS
    }

    /// Returns the own time at an instant of wall time. It stands still in the turns of the other
    /// run.
    pub fn own_ns(self, wall_ns: u64) -> u64 {
        let within = (wall_ns % PERIOD_NS).saturating_sub(self.offset_ns());
        wall_ns / PERIOD_NS * TURN_NS + within.min(TURN_NS)
    }

    /// Returns the first instant from `wall_ns` on that belongs to this run: its turn, or the pause
    /// after it.
    pub const fn next_ns(self, wall_ns: u64) -> u64 {
        let (begun_ns, within_ns) = (wall_ns / PERIOD_NS * PERIOD_NS, wall_ns % PERIOD_NS);
        match self {
            Self::First if within_ns < HALF_NS => wall_ns,
            Self::First => begun_ns + PERIOD_NS,
            Self::Second if within_ns < HALF_NS => begun_ns + HALF_NS,
            Self::Second => wall_ns,
        }
    }

    const fn offset_ns(self) -> u64 {
        match self {
            Self::First => 0,
            Self::Second => HALF_NS,
        }
    }
}

impl Timeline {
    /// Starts the clock of a run on its own.
    pub fn start(clock: &dyn Clock) -> Self {
        Self { epoch: Epoch::start(clock), turn: None }
    }

    /// Returns the start of the load, at or after `at_ns`. Interleaved runs start with a period.
    pub fn start_ns(&self, at_ns: u64) -> u64 {
        self.turn.map_or(at_ns, |_| at_ns.next_multiple_of(PERIOD_NS))
    }

    /// Returns the wall time that this own time takes, with the turns of the other run.
    pub fn span_ns(&self, own_ns: u64) -> u64 {
        self.turn.map_or(own_ns, |_| own_ns.div_ceil(TURN_NS) * PERIOD_NS)
    }

    /// Returns the due time, from the start of the load, of a request that the schedule has at
    /// `own_ns`.
    pub fn due_ns(&self, own_ns: u64) -> u64 {
        self.turn.map_or(own_ns, |turn| turn.wall_ns(own_ns))
    }

    /// Returns the time of the schedule at `wall_ns` from the start of the load.
    pub fn own_ns(&self, wall_ns: u64) -> u64 {
        self.turn.map_or(wall_ns, |turn| turn.own_ns(wall_ns))
    }
}

/// Returns the start of half `number` on the clock of both runs, which is the end of the half
/// before it.
pub const fn half_begins_ns(number: u64) -> u64 {
    number * HALF_NS
}

/// Returns the number of the half in which `at_ns` lies, on the clock of both runs.
pub const fn half_of(at_ns: u64) -> u64 {
    at_ns / HALF_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn timeline(turn: Turn) -> Timeline {
        let epoch = Epoch { clock: Monotonic::start(), wall: UnixSeconds(0) };
        Timeline { epoch, turn: Some(turn) }
    }

    fn turns() -> impl Strategy<Value = Turn> {
        prop_oneof![Just(Turn::First), Just(Turn::Second)]
    }

    proptest! {
        #[test]
        fn own_time_is_found_again_in_wall_time(turn in turns(), own_ns in 0_u64..1 << 50) {
            let wall_ns = turn.wall_ns(own_ns);
            prop_assert_eq!(turn.own_ns(wall_ns), own_ns);
            // Every request is due within a turn of this run.
            prop_assert_eq!(turn.next_ns(wall_ns), wall_ns);
            prop_assert!(wall_ns < timeline(turn).span_ns(own_ns + 1));
        }

        #[test]
        fn order_and_gaps_within_a_turn_are_kept(
            turn in turns(), own_ns in 0_u64..1 << 50, gap_ns in 0_u64..TURN_NS,
        ) {
            let gap = turn.wall_ns(own_ns + gap_ns) - turn.wall_ns(own_ns);
            let same_turn = own_ns / TURN_NS == (own_ns + gap_ns) / TURN_NS;
            prop_assert_eq!(gap, if same_turn { gap_ns } else { gap_ns + PERIOD_NS - TURN_NS });
        }

        #[test]
        fn no_instant_belongs_to_both(wall_ns in 0_u64..1 << 50) {
            let belongs = |turn: Turn| turn.next_ns(wall_ns) == wall_ns;
            prop_assert!(belongs(Turn::First) != belongs(Turn::Second));
            for turn in [Turn::First, Turn::Second] {
                let next_ns = turn.next_ns(wall_ns);
                prop_assert!(next_ns >= wall_ns && next_ns - wall_ns <= HALF_NS);
                prop_assert_eq!(turn.next_ns(next_ns), next_ns);
            }
        }

        #[test]
        fn own_time_never_goes_back(turn in turns(), wall_ns in 0_u64..1 << 50, step in 0..PERIOD_NS) {
            prop_assert!(turn.own_ns(wall_ns) <= turn.own_ns(wall_ns + step));
        }
    }
}
