//! Disturbances that witnesses saw during a run, and the requests to judge by them.
//!
//! No witness looks at latency. A generator thread that never sleeps sees a gap in its own clock. The
//! kernel counts the time that a thread waited for a core, and the time that a quota stopped all
//! threads. Requests are kept one by one until the notes about their time are complete.

use parking_lot::Mutex;

use crate::harness::class::Class;
use crate::harness::nanos::Nanos;

/// Shortest disturbance that counts. Ticks of a virtual machine take up to 100 us some hundred times
/// a second, and are part of every measurement on it. Limits of 100 to 500 us gave the same results.
pub const DISTURBANCE_MIN: Nanos = Nanos::from_micros(200);

/// Time that something else took from a core, as a witness saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// Instant before the disturbance.
    pub from: Nanos,
    /// Instant after it.
    pub to: Nanos,
    /// Time lost, somewhere between the two. Zero if the load paused meanwhile, so that nothing has
    /// to be caught up with.
    pub lost: Nanos,
    /// Witness that saw it.
    pub witness: Witness,
}

/// Witness of a disturbance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Witness {
    /// The clock of a generator thread that never sleeps.
    GeneratorClock,
    /// The kernel's account of the waits of a generator thread.
    GeneratorWait,
    /// The quota of the control group.
    Quota,
    /// The kernel's account of the waits of a thread of the target.
    TargetWait,
}

impl Witness {
    const ALL: [Self; 4] =
        [Self::GeneratorClock, Self::GeneratorWait, Self::Quota, Self::TargetWait];

    /// Returns the name of the witness.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GeneratorClock => "generator-clock",
            Self::GeneratorWait => "generator-wait",
            Self::Quota => "quota",
            Self::TargetWait => "target-wait",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Set of witnesses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WitnessSet(u8);

impl WitnessSet {
    /// Returns this set with the members of another.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the members.
    pub fn iter(self) -> impl Iterator<Item = Witness> {
        Witness::ALL.into_iter().filter(move |witness| self.0 & witness.bit() != 0)
    }
}

impl From<Witness> for WitnessSet {
    fn from(witness: Witness) -> Self {
        Self(witness.bit())
    }
}

/// A good answer, kept until its time is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Intended start of the request.
    pub intended: Nanos,
    /// Response time in nanoseconds, at most 4.2 s.
    pub response_ns: u32,
    /// Lower bound of the response time, in nanoseconds.
    pub lower_ns: u32,
    /// Class of the answer.
    pub class: Class,
}

impl Kept {
    /// Creates an answer whose response time lies between these bounds.
    pub fn new(class: Class, intended: Nanos, lower: Nanos, response: Nanos) -> Self {
        let [response_ns, lower_ns] =
            [response, lower].map(|time| u32::try_from(time.as_u64()).unwrap_or(u32::MAX));
        Self { intended, response_ns, lower_ns, class }
    }
}

/// Answers and disturbances of one interval.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// Good answers that ended in the interval.
    pub requests: Vec<Kept>,
    /// Good answers for which there was no room.
    pub dropped: u64,
    /// Disturbances that were noticed in the interval.
    pub disturbances: Vec<Disturbance>,
    /// Share of its capacity that the target used, as far as the witnesses know.
    pub utilisation: Option<f64>,
    room: usize,
}

impl Trail {
    /// Creates a trail with room for a number of answers. The memory is touched here, not when the
    /// first answers come.
    pub fn with_room(room: usize) -> Self {
        let none = Kept { intended: Nanos::MAX, response_ns: 1, lower_ns: 1, class: Class::All };
        let mut requests = vec![none; room];
        requests.clear();
        Self { requests, room, ..Self::default() }
    }

    /// Returns the number of answers for which there is room.
    pub const fn room(&self) -> usize {
        self.room
    }

    /// Keeps an answer, if it is good and there is room.
    pub(super) fn keep(&mut self, answer: Kept) {
        if self.room == 0 || answer.class.is_failure() {
            return;
        }
        if self.requests.len() == self.room {
            self.dropped += 1;
            return;
        }
        self.requests.push(answer);
    }

