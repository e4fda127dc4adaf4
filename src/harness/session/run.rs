//! One measurement from start to end: target, load, counters and checks.

use std::ops::ControlFlow;

use super::changes::{FinishedChanges, RunningChanges};
use super::error::SessionError;
use super::subject::Subject;
use crate::base::clock::Clock;
use crate::harness::dialect::protocol::{Dialect, OAuth2};
use crate::harness::dialect::target::Target;
use crate::harness::driver::load;
use crate::harness::driver::load::{LoadError, LoadEvent};
use crate::harness::judge::outcome::{Findings, Outcome, judge};
use crate::harness::judge::steady_state::SteadyStateSink;
use crate::harness::judge::undisturbed::{Sorting, UndisturbedSink};
use crate::harness::judge::verify::{Audience, Identities, Verdict, verify};
use crate::harness::machine::host::anonymous_bytes;
use crate::harness::machine::host::strain::StrainCounters;
use crate::harness::machine::stop::Stop;
use crate::harness::nanos::Nanos;
use crate::harness::record::broker_counters::{Counted, Counters};
use crate::harness::record::collector::IntervalSink;
use crate::harness::record::measured::Measured;
use crate::harness::record::self_report::SelfReport;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::schedule::timeline::{Epoch, Timeline};

/// Receivers of intervals and progress during a run.
pub struct Watcher<'a> {
    /// Receiver of the intervals.
    pub sink: &'a mut dyn IntervalSink,
    /// Callback for the progress of the run.
    pub observe: &'a mut dyn FnMut(LoadEvent),
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
    plan: &RunPlan,
    subject: &mut Subject,
    clock: &dyn Clock,
    stop: &Stop,
    watcher: Watcher<'_>,
) -> Result<Outcome, SessionError> {
    measure_whole(plan, subject, Timeline::start(clock), stop, watcher)
}

/// Does the same as [`measure`], on a clock that may be shared with an interleaved run.
pub(super) fn measure_whole(
    plan: &RunPlan,
    subject: &mut Subject,
    timeline: Timeline,
    stop: &Stop,
    watcher: Watcher<'_>,
) -> Result<Outcome, SessionError> {
    let outcome = measure_on(plan, subject, timeline, stop, watcher)?;
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
    plan: &RunPlan,
    subject: &mut Subject,
    clock: &dyn Clock,
    stop: &Stop,
    watcher: Watcher<'_>,
) -> Result<Outcome, SessionError> {
    measure_on(plan, subject, Timeline::start(clock), stop, watcher)
}

fn measure_on(
    plan: &RunPlan,
    subject: &mut Subject,
    timeline: Timeline,
    stop: &Stop,
    watcher: Watcher<'_>,
) -> Result<Outcome, SessionError> {
    let epoch = timeline.epoch;
    let target = subject.target();
    if let Subject::Foreign { .. } = subject {
        // The keys are read again after the load. An unreadable set fails here, before the load.
        subject.keys(&plan.world)?;
    }
    let before = subject.counters()?;
    let source = subject.take_source();
    let changes = RunningChanges::start(plan, subject.endpoints(), source, epoch.clock)?;
    let (mut warm, mut strain) = (None, StrainCounters::read());
    let mut measuring = Nanos::now(epoch.clock);
    let Watcher { sink, observe } = watcher;
    let mut steady_state = SteadyStateSink::passing_to(sink);
    let sorting = Sorting::of(&timeline);
    let mut undisturbed = UndisturbedSink::passing_to(&mut steady_state, sorting);
    let observer = changes.observer();
    let mut observe = |event| {
        if matches!(event, LoadEvent::Measuring) {
            (strain, measuring) = (StrainCounters::read(), Nanos::now(epoch.clock));
            // A note in the report says so if the counters cannot be read.
            warm = subject.counters().ok().flatten();
            changes.begin();
        }
        observe(event);
        if subject.ended().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let measured =
        load::run(plan, &target, timeline, &mut undisturbed, stop, observer, &mut observe);
    let elapsed = Nanos::now(epoch.clock).saturating_sub(measuring);
    let strain = StrainCounters::read().since(&strain, elapsed);
    // The changes end in order, whatever the result of the load.
    let finished = changes.finish();
    if let Some(status) = subject.ended() {
        return Err(SessionError::Died(status));
    }
    let (measured, finished) = (measured?, finished?);
    let read = subject.counters()?.zip(before);
    let memory = subject.pid().and_then(anonymous_bytes);
    let (broker, self_report) =
        read.map(|(after, before)| since(&after, &before, warm.as_ref(), memory)).unzip();
    let self_report = self_report.flatten();
    let verdict = verdict(plan, subject, &finished, &measured, epoch)?;
    let changes = finished.report(&measured.samples, epoch);
    let undisturbed = undisturbed.into_view(measured.neighbourhood, epoch.clock);
    let seconds = steady_state.into_seconds();
    let findings = Findings { broker, self_report, verdict, changes, strain, seconds, undisturbed };
    Ok(judge(plan, measured, findings))
}

/// Returns the broker's counts and its report between its readings. Without the reading at the
/// start of the measured part, nothing is known of that part alone.
fn since(
    (after, report): &(Counters, SelfReport),
    (before, _): &(Counters, SelfReport),
    warm: Option<&(Counters, SelfReport)>,
    anonymous_bytes: Option<u64>,
) -> (Counted, Option<SelfReport>) {
    let measured = warm.map(|(warm, _)| after.since(warm));
    let report = warm.map(|(_, earlier)| report.since(earlier));
    (Counted { measured, whole: after.since(before), anonymous_bytes }, report)
}

fn verdict(
    plan: &RunPlan,
    subject: &Subject,
    finished: &FinishedChanges,
    measured: &Measured,
    epoch: Epoch,
) -> Result<Option<Verdict>, SessionError> {
    let identities = match subject {
        Subject::Broker { .. } => finished.identities(&plan.world),
        Subject::Foreign { target, .. } => Identities::Unknown(audience(target)),
    };
    let keys = match finished.keys() {
        Some(keys) => Some(keys),
        None => subject.keys(&plan.world)?,
    };
    Ok(keys.map(|keys| verify(&measured.samples, &keys, identities, epoch)))
}

/// Returns the expected audience of the tokens of a foreign target.
fn audience(target: &Target) -> Audience<'_> {
    match &*target.dialect {
        dialect if dialect.protocol().selects() => Audience::Requested,
        Dialect::OAuth2(OAuth2 { audience: Some(audience), .. }) => Audience::Fixed(audience),
        _ => Audience::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
