//! The state that all connections of one generator thread share, and the recording of a request's
//! end.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use hdrhistogram::Histogram;

use super::dial::Dial;
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
    pub(crate) timeout: Nanos,
    pub(crate) scratch: Vec<u8>,
    /// A time before every event that is handled now.
    pub(crate) unseen_since: Nanos,
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

    /// Ends a request that was never written.
    pub(crate) fn give_up(&mut self, due: Due, end: Nanos) {
        let cause = Cause::Timeout(Wait::FreeConnection);
        self.failed(Current { due, begun: end, written: None }, cause, end);
    }

    /// Ends a request that got no answer.
    pub(crate) fn failed(&mut self, current: Current, cause: Cause, end: Nanos) {
        let class = self.classes.of(Some(cause), None);
        self.ended(current, Ending { status: cause.status(), cause: Some(cause), class }, end);
    }

    pub(crate) fn ended(&mut self, current: Current, ending: Ending, end: Nanos) {
        let Current { due, written, .. } = current;
        let Ending { status, cause, class } = ending;
        self.outstanding = self.outstanding.saturating_sub(1);
        if let Some((observer, written)) = self.observer.as_mut().zip(written)
            && !class.is_failure()
        {
            let token = class.is_token();
            let RequestKey { vm, selector, .. } = due.key;
            observer.note(Observation { slot: Slot { vm, selector }, written, end, token });
        }
        self.recorder.record(&Ended {
            class,
            status,
            cause: cause.filter(|_| class.is_failure()),
            intended: due.intended,
            acted: due.acted,
            written,
            end,
            added: Nanos::ZERO,
        });
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
    pub(crate) written: Option<Nanos>,
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
