//! How a run stands, for whoever wants to show it while it goes on.
//!
//! Sits between the collector and whoever takes the intervals. The timed threads know nothing of it:
//! it changes once a second, on the collector's thread, and is read under a lock that is held for the
//! time of a copy.

use std::io;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use super::class::Class;
use super::collector::IntervalSink;
use super::fleet::Progress;
use super::recorder::{INTERVAL_NS, IntervalSet, Latencies, Rest, Window, histogram};
use super::validity::{burst_limit_ns, lag_limit_ns};
use super::workload::Workload;
use crate::clock::UnixSeconds;

/// How a run stands.
#[derive(Debug)]
pub struct Board {
    /// Of bursts, from one to the next; none of a rate.
    burst_gap_ns: Option<u64>,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    phase: Phase,
    elapsed_ns: u64,
    window: Option<Window>,
    so_far: IntervalSet,
    last: Option<Figures>,
    seconds: u64,
    p99_us: Vec<u64>,
}

/// What a run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Connections are made and the pacing is rehearsed.
    Preparing,
    /// There is load, and it does not count.
    WarmingUp,
    /// It counts.
    Measuring,
}

/// The figures of one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Requests that were meant to start in it and have ended, per second.
    pub rate: f64,
    /// The median response of the good answers in nanoseconds; none without good answers.
    pub p50_ns: Option<u64>,
    /// The 99th percentile of the same.
    pub p99_ns: Option<u64>,
    /// The 99th percentile of the lag in nanoseconds.
    pub lag_p99_ns: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Answers from held tokens; none where nobody says.
    pub hits: Option<u64>,
    /// Answers that took a mint of their own; none where nobody says.
    pub mints: Option<u64>,
}

/// A copy of what a view shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// What the run is at.
    pub phase: Phase,
    /// Nanoseconds of the load that are past.
    pub elapsed_ns: u64,
    /// Seconds of the measured part that are in the figures.
    pub seconds: u64,
    /// The last of them.
    pub last: Option<Figures>,
    /// All of them.
    pub so_far: Option<Figures>,
    /// The p99 response of the latest seconds, in microseconds.
    pub p99_us: Vec<u64>,
    /// Whether the lag so far is within what the rules allow.
    pub on_time: bool,
}

/// So many seconds fit on a wide terminal.
const KEPT_SECONDS: usize = 300;

impl Default for Board {
    fn default() -> Self {
        let state = State {
            phase: Phase::Preparing,
            elapsed_ns: 0,
            window: None,
            so_far: IntervalSet::new(0),
            last: None,
            seconds: 0,
            p99_us: Vec::new(),
        };
        Self { burst_gap_ns: None, state: Mutex::new(state) }
    }
}

impl Board {
    /// A board for a run of this workload.
    pub fn of(workload: &Workload) -> Self {
        let burst_gap_ns = match workload {
            Workload::Herd(herds) => Some(herds.gap_ns),
            Workload::Phases(_) => None,
        };
        Self { burst_gap_ns, ..Self::default() }
    }

    /// Learns how far the run is.
    pub fn observe(&self, progress: Progress) {
        let mut state = self.state.lock();
        match progress {
            Progress::Measuring => state.phase = Phase::Measuring,
            Progress::Elapsed(ns) => {
                // Zero until the rehearsal is over.
                if ns > 0 && state.phase == Phase::Preparing {
                    state.phase = Phase::WarmingUp;
                }
                state.elapsed_ns = ns;
            }
        }
    }

    /// Passes intervals on to `sink`, and learns from them.
    pub fn watching<'a>(&'a self, sink: &'a mut dyn IntervalSink) -> Watching<'a> {
        Watching { board: self, sink }
    }

