//! Single flight: many callers wait for one fetch.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::base::sync::Mutex;

/// Error of a flight whose leader went away without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

/// One fetch from the token source, shared by all callers that want its result.
#[derive(Debug)]
pub(super) struct Flight<T>(Mutex<State<T>>);

#[derive(Debug)]
enum State<T> {
    Pending(WaiterSlots),
    Complete(T),
}

/// Wakers of the waiting tasks, one slot each. The number of slots is the highest number of tasks that ever
/// waited at once. Taking and leaving a slot take constant time.
#[derive(Debug, Default)]
struct WaiterSlots {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl WaiterSlots {
    /// Puts a waker in its slot, or in a free one. Returns the waker that was there.
    fn slot(&mut self, slot: &mut Option<usize>, waker: &Waker) -> Option<Waker> {
        if let Some(held) = slot.and_then(|slot| self.wakers.get_mut(slot)) {
            let same = held.as_ref().is_some_and(|held| held.will_wake(waker));
            return if same { None } else { held.replace(waker.clone()) };
        }
        let free = self.free.pop().unwrap_or_else(|| {
            self.wakers.push(None);
            self.wakers.len() - 1
        });
        *slot = Some(free);
        self.wakers.get_mut(free).and_then(|held| held.replace(waker.clone()))
    }

    fn leave(&mut self, slot: usize) -> Option<Waker> {
        self.free.push(slot);
        self.wakers.get_mut(slot).and_then(Option::take)
    }
}

impl<T: Clone> Flight<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::Pending(WaiterSlots::default())))
    }

    /// Publishes the outcome, then wakes all waiters outside of the lock.
    pub(super) fn complete(&self, outcome: T) {
        let before = std::mem::replace(&mut *self.0.lock(), State::Complete(outcome));
        if let State::Pending(slots) = before {
            slots.wakers.into_iter().flatten().for_each(Waker::wake);
        }
    }
}

/// A future that resolves to the outcome of a flight.
///
/// # Cancel safety
/// Dropping it has no effect on the flight or on other waiters.
#[derive(Debug)]
pub struct Waiter<T> {
    flight: Arc<Flight<T>>,
    /// This waiter's slot in the flight, once it has been polled.
    slot: Option<usize>,
}

impl<T> Waiter<T> {
    pub(super) const fn new(flight: Arc<Flight<T>>) -> Self {
        Self { flight, slot: None }
    }
}

impl<T: Clone> Future for Waiter<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let flight = Arc::clone(&self.flight);
        let mut state = flight.0.lock();
        let before = match &mut *state {
            State::Complete(outcome) => return Poll::Ready(outcome.clone()),
            State::Pending(slots) => slots.slot(&mut self.slot, context.waker()),
        };
        // The old waker may hold the last reference to a task, and that task may hold a waiter of this
        // flight. So it is dropped after the lock.
        drop(state);
        drop(before);
        Poll::Pending
    }
}

impl<T> Drop for Waiter<T> {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        let mut state = self.flight.0.lock();
        let waker = match &mut *state {
            State::Pending(slots) => slots.leave(slot),
            State::Complete(_) => None,
        };
        drop(state);
        drop(waker); // after the lock, as above
    }
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    struct Task;

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    fn waiting(flight: &Arc<Flight<u8>>, waker: &Waker) -> Waiter<u8> {
        let mut waiter = Waiter::new(Arc::clone(flight));
        let polled = Pin::new(&mut waiter).poll(&mut Context::from_waker(waker));
        assert!(polled.is_pending());
        waiter
    }

    fn slots(flight: &Flight<u8>) -> usize {
        match &*flight.0.lock() {
            State::Pending(slots) => slots.wakers.len(),
            State::Complete(_) => 0,
        }
    }

    #[test]
    fn ten_thousand_callers_that_leave_leave_no_waker_behind() {
        let flight = Arc::new(Flight::new());
        let task = Arc::new(Task);
        let waker = Waker::from(Arc::clone(&task));
        let stays = waiting(&flight, &waker);
        for _ in 0..10_000 {
            drop(waiting(&flight, &waker));
        }
        assert_eq!(slots(&flight), 2);
        let crowd: Vec<_> = (0..10_000).map(|_| waiting(&flight, &waker)).collect();
        assert_eq!(Arc::strong_count(&task), 2 + 1 + 10_000);
        drop(crowd);
        assert_eq!(Arc::strong_count(&task), 2 + 1, "the task, its waker, and that of who stays");
        let again: Vec<_> = (0..10_000).map(|_| waiting(&flight, &waker)).collect();
        assert_eq!(slots(&flight), 10_001);
        drop((again, stays));
        assert_eq!(Arc::strong_count(&task), 2);
    }

    #[test]
    fn a_waiter_that_is_polled_by_another_task_is_woken_there() {
        let flight = Arc::new(Flight::new());
        let tasks = [Arc::new(Task), Arc::new(Task)];
        let [first, second] = tasks.each_ref().map(|task| Waker::from(Arc::clone(task)));
        let mut waiter = waiting(&flight, &first);
        assert!(Pin::new(&mut waiter).poll(&mut Context::from_waker(&second)).is_pending());
        assert_eq!(tasks.each_ref().map(Arc::strong_count), [2, 3]);
        flight.complete(7);
        assert_eq!(tasks.each_ref().map(Arc::strong_count), [2, 2]);
        assert_eq!(Pin::new(&mut waiter).poll(&mut Context::from_waker(&second)), Poll::Ready(7));
    }

    #[test]
    fn a_waker_that_holds_the_last_waiter_of_its_flight_can_be_dropped() {
        /// A task that waits for the flight itself.
        struct Holder(#[expect(dead_code, reason = "held only to be dropped")] Waiter<u8>);

        impl Wake for Holder {
            fn wake(self: Arc<Self>) {}
        }

        let flight = Arc::new(Flight::new());
        let inner = waiting(&flight, Waker::noop());
        let outer = waiting(&flight, &Waker::from(Arc::new(Holder(inner))));
        drop(outer);
        let free = match &*flight.0.lock() {
            State::Pending(slots) => slots.free.len(),
            State::Complete(_) => 0,
        };
        assert_eq!(free, 2);
    }
}
