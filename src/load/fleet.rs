//! All generator threads together: connect, start at one instant, collect.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::cores;
use super::generator::{Connected, Generator, Plan, ThreadReport};
use super::recorder::{
    IntervalSet, IntervalSink, Recorder, Tally, Totals, Window, collect, histogram,
};
use super::sample::Sampled;
use crate::clock::Monotonic;

/// Why no measurement came about.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The target does not accept connections.
    #[error("cannot connect to {target}; check that it is running and reachable")]
    Connect {
        /// Where to.
        target: String,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel refused the event loop.
    #[error("cannot wait for answers")]
    Wait(#[source] io::Error),
    /// The logs could not be written.
    #[error("cannot write the interval logs")]
    Write(#[source] io::Error),
    /// A thread could not be started.
    #[error("cannot start a generator thread")]
    Spawn(#[source] io::Error),
    /// A thread ended without a report.
    #[error("a generator thread died; its panic message is above")]
    Died,
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What a run measured.
#[derive(Debug)]
pub struct Measured {
    /// The histograms.
    pub totals: Totals,
    /// The counters of all threads.
    pub tally: Tally,
    /// Requests of the measured part that were never written.
    pub unsent: u64,
    /// Of the busiest thread: the share of its time that it was not waiting.
    pub busy_share: f64,
    /// How late the loops noticed the ticks of a 1 kHz probe, in nanoseconds.
    pub hiccup: Histogram<u64>,
    /// A uniform sample of the answers.
    pub samples: Vec<Sampled>,
}

/// What happens while a run goes on.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// The warm-up is over.
    Measuring,
    /// So many nanoseconds of the load are past.
    Elapsed(u64),
}

/// Runs the plan to its end.
///
/// # Errors
/// [`LoadError`] when there is no measurement; a bad measurement is not an error.
pub fn run(
    plan: &Plan,
    sink: &mut dyn IntervalSink,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(Progress),
) -> Result<Measured, LoadError> {
    let clock = Monotonic::start();
    std::thread::scope(|scope| {
        let fleet = Fleet::start(scope, plan, clock, stop)?;
        let (window, recycle, full) = fleet.go(plan, clock);
        let collector = spawn(scope, "collector", move || {
            cores::yield_to_all();
            collect(&full, &recycle, sink)
        })?;
        let reports = fleet.watch(clock, window, plan, observe);
        let totals = collector.join().map_err(|_| LoadError::Died)?;
        let reports = reports?;
        if stop.load(Ordering::Relaxed) {
            return Err(LoadError::Interrupted);
        }
        Ok(merge(reports, totals.map_err(LoadError::Write)?))
    })
}

/// What a thread needs to begin.
struct Go {
    start_ns: u64,
    window: Window,
    recorder: Recorder,
}

struct Fleet {
    go: Vec<Sender<Go>>,
    done: Receiver<io::Result<ThreadReport>>,
}

/// Time for every thread to see the start before it comes.
const HEAD_START_NS: u64 = 50_000_000;
/// How often the observer is called.
const OBSERVE_EVERY: Duration = Duration::from_millis(250);

impl Fleet {
    /// Starts the threads and waits until all connections stand.
    fn start<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        plan: &'env Plan,
        clock: Monotonic,
        stop: &'env AtomicBool,
    ) -> Result<Self, LoadError> {
        let (ready, readies) = channel();
        let (report, done) = channel();
        let mut fleet = Self { go: Vec::new(), done };
        for thread in 0..plan.threads.max(1) {
            let (go, wait) = channel::<Go>();
            let (ready, report) = (ready.clone(), report.clone());
            fleet.go.push(go);
            spawn(scope, "generator", move || {
                let connected = match Connected::open(plan, thread) {
                    Ok(connected) => connected,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                drop(ready.send(Ok(())));
                // No start: another thread failed, and the run with it.
                let Ok(Go { start_ns, window, recorder }) = wait.recv() else { return };
                let time = (clock, start_ns, window);
                let generator = Generator::new(plan, thread, connected, recorder, time);
                drop(report.send(generator.run(stop)));
            })?;
        }
        drop(ready);
        let all: io::Result<Vec<()>> = readies.iter().collect();
        let target = plan.target.to_string();
        all.map_err(|source| LoadError::Connect { target, source })?;
        Ok(fleet)
    }

    /// Sets the start and lets the threads go.
    fn go(
        &self,
        plan: &Plan,
        clock: Monotonic,
    ) -> (Window, Vec<Sender<IntervalSet>>, Receiver<IntervalSet>) {
        let start_ns = clock.now_ns() + HEAD_START_NS;
        let measured_ns = start_ns + plan.warmup_ns;
        let window = Window { start_ns: measured_ns, end_ns: measured_ns + plan.duration_ns };
        let (full, sets) = channel();
        let mut recycle = Vec::new();
        for go in &self.go {
            let (spare, empty) = channel();
            // One spare set from the start: the first hand-over allocates nothing.
            drop(spare.send(IntervalSet::new(0)));
            recycle.push(spare);
            let recorder = Recorder::new(window, full.clone(), empty);
            drop(go.send(Go { start_ns, window, recorder }));
        }
        (window, recycle, sets)
    }

    /// Waits for the reports, telling the observer how the run goes.
    fn watch(
        &self,
        clock: Monotonic,
        window: Window,
        plan: &Plan,
        observe: &mut dyn FnMut(Progress),
    ) -> Result<Vec<ThreadReport>, LoadError> {
        let load_start_ns = window.start_ns.saturating_sub(plan.warmup_ns);
        let mut warm = true;
        let mut reports = Vec::new();
        while reports.len() < self.go.len() {
            let now_ns = clock.now_ns();
            if warm && now_ns >= window.start_ns {
                warm = false;
                observe(Progress::Measuring);
            }
            observe(Progress::Elapsed(now_ns.saturating_sub(load_start_ns)));
            let until_warm = Duration::from_nanos(window.start_ns.saturating_sub(now_ns));
            let wait = if warm { until_warm.min(OBSERVE_EVERY) } else { OBSERVE_EVERY };
            match self.done.recv_timeout(wait) {
                Ok(report) => reports.push(report.map_err(LoadError::Wait)?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(LoadError::Died),
            }
        }
        Ok(reports)
    }
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    body: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>, LoadError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, body)
        .map_err(LoadError::Spawn)
}

fn merge(reports: Vec<ThreadReport>, totals: Totals) -> Measured {
    let mut measured = Measured {
        totals,
        tally: Tally::default(),
        unsent: 0,
        busy_share: 0.0,
        hiccup: histogram(),
        samples: Vec::new(),
    };
    for report in reports {
        measured.tally.add(&report.tally);
        measured.unsent += report.unsent;
        measured.busy_share = measured.busy_share.max(report.busy_share);
        // Equal bounds: adding cannot fail.
        let _ = measured.hiccup.add(&report.hiccup);
        measured.samples.extend(report.samples);
    }
    measured
}
