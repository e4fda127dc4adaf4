//! Token cache: sharded, bounded, one flight per missing key.
//!
//! Owns which values are held and for how long; knows nothing of HTTP, signing or identities. Every
//! method takes `now`; there is no timer.
//!
//! - A lookup sees every insert that returned before it began. A value is never returned once it has
//!   expired, nor before its time, which a clock that steps back comes to.
//! - A hit takes its shard's read lock for one map lookup and allocates nothing.
//! - Of all callers that miss one key at once, one leads and the others follow; a flight ends for all
//!   of them at once, also when its leader panics or goes away. Dropping a waiter harms nobody.
//! - At most the given number of entries is held, rounded up to a multiple of the shards. When a shard is full, its clock hand passes over
//!   its entries in order of arrival: it evicts the first that has expired or was not used since the
//!   hand last came by (CLOCK, Corbató 1968).

mod entry;
mod flight;
mod shard;

use std::sync::Arc;
use std::sync::atomic::Ordering;

pub use entry::{Entry, Fresh, Refresh};
pub use flight::{Abandoned, Waiter};

use crate::clock::UnixSeconds;
use flight::Flight;
use shard::Shard;

/// What a value is kept under: an identity in the hands of one machine, and a resource, as numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    /// Packs two indices.
    pub const fn new(holding: u32, resource: u32) -> Self {
        Self(((holding as u64) << 32) | resource as u64)
    }
}

/// What all callers of one flight get: the value, or why there is none.
pub type Landing<V, E> = Result<Arc<Entry<V>>, E>;

/// A cache of `V`, whose flights fail with `E`.
#[derive(Debug)]
pub struct Cache<V, E> {
    shards: Box<[Shard<V, E>]>,
}

/// A value found.
#[derive(Debug)]
pub struct Hit<V> {
    /// The value.
    pub entry: Arc<Entry<V>>,
    /// Given to exactly one of the callers once the value is due for renewal.
    pub refresh: Option<Refresh<V>>,
}

/// What a caller that missed is to do.
#[derive(Debug)]
pub enum Joined<V, E: Clone + From<Abandoned>> {
    /// Wait: another caller's flight is on its way.
    Follow(Waiter<Landing<V, E>>),
    /// Get the value and land the flight; the waiter is the caller's own.
    Lead(Lead<V, E>, Waiter<Landing<V, E>>),
    /// Nothing: the value came in since the miss.
    Ready(Arc<Entry<V>>),
}

/// Whether a held value will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Any that is usable.
    Held,
    /// One whose flight is still under way, or a new one.
    Renewed,
}

/// Counts since the start, and what is held now; taken shard by shard, so a moving picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Values held, expired ones included until the clock hand meets them.
    pub entries: u64,
    /// Values evicted to make room.
    pub evictions: u64,
    /// Flights under way.
    pub flights: u64,
    /// Lookups that found a value.
    pub hits: u64,
}

impl<V, E: Clone + From<Abandoned>> Cache<V, E> {
    /// A power of two, so that a shard is picked by a shift: two lookups at the same moment meet in one
    /// shard once in 64 times. Not tuned (`docs/adr/0001-cache-map.md`).
    pub const SHARDS: usize = 64;

