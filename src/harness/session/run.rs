//! One measurement from start to end: target, load, counters and checks.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::broker_counters::Counters;
use super::changes::outage::{Source, SourceError};
use super::changes::{Admin, Changed, Changes, ChangesError, Needs, Places, Report, Underway};
use super::self_report::{self, SelfReport};
use super::serve_process::{ServeError, ServeProcess, this_program};
use crate::base::clock::{Clock, Monotonic};
use crate::base::synthetic::Synthetic;
use crate::harness::dialect::fetch;
use crate::harness::dialect::fetch::FetchError;
use crate::harness::dialect::protocol::{Dialect, OAuth2};
use crate::harness::dialect::target::{HttpUrl, Target};
use crate::harness::driver::fleet;
use crate::harness::driver::fleet::{Epoch, LoadError, Measured, Progress};
use crate::harness::judge::checks;
use crate::harness::judge::checks::Failure;
use crate::harness::judge::conditions::Conditions;
use crate::harness::judge::cut::holds_of_a_part;
use crate::harness::judge::steady_state::{Course, Seconds};
use crate::harness::judge::validity;
use crate::harness::judge::validity::{Evidence, Reason, Shape};
use crate::harness::judge::verify::{Audience, Identities, Keys, KeysError, Verdict, verify};
use crate::harness::machine::host::anonymous_bytes;
use crate::harness::machine::host::strain::{Strain, StrainCounters};
use crate::harness::machine::stop::Stop;
use crate::harness::record::collector::IntervalSink;
use crate::harness::record::recorder::{IntervalSet, Latencies, Tally};
use crate::harness::scenario::plan::Plan;
use crate::harness::scenario::workload::Workload;

