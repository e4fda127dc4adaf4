//! Two brokers measured in turns, with the processor time and the median response time of each turn.
//!
//! Both runs have the same schedule. A turn of one run and the next turn of the other send the same
//! requests, so they can be compared turn by turn. Means over whole runs cannot: one disturbed
//! moment of a shared machine moves a mean by more than the effects that a gate looks for.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{ScopedJoinHandle, scope};
use std::time::Duration;

use super::error::SessionError;
use super::run;
use super::run::Watcher;
use super::subject::Subject;
use crate::base::clock::{Clock, Monotonic, UnixSeconds};
use crate::harness::class::Class;
use crate::harness::judge::outcome::Outcome;
use crate::harness::machine::stop::Stop;
use crate::harness::nanos::Nanos;
use crate::harness::record::collector::IntervalSink;
use crate::harness::record::intervals::{IntervalSet, Rest, Window};
use crate::harness::record::witness::Kept;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::schedule::timeline::{Epoch, PERIOD, Timeline, Turn, half_begins, half_of};

/// The results of two interleaved runs.
#[derive(Debug)]
pub struct Interleaved {
    /// Results of the run with the first turn of each period, and of the other.
    pub outcomes: [Result<Outcome, SessionError>; 2],
    /// Processor time in nanoseconds that the turns of each period took, of the first run and of
    /// the other. Periods whose costs were not read in time are left out.
    pub costs: Vec<[u64; 2]>,
    /// Median response times in nanoseconds of the turns of each period, of the first run and of the
    /// other, for each class of good answers. Periods in which a run had too few are left out.
    pub medians: BTreeMap<Class, Vec<[u64; 2]>>,
}

/// Runs `plan` against two subjects in turns, the first subject first.
///
/// The warm-up and the measured part of the plan must consist of whole turns.
pub fn measure(
    plan: &RunPlan,
    [first, second]: [&mut Subject; 2],
    clock: &dyn Clock,
    stop: &Stop,
) -> Interleaved {
    let epoch = Epoch::start(clock);
    let pids = [&first, &second].map(|subject| subject.pid());
    let run = |turn, subject| one(plan, Timeline { epoch, turn: Some(turn) }, subject, stop);
    let (runs, readings) = scope(|scope| {
        let (going, over) = channel::<()>();
        let meter = scope.spawn(move || read_until(&over, pids, epoch.clock));
        let second = scope.spawn(move || run(Turn::Second, second));
        let first = run(Turn::First, first);
        let second = joined(second);
        drop(going);
        ([first, second], joined(meter))
    });
    let costs = costs(&readings, runs.each_ref().map(|run| run.answers.window));
    let [first, second] = &runs;
    let medians = medians(&first.answers.kept, &second.answers.kept);
    Interleaved { outcomes: runs.map(|run| run.outcome), costs, medians }
}

struct Run {
    outcome: Result<Outcome, SessionError>,
    answers: Answers,
}

fn one(plan: &RunPlan, timeline: Timeline, subject: &mut Subject, stop: &Stop) -> Run {
    let mut answers = Answers::default();
    let watcher = Watcher { sink: &mut answers, observe: &mut |_| {} };
    let outcome = run::measure_whole(plan, subject, timeline, stop, watcher);
    Run { outcome, answers }
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The measured window of a run, and its good answers.
#[derive(Default)]
struct Answers {
    window: Option<Window>,
    kept: Vec<Kept>,
}

impl IntervalSink for Answers {
    fn begin(&mut self, window: Window, _: UnixSeconds) -> io::Result<()> {
        self.window = Some(window);
        Ok(())
    }

    fn interval(&mut self, set: &IntervalSet, _: Rest<'_>) -> io::Result<()> {
        self.kept.extend_from_slice(&set.trail.requests);
        Ok(())
    }
}

/// Fewest answers of a class in a turn that have a median. The comparison of turns needs no exact
/// medians: those of equal builds err alike.
const TURN_ANSWERS_MIN: usize = 5;

/// Returns the medians of each class in the turns of each period that both runs have.
fn medians(first: &[Kept], second: &[Kept]) -> BTreeMap<Class, Vec<[u64; 2]>> {
    let mut seconds = medians_of(Turn::Second, second);
    let mut both: BTreeMap<Class, Vec<[u64; 2]>> = BTreeMap::new();
    for (key, first_ns) in medians_of(Turn::First, first) {
        if let Some(second_ns) = seconds.remove(&key) {
            both.entry(key.0).or_default().push([first_ns, second_ns]);
        }
    }
    both
}

/// Returns the median response time of each class in each period, in nanoseconds.
fn medians_of(turn: Turn, answers: &[Kept]) -> BTreeMap<(Class, u64), u64> {
    let mut times: BTreeMap<(Class, u64), Vec<u32>> = BTreeMap::new();
    for answer in answers {
        if let Some(period) = turn.period_of(answer.intended) {
            times.entry((answer.class, period)).or_default().push(answer.response_ns);
        }
    }
    let enough = times.into_iter().filter(|(_, times)| times.len() >= TURN_ANSWERS_MIN);
    enough.filter_map(|(key, times)| Some((key, middle(times)?))).collect()
}

/// Returns the median, of an even number the upper one.
fn middle(mut times: Vec<u32>) -> Option<u64> {
    times.sort_unstable();
    times.get(times.len() / 2).copied().map(u64::from)
}

/// Processor time booked for both processes, read shortly before each half of a period begins.
type Readings = BTreeMap<u64, [u64; 2]>;

/// Lead of a reading before the half begins. It lies within the pause, when all requests are
/// answered and both brokers sleep.
const LEAD: Duration = Duration::from_millis(1);

/// Reads the processor time of both processes in every pause, until the sender hangs up.
fn read_until(over: &Receiver<()>, pids: [Option<u32>; 2], clock: Monotonic) -> Readings {
    let mut readings = Readings::new();
    let [Some(first), Some(second)] = pids else { return readings };
    let mut next = half_of(Nanos::now(clock)) + 1;
    loop {
        let until = Duration::from(half_begins(next)).saturating_sub(LEAD);
        let wait = until.saturating_sub(Duration::from(Nanos::now(clock)));
        if over.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
            return readings;
        }
        let booked = booked_ns(first).zip(booked_ns(second));
        // A reading that came too late includes a part of the next turn.
        if let Some((first, second)) = booked.filter(|_| half_of(Nanos::now(clock)) < next) {
            readings.insert(next, [first, second]);
        }
        next = next.max(half_of(Nanos::now(clock))) + 1;
    }
}

