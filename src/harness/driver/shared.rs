//! The state that all connections of one generator thread share, and the recording of a request's
//! end.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use hdrhistogram::Histogram;

use super::busy_period::{BusyPeriod, Call, Origin};
use super::dial::Dial;
use super::held::{Held, Settled};
use super::looks::Between;
use super::wall_clock::WallClock;
use crate::base::clock::Monotonic;
use crate::harness::class::Class;
use crate::harness::dialect::outcome::{Cause, Status, Wait};
use crate::harness::dialect::protocol::Dialect;
use crate::harness::dialect::request::RequestWriter;
use crate::harness::dialect::response::Answer;
use crate::harness::nanos::Nanos;
use crate::harness::record::intervals::Ended;
use crate::harness::record::observer::{Observation, Observer};
use crate::harness::record::recorder::Recorder;
use crate::harness::record::sample::Sampler;
use crate::harness::record::tally::FirstVm;
use crate::harness::scenario::key::{RequestKey, Slot};
use crate::harness::scenario::run_plan::Classes;

impl Classes {
    /// Returns the class of a request that failed for `cause`, or of a good answer. `named` is the
    /// class that the answer names.
    pub(super) fn of(self, cause: Option<Cause>, named: Option<Class>) -> Class {
        match (self, cause) {
            (Self::Churned, Some(Cause::Status(400))) if named == Some(Class::Refused) => {
                Class::Refused
            }
            (_, Some(Cause::Status(429) | Cause::NoSession(429))) => Class::Throttled,
            (_, Some(_)) => Class::Error,
            (Self::Foreign, None) => Class::All,
            (Self::Broker | Self::Churned, None) => named.unwrap_or(Class::All),
        }
    }

    /// Returns the class that a complete answer names.
    pub(super) fn named_class(self, answer: &Answer, body: &[u8]) -> Option<Class> {
        let refused = self == Self::Churned && answer.status == 400 && is_want_of_identity(body);
        if refused { Some(Class::Refused) } else { answer.cache }
    }
}

/// The state that all connections of one generator thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Monotonic,
    pub(crate) dial: Dial,
    pub(crate) requests: Arc<RequestWriter>,
    pub(crate) classes: Classes,
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) recorder: Recorder,
    pub(crate) sampler: Sampler,
    /// The record of answers by which changes are judged.
    pub(super) observer: Option<Observer>,
    pub(super) epoll: OwnedFd,
    /// Number of requests that are due and have not ended.
    pub(crate) outstanding: u64,
    /// Number of connections made anew since the start.
    pub(crate) reconnects: u64,
    /// Number of sessions opened since the start.
    pub(crate) sessions: u64,
    /// Requests of VM 0 since the start.
    pub(crate) first_vm: FirstVm,
    pub(crate) timeout: Nanos,
    pub(crate) scratch: Vec<u8>,
    /// The number of this thread.
    pub(super) thread: usize,
    pub(super) busy_period: Arc<BusyPeriod>,
    /// Requests of the present busy period, where the bounds are by busy period.
    pub(super) held: Option<Held>,
    /// A time before every event that is handled now.
    pub(crate) unseen_since: Nanos,
    /// The same, or the end of the sleep that such an event ended.
    pub(super) noticeable_since: Nanos,
    pub(super) wall_clock: WallClock,
    /// Stamp of the kernel on the bytes that are handled now, in wall time.
    pub(super) stamp: Option<Nanos>,
    /// Number of answers whose arrival is known from a stamp.
    pub(super) stamped: u64,
    /// Upper bounds of the delays with which answers of the measured part were noticed.
    pub(crate) notice: Histogram<u64>,
}

/// The largest size of one read. A token answer is 2 KB.
pub(crate) const SCRATCH_BYTES: usize = 64 * 1024;

/// A request that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) key: RequestKey,
    pub(super) intended: Nanos,
    pub(super) acted: Nanos,
}

impl Shared {
    /// Returns the time on the run's clock.
    pub(super) fn now(&self) -> Nanos {
        Nanos::now(self.clock)
    }

    /// Returns the bounds of the time of the event that is handled now.
    pub(super) fn event_time(&self) -> Between {
        let latest = self.now();
        Between { earliest: self.unseen_since.min(latest), latest }
    }

    /// Returns the bounds of the arrival of the answer that is handled now.
    pub(super) fn answer_time(&mut self) -> Between {
        let noticed = self.event_time();
        let Some(wall) = self.stamp else { return noticed };
        let stamp = self.wall_clock.on_run_clock(wall);
        if let Some(arrived) = noticed.stamped(stamp) {
            self.stamped += 1;
            return arrived;
        }
        Between { earliest: noticed.earliest.min(stamp.earliest), ..noticed }
    }

    /// Records the delay with which an answer may have been noticed.
    pub(super) fn note_notice(&mut self, current: &Current, end: Between) {
        if self.recorder.measures(current.due.intended) {
            let since = end.earliest.max(self.noticeable_since);
            self.notice.saturating_record(end.latest.saturating_sub(since).as_u64());
        }
    }

    /// Accepts a request that is due.
    pub(super) fn accept(&mut self) {
        self.outstanding += 1;
        self.busy_period.request_begins();
    }

    /// Announces that bytes of a request will be written.
    pub(super) fn write_begins(&self, current: &Current) -> Origin {
        let origin = self.busy_period.origin(current.due.intended, current.possible);
        self.busy_period.write_begins(self.thread, origin);
        origin
    }

