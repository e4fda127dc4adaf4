//! Token cache: sharded, bounded, one flight per missing key.
//!
//! The cache decides which values it holds and for how long. It knows nothing of HTTP, signing or identities.
//! Every method takes `now`; there is no timer.
//!
//! - A lookup sees every insert that returned before the lookup began. It never returns an expired value, nor
//!   a value before its first usable moment, which can happen when a clock steps back.
//! - A hit takes its shard's read lock for one map lookup and allocates nothing.
//! - Of all callers that miss one key at once, one leads and the others follow. The flight ends for all of
//!   them at once, even if its leader panics or goes away. Dropping a waiter affects nobody else.
//! - The cache holds at most the given number of entries, rounded up to a multiple of the shards. When a
//!   shard is full, its clock hand visits the entries in order of arrival. It evicts the first one that has
//!   expired, or that was not used since the last visit (CLOCK, Corbató 1968).

mod entry;
mod flight;
mod shard;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use entry::{Entry, NewValue, Refresh};
pub use flight::{Abandoned, Waiter};

use crate::base::clock::UnixSeconds;
use flight::Flight;
use shard::Shard;
pub use shard::{CacheStats, FlightResult, Key};

/// A cache of values `V`, whose flights fail with `E`.
#[derive(Debug)]
pub struct Cache<V, E> {
    shards: Box<[Shard<V, E>]>,
}

/// Result of a lookup that found a value.
#[derive(Debug)]
pub struct Hit<V> {
    /// The value.
    pub entry: Arc<Entry<V>>,
    /// Duty to renew the value. Exactly one caller gets it once a renewal is due.
    pub refresh: Option<Refresh<V>>,
}

/// The next step of a caller that missed.
#[derive(Debug)]
pub enum Joined<V, E: Clone + From<Abandoned>> {
    /// Another caller's flight is under way: wait for it.
    Follower(Waiter<FlightResult<V, E>>),
    /// This caller leads: get the value and land the flight. The waiter is the caller's own.
    Leader(Lead<V, E>, Waiter<FlightResult<V, E>>),
    /// Another caller inserted the value since the miss.
    Ready(Arc<Entry<V>>),
}

/// Values that a caller accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Any usable value, also one that the cache holds.
    Held,
    /// Only a value of a flight that is under way, or of a new flight.
    Renewed,
}

impl<V, E: Clone + From<Abandoned>> Cache<V, E> {
    /// Number of shards. It is a power of two, so that a shift picks a shard. Two simultaneous lookups fall
    /// in the same shard once in 64 times. Not tuned (`docs/adr/0001-cache-map.md`).
    pub const SHARDS: usize = 64;

    /// Creates an empty cache for up to `capacity` entries, rounded up to a multiple of [`Self::SHARDS`].
    pub fn new(capacity: usize) -> Self {
        let of_shard = capacity.div_ceil(Self::SHARDS).max(1);
        Self { shards: (0..Self::SHARDS).map(|_| Shard::new(of_shard)).collect() }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the shift leaves six bits, and there are 64 shards"
    )]
    fn shard(&self, key: Key) -> &Shard<V, E> {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4) spreads consecutive numbers: neighbouring holdings, or
        // resources, fall in different shards.
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let (holding, resource) = (key.0 >> 32, key.0 & u64::from(u32::MAX));
        &self.shards[((holding ^ resource).wrapping_mul(GOLDEN) >> 58) as usize]
    }

    /// Looks up the value under `key` that is usable at `now`, and counts a hit.
    #[inline]
    pub fn get(&self, key: Key, now: UnixSeconds) -> Option<Hit<V>> {
        let hit = self.find(key, now)?;
        self.count_hit(key);
        Some(hit)
    }

    /// Looks up the value under `key` that is usable at `now`. The caller counts a hit if it hands the value out.
    #[inline]
    pub fn find(&self, key: Key, now: UnixSeconds) -> Option<Hit<V>> {
        let entry = self.shard(key).get(key, now)?;
        let refresh = entry.claim_refresh(now);
        Some(Hit { entry, refresh })
    }

    /// Counts a value under `key` that was handed out.
    #[inline]
    pub fn count_hit(&self, key: Key) {
        self.shard(key).hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Joins the flight of a key that was missed, or starts one.
    pub fn join(
        self: &Arc<Self>,
        key: Key,
        now: UnixSeconds,
        freshness: Freshness,
    ) -> Joined<V, E> {
        let shard = self.shard(key);
        // A flight inserts its value in the table before it leaves `flights`. So under this lock a value is
        // visible in one of the two, and no second flight starts for it.
        let mut flights = shard.flights.lock();
        if let Some(flight) = flights.get(&key) {
            return Joined::Follower(Waiter::new(Arc::clone(flight)));
        }
        if freshness == Freshness::Held
            && let Some(entry) = shard.get(key, now)
        {
            return Joined::Ready(entry);
        }
        let flight = Arc::new(Flight::new());
        flights.insert(key, Arc::clone(&flight));
        let waiter = Waiter::new(Arc::clone(&flight));
        Joined::Leader(Lead { cache: Arc::clone(self), key, flight, is_complete: false }, waiter)
    }

    /// Inserts a value and replaces any value under the same key.
    pub fn insert(&self, key: Key, fresh: NewValue<V>, now: UnixSeconds) -> Arc<Entry<V>> {
        let entry = Arc::new(Entry::new(fresh));
        self.shard(key).insert(key, Arc::clone(&entry), now);
        entry
    }

    /// Removes the value under `key`, if there is one. A flight of the key goes on and lands.
    pub fn remove(&self, key: Key) {
        self.shard(key).remove(key);
    }

    /// Removes every value. Flights go on and land.
    pub fn clear(&self) {
        self.shards.iter().for_each(Shard::clear);
    }

    /// Returns true if `refresh` belongs to the value that `key` holds now. It no longer does once the value
    /// was evicted or replaced.
    pub fn is_current(&self, key: Key, refresh: &Refresh<V>) -> bool {
        self.shard(key).holds(key, refresh)
    }

    /// Returns the counts over all shards.
    pub fn stats(&self) -> CacheStats {
        self.shards.iter().map(Shard::stats).fold(CacheStats::default(), |sum, shard| CacheStats {
            entries: sum.entries + shard.entries,
            evictions: sum.evictions + shard.evictions,
            flights: sum.flights + shard.flights,
            hits: sum.hits + shard.hits,
        })
    }
}

/// The duty to land a flight. If it is dropped first, the flight lands with [`Abandoned`].
#[derive(Debug)]
pub struct Lead<V, E: Clone + From<Abandoned>> {
    cache: Arc<Cache<V, E>>,
    key: Key,
    flight: Arc<Flight<FlightResult<V, E>>>,
    is_complete: bool,
}

impl<V, E: Clone + From<Abandoned>> Lead<V, E> {
    /// Ends the flight: all its waiters get the value or the error.
    pub fn complete(mut self, outcome: Result<NewValue<V>, E>, now: UnixSeconds) {
        let result = outcome.map(|fresh| self.cache.insert(self.key, fresh, now));
        self.finish(result);
    }

    fn finish(&mut self, result: FlightResult<V, E>) {
        self.is_complete = true;
        self.cache.shard(self.key).flights.lock().remove(&self.key);
        self.flight.complete(result);
    }
}

impl<V, E: Clone + From<Abandoned>> Drop for Lead<V, E> {
    fn drop(&mut self) {
        if !self.is_complete {
            self.finish(Err(E::from(Abandoned)));
        }
    }
}

#[cfg(test)]
mod tests;
