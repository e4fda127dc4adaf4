//! Two brokers measured in turns, with the processor time of each turn and the answers to the same requests.
//!
//! Both runs have the same schedule. A turn of one run and the next turn of the other send the same
//! requests, so turns and requests can be compared one by one. Means over whole runs cannot: one disturbed
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
    /// Response times in nanoseconds of each request that both runs answered well, of the first run and of the
    /// other, by class. A request that the two answered in different classes is left out.
    pub responses: BTreeMap<Class, Vec<[u64; 2]>>,
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
    let responses = responses(&first.answers, &second.answers);
    Interleaved { outcomes: runs.map(|run| run.outcome), costs, responses }
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

/// Returns the response times of the requests that both runs answered, by class.
fn responses(first: &Answers, second: &Answers) -> BTreeMap<Class, Vec<[u64; 2]>> {
    let second = by_request(Turn::Second, second);
    let mut both: BTreeMap<Class, Vec<[u64; 2]>> = BTreeMap::new();
    for (key, first_ns) in by_request(Turn::First, first) {
        if let Some(second_ns) = second.get(&key) {
            both.entry(key.0).or_default().push([first_ns, *second_ns]);
        }
    }
    both
}

/// Returns the response times in nanoseconds of the requests that were due in turns of this run, by class and by the
/// time of the schedule since the measured part began.
fn by_request(turn: Turn, answers: &Answers) -> BTreeMap<(Class, Nanos), u64> {
    let begin = answers.window.map_or(Nanos::ZERO, |window| turn.own_time(window.start));
    let due = answers.kept.iter().filter(|answer| turn.period_of(answer.intended).is_some());
    let of = |answer: &Kept| {
        let key = (answer.class, turn.own_time(answer.intended).saturating_sub(begin));
        (key, u64::from(answer.response_ns))
    };
    due.map(of).collect()
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
    fn answers_to_the_same_request_are_compared_if_their_class_is_the_same() {
        let from = |period, kept: &[Kept]| Answers {
            window: Some(window(period..period + 3)),
            kept: kept.to_vec(),
        };
        let first = [hits(0, &[9, 1]), hits(2, &[30; 2]), hits(4, &[40])].concat();
        let second = [hits(1, &[2, 4]), hits(3, &[8])].concat();
        let compared = responses(&from(0, &first), &from(0, &second));
        // The second run lacks the last request of the second period, and the third period.
        assert_eq!(compared, BTreeMap::from([(Class::Hit, vec![[9, 2], [1, 4], [30, 8]])]));
        // The second run may begin some periods later.
        let later = [hits(5, &[2, 4]), hits(7, &[8])].concat();
        assert_eq!(responses(&from(0, &first), &from(2, &later)), compared);
        let misses: Vec<Kept> =
            second.iter().map(|hit| Kept { class: Class::Miss, ..*hit }).collect();
        assert_eq!(responses(&from(0, &first), &from(0, &misses)), BTreeMap::new());
        // An answer that is due outside the turns of its run does not count.
        assert_eq!(responses(&from(0, &second), &from(0, &first)), BTreeMap::new());
    }

    #[test]
    fn what_this_process_works_is_booked_for_it() {
        let clock = Monotonic::start();
        // A thread of another test may end while it is read. A tick later at the latest, this much work is booked.
        let mut readings = std::iter::repeat_with(|| {
            assert!(clock.now_ns() < 10_000_000_000, "nothing is booked");
            booked_ns(std::process::id())
        });
        let before_ns = readings.find_map(|reading| reading).unwrap();
        assert!(readings.flatten().any(|booked_ns| booked_ns != before_ns));
    }
}
