//! Comparison of maps that could hold the tokens (`docs/adr/0001-cache-map.md`).
//!
//! Comparison: every `maps/<map>` is divided by `maps/shards`, 64 `HashMap`s behind `parking_lot`
//! locks, with the same keys and threads. All maps have the same hasher and the same work: 999 of
//! 1000 operations share a value (an `Arc`), one replaces a value. `maps/cache` is the real cache,
//! which also checks expiry, marks use, counts hits and keeps an eviction order.
//! `maps/hand-out/copy-under-lock` is divided by `maps/hand-out/arc-clone`: the response body is
//! copied while the shard is locked, or after it was released. The time is wall time divided by the
//! operations of all threads. In each thread an operation waits for the one before it.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::hint::black_box;
use std::sync::Arc;

use arc_swap::ArcSwap;
use criterion::Criterion;
use dashmap::DashMap;
use foldhash::fast::FixedState;
use mintbench::service::broker::TokenError;
use mintbench::service::cache::{Cache, Key};
use mintbench::service::token::Token;
use parking_lot::RwLock;

use crate::cache::{filled, fresh};
use crate::support::NOW;
use crate::support::keys::Keys;
use crate::support::threads::{THREADS, shared_out};
use crate::support::tokens::rs256_token;

/// One in this many operations is a write. A broker writes far less often, because each write is a
/// mint.
const OPERATIONS_PER_WRITE: u64 = 1000;

pub(crate) fn benches(criterion: &mut Criterion) {
    for keys in [Keys::hot(), Keys::wide()] {
        mostly_reads::<Cache<u64, TokenError>>(criterion, "cache", &keys);
        mostly_reads::<Shards<u64>>(criterion, "shards", &keys);
        mostly_reads::<DashMap<Key, Arc<u64>, FixedState>>(criterion, "dashmap", &keys);
        mostly_reads::<papaya::HashMap<Key, Arc<u64>, FixedState>>(criterion, "papaya", &keys);
        // This map copies the whole table at each write, which rules it out for a million keys.
        if keys.entries <= 1000 {
            mostly_reads::<Swapped>(criterion, "arc-swap", &keys);
        }
    }
    hand_out(criterion);
}

trait Map: Sync {
    fn filled(keys: &Keys) -> Self;

    /// Shares the value, reads it, and drops the share.
    fn read(&self, key: Key) -> Option<u64>;

    fn write(&self, key: Key, value: u64);
}

fn mostly_reads<M: Map>(criterion: &mut Criterion, what: &str, keys: &Keys) {
    let map = LazyCell::new(|| M::filled(keys));
    for threads in THREADS {
        let id = format!("maps/{what}/keys-{}/threads-{threads}", keys.name);
        criterion.bench_function(&id, |bencher| {
            let map = LazyCell::force(&map);
            bencher.iter_custom(|iters| {
                shared_out(threads, iters, |thread, share| {
                    keys.ask(thread, share, |key, turn| {
                        if turn % OPERATIONS_PER_WRITE == 0 {
                            map.write(key, turn);
                            return turn;
                        }
                        map.read(key).unwrap()
                    });
                })
            });
        });
    }
}

impl Map for Cache<u64, TokenError> {
    fn filled(keys: &Keys) -> Self {
        filled(keys)
    }

    fn read(&self, key: Key) -> Option<u64> {
        self.get(key, NOW).map(|hit| *hit.entry.value())
    }

    fn write(&self, key: Key, value: u64) {
        self.insert(key, fresh(value), NOW);
    }
}

/// A map with the structure of the cache, without its other work.
struct Shards<V>(Vec<Shard<V>>);

#[repr(align(128))] // as in the cache: no two shards share a cache line
struct Shard<V>(RwLock<HashMap<Key, Arc<V>, FixedState>>);

impl<V> Shards<V> {
    const COUNT: usize = 64;

    fn of(values: impl Iterator<Item = (Key, V)>) -> Self {
        let shards = Self((0..Self::COUNT).map(|_| Shard(RwLock::default())).collect());
        values.for_each(|(key, value)| drop(shards.insert(key, value)));
        shards
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the number of shards")]
    fn shard(&self, key: Key) -> &RwLock<HashMap<Key, Arc<V>, FixedState>> {
        // The table of a shard uses the highest and the lowest bits of the hash, so the shard uses
        // others.
        let hash = FixedState::default().hash_one(key);
        &self.0[(hash >> 48) as usize % Self::COUNT].0
    }

    fn insert(&self, key: Key, value: V) -> Option<Arc<V>> {
        let value = Arc::new(value);
        self.shard(key).write().insert(key, value)
    }
}

impl Map for Shards<u64> {
    fn filled(keys: &Keys) -> Self {
        Self::of(keys.all().zip(0..))
    }

