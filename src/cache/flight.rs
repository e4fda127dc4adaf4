//! Single flight: many wait, one lands.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::Mutex;

/// The leader of a flight went away without landing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

/// One trip to the token source, shared by everybody who wants its result.
#[derive(Debug)]
pub(super) struct Flight<T>(Mutex<State<T>>);

#[derive(Debug)]
enum State<T> {
    /// Wakers of dropped waiters stay until the landing and are then woken in vain: there is one for
    /// each request that came during one flight, so not many, and dropping a waiter costs nothing.
    Airborne(Vec<Waker>),
    Landed(T),
}

impl<T: Clone> Flight<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::Airborne(Vec::new())))
    }

    /// Publishes the outcome, then wakes everybody outside of the lock.
    pub(super) fn land(&self, outcome: T) {
        let before = std::mem::replace(&mut *self.0.lock(), State::Landed(outcome));
        if let State::Airborne(wakers) = before {
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

/// Resolves to the outcome of a flight.
///
/// # Cancel safety
/// Dropping it is free of consequences: the flight goes on for the others.
#[derive(Debug)]
pub struct Waiter<T> {
    flight: Arc<Flight<T>>,
    /// Which of the flight's wakers is ours, once we have waited.
    seat: Option<usize>,
}

impl<T> Waiter<T> {
    pub(super) const fn new(flight: Arc<Flight<T>>) -> Self {
        Self { flight, seat: None }
    }
}

impl<T: Clone> Future for Waiter<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let flight = Arc::clone(&self.flight);
        let mut state = flight.0.lock();
        match &mut *state {
            State::Landed(outcome) => Poll::Ready(outcome.clone()),
            State::Airborne(wakers) => {
                if let Some(waker) = self.seat.and_then(|seat| wakers.get_mut(seat)) {
                    waker.clone_from(context.waker());
                } else {
                    self.seat = Some(wakers.len());
                    wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}
