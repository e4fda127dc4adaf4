//! One shard: a bounded table under a read-write lock, and the flights of its missing keys.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foldhash::fast::FixedState;

use super::entry::Entry;
use super::flight::Flight;
use super::{CacheStats, Key, Landing};
use crate::clock::UnixSeconds;
use crate::sync::{AtomicU64, Mutex, RwLock};

type Flights<V, E> = HashMap<Key, Arc<Flight<Landing<V, E>>>, FixedState>;

/// Aligned so that two shards never share a cache line (two lines, which processors prefetch in pairs).
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Shard<V, E> {
    table: RwLock<Table<V>>,
    pub(super) flights: Mutex<Flights<V, E>>,
    /// Counted here because every lookup takes this shard's lines anyway.
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
        let entry = table.get(key).filter(|entry| !entry.expired(now))?;
        entry.mark_used();
        Some(Arc::clone(entry))
    }

    pub(super) fn insert(&self, key: Key, entry: Arc<Entry<V>>, now: UnixSeconds) {
        let displaced = self.table.write().insert(key, entry, now);
        if let Displaced::Evicted(_) = displaced {
            self.evictions.fetch_add(1, Ordering::Relaxed);
        }
        // `displaced` frees its memory here, after the lock.
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

#[derive(Debug)]
struct Table<V> {
    /// Where each key's slot is. Keys are indices of our own making: a fixed hash is safe.
    index: HashMap<Key, usize, FixedState>,
    slots: Vec<(Key, Arc<Entry<V>>)>,
    hand: usize,
    capacity: usize,
}

/// What an insert pushed out, handed to the caller so that it is freed outside of the lock.
enum Displaced<V> {
    Evicted(#[expect(dead_code, reason = "held only to be dropped late")] Arc<Entry<V>>),
    Nothing,
    Replaced(#[expect(dead_code, reason = "held only to be dropped late")] Arc<Entry<V>>),
}

impl<V> Table<V> {
    fn new(capacity: usize) -> Self {
        Self { index: HashMap::default(), slots: Vec::new(), hand: 0, capacity }
    }

    fn get(&self, key: Key) -> Option<&Arc<Entry<V>>> {
        let slot = self.index.get(&key)?;
        self.slots.get(*slot).map(|(_, entry)| entry)
    }

    fn insert(&mut self, key: Key, entry: Arc<Entry<V>>, now: UnixSeconds) -> Displaced<V> {
        if let Some(slot) = self.index.get(&key).and_then(|slot| self.slots.get_mut(*slot)) {
            return Displaced::Replaced(std::mem::replace(&mut slot.1, entry));
        }
        if self.slots.len() < self.capacity {
            self.index.insert(key, self.slots.len());
            self.slots.push((key, entry));
            return Displaced::Nothing;
        }
        self.advance_hand(now);
        let Some(slot) = self.slots.get_mut(self.hand) else { return Displaced::Nothing };
        let (old_key, old) = std::mem::replace(slot, (key, entry));
        self.index.remove(&old_key);
        self.index.insert(key, self.hand);
        self.hand += 1;
        Displaced::Evicted(old)
    }

    /// Moves the hand to the next slot that may be evicted: within two rounds, for the first one
    /// clears every mark.
    fn advance_hand(&mut self, now: UnixSeconds) {
        loop {
            match self.slots.get(self.hand) {
                None => self.hand = 0,
                Some((_, entry)) if entry.expired(now) || !entry.take_used() => return,
                Some(_) => self.hand += 1,
            }
        }
    }
}
