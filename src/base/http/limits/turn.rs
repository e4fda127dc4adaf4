//! Turn of hyper at a connection that is otherwise served without it.
//!
//! During a turn the stream passes on one request after the other, each once the answer to the request before
//! it has been written. The turn ends after an answer that the reader of plain requests could have given: hyper
//! sees the end of its stream and gives the stream back. A request with a body ends the turn in the other way:
//! hyper keeps the connection for good.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// There is no turn: hyper has the connection for good, or does not have it.
const NONE: u8 = 0;
/// hyper waits for a request.
const WAITING: u8 = 1;
/// hyper has a request without a body.
const ASKED: u8 = 2;
/// hyper has an answer, and gets the next request after it.
const GOES_ON: u8 = 3;
/// hyper has an answer, and gives the connection back after it.
const GIVES_BACK: u8 = 4;
/// The answer after which hyper gives the connection back has been written.
const ENDING: u8 = 5;
/// hyper has seen the end of its stream.
const OVER: u8 = 6;

/// State of the turn. Only the thread that serves the connection uses it, so `Relaxed` is enough.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    state: AtomicU8,
    /// True if hyper must read again, although its stream wakes nothing.
    must_read: AtomicBool,
}

/// Use of the connection after an answer of hyper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterAnswer {
    /// hyper gives it back.
    GiveBack,
    /// hyper gets the next request.
    GoOn,
}

impl Turn {
    /// Begins a turn.
    pub(crate) fn begin(&self) {
        self.set(WAITING);
        self.must_read.store(false, Ordering::Relaxed);
    }

    /// Forgets the last turn.
    pub(crate) fn clear(&self) {
        self.set(NONE);
    }

    /// Notes that hyper has the head of a request whose body has `body_bytes` bytes.
    pub(crate) fn ask(&self, body_bytes: u64) {
        if self.state() == WAITING {
            self.set(if body_bytes == 0 { ASKED } else { NONE });
        }
    }

    /// Returns true if hyper has no request, or only a part of its head.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state() == WAITING
    }

    /// Returns true if hyper has a request and no answer yet.
    pub(crate) fn is_asked(&self) -> bool {
        self.state() == ASKED
    }

    /// Returns true if hyper has a request whose answer has not been written.
    pub(crate) fn has_request(&self) -> bool {
        matches!(self.state(), ASKED | GOES_ON | GIVES_BACK)
    }

    /// Notes the answer to the request.
    pub(crate) fn answer(&self, after: AfterAnswer) {
        if self.is_asked() {
            self.set(match after {
                AfterAnswer::GiveBack => GIVES_BACK,
                AfterAnswer::GoOn => GOES_ON,
            });
        }
    }

    /// Notes that everything has been written. Returns the use of the connection if hyper had an answer.
    pub(crate) fn written(&self) -> Option<AfterAnswer> {
        let (next, after) = match self.state() {
            GOES_ON => (WAITING, AfterAnswer::GoOn),
            GIVES_BACK => (ENDING, AfterAnswer::GiveBack),
            _ => return None,
        };
        self.set(next);
        Some(after)
    }

    /// Notes that hyper must read again.
    pub(crate) fn demand_read(&self) {
        self.must_read.store(true, Ordering::Relaxed);
    }

    /// Returns true once after each call of [`Self::demand_read`].
    pub(crate) fn take_demand(&self) -> bool {
        let must_read = self.must_read.load(Ordering::Relaxed);
        if must_read {
            self.must_read.store(false, Ordering::Relaxed);
        }
        must_read
    }

    /// Notes that hyper has seen the end of its stream.
    pub(crate) fn end(&self) {
        self.set(OVER);
    }

    /// Returns true if hyper gives the connection back.
    pub(crate) fn is_over(&self) -> bool {
        self.state() == OVER
    }

    fn state(&self) -> u8 {
        self.state.load(Ordering::Relaxed)
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_ends_once_hyper_has_seen_the_end_after_a_written_answer() {
        let turn = Turn::default();
        turn.begin();
        assert!(!turn.has_request());
        assert_eq!(turn.written(), None);
        turn.ask(0);
        assert!(turn.is_asked() && turn.has_request());
        assert_eq!(turn.written(), None);
        turn.answer(AfterAnswer::GiveBack);
        assert!(!turn.is_asked() && turn.has_request() && !turn.is_over());
        assert_eq!(turn.written(), Some(AfterAnswer::GiveBack));
        assert!(!turn.has_request() && !turn.is_over());
        assert_eq!(turn.written(), None);
        turn.end();
        assert!(turn.is_over());
        turn.clear();
        assert!(!turn.is_over());
    }

    #[test]
    fn after_another_answer_hyper_gets_the_next_request() {
        let turn = Turn::default();
        turn.begin();
        for _ in 0..3 {
            turn.ask(0);
            turn.answer(AfterAnswer::GoOn);
            assert_eq!(turn.written(), Some(AfterAnswer::GoOn));
            assert!(!turn.has_request() && !turn.is_over());
        }
        turn.ask(0);
        turn.answer(AfterAnswer::GiveBack);
        assert_eq!(turn.written(), Some(AfterAnswer::GiveBack));
    }

    #[test]
    fn a_request_with_a_body_ends_the_turn_and_its_answer_changes_nothing() {
        let turn = Turn::default();
        turn.begin();
        turn.ask(5);
        turn.answer(AfterAnswer::GiveBack);
        assert!(!turn.is_asked() && !turn.has_request() && !turn.is_over());
        assert_eq!(turn.written(), None);
        turn.ask(0);
        assert!(!turn.has_request());
    }

    #[test]
    fn a_demand_to_read_is_taken_once_and_does_not_outlive_its_turn() {
        let turn = Turn::default();
        assert!(!turn.take_demand());
        turn.demand_read();
        assert!(turn.take_demand() && !turn.take_demand());
        turn.demand_read();
        turn.begin();
        assert!(!turn.take_demand());
    }
}