    /// How the run stands.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.lock().clone();
        let all = merged(&state.so_far, &|| ());
        let span_ns = state.seconds * INTERVAL_NS;
        Snapshot {
            phase: state.phase,
            elapsed_ns: state.elapsed_ns,
            seconds: state.seconds,
            last: state.last,
            so_far: (state.seconds > 0).then(|| Figures::of(&state.so_far, &all, span_ns)),
            p99_us: state.p99_us,
            on_time: self.is_on_time(&all),
        }
    }

    /// The merged intervals so far.
    pub fn so_far(&self) -> IntervalSet {
        self.state.lock().so_far.clone()
    }

    /// The rules of a run's end for the lag, on what there is; a run without a request is on time.
    fn is_on_time(&self, all: &Merged) -> bool {
        if let Some(gap_ns) = self.burst_gap_ns {
            return all.lag.max() <= burst_limit_ns(gap_ns);
        }
        let tail_limit_ns = all.response.value_at_quantile(0.99) / 10;
        // Without good answers there is nothing to be late for.
        all.response.is_empty()
            || all.lag.value_at_quantile(0.99) <= lag_limit_ns(&all.service)
                && all.lag.value_at_quantile(0.999) <= tail_limit_ns
    }
}

/// A sink that tells a board what it takes.
pub struct Watching<'a> {
    board: &'a Board,
    sink: &'a mut dyn IntervalSink,
}

impl std::fmt::Debug for Watching<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watching").finish_non_exhaustive()
    }
}

impl IntervalSink for Watching<'_> {
    fn begin(&mut self, window: Window, start: UnixSeconds) -> io::Result<()> {
        self.board.state.lock().window = Some(window);
        self.sink.begin(window, start)
    }

    fn interval(&mut self, set: &IntervalSet, rest: Rest<'_>) -> io::Result<()> {
        let window = self.board.state.lock().window;
        let span_ns = window.map_or(INTERVAL_NS, |window| window.interval_ns(set.index));
        // Merged before the lock is taken again: who shows the run never waits for it.
        let figures = Figures::of(set, &merged(set, rest), span_ns);
        self.board.state.lock().take(set, figures);
        rest();
        self.sink.interval(set, rest)
    }
}

impl State {
    fn take(&mut self, set: &IntervalSet, figures: Figures) {
        self.so_far.add(set);
        self.seconds += 1;
        if self.p99_us.len() == KEPT_SECONDS {
            self.p99_us.remove(0);
        }
        self.p99_us.push(figures.p99_ns.unwrap_or(0) / 1000);
        self.last = Some(figures);
    }
}

/// The response and service of all good answers together, and the lag of all requests.
struct Merged {
    response: Histogram<u64>,
    service: Histogram<u64>,
    lag: Histogram<u64>,
    errors: u64,
}

fn merged(set: &IntervalSet, rest: Rest<'_>) -> Merged {
    let mut all =
        Merged { response: histogram(), service: histogram(), lag: histogram(), errors: 0 };
    for (class, Latencies { response, service, lag, .. }) in set.seen() {
        // Equal bounds everywhere: adding cannot fail.
        let _ = all.lag.add(lag);
        if class.is_failure() {
            all.errors += response.len();
        } else {
            let _ = all.response.add(response);
            let _ = all.service.add(service);
        }
        rest();
    }
    all
}

