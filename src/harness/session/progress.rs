//! Progress of a running load test, for the terminal view and `/metrics`.
//!
//! A [`RunProgress`] sits between the collector and the interval sink. The timed threads never touch it.
//! The collector's thread updates it once a second, and a reader holds its lock only for a copy.

use std::io;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::base::clock::UnixSeconds;
use crate::harness::class::Class;
use crate::harness::driver::load::LoadEvent;
use crate::harness::judge::validity::limits::{burst_limit, lag_limit, tail_limit};
use crate::harness::nanos::Nanos;
use crate::harness::record::collector::IntervalSink;
use crate::harness::record::intervals::{
    INTERVAL, IntervalSet, Latencies, Rest, Window, histogram,
};
use crate::harness::scenario::workload::Workload;

/// Progress of a running load test.
#[derive(Debug)]
pub struct RunProgress {
    /// Time from one burst to the next; `None` for a workload with a rate.
    burst_gap: Option<Nanos>,
    state: Mutex<State>,
}

#[derive(Clone, Debug)]
struct State {
    stage: Stage,
    elapsed: Nanos,
    window: Option<Window>,
    so_far: IntervalSet,
    last: Option<Figures>,
    seconds: u64,
    p99_us: Vec<u64>,
}

/// Stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Connections are made and the pacing is rehearsed.
    Preparing,
    /// Warm-up: requests are sent but not counted.
    WarmingUp,
    /// Requests are sent and counted.
    Measuring,
}

/// Figures of one period of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Requests that were due in the period and have ended, per second.
    pub rate: f64,
    /// Median response time of the good answers; `None` without good answers.
    pub p50: Option<Nanos>,
    /// 99th percentile of the same response times.
    pub p99: Option<Nanos>,
    /// 99th percentile of the lag.
    pub lag_p99: Nanos,
    /// Requests that failed.
    pub errors: u64,
    /// Answers from the cache; `None` if the target does not report classes.
    pub hits: Option<u64>,
    /// Answers that waited for their own mint; `None` if the target does not report classes.
    pub mints: Option<u64>,
}

/// Copy of the progress, for a view.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Stage of the run.
    pub stage: Stage,
    /// Time since the start of the load.
    pub elapsed: Nanos,
    /// Measured seconds that the figures cover.
    pub seconds: u64,
    /// Figures of the last measured second.
    pub last: Option<Figures>,
    /// Figures of all measured seconds.
    pub so_far: Option<Figures>,
    /// p99 response time of each of the latest seconds, in microseconds.
    pub p99_us: Vec<u64>,
    /// True if the lag so far is within the validity rules.
    pub on_time: bool,
}

/// Number of seconds to keep: as many as fit on a wide terminal.
const KEPT_SECONDS: usize = 300;

impl Default for RunProgress {
    fn default() -> Self {
        let state = State {
            stage: Stage::Preparing,
            elapsed: Nanos::ZERO,
            window: None,
            so_far: IntervalSet::new(0),
            last: None,
            seconds: 0,
            p99_us: Vec::new(),
        };
        Self { burst_gap: None, state: Mutex::new(state) }
    }
}

impl RunProgress {
    /// Creates the progress of a run of this workload.
    pub fn of(workload: &Workload) -> Self {
        let burst_gap = match workload {
            Workload::Herd(herds) => Some(herds.gap),
            Workload::Phases(_) => None,
        };
        Self { burst_gap, ..Self::default() }
    }

    /// Records the progress of the run.
    pub fn observe(&self, event: LoadEvent) {
        let mut state = self.state.lock();
        match event {
            LoadEvent::Measuring => state.stage = Stage::Measuring,
            LoadEvent::Elapsed(time) => {
                // `time` stays zero until the rehearsal is over.
                if !time.is_zero() && state.stage == Stage::Preparing {
                    state.stage = Stage::WarmingUp;
                }
                state.elapsed = time;
            }
        }
    }

    /// Returns a sink that passes intervals on to `sink` and updates the progress.
    pub fn watching<'a>(&'a self, sink: &'a mut dyn IntervalSink) -> Watching<'a> {
        Watching { progress: self, sink }
    }

    /// Returns a copy of the current state.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.lock().clone();
        let all = merged(&state.so_far, &|| ());
        let span = INTERVAL * state.seconds;
        Snapshot {
            stage: state.stage,
            elapsed: state.elapsed,
            seconds: state.seconds,
            last: state.last,
            so_far: (state.seconds > 0).then(|| Figures::of(&state.so_far, &all, span)),
            p99_us: state.p99_us,
            on_time: self.is_on_time(&all),
        }
    }

    /// Returns the sum of all intervals so far.
    pub fn so_far(&self) -> IntervalSet {
        self.state.lock().so_far.clone()
    }

    /// Applies the final validity rules for the lag to the data so far. A run without requests is
    /// on time.
    fn is_on_time(&self, all: &Merged) -> bool {
        if let Some(gap) = self.burst_gap {
            return Nanos::new(all.lag.max()) <= burst_limit(gap);
        }
        // Without good answers there is no limit to compare the lag with.
        all.response.is_empty()
            || Nanos::at_quantile(&all.lag, 0.99) <= lag_limit(&all.service)
                && Nanos::at_quantile(&all.lag, 0.999) <= tail_limit(&all.response)
    }
}

/// Sink that updates the progress and passes each interval on.
pub struct Watching<'a> {
    progress: &'a RunProgress,
    sink: &'a mut dyn IntervalSink,
}

impl std::fmt::Debug for Watching<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watching").finish_non_exhaustive()
    }
}

