//! Turn of hyper at a connection that is otherwise served without it.
//!
//! hyper gets one request. If its answer is good, the connection goes back to the reader of plain requests
//! once the answer has been written. Otherwise hyper keeps the connection.

use std::sync::atomic::{AtomicU8, Ordering};

use hyper::StatusCode;

/// There is no turn: hyper has the connection for good, or does not have it.
const NONE: u8 = 0;
/// hyper has the request.
const LENT: u8 = 1;
/// hyper has a good answer and writes it.
const GOOD: u8 = 2;
/// hyper has another answer and writes it.
const OTHER: u8 = 3;
/// The good answer has been written.
const OVER: u8 = 4;
/// The other answer has been written.
const KEPT: u8 = 5;

/// State of the turn. Only the thread that serves the connection uses it.
#[derive(Debug, Default)]
pub(crate) struct Turn(AtomicU8);

/// End of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnEnd {
    /// hyper gives the connection back.
    Over,
    /// hyper keeps the connection.
    Kept,
}

impl Turn {
    /// Begins a turn.
    pub(crate) fn begin(&self) {
        self.set(LENT);
    }

    /// Forgets the last turn.
    pub(crate) fn clear(&self) {
        self.set(NONE);
    }

    /// Notes the answer to the request, if there is a turn.
    pub(crate) fn answered(&self, status: StatusCode) {
        if self.state() == LENT {
            self.set(if status == StatusCode::OK { GOOD } else { OTHER });
        }
    }

    /// Notes that everything has been written. Returns the end of the turn if this ends it.
    pub(crate) fn written(&self) -> Option<TurnEnd> {
        let (next, end) = match self.state() {
            GOOD => (OVER, TurnEnd::Over),
            OTHER => (KEPT, TurnEnd::Kept),
            _ => return None,
        };
        self.set(next);
        Some(end)
    }

    /// Returns true if the turn has ended and hyper must look at its stream again, which does not wake it.
    pub(crate) fn must_wake(&self) -> bool {
        match self.state() {
            OVER => true,
            KEPT => {
                self.set(NONE);
                true
            }
            _ => false,
        }
    }

    /// Returns true if hyper gives the connection back.
    pub(crate) fn is_over(&self) -> bool {
        self.state() == OVER
    }

    fn state(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, state: u8) {
        self.0.store(state, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_answer_gives_the_connection_back_once_it_has_been_written() {
        let turn = Turn::default();
        turn.begin();
        assert_eq!(turn.written(), None);
        turn.answered(StatusCode::OK);
        assert!(!turn.must_wake() && !turn.is_over());
        assert_eq!(turn.written(), Some(TurnEnd::Over));
        assert!(turn.must_wake() && turn.is_over());
        assert_eq!(turn.written(), None);
        turn.clear();
        assert!(!turn.must_wake() && !turn.is_over());
    }

    #[test]
    fn after_another_answer_hyper_keeps_the_connection_and_is_woken_once() {
        let turn = Turn::default();
        turn.begin();
        turn.answered(StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(turn.written(), Some(TurnEnd::Kept));
        assert!(turn.must_wake() && !turn.must_wake() && !turn.is_over());
        turn.answered(StatusCode::OK);
        assert_eq!(turn.written(), None);
    }
}
