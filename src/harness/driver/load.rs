//! All generator threads of a run: they connect, start at one instant, and report.
//!
//! The first thread that fails or panics ends the others. A log that cannot be written does the
//! same: a run that cannot have a result does not continue.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use super::generator::{Generator, Start, ThreadReport};
use super::setup::{Prepared, RunSetup};
use super::witnesses::{Own, Watch};
use crate::base::tls::Fault;
use crate::harness::dialect::outcome::Cause;
use crate::harness::dialect::target::Target;
use crate::harness::dialect::trust;
use crate::harness::machine::cores;
use crate::harness::machine::scheduling::PROC;
use crate::harness::machine::stop::Stop;
use crate::harness::nanos::Nanos;
use crate::harness::record::collector::{IntervalSink, Totals, collect};
use crate::harness::record::intervals::{IntervalSet, Window, histogram};
use crate::harness::record::measured::{Cut, Measured, Pacing};
use crate::harness::record::observer::Observer;
use crate::harness::record::recorder::Recorder;
use crate::harness::record::sample::Sampler;
use crate::harness::record::tally::Tally;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::schedule::timeline::Timeline;

/// Failure to measure.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The target does not accept connections.
    #[error("cannot connect to {target}; check that it is running and reachable")]
    Connect {
        /// Address of the target.
        target: String,
        /// Error of the system.
        source: io::Error,
    },
    /// The certificate of the target is not accepted.
    #[error("the certificate of {target} is not accepted; {}", trust::remedy(*.fault))]
    Certificate {
        /// URL of the target.
        target: String,
        /// Fault of the certificate.
        fault: Fault,
        /// Error of the TLS library.
        source: io::Error,
    },
    /// The target and this client could not set up TLS.
    #[error("no TLS with {target}; {}", trust::remedy(*.fault))]
    Tls {
        /// URL of the target.
        target: String,
        /// Fault of the TLS connection.
        fault: Fault,
        /// Error of the TLS library.
        source: io::Error,
    },
    /// This machine lacks a resource that connections need.
    #[error("this machine cannot open its connections to {target}: {cause}; {remedy}")]
    Impeded {
        /// URL of the target.
        target: String,
        /// Resource that is missing.
        cause: Cause,
        /// Advice for the user.
        remedy: &'static str,
        /// Error of the system.
        source: io::Error,
    },
    /// The kernel refused the event loop.
    #[error("cannot wait for answers")]
    Wait(#[source] io::Error),
    /// The logs could not be written.
    #[error("cannot write the interval logs; free space, or choose another folder with --out")]
    Write(#[source] io::Error),
    /// A thread could not be started.
    #[error("cannot start a generator thread")]
    Spawn(#[source] io::Error),
    /// A thread ended without a report.
    #[error("a generator thread died; its panic message is above")]
    Died,
    /// The progress callback ended the run, because the target had ended.
    #[error("the target ended during the run")]
    TargetEnded,
    /// The user asked to stop before anything was measured.
    #[error("interrupted")]
    Interrupted,
}

/// Event of a running load.
#[derive(Clone, Copy, Debug)]
pub enum LoadEvent {
    /// The warm-up is over.
    Measuring,
    /// Time of the load that has passed.
    Elapsed(Nanos),
}

/// Runs the plan until its end, or until the user or the callback `observe` ends the run.
///
/// The observer, if there is one, receives the outcomes of requests that may have met a change.
///
/// # Errors
/// Returns [`LoadError`] when there is no measurement. A bad or short measurement is not an error.
pub(crate) fn run(
    plan: &RunPlan,
    target: &Target,
    timeline: Timeline,
    sink: &mut dyn IntervalSink,
    stop: &Stop,
    observer: Option<Observer>,
    observe: &mut dyn FnMut(LoadEvent) -> ControlFlow<()>,
) -> Result<Measured, LoadError> {
    let setup = RunSetup::new(plan, target, timeline, observer, stop)
        .map_err(|error| refused(target, error))?;
    std::thread::scope(|scope| {
        // No thread continues, whatever is returned.
        let _guard = AbortGuard::armed(&setup);
        let generators = Generators::start(scope, &setup)?;
        let Started { window, recycle, full } = generators.go(&setup);
        sink.begin(window, timeline.epoch.wall_at(window.start)).map_err(LoadError::Write)?;
        let setup = &setup;
        let collector = spawn(scope, "collector", move || {
            let mut guard = AbortGuard::armed(setup);
            cores::yield_to_all();
            let log = &setup.witnesses.log;
            let totals = collect(&full, &recycle, log, sink, &|| std::thread::sleep(REST));
            guard.armed = totals.is_err();
            totals
        })?;
        let (watching, over) = channel();
        let witness = spawn(scope, "witness", move || watch(setup, window.start, &over))?;
        let watched = generators.watch(setup, window, observe);
        let ended = Nanos::now(setup.clock);
        // Joins all threads before any error is returned: the scope panics for a panicked thread
        // that was not joined.
        let reports = generators.join();
        drop(watching);
        let witnessed = witness.join().map_err(|_| LoadError::Died);
        let totals = collector.join().map_err(|_| LoadError::Died);
        witnessed?;
        let (reports, totals) = (reports?, totals?.map_err(LoadError::Write)?);
        if watched.is_break() {
            return Err(LoadError::TargetEnded);
        }
        let measured = merge(setup, reports, totals);
        if stop.is_requested() { cut_at(measured, ended, window) } else { Ok(measured) }
    })
}

/// Returns the measurement of a run that the user stopped.
///
/// # Errors
/// Returns [`LoadError::Interrupted`] when nothing was measured.
fn cut_at(measured: Measured, at: Nanos, window: Window) -> Result<Measured, LoadError> {
    let cut = Cut::at(at, window, &measured.tally);
    if measured.totals.whole.seen().next().is_none() {
        return Err(LoadError::Interrupted);
    }
    Ok(Measured { cut, ..measured })
}

/// Guard that ends the run when its owner fails or panics.
struct AbortGuard<'a> {
    setup: &'a RunSetup<'a>,
    armed: bool,
}

impl<'a> AbortGuard<'a> {
    const fn armed(setup: &'a RunSetup<'a>) -> Self {
        Self { setup, armed: true }
    }
}

impl Drop for AbortGuard<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.setup.abort.store(true, Ordering::Relaxed);
        }
    }
}