    /// Notes that the bytes are written by a call that began after `begun`, or that this has failed. Returns
    /// the lateness that may have delayed the answer.
    pub(super) fn write_ended(&self, origin: Origin, begun: Nanos) -> Nanos {
        let call = Call { begun, ended: self.now() };
        self.busy_period.write_ended(self.thread, origin, call)
    }

    /// Ends a request that was never written.
    pub(crate) fn give_up(&mut self, due: Due, end: Nanos) {
        let lateness = self.busy_period.lateness();
        let current = Current { lateness, ..Current::new(due, end, due.intended) };
        self.failed(current, Cause::Timeout(Wait::FreeConnection));
    }

    /// Ends a request that got no answer.
    pub(crate) fn failed(&mut self, current: Current, cause: Cause) {
        let class = self.classes.of(Some(cause), None);
        let ending = Ending { status: cause.status(), cause: Some(cause), class };
        self.ended(current, ending, self.event_time());
    }

    pub(crate) fn ended(&mut self, current: Current, ending: Ending, end: Between) {
        let Current { due, written, lateness, .. } = current;
        let Ending { status, cause, class } = ending;
        let (notice, end) = (end.width(), end.latest);
        let added = lateness.saturating_add(notice);
        self.outstanding = self.outstanding.saturating_sub(1);
        if !matches!(cause, Some(Cause::Timeout(_))) {
            // The target may work on a request without end; nobody knows when it is idle again.
            self.busy_period.request_ended();
        }
        if let Some((observer, written)) = self.observer.as_mut().zip(written)
            && !class.is_failure()
        {
            let token = class.is_token();
            let RequestKey { vm, selector, .. } = due.key;
            observer.note(Observation { slot: Slot { vm, selector }, written, end, token });
        }
        if due.key.vm == 0 {
            self.first_vm.count(class);
        }
        let ended = Ended {
            class,
            status,
            cause: cause.filter(|_| class.is_failure()),
            intended: due.intended,
            acted: due.acted,
            written,
            end,
            added,
        };
        self.record(ended, notice);
    }

    fn record(&mut self, ended: Ended, notice: Nanos) {
        let Some(held) = &mut self.held else { return self.recorder.record(&ended) };
        held.push(ended, notice);
        if held.is_full() {
            self.give_up_held();
        }
        self.settle_held();
    }

    /// Records the requests of a busy period that has ended.
    pub(super) fn settle_held(&mut self) {
        let Some(held) = &mut self.held else { return };
        let earliest = Nanos::now(self.clock);
        if !self.busy_period.is_idle() {
            return;
        }
        let seen = Between { earliest, latest: Nanos::now(self.clock) };
        for Settled { ended, latest } in held.settle(self.busy_period.late_at(), seen) {
            self.recorder.record_until(&ended, latest);
        }
    }

    /// Records the requests of a busy period whose end is not known.
    pub(super) fn give_up_held(&mut self) {
        for Settled { ended, latest } in self.held.iter_mut().flat_map(Held::give_up) {
            self.recorder.record_until(&ended, latest);
        }
    }
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub(crate) status: Status,
    /// The fault of the answer, if it has one.
    pub(crate) cause: Option<Cause>,
    pub(crate) class: Class,
}

/// The request on a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub(crate) due: Due,
    pub(crate) begun: Nanos,
    /// A time before the last write of the request, once it is written.
    pub(crate) written: Option<Nanos>,
    /// A time before the last event of the target that the request had to wait for; the intended
    /// start if it did not wait.
    pub(super) possible: Nanos,
    /// Lateness of the generator that may delay the answer, known after a write.
    pub(super) lateness: Nanos,
}

impl Current {
    /// Creates a request that nothing was written of.
    pub(super) const fn new(due: Due, begun: Nanos, possible: Nanos) -> Self {
        Self { due, begun, written: None, possible, lateness: Nanos::MAX }
    }
}

/// Returns true if IMDS refuses a VM that lacks the identity, or that has several and named none.
fn is_want_of_identity(body: &[u8]) -> bool {
    [&b"Identity not found"[..], b"Multiple user assigned identities exist"]
        .into_iter()
        .any(|text| body.windows(text.len()).any(|part| part == text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_answers_and_failed_requests_are_never_in_one_class() {
        let causes = [
            Cause::NoToken,
            Cause::Timeout(Wait::Answer),
            Cause::Status(429),
            Cause::Status(400),
            Cause::Status(503),
        ];
        for classes in [Classes::Broker, Classes::Churned, Classes::Foreign] {
            for named in [None, Some(Class::Hit), Some(Class::Miss)] {
                assert!(classes.of(None, named).is_token());
                assert!(causes.iter().all(|cause| classes.of(Some(*cause), named).is_failure()));
            }
            assert_eq!(classes.of(Some(Cause::Status(429)), None), Class::Throttled);
        }
        assert_eq!(
            Classes::Churned.of(Some(Cause::Status(400)), Some(Class::Refused)),
            Class::Refused
        );
        assert_eq!(
            Classes::Broker.of(Some(Cause::Status(400)), Some(Class::Refused)),
            Class::Error
        );
        assert_eq!(Classes::Foreign.of(None, Some(Class::Hit)), Class::All);
    }
}
