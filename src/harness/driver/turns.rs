//! Turns of two interleaved runs, so that drift of the machine affects both alike.
//!
//! Each run sends only in its own turns and pauses in those of the other. The speed of a shared
//! machine changes by a tenth within seconds, but hardly from one turn to the next, some thirty
//! milliseconds later. In "Duet benchmarking" (R. Bulej et al., ICPE 2020) both run at the very
//! same time, which needs a core for each. Nothing else of a run changes: its schedule is cut into
//! turns, and its requests keep their order, and their gaps within a turn.
//!
//! This is pure arithmetic. *Own* time is that of the schedule, *wall* time that of both runs. Both
//! are in nanoseconds from the start of the load, which is the start of a period.

use super::fleet::Epoch;
use crate::harness::scenario::plan::Plan;

/// The position of a run's turn in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The first turn.
    First,
    /// The second turn.
    Second,
}

/// The turns of a run that is woven with another.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// The clock of both runs. Periods begin at multiples of their length on this clock.
    pub epoch: Epoch,
    /// The half of each period that belongs to this run.
    pub place: Place,
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

impl Turns {
    /// Returns the first start of a period at or after `at_ns`, on the clock of both runs.
    pub const fn aligned(at_ns: u64) -> u64 {
        at_ns.next_multiple_of(PERIOD_NS)
    }

    /// Returns the wall time that this own time takes, with the turns of the other run.
    pub const fn span_ns(own_ns: u64) -> u64 {
        own_ns.div_ceil(TURN_NS) * PERIOD_NS
    }

    /// Returns the wall time of an instant of own time.
    pub const fn wall_ns(&self, own_ns: u64) -> u64 {
        own_ns / TURN_NS * PERIOD_NS + self.offset_ns() + own_ns % TURN_NS
    }

    /// Returns the own time at an instant of wall time. It stands still in the turns of the other
    /// run.
    pub fn own_ns(&self, wall_ns: u64) -> u64 {
        let within = (wall_ns % PERIOD_NS).saturating_sub(self.offset_ns());
        wall_ns / PERIOD_NS * TURN_NS + within.min(TURN_NS)
    }

    /// Returns the first instant from `wall_ns` on that belongs to this run: its turn, or the pause
    /// after it.
    pub const fn next_ns(&self, wall_ns: u64) -> u64 {
        let (begun_ns, within_ns) = (wall_ns / PERIOD_NS * PERIOD_NS, wall_ns % PERIOD_NS);
        match self.place {
            Place::First if within_ns < HALF_NS => wall_ns,
            Place::First => begun_ns + PERIOD_NS,
            Place::Second if within_ns < HALF_NS => begun_ns + HALF_NS,
            Place::Second => wall_ns,
        }
    }

    const fn offset_ns(&self) -> u64 {
        match self.place {
            Place::First => 0,
            Place::Second => HALF_NS,
        }
    }
}

impl Plan {
    /// Returns the duration of a part of the load in nanoseconds, with the waits for turns.
    pub(crate) fn span_ns(&self, own_ns: u64) -> u64 {
        self.turns.map_or(own_ns, |_| Turns::span_ns(own_ns))
    }

    /// Returns the due time, from the start of the load, of a request that the schedule has at
    /// `own_ns`.
    pub(crate) fn due_ns(&self, own_ns: u64) -> u64 {
        self.turns.map_or(own_ns, |turns| turns.wall_ns(own_ns))
    }
}

/// Returns the start of half `number` on the clock of both runs, which is the end of the half
/// before it.
pub(crate) const fn half_begins_ns(number: u64) -> u64 {
    number * HALF_NS
}

/// Returns the number of the half in which `at_ns` lies, on the clock of both runs.
pub(crate) const fn half_of(at_ns: u64) -> u64 {
    at_ns / HALF_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Monotonic, UnixSeconds};
    use proptest::prelude::*;

    fn turns(place: Place) -> Turns {
        Turns { epoch: Epoch { clock: Monotonic::start(), wall: UnixSeconds(0) }, place }
    }

    fn places() -> impl Strategy<Value = Place> {
        prop_oneof![Just(Place::First), Just(Place::Second)]
    }

    proptest! {
        #[test]
        fn own_time_is_found_again_in_wall_time(place in places(), own_ns in 0_u64..1 << 50) {
            let turns = turns(place);
            let wall_ns = turns.wall_ns(own_ns);
            prop_assert_eq!(turns.own_ns(wall_ns), own_ns);
            // Every request is due within a turn of this run.
            prop_assert_eq!(turns.next_ns(wall_ns), wall_ns);
            prop_assert!(wall_ns < Turns::span_ns(own_ns + 1));
        }

        #[test]
        fn order_and_gaps_within_a_turn_are_kept(
            place in places(), own_ns in 0_u64..1 << 50, gap_ns in 0_u64..TURN_NS,
        ) {
            let turns = turns(place);
            let gap = turns.wall_ns(own_ns + gap_ns) - turns.wall_ns(own_ns);
            let same_turn = own_ns / TURN_NS == (own_ns + gap_ns) / TURN_NS;
            prop_assert_eq!(gap, if same_turn { gap_ns } else { gap_ns + PERIOD_NS - TURN_NS });
        }

        #[test]
        fn no_instant_belongs_to_both(wall_ns in 0_u64..1 << 50) {
            let belongs = |place| turns(place).next_ns(wall_ns) == wall_ns;
            prop_assert!(belongs(Place::First) != belongs(Place::Second));
            for place in [Place::First, Place::Second] {
                let next_ns = turns(place).next_ns(wall_ns);
                prop_assert!(next_ns >= wall_ns && next_ns - wall_ns <= HALF_NS);
                prop_assert_eq!(turns(place).next_ns(next_ns), next_ns);
            }
        }

        #[test]
        fn own_time_never_goes_back(place in places(), wall_ns in 0_u64..1 << 50, step in 0..PERIOD_NS) {
            let turns = turns(place);
            prop_assert!(turns.own_ns(wall_ns) <= turns.own_ns(wall_ns + step));
        }
    }
}
