//! One shard: a bounded table under a read-write lock, and the flights of its missing keys.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::fast::FixedState;

use super::entry::{Entry, Refresh};
use super::flight::Flight;
use crate::base::clock::UnixSeconds;
use crate::base::sync::{AtomicBool, AtomicU64, Mutex, RwLock};

/// Counters since the start, and gauges of the present. Shards are read one after the other, so the sums are
/// no snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Values held, including expired ones until the clock hand visits them.
    pub entries: u64,
    /// Values evicted to make room.
    pub evictions: u64,
    /// Flights under way.
    pub flights: u64,
    /// Values that a lookup found and that were handed out.
    pub hits: u64,
}

/// Key of a value: two indices, of an identity in the hands of one machine and of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub(super) u64);

impl Key {
    /// Packs two indices into a key.
    pub const fn new(holding: u32, resource: u32) -> Self {
        Self(((holding as u64) << 32) | resource as u64)
    }
}

/// Result of a flight, the same for all its callers: the value, or the reason why there is none.
pub type FlightResult<V, E> = Result<Arc<Entry<V>>, E>;

type Flights<V, E> = HashMap<Key, Arc<Flight<FlightResult<V, E>>>, FixedState>;

/// One part of the cache. Aligned to two cache lines, which processors prefetch in pairs, so that shards
/// never share a line.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard<V, E> {
    table: RwLock<Table<V>>,
    pub(super) flights: Mutex<Flights<V, E>>,
    /// Hits are counted per shard because every lookup touches this shard's cache lines anyway.
    pub(super) hits: AtomicU64,
    evictions: AtomicU64,
}

impl<V, E> Shard<V, E> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            table: RwLock::new(Table::new(capacity)),
            flights: Mutex::new(HashMap::default()),
            hits: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(super) fn get(&self, key: Key, now: UnixSeconds) -> Option<Arc<Entry<V>>> {
        let table = self.table.read();
        let held = table.index.get(&key).filter(|held| held.entry.is_usable(now))?;
        table.mark_used(held.slot);
        Some(Arc::clone(&held.entry))
    }

    pub(super) fn holds(&self, key: Key, refresh: &Refresh<V>) -> bool {
        let table = self.table.read();
        table.index.get(&key).is_some_and(|held| Arc::ptr_eq(&held.entry, &refresh.entry))
    }

    pub(super) fn insert(&self, key: Key, entry: Arc<Entry<V>>, now: UnixSeconds) {
        let displaced = self.table.write().insert(key, entry, now);
        if let Displaced::Evicted(_) = displaced {
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
        // `displaced` frees its memory here, after the lock.
    }

    pub(super) fn remove(&self, key: Key) {
        let removed = self.table.write().remove(key);
        drop(removed); // after the lock
    }

    /// Removes every value. Flights go on and land.
    pub(super) fn clear(&self) {
        let removed = self.table.write().clear();
        drop(removed); // after the lock
    }

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            entries: self.table.read().slots.len() as u64,
            evictions: self.evictions.load(Ordering::Relaxed),
            flights: self.flights.lock().len() as u64,
            hits: self.hits.load(Ordering::Relaxed),
        }
    }
}

/// Entries of a shard. `index` finds an entry by its key; `slots` are the ring that the clock hand walks.
#[derive(Debug)]
struct Table<V> {
    /// Clients cannot choose keys, which are internal indices: a fixed hash is safe.
    index: HashMap<Key, Held<V>, FixedState>,
    slots: Vec<Slot>,
    /// For each slot, true if its value was used since the hand's last visit. Apart from the slots, because a hit
    /// needs nothing else of them, and the marks of all entries fit in a cache of the processor.
    used: Vec<AtomicBool>,
    hand: usize,
    capacity: usize,
}

#[derive(Debug)]
struct Held<V> {
    entry: Arc<Entry<V>>,
    slot: usize,
}

/// Data that the clock hand reads. It is not in the entry: a sweep over a full shard, under the write lock,
/// reads one dense array instead of following a pointer for each entry.
#[derive(Debug)]
struct Slot {
    key: Key,
    expires_at: UnixSeconds,
}

/// Entry that an insert displaced. The caller drops it outside of the lock.
enum Displaced<V> {
    Evicted(#[expect(dead_code, reason = "held only to be dropped late")] Arc<Entry<V>>),
    Nothing,
    Replaced(#[expect(dead_code, reason = "held only to be dropped late")] Arc<Entry<V>>),
}

impl<V> Table<V> {
    fn new(capacity: usize) -> Self {
        Self { index: HashMap::default(), slots: Vec::new(), used: Vec::new(), hand: 0, capacity }
    }

    /// Sets the mark of a slot. Writes only if the mark is not set yet, so that the cache line of a popular
    /// slot stays shared.
    fn mark_used(&self, slot: usize) {
        if let Some(used) = self.used.get(slot)
            && !used.load(Ordering::Relaxed)
        {
            used.store(true, Ordering::Relaxed);
        }
    }

    /// Clears the mark of a slot. Returns true if it was set.
    fn take_mark(&mut self, slot: usize) -> bool {
        self.used.get_mut(slot).is_some_and(|used| std::mem::take(used.get_mut()))
    }

    fn insert(&mut self, key: Key, entry: Arc<Entry<V>>, now: UnixSeconds) -> Displaced<V> {
        let fresh = Slot { key, expires_at: entry.expires_at() };
        if let Some(held) = self.index.get_mut(&key) {
            let (at, replaced) = (held.slot, std::mem::replace(&mut held.entry, entry));
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = fresh;
            }
            self.take_mark(at);
            return Displaced::Replaced(replaced);
        }
        if self.slots.len() < self.capacity {
            self.index.insert(key, Held { entry, slot: self.slots.len() });
            self.slots.push(fresh);
            self.used.push(AtomicBool::new(false));
            return Displaced::Nothing;
        }
        self.advance_hand(now);
        let Some(slot) = self.slots.get_mut(self.hand) else { return Displaced::Nothing };
        let old = std::mem::replace(slot, fresh);
        self.index.insert(key, Held { entry, slot: self.hand });
        self.hand += 1;
        self.index
            .remove(&old.key)
            .map_or(Displaced::Nothing, |held| Displaced::Evicted(held.entry))
    }

    /// Removes the value under `key`. The last slot moves to the place of the freed one.
    fn remove(&mut self, key: Key) -> Option<Arc<Entry<V>>> {
        let Held { entry, slot } = self.index.remove(&key)?;
        self.slots.swap_remove(slot);
        self.used.swap_remove(slot);
        if let Some(moved) = self.slots.get(slot)
            && let Some(held) = self.index.get_mut(&moved.key)
        {
            held.slot = slot;
        }
        Some(entry)
    }

    fn clear(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.capacity))
    }

    /// Moves the hand to the next slot that may be evicted. This takes two rounds at most, because the first
    /// one clears every mark.
    fn advance_hand(&mut self, now: UnixSeconds) {
        loop {
            let Some(slot) = self.slots.get(self.hand) else {
                self.hand = 0;
                continue;
            };
            let is_expired = slot.expires_at <= now;
            if !self.take_mark(self.hand) || is_expired {
                return;
            }
            self.hand += 1;
        }
    }
}