/// Data that the collector needs of a run that has started.
struct Started {
    window: Window,
    recycle: Vec<Sender<IntervalSet>>,
    full: Receiver<IntervalSet>,
}

type Report = Result<ThreadReport, LoadError>;

struct Generators<'scope> {
    go: Vec<Sender<Start>>,
    threads: Vec<ScopedJoinHandle<'scope, Report>>,
    /// Channel that hangs up when all threads have ended.
    done: Receiver<()>,
}

/// Time from setting the start to the start, so that every thread sees it in time.
const HEAD_START: Nanos = Nanos::from_millis(50);

/// Sleep of the collector after each histogram. It is longer than the work on one, so that the
/// collector gives way to the generator even on a shared processor.
const REST: Duration = Duration::from_micros(200);

/// Time between two calls of the progress callback.
const OBSERVE_EVERY: Duration = Duration::from_millis(250);

impl<'scope> Generators<'scope> {
    /// Starts the threads and waits until all connections are established.
    fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        setup: &'env RunSetup<'env>,
    ) -> Result<Self, LoadError> {
        let (ready, readies) = channel();
        let (alive, done) = channel();
        let mut generators = Self { go: Vec::new(), threads: Vec::new(), done };
        for thread in 0..setup.layout.threads() {
            let (go, start) = channel::<Start>();
            let (ready, alive) = (ready.clone(), alive.clone());
            generators.go.push(go);
            generators.threads.push(spawn(scope, "generator", move || {
                let _alive = alive;
                generate(setup, thread, ready, &start)
            })?);
        }
        drop(ready);
        let all: io::Result<Vec<()>> = readies.iter().collect();
        all.map_err(|source| refused(setup.target, source))?;
        Ok(generators)
    }

    /// Sets the start time and lets the threads begin.
    fn go(&self, setup: &RunSetup<'_>) -> Started {
        let (plan, timeline) = (setup.plan, setup.timeline);
        let soon = Nanos::now(setup.clock) + HEAD_START + plan.rehearsal;
        let start = timeline.load_start(soon);
        let measured = start + timeline.wall_span(plan.warmup);
        let end = measured + timeline.wall_span(plan.duration);
        let window = Window { start: measured, end };
        let (full, sets) = channel();
        let mut recycle = Vec::new();
        let phase_ends = setup.plan.workload.ends();
        let room = setup.room();
        for go in &self.go {
            let (spare, empty) = channel();
            // One spare set from the start, so that the first hand-over allocates nothing.
            drop(spare.send(IntervalSet::with_room(0, room)));
            recycle.push(spare);
            let recorder = Recorder::new(window, full.clone(), empty)
                .with_phases(&phase_ends)
                .with_trail(room);
            drop(go.send(Start { at: start, window, recorder }));
        }
        Started { window, recycle, full: sets }
    }

    /// Waits for the threads to end, and reports progress to `observe`.
    fn watch(
        &self,
        setup: &RunSetup<'_>,
        window: Window,
        observe: &mut dyn FnMut(LoadEvent) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let warmup = setup.plan.warmup;
        let load_start = window.start.saturating_sub(setup.timeline.wall_span(warmup));
        let mut warm = true;
        let mut goes_on = ControlFlow::Continue(());
        loop {
            let now = Nanos::now(setup.clock);
            // Without a warm-up `observe` is called slightly early, so that its counters miss no
            // request.
            let early = if warmup.is_zero() { HEAD_START } else { Nanos::ZERO };
            let begins = window.start.saturating_sub(early);
            if goes_on.is_continue() && warm && now >= begins {
                warm = false;
                goes_on = observe(LoadEvent::Measuring);
            }
            if goes_on.is_continue() {
                goes_on = observe(LoadEvent::Elapsed(now.saturating_sub(load_start)));
            }
            if goes_on.is_break() {
                setup.abort.store(true, Ordering::Relaxed);
            }
            let until_warm = Duration::from(begins.saturating_sub(now));
            let wait = if warm { until_warm.min(OBSERVE_EVERY) } else { OBSERVE_EVERY };
            if self.done.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
                return goes_on;
            }
        }
    }

    /// Returns the reports of all threads, or the first failure.
    fn join(self) -> Result<Vec<ThreadReport>, LoadError> {
        drop(self.go);
        let join = |thread: ScopedJoinHandle<'_, Report>| thread.join();
        let ended: Vec<_> = self.threads.into_iter().map(join).collect();
        ended.into_iter().map(|ended| ended.unwrap_or(Err(LoadError::Died))).collect()
    }
}

