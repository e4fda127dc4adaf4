//! Budget of unsent answers, in bytes, for a surface and for each caller.
//!
//! An answer stays in memory until its peer has read it, so a client that requests much and reads little uses
//! memory. Answers above [`LARGE_BYTES`] are charged to a budget until they are sent or their connection
//! ends. While a budget is used up, requests are refused before any work is done for them. Smaller answers
//! are bounded by the number of connections, because each connection holds at most one answer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use parking_lot::Mutex;

use crate::base::http::message::{Payload, json_reply};
use crate::base::http::refusals;

/// Largest size of an answer that is not charged, in bytes. Token answers have 2 kB and are not charged.
const LARGE_BYTES: usize = 16 * 1024;

/// Divisor of a surface's budget for one caller: a caller may use a quarter.
const CALLERS_PART: usize = 4;

/// The budget of one surface.
#[derive(Debug)]
pub(crate) struct UnsentBudget {
    max_bytes: usize,
    of_surface: Arc<AtomicUsize>,
    callers: Mutex<HashMap<IpAddr, Weak<AtomicUsize>>>,
}

impl UnsentBudget {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, of_surface: Arc::default(), callers: Mutex::default() }
    }

    /// Returns the budget of a connection of `caller`.
    pub(crate) fn budget(&self, caller: IpAddr) -> ConnectionBudget {
        let mut callers = self.callers.lock();
        let known = callers.get(&caller).and_then(Weak::upgrade);
        let of_caller = known.unwrap_or_else(|| {
            let bytes = Arc::default();
            callers.insert(caller, Arc::downgrade(&bytes));
            bytes
        });
        let of_surface = Arc::clone(&self.of_surface);
        ConnectionBudget { max_bytes: self.max_bytes, of_surface, of_caller }
    }

    /// Forgets callers without connections.
    pub(crate) fn forget(&self) {
        let mut callers = self.callers.lock();
        callers.retain(|_, bytes| bytes.strong_count() > 0);
        callers.shrink_to_fit();
    }
}

/// The budget of a connection, in bytes.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionBudget {
    max_bytes: usize,
    /// Unsent bytes of the surface.
    of_surface: Arc<AtomicUsize>,
    /// Unsent bytes of the caller.
    of_caller: Arc<AtomicUsize>,
}

/// Reason for refusing a request.
#[derive(Debug, thiserror::Error)]
#[error("too many bytes of earlier answers are unread; read them, and try again")]
struct Unread;

impl ConnectionBudget {
    /// Returns true if another answer may be created.
    pub(crate) fn has_room(&self) -> bool {
        let of_surface = self.of_surface.load(Ordering::Relaxed);
        // A surface with only small answers skips the other checks.
        of_surface == 0
            || of_surface < self.max_bytes
                && self.of_caller.load(Ordering::Relaxed) < self.max_bytes / CALLERS_PART
    }

    /// Charges the answer until it is sent or dropped.
    pub(crate) fn charge(&self, body: &mut Payload) {
        if let Some(charge) = self.charge_bytes(body.len()) {
            let bytes = std::mem::take(body).into_bytes();
            *body = Bytes::from_owner(Charged { bytes, _charge: charge }).into();
        }
    }

    /// Charges an answer of this length until the charge is dropped. Returns `None` if the answer is small.
    pub(crate) fn charge_bytes(&self, bytes: usize) -> Option<Charge> {
        if bytes <= LARGE_BYTES {
            return None;
        }
        self.of_surface.fetch_add(bytes, Ordering::Relaxed);
        self.of_caller.fetch_add(bytes, Ordering::Relaxed);
        Some(Charge { bytes, budget: self.clone() })
    }

    /// Returns the answer when there is no room, in the format of the control plane and the vaults.
    pub(crate) fn refusal() -> Response<Payload> {
        let text = format!(r#"{{"error":{{"code":"TooManyRequests","message":"{Unread}"}}}}"#);
        let mut refusal = json_reply(StatusCode::TOO_MANY_REQUESTS, text);
        refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        refusals::give_reason(&mut refusal, &Unread);
        refusal
    }
}

/// Bytes that are charged to a budget.
#[derive(Debug)]
pub(crate) struct Charge {
    bytes: usize,
    budget: ConnectionBudget,
}

/// An answer that is charged to a budget.
struct Charged {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let ConnectionBudget { of_surface, of_caller, .. } = &self.budget;
        of_surface.fetch_sub(self.bytes, Ordering::Relaxed);
        of_caller.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(bytes: usize) -> Payload {
        vec![b'x'; bytes].into()
    }

    #[test]
    fn a_caller_that_reads_nothing_uses_up_its_own_part_and_gets_it_back() {
        let unsent = UnsentBudget::new(400_000);
        let [greedy, again, other] = [[127, 0, 0, 1], [127, 0, 0, 1], [127, 0, 0, 2]]
            .map(|address| unsent.budget(address.into()));
        let mut unread = answer(100_000);
        greedy.charge(&mut unread);
        assert!(!greedy.has_room() && !again.has_room());
        assert!(other.has_room());
        drop(unread);
        assert!(greedy.has_room() && again.has_room());
    }

    #[test]
    fn many_callers_together_use_up_the_budget_of_the_surface() {
        let unsent = UnsentBudget::new(100_000);
        let callers = [1, 2, 3, 4, 5].map(|last| unsent.budget([127, 0, 0, last].into()));
        let unread = callers.each_ref().map(|caller| {
            let mut unread = answer(24_000);
            caller.charge(&mut unread);
            unread
        });
        assert!(callers.iter().all(|caller| !caller.has_room()));
        drop(unread);
        assert!(callers.iter().all(ConnectionBudget::has_room));
    }

    #[test]
    fn small_answers_cost_nothing_and_callers_that_have_left_are_forgotten() {
        let unsent = UnsentBudget::new(40_000);
        let caller = unsent.budget([127, 0, 0, 1].into());
        let mut unread = [(); 10].map(|()| answer(LARGE_BYTES));
        for body in &mut unread {
            caller.charge(body);
        }
        assert!(caller.has_room());
        unsent.forget();
        assert_eq!(unsent.callers.lock().len(), 1);
        drop(caller);
        unsent.forget();
        assert_eq!(unsent.callers.lock().len(), 0);
    }
}
