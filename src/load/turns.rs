//! Turns: two runs woven together, so that what drifts on the machine meets both alike.
//!
//! Each run sends within its own turns only and pauses in those of the other. The speed of a shared
//! machine changes by a tenth within seconds; from one turn to the next, some thirty milliseconds
//! later, it hardly does (R. Bulej et al., "Duet benchmarking", ICPE 2020, run both at the very same
//! time, which needs a core for each). Nothing else of a run changes: its schedule is cut into
//! turns, and all of its requests keep their order and their gaps within a turn.
//!
//! Pure arithmetic: *own* time is that of the schedule, *wall* time that of both runs, each in
//! nanoseconds from the start of the load, which is the start of a period.

use super::fleet::Epoch;
use super::plan::Plan;

/// Whose turn comes first in each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// This run's.
    First,
    /// The other run's.
    Second,
}

/// When a run that is woven with another has its turns.
#[derive(Clone, Copy, Debug)]
pub struct Turns {
    /// The clock of both runs; periods begin at multiples of their length on it.
    pub epoch: Epoch,
    /// Which half of each period is this run's.
    pub place: Place,
}

/// Long enough for hundreds of requests, short enough for the machine not to change.
pub const TURN_NS: u64 = 25_000_000;
/// After each turn: what was asked in it is answered before the next one begins.
pub const PAUSE_NS: u64 = 3_000_000;
/// A turn of each run, and their pauses.
pub const PERIOD_NS: u64 = 2 * HALF_NS;
const HALF_NS: u64 = TURN_NS + PAUSE_NS;

impl Turns {
    /// The first start of a period that is not before `at_ns`, on the clock of both.
    pub const fn aligned(at_ns: u64) -> u64 {
        at_ns.next_multiple_of(PERIOD_NS)
    }

    /// How much wall time this much own time takes, other runs' turns included.
    pub const fn span_ns(own_ns: u64) -> u64 {
        own_ns.div_ceil(TURN_NS) * PERIOD_NS
    }

    /// The wall time of an instant of own time.
    pub const fn wall_ns(&self, own_ns: u64) -> u64 {
        own_ns / TURN_NS * PERIOD_NS + self.offset_ns() + own_ns % TURN_NS
    }

    /// The own time at an instant of wall time; it stands still while the other run has its turn.
    pub fn own_ns(&self, wall_ns: u64) -> u64 {
        let within = (wall_ns % PERIOD_NS).saturating_sub(self.offset_ns());
        wall_ns / PERIOD_NS * TURN_NS + within.min(TURN_NS)
    }

    /// The first instant from `wall_ns` on that belongs to this run: its turn, or the pause after it.
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
    /// How long a part of the load takes, in nanoseconds: longer where turns are waited for.
    pub(super) fn span_ns(&self, own_ns: u64) -> u64 {
        self.turns.map_or(own_ns, |_| Turns::span_ns(own_ns))
    }

    /// When something that the schedule has at `own_ns` is due, from the start of the load.
    pub(super) fn due_ns(&self, own_ns: u64) -> u64 {
        self.turns.map_or(own_ns, |turns| turns.wall_ns(own_ns))
    }
}

/// Where half `number` begins on the clock of both, and so where the half before it ends.
pub(super) const fn half_begins_ns(number: u64) -> u64 {
    number * HALF_NS
}

/// The half that `at_ns` on the clock of both lies in.
pub(super) const fn half_of(at_ns: u64) -> u64 {
    at_ns / HALF_NS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Monotonic, UnixSeconds};
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
            // What is due is due within a turn of this run.
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
