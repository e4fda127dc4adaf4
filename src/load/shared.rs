//! What the connections of one generator thread share, and how the end of a request is told.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use hdrhistogram::Histogram;

use super::changes::ledger::Slot;
use super::changes::witness::{Seen, Witness};
use super::class::{Class, Status};
use super::dial::Dial;
use super::protocol::Protocol;
use super::recorder::{Ended, Recorder};
use super::request::RequestWriter;
use super::response::Answer;
use super::sample::Sampler;
use super::workload::Ask;
use crate::clock::Monotonic;

/// Which classes a target's answers fall into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// The broker says in a header what it did.
    Broker,
    /// The same, while identities are taken away: a refusal for want of one has its own class.
    Churned,
    /// Everything is in the class `all`.
    Foreign,
}

impl Classes {
    pub(super) fn of(self, status: Status, cache: Option<Class>) -> Class {
        match (self, status) {
            (Self::Foreign, _) => Class::All,
            (_, Status::Http(200)) => cache.unwrap_or(Class::Error),
            (Self::Churned, Status::Http(400)) if cache == Some(Class::Refused) => Class::Refused,
            (_, Status::Http(429)) => Class::Throttled,
            (_, _) => Class::Error,
        }
    }

    /// What a whole answer says of its class.
    pub(super) fn told(self, answer: &Answer, body: &[u8]) -> Option<Class> {
        let refused = self == Self::Churned && answer.status == 400 && is_want_of_identity(body);
        if refused { Some(Class::Refused) } else { answer.cache }
    }

    /// The classes that an answer with a token can fall into.
    pub(super) const fn of_tokens(self) -> &'static [Class] {
        match self {
            Self::Broker | Self::Churned => {
                &[Class::Hit, Class::Miss, Class::Coalesced, Class::Error]
            }
            Self::Foreign => &[Class::All],
        }
    }
}

/// What the connections of one generator thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Monotonic,
    pub(super) dial: Dial,
    pub(super) requests: Arc<RequestWriter>,
    pub(super) classes: Classes,
    pub(super) protocol: Protocol,
    pub(super) recorder: Recorder,
    pub(super) sampler: Sampler,
    /// Where answers are noted that changes are judged by.
    pub(super) witness: Option<Witness>,
    pub(super) epoll: OwnedFd,
    /// Requests that are due and have not ended.
    pub(super) outstanding: u64,
    /// Connections made anew since the start.
    pub(super) reconnects: u64,
    /// Sessions opened since the start.
    pub(super) sessions: u64,
    pub(super) timeout_ns: u64,
    pub(super) scratch: Vec<u8>,
    /// No event that is handled now had happened at this time.
    pub(super) unseen_since_ns: u64,
    /// How late the answers of the measured part may have been noticed, at most.
    pub(super) notice: Histogram<u64>,
}

/// What one read takes at most; a token answer is 2 KB.
pub(super) const SCRATCH_BYTES: usize = 64 * 1024;

/// A request that is due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) ask: Ask,
    pub(super) intended_ns: u64,
    pub(super) acted_ns: u64,
}

impl Shared {
    /// Ends a request that was never written.
    pub(super) fn give_up(&mut self, due: Due, end_ns: u64) {
        self.ended(
            Current { due, begun_ns: end_ns, written_ns: None },
            Status::Timeout,
            None,
            end_ns,
        );
    }

    pub(super) const fn is_success(&self, status: Status) -> bool {
        matches!(status, Status::Http(code) if self.protocol.is_success(code))
    }

    pub(super) fn ended(
        &mut self,
        current: Current,
        status: Status,
        cache: Option<Class>,
        end_ns: u64,
    ) {
        let Current { due, written_ns, .. } = current;
        self.outstanding = self.outstanding.saturating_sub(1);
        let class = self.classes.of(status, cache);
        let token = self.is_success(status);
        if let Some((witness, written_ns)) = self.witness.as_mut().zip(written_ns)
            && (token || class == Class::Refused)
        {
            let Ask { vm, selector, .. } = due.ask;
            witness.note(Seen { slot: Slot { vm, selector }, written_ns, end_ns, token });
        }
        self.recorder.record(&Ended {
            class,
            status,
            token,
            intended_ns: due.intended_ns,
            acted_ns: due.acted_ns,
            written_ns,
            end_ns,
        });
    }
}

/// The request on a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Current {
    pub(super) due: Due,
    pub(super) begun_ns: u64,
    pub(super) written_ns: Option<u64>,
}

/// What IMDS says to a VM that has not the identity, or has several where none was named.
fn is_want_of_identity(body: &[u8]) -> bool {
    [&b"Identity not found"[..], b"Multiple user assigned identities exist"]
        .into_iter()
        .any(|text| body.windows(text.len()).any(|part| part == text))
}