/// Returns the processor time that the kernel has booked for all living threads of a process
/// (proc(5): the first field of `schedstat`), in nanoseconds. It is exact while they sleep.
fn booked_ns(pid: u32) -> Option<u64> {
    let threads = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")).ok()?;
    let booked = threads.map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    booked.sum()
}

/// Returns the costs of the periods that lie within both windows.
fn costs(readings: &Readings, windows: [Option<Window>; 2]) -> Vec<[u64; 2]> {
    let [Some(one), Some(other)] = windows else { return Vec::new() };
    let (start, end) = (one.start.max(other.start), one.end.min(other.end));
    let cost = |period: u64| {
        let at = |half| readings.get(&(2 * period + half)).copied();
        let ([first, _], [first_after, second], [_, second_after]) = (at(0)?, at(1)?, at(2)?);
        Some([first_after.checked_sub(first)?, second_after.checked_sub(second)?])
    };
    (start.div_ceil(PERIOD)..end / PERIOD).filter_map(cost).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(periods: std::ops::Range<u64>) -> Window {
        Window { start: PERIOD * periods.start, end: PERIOD * periods.end }
    }

    #[test]
    fn a_turn_costs_what_was_booked_during_its_half() {
        // The first run uses 10 in its halves, the other 30. Pauses count for neither.
        let booked = |half: u64| [half.div_ceil(2) * 10, half / 2 * 30];
        let mut readings: Readings = (0..=20).map(|half| (half, booked(half))).collect();
        let both = [Some(window(1..9)), Some(window(2..10))];
        let all = costs(&readings, both);
        assert_eq!(all, vec![[10, 30]; 7]);
        readings.remove(&8);
        assert_eq!(costs(&readings, both).len(), 5);
        assert_eq!(costs(&readings, [Some(window(1..9)), None]), Vec::<[u64; 2]>::new());
    }

    /// Returns hits with these response times, of which the first is due at the start of a half.
    fn hits(half: u64, times: &[u64]) -> Vec<Kept> {
        let due = |place: u64| half_begins(half) + Nanos::from_micros(10 * place);
        let hit = |(place, time): (u64, &u64)| {
            Kept::new(Class::Hit, due(place), Nanos::ZERO, Nanos::new(*time))
        };
        (0..).zip(times).map(hit).collect()
    }

    #[test]
    fn turns_are_compared_within_their_period_and_by_class() {
        let first = [hits(0, &[9, 1, 5, 7, 3]), hits(2, &[30; 4]), hits(4, &[40; 6])].concat();
        let second = [hits(1, &[2, 4, 6, 8, 90]), hits(3, &[8; 9]), hits(5, &[50; 5])].concat();
        let compared = medians(&first, &second);
        // In the second period the first run has too few answers.
        assert_eq!(compared, BTreeMap::from([(Class::Hit, vec![[5, 6], [40, 50]])]));
        let misses: Vec<Kept> =
            second.iter().map(|hit| Kept { class: Class::Miss, ..*hit }).collect();
        assert_eq!(medians(&first, &misses), BTreeMap::new());
        // An answer that is due outside the turns of its run does not count.
        assert_eq!(medians(&second, &first), BTreeMap::new());
    }

    #[test]
    fn what_this_process_works_is_booked_for_it() {
        let pid = std::process::id();
        let before_ns = booked_ns(pid).unwrap();
        let clock = Monotonic::start();
        // A tick later at the latest, this much work is booked.
        while booked_ns(pid).unwrap() == before_ns {
            assert!(clock.now_ns() < 10_000_000_000, "nothing is booked");
        }
    }
}