fn refused(target: &Target, source: io::Error) -> LoadError {
    let url = &target.url;
    let target = url.to_string();
    match Fault::of(&source) {
        Some(fault) if fault.is_of_certificate() => {
            return LoadError::Certificate { target, fault, source };
        }
        Some(fault) => return LoadError::Tls { target, fault, source },
        None => {}
    }
    let cause = Cause::of_machine(&source);
    match cause.and_then(|cause| Some((cause, cause.remedy()?))) {
        Some((cause, remedy)) => LoadError::Impeded { target, cause, remedy, source },
        None => LoadError::Connect { target: url.with_addresses(), source },
    }
}

/// Watches from the start of the measured part until the channel hangs up. A run that keeps no single
/// answers needs no witnesses.
fn watch(setup: &RunSetup<'_>, start: Nanos, over: &Receiver<()>) {
    if !setup.is_watched() {
        return;
    }
    cores::keep_off(&setup.plan.cores);
    let now = || Nanos::now(setup.clock);
    let ahead = Duration::from(start.saturating_sub(now()));
    if over.recv_timeout(ahead) == Err(RecvTimeoutError::Timeout) {
        let watch = Watch::begin(&setup.witnesses, Path::new(PROC), Own::this(), now());
        watch.until(over, setup.clock);
    }
}

/// Runs a generator thread, from connecting to its report.
fn generate(
    setup: &RunSetup<'_>,
    thread: usize,
    ready: Sender<io::Result<()>>,
    start: &Receiver<Start>,
) -> Report {
    let mut guard = AbortGuard::armed(setup);
    let prepared = match Prepared::new(setup, thread) {
        Ok(prepared) => prepared,
        Err(error) => {
            drop(ready.send(Err(error)));
            return Err(LoadError::Died);
        }
    };
    drop(ready.send(Ok(())));
    // Hang up now: the start waits until all threads have hung up.
    drop(ready);
    // If no start comes, another thread has failed, and the run with it.
    let start = start.recv().map_err(|_| LoadError::Died)?;
    let report = Generator::new(setup, thread, prepared, start).run().map_err(LoadError::Wait);
    guard.armed = report.is_err();
    report
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

fn merge(setup: &RunSetup<'_>, reports: Vec<ThreadReport>, totals: Totals) -> Measured {
    let plan = setup.plan;
    let mut tally = Tally::default();
    let mut pacing = Pacing { sampling: setup.gaps.clone(), ..Pacing::default() };
    let mut sampler = Sampler::new(plan.samples, &[], plan.seed);
    let (mut busy_share, mut hiccup, mut notice) = (0.0_f64, histogram(), histogram());
    for report in reports {
        tally.add(&report.tally);
        busy_share = busy_share.max(report.busy_share);
        // All histograms have equal bounds, so adding cannot fail.
        let _ = hiccup.add(&report.hiccup);
        let _ = notice.add(&report.notice);
        let _ = pacing.rehearsal.add(&report.rehearsal);
        pacing.sampled.extend(report.acted);
        sampler.merge(report.sampler);
    }
    Measured {
        totals,
        tally,
        busy_share,
        hiccup,
        notice,
        pacing,
        samples_full: sampler.is_full(),
        samples: sampler.into_samples(),
        paused: setup.pauses.total(),
        neighbourhood: setup.witnesses.neighbourhood(),
        cut: None,
    }
}