/// The reason why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The broker's counters cannot be read.
    #[error("cannot read the broker's counters")]
    Counters(#[source] FetchError),
    /// The changes of the run cannot be made.
    #[error("cannot change anything during the run")]
    Changes(#[from] ChangesError),
    /// Our broker was running when the load began, and has ended.
    #[error("the broker ended during the run ({0}); its messages are above")]
    Died(String),
    /// There is no folder for the broker's world, or no free port.
    #[error(
        "cannot get a temporary folder or a free port; TMPDIR names another place for the folder"
    )]
    Prepare(#[source] std::io::Error),
    /// There are no keys to verify tokens with.
    #[error("cannot verify the answers")]
    Keys(#[source] KeysError),
    /// The load could not be run.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is no broker.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// There is no token service beside the broker.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// The target of a measurement.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each run")]
pub enum Subject {
    /// Our own broker, in a child process.
    Broker {
        /// The process, which ends when this value is dropped.
        process: ServeProcess,
        /// The token endpoint.
        imds: HttpUrl,
        /// The token service that signs and publishes the keys: the broker's own, or that of
        /// `source`.
        sts: HttpUrl,
        /// The endpoint of the broker's counters.
        admin: HttpUrl,
        /// The control plane, if the run changes something there.
        arm: Option<HttpUrl>,
        /// The admin endpoint with its secret, if the run rotates keys.
        keys: Option<Admin>,
        /// The folder of the broker's world, kept until the end of the run.
        data: Option<TempDir>,
        /// The token service that the broker asks, if that is another process.
        source: Option<Source>,
    },
    /// Another token endpoint.
    Foreign {
        /// The URL and the protocol.
        target: Target,
        /// The URL of the published keys, if it is known.
        jwks: Option<HttpUrl>,
    },
}

impl Subject {
    /// Starts the broker for a plan. `extra` are further arguments of `serve`.
    ///
    /// # Errors
    /// Returns an error if the broker does not become ready.
    pub fn start(plan: &Plan, extra: &[String], stop: &Arc<Stop>) -> Result<Self, SessionError> {
        Self::start_program(&this_program(), plan, extra, stop)
    }

    /// Starts the broker like [`Self::start`], but from another build: `program` is the executable.
    ///
    /// # Errors
    /// Returns an error if the broker does not become ready.
    pub fn start_program(
        program: &Path,
        plan: &Plan,
        extra: &[String],
        stop: &Arc<Stop>,
    ) -> Result<Self, SessionError> {
        let Needs { args, data, source } = plan.changes.needs().map_err(SessionError::Prepare)?;
        let (world, core) = (&plan.world, plan.cores.broker);
        let shared = [plan.workload.serve_args(), extra].concat();
        let args = [args, shared.clone()].concat();
        let process = ServeProcess::start(program, world, core, &args, stop)?;
        let [imds, sts, admin] = ["imds", "sts", "admin"].map(|name| process.endpoint(name));
        let (imds, mut sts, admin) = (imds?, sts?, admin?);
        let churned = matches!(plan.changes, Changes::Churn { .. });
        let arm = if churned { Some(process.endpoint("arm")?) } else { None };
        let rotated = matches!(plan.changes, Changes::Rotate { .. });
        let secret = rotated.then(|| process.admin_secret()).transpose()?;
        let keys = secret.map(|secret| Admin { url: admin.clone(), secret });
        // Starts after the broker, whose authority it must trust. Nobody asks for a token before
        // the load.
        let source = source.map(|(address, folder)| {
            let ca_pem = fetch::get(&admin, "/ca.pem").map_err(SessionError::Counters)?;
            let of = (world, core, shared.as_slice());
            Ok::<_, SessionError>(Source::start(address, &ca_pem, folder, of, stop)?)
        });
        let source = source.transpose()?;
        if let Some(source) = &source {
            sts = source.sts()?;
        }
        Ok(Self::Broker { imds, sts, admin, arm, keys, process, data, source })
    }

    /// Takes the token service beside our broker. The caller's drop of it ends the process.
    fn take_source(&mut self) -> Option<Source> {
        match self {
            Self::Broker { source, .. } => source.take(),
            Self::Foreign { .. } => None,
        }
    }

    /// Returns the folder of our broker's world, if it has one.
    pub fn data(&self) -> Option<&Path> {
        match self {
            Self::Broker { data, .. } => data.as_ref().map(TempDir::path),
            Self::Foreign { .. } => None,
        }
    }

    /// Returns the process id of our broker.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Broker { process, .. } => Some(process.pid()),
            Self::Foreign { .. } => None,
        }
    }

    const fn places(&self) -> Option<Places<'_>> {
        match self {
            Self::Broker { arm, sts, keys, .. } => {
                Some(Places { arm: arm.as_ref(), sts, admin: keys.as_ref() })
            }
            Self::Foreign { .. } => None,
        }
    }

    /// Returns the URL and the protocol of the requests.
    pub fn target(&self) -> Target {
        match self {
            Self::Broker { imds, .. } => Target::imds(imds.clone()),
            Self::Foreign { target, .. } => target.clone(),
        }
    }

    fn counters(&self) -> Result<Option<(Counters, SelfReport)>, SessionError> {
        match self {
            Self::Broker { admin, .. } => {
                self_report::read(admin).map(Some).map_err(SessionError::Counters)
            }
            Self::Foreign { .. } => Ok(None),
        }
    }

    /// Returns the exit status of our broker, if it has ended.
    fn ended(&mut self) -> Option<String> {
        match self {
            Self::Broker { process, .. } => process.ended().map(|status| status.to_string()),
            Self::Foreign { .. } => None,
        }
    }

    fn keys(&self, world: &Synthetic) -> Result<Option<Keys>, SessionError> {
        let keys = match self {
            Self::Broker { sts, .. } => Some(Keys::of_tenant(sts, world)),
            Self::Foreign { target, jwks } => {
                jwks.as_ref().map(|jwks| Keys::read_trusting(jwks, target.trusted.clone()))
            }
        };
        keys.transpose().map_err(SessionError::Keys)
    }
}

/// The broker's own counts.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Counts from the start of the measured part to the end of the last request. None if the
    /// counters could not be read at that start.
    pub measured: Option<Counters>,
    /// Counts from before the load to the end, warm-up included.
    pub whole: Counters,
    /// Anonymous memory of the broker's process at the end in bytes, if the system reports it.
    pub anonymous_bytes: Option<u64>,
}

/// The result of a session.
#[derive(Debug)]
pub struct Outcome {
    /// Measurements of the generator.
    pub measured: Measured,
    /// Latencies of all requests.
    pub all: Latencies,
    /// Latencies of all requests that did not fail.
    pub good: Latencies,
    /// Counts of the broker; none for a foreign target.
    pub broker: Option<Counted>,
    /// Result of the verification; none without keys.
    pub verdict: Option<Verdict>,
    /// Changes made during the run; none if none were planned.
    pub changes: Option<Report>,
    /// Conditions of the run.
    pub conditions: Conditions,
    /// Length of the measured part in nanoseconds. Shorter than planned if the user ended the run.
    pub duration_ns: u64,
    /// Requests acted on per second of the measured part; none for bursts.
    pub rate_achieved: Option<f64>,
    /// Answers per second of the measured part.
    pub rate_answered: f64,
    /// Reasons why the run is invalid; empty for a valid run.
    pub reasons: Vec<Reason>,
    /// Checks that failed.
    pub failures: Vec<Failure>,
}

/// Receivers of intervals and progress during a run.
pub struct Watcher<'a> {
    /// Receiver of the intervals.
    pub sink: &'a mut dyn IntervalSink,
    /// Callback for the progress of the run.
    pub observe: &'a mut dyn FnMut(Progress),
}

