//! Two brokers measured in turns, and the processor time of each turn.
//!
//! Both runs have the same schedule. A turn of one run and the next turn of the other send the same
//! requests, so their costs can be compared turn by turn. Means over whole runs cannot: one
//! disturbed moment of a shared machine moves a mean by more than the effects that a gate looks
//! for.

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
use crate::harness::judge::outcome::Outcome;
use crate::harness::machine::stop::Stop;
use crate::harness::nanos::Nanos;
use crate::harness::record::collector::IntervalSink;
use crate::harness::record::intervals::{IntervalSet, Rest, Window};
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
    let costs = costs(&readings, runs.each_ref().map(|run| run.window));
    Interleaved { outcomes: runs.map(|run| run.outcome), costs }
}

struct Run {
    outcome: Result<Outcome, SessionError>,
    window: Option<Window>,
}

fn one(plan: &RunPlan, timeline: Timeline, subject: &mut Subject, stop: &Stop) -> Run {
    let mut begun = Begun(None);
    let watcher = Watcher { sink: &mut begun, observe: &mut |_| {} };
    let outcome = run::measure_whole(plan, subject, timeline, stop, watcher);
    Run { outcome, window: begun.0 }
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The measured window of a run. It drops the intervals.
struct Begun(Option<Window>);

impl IntervalSink for Begun {
    fn begin(&mut self, window: Window, _: UnixSeconds) -> io::Result<()> {
        self.0 = Some(window);
        Ok(())
    }

    fn interval(&mut self, _: &IntervalSet, _: Rest<'_>) -> io::Result<()> {
        Ok(())
    }
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
