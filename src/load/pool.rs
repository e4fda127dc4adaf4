//! The connections of one thread in their sets, each set with one queue and a list of free places.
//!
//! A request that is due goes to a free connection of its set, or waits in the queue for the first
//! that becomes free. One queue per connection would make requests wait while an equal connection
//! is idle, and would book that wait on the target.

use std::collections::VecDeque;
use std::io;

use super::connection::{Place, Ways};
use super::layout::SetShape;
use super::shared::{Due, Shared};
use super::stop::Stop;

/// Equivalent connections.
#[derive(Debug)]
struct Set {
    /// First in, first out, so that all connections of a set carry alike: a server that ties
    /// connections to its threads would otherwise have one busy thread.
    free: VecDeque<usize>,
    queue: VecDeque<Due>,
}

/// All connections of one generator thread.
#[derive(Debug)]
pub(super) struct Pool {
    places: Vec<Place>,
    /// The set of each place.
    set_of: Vec<usize>,
    sets: Vec<Set>,
    next_expiry: usize,
}

/// Room for a queue before it has to grow.
const QUEUE_ROOM: usize = 16;
/// One call looks at one in so many connections for time-outs.
const EXPIRY_SLICES: usize = 100;

impl Pool {
    /// Connects all of `shapes`, waiting for each.
    ///
    /// # Errors
    /// When a connection cannot be made, or a stop was requested meanwhile.
    pub(super) fn connect(
        shapes: impl Iterator<Item = SetShape>,
        ways: &Ways<'_>,
        stop: &Stop,
    ) -> io::Result<Self> {
        let mut pool =
            Self { places: Vec::new(), set_of: Vec::new(), sets: Vec::new(), next_expiry: 0 };
        for shape in shapes {
            let first = pool.places.len();
            for _ in 0..shape.connections {
                if stop.is_requested() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let token = pool.places.len() as u64;
                pool.places.push(Place::connect(token, shape.vm, ways)?);
                pool.set_of.push(pool.sets.len());
            }
            let free = (first..pool.places.len()).collect();
            pool.sets.push(Set { free, queue: VecDeque::with_capacity(QUEUE_ROOM) });
        }
        Ok(pool)
    }

    /// Takes a request that is due now; writes it at once if a connection of the set is free.
    pub(super) fn offer(&mut self, set: usize, due: Due, shared: &mut Shared) {
        let Some(queue) = self.sets.get_mut(set).map(|set| &mut set.queue) else { return };
        shared.outstanding += 1;
        queue.push_back(due);
        self.proceed(set, due.acted_ns, shared);
    }

    /// Handles an event of place number `place`.
    pub(super) fn ready(&mut self, place: usize, shared: &mut Shared) {
        self.with(place, shared, Place::ready);
    }

    /// Gives up what has taken too long, on a slice of the connections: on all of them within a
    /// hundred calls.
    pub(super) fn expire(&mut self, now_ns: u64, shared: &mut Shared) {
        let slice = self.places.len().div_ceil(EXPIRY_SLICES);
        let end = self.places.len().min(self.next_expiry + slice);
        for place in self.next_expiry..end {
            self.with(place, shared, |place, shared| place.expire(now_ns, shared));
        }
        self.next_expiry = if end < self.places.len() { end } else { 0 };
    }

    /// Gives up all that has not ended.
    ///
    /// What still waits in a queue waits for the target, which has not answered what is before it;
    /// it has timed out like that, and its time belongs in the response histogram.
    pub(super) fn abandon(&mut self, now_ns: u64, shared: &mut Shared) {
        for set in &mut self.sets {
            set.queue.drain(..).for_each(|due| shared.give_up(due, now_ns));
        }
        self.places.iter_mut().for_each(|place| place.abandon(shared));
    }

    /// Lets a place act; if that made it free, its set goes on.
    fn with(
        &mut self,
        index: usize,
        shared: &mut Shared,
        act: impl FnOnce(&mut Place, &mut Shared),
    ) {
        let Some((place, set)) = self.places.get_mut(index).zip(self.set_of.get(index).copied())
        else {
            return;
        };
        let was_free = place.is_free();
        act(place, shared);
        if was_free || !place.is_free() {
            return;
        }
        let waits = self.sets.get_mut(set).is_some_and(|set| {
            set.free.push_back(index);
            !set.queue.is_empty()
        });
        if waits {
            self.proceed(set, shared.clock.now_ns(), shared);
        }
    }

    /// Puts waiting requests on free connections.
    fn proceed(&mut self, set: usize, now_ns: u64, shared: &mut Shared) {
        let Some(Set { free, queue }) = self.sets.get_mut(set) else { return };
        while !queue.is_empty() {
            let Some(index) = free.pop_front() else { return };
            if let Some((place, due)) = self.places.get_mut(index).zip(queue.pop_front()) {
                place.start(due, now_ns, shared);
                // It fails at once where nobody listens any more.
                if place.is_free() {
                    free.push_back(index);
                }
            }
        }
    }
}