    fn read(&self, key: Key) -> Option<u64> {
        let value = self.shard(key).read().get(&key).map(Arc::clone);
        value.map(|value| *black_box(value))
    }

    fn write(&self, key: Key, value: u64) {
        self.insert(key, value);
    }
}

impl Map for DashMap<Key, Arc<u64>, FixedState> {
    fn filled(keys: &Keys) -> Self {
        let map = Self::with_hasher_and_shard_amount(FixedState::default(), Shards::<u64>::COUNT);
        keys.all().zip(0..).for_each(|(key, value)| Map::write(&map, key, value));
        map
    }

    fn read(&self, key: Key) -> Option<u64> {
        let value = self.get(&key).map(|value| Arc::clone(&value));
        value.map(|value| *black_box(value))
    }

    fn write(&self, key: Key, value: u64) {
        self.insert(key, Arc::new(value));
    }
}

impl Map for papaya::HashMap<Key, Arc<u64>, FixedState> {
    fn filled(keys: &Keys) -> Self {
        let map = papaya::HashMap::builder().hasher(FixedState::default()).build();
        keys.all().zip(0..).for_each(|(key, value)| map.write(key, value));
        map
    }

    fn read(&self, key: Key) -> Option<u64> {
        let value = self.pin().get(&key).map(Arc::clone);
        value.map(|value| *black_box(value))
    }

    fn write(&self, key: Key, value: u64) {
        self.pin().insert(key, Arc::new(value));
    }
}

/// An immutable table. A write replaces it with a changed copy.
struct Swapped(ArcSwap<HashMap<Key, Arc<u64>, FixedState>>);

impl Map for Swapped {
    fn filled(keys: &Keys) -> Self {
        let values = keys.all().zip(0..).map(|(key, value)| (key, Arc::new(value)));
        Self(ArcSwap::from_pointee(values.collect()))
    }

    fn read(&self, key: Key) -> Option<u64> {
        let value = self.0.load().get(&key).map(Arc::clone);
        value.map(|value| *black_box(value))
    }

    fn write(&self, key: Key, value: u64) {
        let value = Arc::new(value);
        self.0.rcu(|table| {
            let mut table = HashMap::clone(table);
            table.insert(key, Arc::clone(&value));
            table
        });
    }
}

/// Compares two ways to hand out a token: share it and then write it out, or write it out under the
/// lock.
fn hand_out(criterion: &mut Criterion) {
    let keys = Keys::hot();
    let tokens = LazyCell::new(|| {
        let token = rs256_token();
        Shards::of(keys.all().map(|key| (key, token.clone())))
    });
    for threads in THREADS {
        handed_out(criterion, "arc-clone", threads, &keys, &tokens, |shard, key| {
            let token = shard.read().get(&key).map(Arc::clone);
            token.map(|token| token.body(NOW))
        });
        handed_out(criterion, "copy-under-lock", threads, &keys, &tokens, |shard, key| {
            shard.read().get(&key).map(|token| token.body(NOW))
        });
    }
}

type TokenShard = RwLock<HashMap<Key, Arc<Token>, FixedState>>;

fn handed_out(
    criterion: &mut Criterion,
    what: &str,
    threads: usize,
    keys: &Keys,
    tokens: &LazyCell<Shards<Token>, impl FnOnce() -> Shards<Token>>,
    body: impl Fn(&TokenShard, Key) -> Option<Vec<u8>> + Sync,
) {
    let id = format!("maps/hand-out/{what}/threads-{threads}");
    criterion.bench_function(&id, |bencher| {
        let tokens = LazyCell::force(tokens);
        bencher.iter_custom(|iters| {
            shared_out(threads, iters, |thread, share| {
                keys.ask(thread, share, |key, _| {
                    let body = black_box(body(tokens.shard(key), key).unwrap());
                    body.len() as u64
                });
            })
        });
    });
}