impl std::fmt::Debug for Watcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

/// Runs `plan` against `subject` and judges the result.
///
/// # Errors
/// Returns [`SessionError`] if there is no result. An invalid run or a failed check is a result.
pub fn measure(
    plan: &Plan,
    subject: &mut Subject,
    clock: &dyn Clock,
    stop: &Stop,
    watcher: Watcher<'_>,
) -> Result<Outcome, SessionError> {
    let outcome = measure_until_stopped(plan, subject, clock, stop, watcher)?;
    match outcome.measured.cut {
        Some(_) => Err(LoadError::Interrupted.into()),
        None => Ok(outcome),
    }
}

/// Does the same as [`measure`], but also returns the measurements so far when the user stops the
/// run.
///
/// # Errors
/// Returns [`SessionError`] if there is no result, because nothing was measured or something
/// failed.
pub fn measure_until_stopped(
    plan: &Plan,
    subject: &mut Subject,
    clock: &dyn Clock,
    stop: &Stop,
    watcher: Watcher<'_>,
) -> Result<Outcome, SessionError> {
    let own = || Epoch { clock: Monotonic::start(), wall: clock.now() };
    let epoch = plan.turns.map_or_else(own, |turns| turns.epoch);
    let target = subject.target();
    if let Subject::Foreign { .. } = subject {
        // The keys are read again after the load. An unreadable set fails here, before the load.
        subject.keys(&plan.world)?;
    }
    let before = subject.counters()?;
    let source = subject.take_source();
    let underway = Underway::start(plan, subject.places(), source, epoch.clock)?;
    let (mut warm, mut strain) = (None, StrainCounters::read());
    let mut measuring_ns = epoch.clock.now_ns();
    let Watcher { sink, observe } = watcher;
    let mut course = Course::passing_to(sink);
    let witness = underway.witness();
    let mut observe = |progress| {
        if matches!(progress, Progress::Measuring) {
            (strain, measuring_ns) = (StrainCounters::read(), epoch.clock.now_ns());
            // A note in the report says so if the counters cannot be read.
            warm = subject.counters().ok().flatten();
            underway.begin();
        }
        observe(progress);
        if subject.ended().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let measured = fleet::run(plan, &target, epoch, &mut course, stop, witness, &mut observe);
    let elapsed_ns = epoch.clock.now_ns().saturating_sub(measuring_ns);
    let strain = StrainCounters::read().since(&strain, elapsed_ns);
    // The changes end in order, whatever the result of the load.
    let made = underway.finish();
    if let Some(status) = subject.ended() {
        return Err(SessionError::Died(status));
    }
    let (measured, made) = (measured?, made?);
    let read = subject.counters()?.zip(before);
    let memory = subject.pid().and_then(anonymous_bytes);
    let (broker, said) =
        read.map(|(after, before)| since(&after, &before, warm.as_ref(), memory)).unzip();
    let said = said.flatten();
    let verdict = verdict(plan, subject, &made, &measured, epoch)?;
    let changes = made.report(&measured.samples, epoch);
    let course = course.into_seconds();
    Ok(judged(plan, measured, Evidenced { broker, said, verdict, changes, strain, course }))
}

/// Returns the broker's counts and its report between its readings. Without the reading at the
/// start of the measured part, nothing is known of that part alone.
fn since(
    (after, says): &(Counters, SelfReport),
    (before, _): &(Counters, SelfReport),
    warm: Option<&(Counters, SelfReport)>,
    anonymous_bytes: Option<u64>,
) -> (Counted, Option<SelfReport>) {
    let measured = warm.map(|(warm, _)| after.since(warm));
    let said = warm.map(|(_, said)| says.since(said));
    (Counted { measured, whole: after.since(before), anonymous_bytes }, said)
}

fn verdict(
    plan: &Plan,
    subject: &Subject,
    made: &Changed,
    measured: &Measured,
    epoch: Epoch,
) -> Result<Option<Verdict>, SessionError> {
    let identities = match subject {
        Subject::Broker { .. } => made.identities(&plan.world),
        Subject::Foreign { target, .. } => Identities::Unknown(audience(target)),
    };
    let keys = match made.keys() {
        Some(keys) => Some(keys),
        None => subject.keys(&plan.world)?,
    };
    Ok(keys.map(|keys| verify(&measured.samples, &keys, identities, epoch)))
}

/// Returns the expected audience of the tokens of a foreign target.
fn audience(target: &Target) -> Audience<'_> {
    match &*target.dialect {
        dialect if dialect.protocol().selects() => Audience::Asked,
        Dialect::OAuth2(OAuth2 { audience: Some(audience), .. }) => Audience::Is(audience),
        _ => Audience::Unknown,
    }
}

