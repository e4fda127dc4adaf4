//! A hit of the token cache.
//!
//! Comparison: `cache/hit` is divided by two baselines. `cache/bare-map` is one `HashMap` of the
//! same keys and hasher that one thread reads. `cache/locked-map` is the same map behind one
//! `parking_lot::RwLock`. The baselines only read the value; a hit also takes a share of it (an
//! `Arc`), checks its expiry and counts. The time is wall time divided by the lookups of all
//! threads. In each thread a lookup waits for the one before it.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::Arc;

use criterion::Criterion;
use foldhash::fast::FixedState;
use mintbench::base::clock::Seconds;
use mintbench::service::broker::TokenError;
use mintbench::service::cache::{Cache, Key, NewValue};
use parking_lot::RwLock;

use crate::support::NOW;
use crate::support::keys::Keys;
use crate::support::threads::{THREADS, shared_out};

type Bare = HashMap<Key, Arc<u64>, FixedState>;

pub(crate) fn benches(criterion: &mut Criterion) {
    for keys in [Keys::hot(), Keys::wide()] {
        let cache = LazyCell::new(|| filled(&keys));
        let bare = LazyCell::new(|| bare(&keys));
        let locked = LazyCell::new(|| RwLock::new(self::bare(&keys)));
        lookups(criterion, "bare-map", 1, &keys, &bare, |map, key| {
            map.get(&key).map(|value| **value)
        });
        for threads in THREADS {
            lookups(criterion, "hit", threads, &keys, &cache, |cache, key| {
                cache.get(key, NOW).map(|hit| *hit.entry.value())
            });
            lookups(criterion, "locked-map", threads, &keys, &locked, |map, key| {
                map.read().get(&key).map(|value| **value)
            });
        }
    }
}

fn lookups<T: Sync>(
    criterion: &mut Criterion,
    what: &str,
    threads: usize,
    keys: &Keys,
    subject: &LazyCell<T, impl FnOnce() -> T>,
    look: impl Fn(&T, Key) -> Option<u64> + Sync,
) {
    let id = format!("cache/{what}/threads-{threads}/entries-{}", keys.entries);
    criterion.bench_function(&id, |bencher| {
        let subject = LazyCell::force(subject);
        bencher.iter_custom(|iters| {
            shared_out(threads, iters, |thread, share| {
                keys.ask(thread, share, |key, _| look(subject, key).unwrap());
            })
        });
    });
}

/// Returns a cache that holds `keys`, none of them due for renewal.
pub(crate) fn filled(keys: &Keys) -> Cache<u64, TokenError> {
    // Shards fill unevenly; with twice the capacity nothing is evicted.
    let cache = Cache::new(keys.entries as usize * 2);
    for (key, value) in keys.all().zip(0..) {
        cache.insert(key, fresh(value), NOW);
    }
    cache
}

pub(crate) fn fresh(value: u64) -> NewValue<u64> {
    let (refresh_at, expires_at) = (NOW + Seconds(43_200), NOW + Seconds(86_400));
    NewValue { value, usable_from: NOW, refresh_at, expires_at }
}

fn bare(keys: &Keys) -> Bare {
    keys.all().zip(0..).map(|(key, value)| (key, Arc::new(value))).collect()
}
