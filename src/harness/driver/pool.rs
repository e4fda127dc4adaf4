//! The connections of one generator thread, in sets. Each set has one queue and a list of free
//! connections.
//!
//! A request that is due goes to a free connection of its set, or waits in the queue for the first
//! connection that becomes free. With one queue per connection, requests would wait while an equal
//! connection is idle, and that wait would be charged to the target.

use std::collections::VecDeque;
use std::io;

use super::connection::{ConnectContext, Connection};
use super::shared::{Due, Shared};
use crate::harness::machine::stop::Stop;
use crate::harness::nanos::Nanos;
use crate::harness::schedule::layout::SetShape;

/// A set of equivalent connections.
#[derive(Debug)]
struct Set {
    /// Free connections, used first in, first out, so that all connections of a set carry equal
    /// load. A server that ties connections to its threads would otherwise have one busy thread.
    free: VecDeque<usize>,
    queue: VecDeque<Due>,
}

/// All connections of one generator thread.
#[derive(Debug)]
pub(super) struct Pool {
    connections: Vec<Connection>,
    /// The set of each connection.
    set_of: Vec<usize>,
    sets: Vec<Set>,
    next_expiry: usize,
}

/// Initial capacity of a queue.
const QUEUE_ROOM: usize = 16;
/// Number of slices of the connections; each call checks one slice for timeouts.
const EXPIRY_SLICES: usize = 100;

impl Pool {
    /// Connects all of `shapes`, waiting for each.
    ///
    /// # Errors
    /// Returns an error if a connection cannot be made, or if a stop was requested meanwhile.
    pub(crate) fn connect(
        shapes: impl Iterator<Item = SetShape>,
        context: &ConnectContext<'_>,
        stop: &Stop,
    ) -> io::Result<Self> {
        let mut pool =
            Self { connections: Vec::new(), set_of: Vec::new(), sets: Vec::new(), next_expiry: 0 };
        for shape in shapes {
            let first = pool.connections.len();
            for _ in 0..shape.connections {
                if stop.is_requested() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let token = pool.connections.len() as u64;
                pool.connections.push(Connection::connect(token, shape.vm, context)?);
                pool.set_of.push(pool.sets.len());
            }
            let free = (first..pool.connections.len()).collect();
            pool.sets.push(Set { free, queue: VecDeque::with_capacity(QUEUE_ROOM) });
        }
        Ok(pool)
    }

    /// Accepts a request that is due now, and writes it at once if a connection of the set is free.
    pub(crate) fn offer(&mut self, set: usize, due: Due, shared: &mut Shared) {
        let Some(queue) = self.sets.get_mut(set).map(|set| &mut set.queue) else { return };
        shared.accept();
        queue.push_back(due);
        // If a connection is free, the request does not wait for the target.
        self.proceed(set, due.acted, due.intended, shared);
    }

    /// Handles an event of connection number `connection`.
    pub(super) fn ready(&mut self, connection: usize, shared: &mut Shared) {
        self.with(connection, shared, Connection::ready);
    }

    /// Ends the requests that have timed out on the next slice of the connections. A hundred calls
    /// check them all.
    pub(super) fn expire(&mut self, now: Nanos, shared: &mut Shared) {
        let slice = self.connections.len().div_ceil(EXPIRY_SLICES);
        let end = self.connections.len().min(self.next_expiry + slice);
        for connection in self.next_expiry..end {
            self.with(connection, shared, |connection, shared| connection.expire(now, shared));
        }
        self.next_expiry = if end < self.connections.len() { end } else { 0 };
    }

    /// Ends all requests that are still outstanding.
    ///
    /// A request in a queue still waits for the target, which has not answered the requests before
    /// it. It is recorded as a timeout, because its time belongs in the response histogram.
    pub(crate) fn abandon(&mut self, now: Nanos, shared: &mut Shared) {
        for set in &mut self.sets {
            set.queue.drain(..).for_each(|due| shared.give_up(due, now));
        }
        self.connections.iter_mut().for_each(|connection| connection.abandon(shared));
    }

    /// Lets connection number `index` act. If that makes the connection free, its set starts the
    /// next request.
    fn with(
        &mut self,
        index: usize,
        shared: &mut Shared,
        act: impl FnOnce(&mut Connection, &mut Shared),
    ) {
        let Some((connection, set)) =
            self.connections.get_mut(index).zip(self.set_of.get(index).copied())
        else {
            return;
        };
        let was_free = connection.is_free();
        act(connection, shared);
        if was_free || !connection.is_free() {
            return;
        }
        let waits = self.sets.get_mut(set).is_some_and(|set| {
            set.free.push_back(index);
            !set.queue.is_empty()
        });
        if waits {
            self.proceed(set, shared.now(), shared.unseen_since, shared);
        }
    }

    /// Starts waiting requests on free connections, of which none was free before `possible`.
    fn proceed(&mut self, set: usize, now: Nanos, possible: Nanos, shared: &mut Shared) {
        let Some(Set { free, queue }) = self.sets.get_mut(set) else { return };
        while !queue.is_empty() {
            let Some(index) = free.pop_front() else { return };
            if let Some((connection, due)) = self.connections.get_mut(index).zip(queue.pop_front())
            {
                connection.start(due, now, possible, shared);
                // The request fails at once if nobody listens any more.
                if connection.is_free() {
                    free.push_back(index);
                }
            }
        }
    }
}