    /// Adds the trail of another thread.
    pub(super) fn add(&mut self, other: &Self) {
        self.requests.extend_from_slice(&other.requests);
        self.disturbances.extend_from_slice(&other.disturbances);
        self.dropped += other.dropped;
    }

    /// Adds what the witnesses beside the generator saw.
    pub(super) fn hear(&mut self, log: &WitnessLog) {
        let Heard { disturbances, utilisation } = std::mem::take(&mut *log.0.lock());
        self.disturbances.extend(disturbances);
        self.utilisation = utilisation;
    }

    /// Empties the trail. Keeps its memory.
    pub(super) fn clear(&mut self) {
        self.requests.clear();
        self.requests.shrink_to(self.room);
        self.disturbances.clear();
        (self.dropped, self.utilisation) = (0, None);
    }
}

/// Notes of the witnesses beside the generator, until the collector takes them.
#[derive(Debug, Default)]
pub struct WitnessLog(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    disturbances: Vec<Disturbance>,
    utilisation: Option<f64>,
}

impl WitnessLog {
    /// Notes the disturbances of one reading, and the share of its capacity that the target has
    /// used so far.
    pub fn note(&self, disturbances: impl IntoIterator<Item = Disturbance>, used: Option<f64>) {
        let mut heard = self.0.lock();
        heard.disturbances.extend(disturbances);
        heard.utilisation = used.or(heard.utilisation);
    }
}

/// Knowledge about who can take the generator's cores, which decides what its gaps prove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Neighbourhood {
    /// The target cannot run on the generator's cores.
    Apart,
    /// The target is on this machine and may run on the generator's cores. Its threads are watched.
    Mixed,
    /// The target may run on the generator's cores, and its threads cannot be seen.
    #[default]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(class: Class, intended: u64, response: u64) -> Kept {
        let [intended, response] = [intended, response].map(Nanos::new);
        Kept::new(class, intended, response.saturating_sub(Nanos::new(3)), response)
    }

    #[test]
    fn good_answers_are_kept_while_there_is_room() {
        let mut trail = Trail::with_room(2);
        trail.keep(answer(Class::Error, 1, 1));
        trail.keep(answer(Class::Hit, 10, 5));
        trail.keep(answer(Class::Hit, 20, u64::MAX));
        trail.keep(answer(Class::Hit, 30, 1));
        assert_eq!((trail.requests.len(), trail.dropped), (2, 1));
        let kept = trail.requests[0];
        assert_eq!((kept.intended, kept.response_ns, kept.lower_ns), (Nanos::new(10), 5, 2));
        assert_eq!(trail.requests[1].response_ns, u32::MAX);
        let mut without = Trail::default();
        without.keep(answer(Class::Hit, 1, 1));
        assert_eq!((without.requests.len(), without.dropped), (0, 0));
    }

    #[test]
    fn a_trail_takes_what_was_heard_once() {
        let log = WitnessLog::default();
        let (from, to, lost) = (Nanos::new(1), Nanos::new(9), Nanos::new(3));
        let seen = Disturbance { from, to, lost, witness: Witness::Quota };
        log.note([seen], Some(0.25));
        log.note([], None);
        let mut trail = Trail::with_room(1);
        trail.hear(&log);
        assert_eq!((trail.disturbances.as_slice(), trail.utilisation), (&[seen][..], Some(0.25)));
        trail.clear();
        trail.hear(&log);
        assert!(trail.disturbances.is_empty() && trail.utilisation.is_none());
    }

    #[test]
    fn a_set_has_each_witness_once() {
        let [clock, wait] = [Witness::GeneratorClock, Witness::TargetWait].map(WitnessSet::from);
        let names: Vec<&str> = wait.with(clock).with(wait).iter().map(Witness::as_str).collect();
        assert_eq!(names, ["generator-clock", "target-wait"]);
        assert_eq!(WitnessSet::default().iter().count(), 0);
    }
}