/// The evidence about a run beside the measurements.
struct Evidenced {
    broker: Option<Counted>,
    said: Option<SelfReport>,
    verdict: Option<Verdict>,
    changes: Option<Report>,
    strain: Strain,
    course: Seconds,
}

fn judged(plan: &Plan, measured: Measured, evidenced: Evidenced) -> Outcome {
    let Evidenced { broker, said, verdict, changes, strain, course } = evidenced;
    let (good, all) = merged(&measured.totals.whole);
    // The limits of lateness follow from the times of good answers, because a refusal may take no
    // time.
    let judged = if good.response.is_empty() { &all } else { &good };
    let duration_ns = measured.cut.map_or(plan.duration_ns, |cut| cut.measured_ns);
    let shape = shape(&plan.workload, &measured.tally);
    let conditions = Conditions {
        strain,
        gap_fit: measured.pacing.gap_fit(validity::lag_limit_ns(&judged.service)),
        steady: course.steady_state(plan, &measured.totals),
        hit_ratios: course.hit_ratios(plan),
        broker: said,
    };
    let reasons = validity::judge(&Evidence {
        cut: measured.cut,
        shape,
        unsent: measured.tally.unsent,
        lag: &all.lag,
        notice: &measured.notice,
        service: &judged.service,
        response: &judged.response,
        causes: &measured.tally.causes,
        hiccup: &measured.hiccup,
        busy_share: measured.busy_share,
        duration_ns,
        conditions: &conditions,
    });
    let mut failures =
        checks::failures(plan, &measured, broker.as_ref(), verdict, changes.as_ref());
    failures.retain(|failure| measured.cut.is_none() || holds_of_a_part(failure));
    let rate_achieved = match shape {
        Shape::Bursts { .. } => None,
        Shape::Rate { .. } => Some(rate(measured.tally.acted, duration_ns)),
    };
    let rate_answered = rate(measured.tally.answered, duration_ns);
    Outcome {
        measured,
        all,
        good,
        broker,
        verdict,
        changes,
        conditions,
        duration_ns,
        rate_achieved,
        rate_answered,
        reasons,
        failures,
    }
}

/// Returns the latencies of the requests that did not fail, and of all requests.
fn merged(set: &IntervalSet) -> (Latencies, Latencies) {
    let mut good = Latencies::default();
    set.good().for_each(|(_, latencies)| good.add(latencies));
    let mut all = good.clone();
    set.seen().filter(|(class, _)| class.is_failure()).for_each(|(_, failed)| all.add(failed));
    (good, all)
}

#[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^53")]
fn rate(count: u64, duration_ns: u64) -> f64 {
    count as f64 * 1e9 / duration_ns.max(1) as f64
}

/// Returns the spacing of the requests, with the counts that show if the generator kept to it.
const fn shape(workload: &Workload, tally: &Tally) -> Shape {
    match workload {
        Workload::Herd(herds) => Shape::Bursts { gap_ns: herds.gap_ns },
        Workload::Phases(_) => Shape::Rate { scheduled: tally.scheduled, acted: tally.acted },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::scenario::mix::Kind;
    use crate::harness::scenario::workload::Herds;
    use crate::harness::scenario::workload::tests::one;

    #[test]
    fn without_a_reading_at_its_start_nothing_is_said_of_the_measured_part() {
        let read = |hits| (Counters { hits, ..Counters::default() }, SelfReport::default());
        let (before, warm, after) = (read(1.0), read(60.0), read(100.0));
        let (counted, said) = since(&after, &before, Some(&warm), None);
        assert_eq!(counted.measured.map(|counters| counters.hits), Some(40.0));
        assert!(said.is_some());
        let (counted, said) = since(&after, &before, None, None);
        // In particular not the 99 hits that include the warm-up.
        assert_eq!((counted.measured, said), (None, None));
        assert!((counted.whole.hits - 99.0).abs() < 1e-9);
    }

    #[test]
    fn a_rate_is_judged_by_what_was_scheduled_and_a_herd_is_not() {
        // The mean rate gives 100 requests, the schedule drew 90. The rule compares with the 90
        // drawn.
        let tally = Tally { scheduled: 90, acted: 90, ..Tally::default() };
        let rate = shape(&one(100.0, Kind::New { repeat: 1 }), &tally);
        assert!(matches!(rate, Shape::Rate { scheduled: 90, acted: 90 }), "{rate:?}");
        let herds = Herds { herds: 1, callers: 9, first_ns: 0, gap_ns: 7 };
        let bursts = shape(&Workload::Herd(herds), &tally);
        assert!(matches!(bursts, Shape::Bursts { gap_ns: 7 }), "{bursts:?}");
    }
}