    /// An empty cache for up to `capacity` entries, rounded up to a multiple of [`Self::SHARDS`].
    pub fn new(capacity: usize) -> Self {
        let of_shard = capacity.div_ceil(Self::SHARDS).max(1);
        Self { shards: (0..Self::SHARDS).map(|_| Shard::new(of_shard)).collect() }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the shift leaves six bits, and there are 64 shards"
    )]
    fn shard(&self, key: Key) -> &Shard<V, E> {
        // Fibonacci hashing (Knuth, TAOCP 3, 6.4): multiples of 2^64 over the golden ratio fall far
        // apart, so that neighbouring holdings, or resources, fall in different shards.
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let (holding, resource) = (key.0 >> 32, key.0 & u64::from(u32::MAX));
        &self.shards[((holding ^ resource).wrapping_mul(GOLDEN) >> 58) as usize]
    }

    /// The value under `key` that is usable at `now`.
    #[inline]
    pub fn get(&self, key: Key, now: UnixSeconds) -> Option<Hit<V>> {
        let shard = self.shard(key);
        let entry = shard.get(key, now)?;
        shard.hits.fetch_add(1, Ordering::Relaxed);
        let refresh = entry.claim_refresh(now);
        Some(Hit { entry, refresh })
    }

    /// Joins the flight of a key that was missed, or starts it.
    pub fn join(
        self: &Arc<Self>,
        key: Key,
        now: UnixSeconds,
        freshness: Freshness,
    ) -> Joined<V, E> {
        let shard = self.shard(key);
        // A flight lands in the table before it leaves `flights`, so that under this lock a value
        // is seen in one of the two, and no second flight starts for it.
        let mut flights = shard.flights.lock();
        if let Some(flight) = flights.get(&key) {
            return Joined::Follow(Waiter::new(Arc::clone(flight)));
        }
        if freshness == Freshness::Held
            && let Some(entry) = shard.get(key, now)
        {
            return Joined::Ready(entry);
        }
        let flight = Arc::new(Flight::new());
        flights.insert(key, Arc::clone(&flight));
        let waiter = Waiter::new(Arc::clone(&flight));
        Joined::Lead(Lead { cache: Arc::clone(self), key, flight, landed: false }, waiter)
    }

    /// Puts a value in, in place of any that is there.
    pub fn insert(&self, key: Key, fresh: Fresh<V>, now: UnixSeconds) -> Arc<Entry<V>> {
        let entry = Arc::new(Entry::new(fresh));
        self.shard(key).insert(key, Arc::clone(&entry), now);
        entry
    }

    /// Drops the value under `key`, if there is one. A flight of the key goes on and lands.
    pub fn remove(&self, key: Key) {
        self.shard(key).remove(key);
    }

    /// Drops every value. Flights go on and land.
    pub fn clear(&self) {
        self.shards.iter().for_each(Shard::clear);
    }

    /// Whether `refresh` is for the value that is held under `key` now, which it no longer is once
    /// the value was evicted, or replaced by someone who missed.
    pub fn is_current(&self, key: Key, refresh: &Refresh<V>) -> bool {
        self.shard(key).holds(key, refresh)
    }

    /// Counts over all shards.
    pub fn stats(&self) -> CacheStats {
        self.shards.iter().map(Shard::stats).fold(CacheStats::default(), |sum, shard| CacheStats {
            entries: sum.entries + shard.entries,
            evictions: sum.evictions + shard.evictions,
            flights: sum.flights + shard.flights,
            hits: sum.hits + shard.hits,
        })
    }
}

/// The duty to land a flight. Dropped without landing, it lands as [`Abandoned`].
#[derive(Debug)]
pub struct Lead<V, E: Clone + From<Abandoned>> {
    cache: Arc<Cache<V, E>>,
    key: Key,
    flight: Arc<Flight<Landing<V, E>>>,
    landed: bool,
}

impl<V, E: Clone + From<Abandoned>> Lead<V, E> {
    /// Ends the flight: everybody who waits for it gets the value or the error.
    pub fn land(mut self, outcome: Result<Fresh<V>, E>, now: UnixSeconds) {
        let landing = outcome.map(|fresh| self.cache.insert(self.key, fresh, now));
        self.finish(landing);
    }

    fn finish(&mut self, landing: Landing<V, E>) {
        self.landed = true;
        self.cache.shard(self.key).flights.lock().remove(&self.key);
        self.flight.land(landing);
    }
}

impl<V, E: Clone + From<Abandoned>> Drop for Lead<V, E> {
    fn drop(&mut self) {
        if !self.landed {
            self.finish(Err(E::from(Abandoned)));
        }
    }
}

#[cfg(test)]
mod tests;