impl IntervalSink for Watching<'_> {
    fn begin(&mut self, window: Window, start: UnixSeconds) -> io::Result<()> {
        self.progress.state.lock().window = Some(window);
        self.sink.begin(window, start)
    }

    fn interval(&mut self, set: &IntervalSet, rest: Rest<'_>) -> io::Result<()> {
        let window = self.progress.state.lock().window;
        let span = window.map_or(INTERVAL, |window| window.interval(set.index));
        // Merged before taking the lock again, so that a view never waits for the merge.
        let figures = Figures::of(set, &merged(set, rest), span);
        self.progress.state.lock().take(set, figures);
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
        self.p99_us.push(figures.p99.unwrap_or_default() / Nanos::from_micros(1));
        self.last = Some(figures);
    }
}

/// Response and service times of all good answers, and the lag of all requests.
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
        // All histograms have equal bounds, so adding cannot fail.
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
    fn of(set: &IntervalSet, all: &Merged, span: Nanos) -> Self {
        let count = |wanted| {
            let seen = set.seen().find(|(class, _)| *class == wanted);
            seen.map_or(0, |(_, latencies)| latencies.response.len())
        };
        let classed = set.seen().all(|(class, _)| class != Class::All);
        let at = |quantile| {
            (!all.response.is_empty()).then(|| Nanos::at_quantile(&all.response, quantile))
        };
        Self {
            rate: (all.response.len() + all.errors) as f64 * 1e9 / span.max(Nanos::new(1)).as_f64(),
            p50: at(0.5),
            p99: at(0.99),
            lag_p99: Nanos::at_quantile(&all.lag, 0.99),
            errors: all.errors,
            hits: classed.then(|| count(Class::Hit)),
            mints: classed.then(|| count(Class::Miss)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::dialect::outcome::{Cause, Status};
    use crate::harness::record::collector::{Discard, collect};
    use crate::harness::record::intervals::Ended;
    use crate::harness::record::recorder::Recorder;
    use crate::harness::record::witness::WitnessLog;
    use std::sync::mpsc::channel;

    /// Returns the progress after two seconds: ten hits of 1 ms, then a failure after 9 ms.
    fn watched() -> RunProgress {
        let progress = RunProgress::default();
        fill(&progress);
        progress
    }

    fn fill(progress: &RunProgress) {
        let window = Window { start: Nanos::ZERO, end: INTERVAL * 2 };
        let ((full, sets), (spare, empty)) = (channel(), channel());
        let mut recorder = Recorder::new(window, full, empty);
        let mut record = |class, status, intended: Nanos, response: Nanos| {
            recorder.record(&Ended {
                class,
                status: Status::Http(status),
                cause: (status != 200).then_some(Cause::Status(status)),
                intended,
                acted: intended + Nanos::new(5),
                written: Some(intended + Nanos::new(10)),
                end: intended + response,
                added: Nanos::ZERO,
            });
        };
        for at in 0..10 {
            record(Class::Hit, 200, Nanos::new(at), Nanos::from_millis(1));
        }
        record(Class::Error, 503, INTERVAL, Nanos::from_millis(9));
        let _ = recorder.finish();
        let mut sink = Discard;
        let mut watching = progress.watching(&mut sink);
        watching.begin(window, UnixSeconds(0)).unwrap();
        collect(&sets, &[spare], &WitnessLog::default(), &mut watching, &|| ()).unwrap();
    }

    #[test]
    fn the_requests_of_a_burst_may_wait_for_each_other() {
        let strict = RunProgress { burst_gap: Some(Nanos::new(19)), ..RunProgress::default() };
        let fine = RunProgress { burst_gap: Some(Nanos::new(20)), ..RunProgress::default() };
        [&strict, &fine].into_iter().for_each(fill);
        assert_eq!((strict.snapshot().on_time, fine.snapshot().on_time), (false, true));
    }

    #[test]
    fn progress_tells_the_last_second_from_all_of_them() {
        let progress = watched();
        progress.observe(LoadEvent::Measuring);
        progress.observe(LoadEvent::Elapsed(Nanos::new(7)));
        let Snapshot { stage, elapsed, seconds, last, so_far, p99_us, on_time } =
            progress.snapshot();
        let (last, so_far) = (last.unwrap(), so_far.unwrap());
        assert_eq!((stage, elapsed, seconds), (Stage::Measuring, Nanos::new(7), 2));
        assert_eq!((last.errors, last.hits, last.p99), (1, Some(0), None));
        assert_eq!((so_far.errors, so_far.hits, so_far.mints), (1, Some(10), Some(0)));
        assert!((so_far.rate - 5.5).abs() < 1e-9 && (last.rate - 1.0).abs() < 1e-9);
        // No percentile includes the failed request.
        for time in [so_far.p50, so_far.p99] {
            assert!((999_000..1_001_000).contains(&time.unwrap().as_u64()), "{time:?}");
        }
        assert_eq!(p99_us.len(), 2);
        assert!(on_time);
    }

    #[test]
    fn progress_counts_by_status() {
        let set = watched().so_far();
        let counts: Vec<(String, u64)> =
            set.statuses.iter().map(|(status, count)| (status.to_string(), *count)).collect();
        assert_eq!(counts, [("200".to_owned(), 10), ("503".to_owned(), 1)]);
    }

    #[test]
    fn progress_knows_what_a_run_is_at() {
        let progress = RunProgress::default();
        assert_eq!(progress.snapshot().stage, Stage::Preparing);
        progress.observe(LoadEvent::Elapsed(Nanos::ZERO));
        assert_eq!(progress.snapshot().stage, Stage::Preparing);
        progress.observe(LoadEvent::Elapsed(Nanos::new(1)));
        assert_eq!(
            (progress.snapshot().stage, progress.snapshot().so_far),
            (Stage::WarmingUp, None)
        );
    }
}