impl Figures {
    #[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^53")]
    fn of(set: &IntervalSet, all: &Merged, span_ns: u64) -> Self {
        let count = |wanted| {
            let seen = set.seen().find(|(class, _)| *class == wanted);
            seen.map_or(0, |(_, latencies)| latencies.response.len())
        };
        let classed = set.seen().all(|(class, _)| class != Class::All);
        let at =
            |quantile| (!all.response.is_empty()).then(|| all.response.value_at_quantile(quantile));
        Self {
            rate: (all.response.len() + all.errors) as f64 * 1e9 / span_ns.max(1) as f64,
            p50_ns: at(0.5),
            p99_ns: at(0.99),
            lag_p99_ns: all.lag.value_at_quantile(0.99),
            errors: all.errors,
            hits: classed.then(|| count(Class::Hit)),
            mints: classed.then(|| count(Class::Miss)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::cause::Cause;
    use crate::load::class::Status;
    use crate::load::collector::{Discard, collect};
    use crate::load::recorder::{Ended, Recorder};
    use std::sync::mpsc::channel;

    /// Two seconds: ten hits of 1 ms, then one request that failed after 9 ms.
    fn watched() -> Board {
        let board = Board::default();
        fill(&board);
        board
    }

    fn fill(board: &Board) {
        let window = Window { start_ns: 0, end_ns: 2 * INTERVAL_NS };
        let ((full, sets), (spare, empty)) = (channel(), channel());
        let mut recorder = Recorder::new(window, full, empty);
        let mut record = |class, status, intended_ns: u64, response_ns: u64| {
            recorder.record(&Ended {
                class,
                status: Status::Http(status),
                cause: (status != 200).then_some(Cause::Status(status)),
                intended_ns,
                acted_ns: intended_ns + 5,
                written_ns: Some(intended_ns + 10),
                end_ns: intended_ns + response_ns,
            });
        };
        for at in 0..10 {
            record(Class::Hit, 200, at, 1_000_000);
        }
        record(Class::Error, 503, INTERVAL_NS, 9_000_000);
        let _ = recorder.finish();
        let mut sink = Discard;
        let mut watching = board.watching(&mut sink);
        watching.begin(window, UnixSeconds(0)).unwrap();
        collect(&sets, &[spare], &mut watching, &|| ()).unwrap();
    }

    #[test]
    fn the_requests_of_a_burst_may_wait_for_each_other() {
        let strict = Board { burst_gap_ns: Some(19), ..Board::default() };
        let fine = Board { burst_gap_ns: Some(20), ..Board::default() };
        [&strict, &fine].into_iter().for_each(fill);
        assert_eq!((strict.snapshot().on_time, fine.snapshot().on_time), (false, true));
    }

    #[test]
    fn a_board_tells_the_last_second_from_all_of_them() {
        let board = watched();
        board.observe(Progress::Measuring);
        board.observe(Progress::Elapsed(7));
        let Snapshot { phase, elapsed_ns, seconds, last, so_far, p99_us, on_time } =
            board.snapshot();
        let (last, so_far) = (last.unwrap(), so_far.unwrap());
        assert_eq!((phase, elapsed_ns, seconds), (Phase::Measuring, 7, 2));
        assert_eq!((last.errors, last.hits, last.p99_ns), (1, Some(0), None));
        assert_eq!((so_far.errors, so_far.hits, so_far.mints), (1, Some(10), Some(0)));
        assert!((so_far.rate - 5.5).abs() < 1e-9 && (last.rate - 1.0).abs() < 1e-9);
        // The failed request is in no percentile.
        for ns in [so_far.p50_ns, so_far.p99_ns] {
            assert!((999_000..1_001_000).contains(&ns.unwrap()), "{ns:?}");
        }
        assert_eq!(p99_us.len(), 2);
        assert!(on_time);
    }

    #[test]
    fn a_board_counts_by_status() {
        let set = watched().so_far();
        let counts: Vec<(String, u64)> =
            set.statuses.iter().map(|(status, count)| (status.to_string(), *count)).collect();
        assert_eq!(counts, [("200".to_owned(), 10), ("503".to_owned(), 1)]);
    }

    #[test]
    fn a_board_knows_what_a_run_is_at() {
        let board = Board::default();
        assert_eq!(board.snapshot().phase, Phase::Preparing);
        board.observe(Progress::Elapsed(0));
        assert_eq!(board.snapshot().phase, Phase::Preparing);
        board.observe(Progress::Elapsed(1));
        assert_eq!((board.snapshot().phase, board.snapshot().so_far), (Phase::WarmingUp, None));
    }
}
