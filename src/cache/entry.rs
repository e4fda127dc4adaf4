//! One held value: its deadlines, and who renews it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::UnixSeconds;
use crate::sync::{AtomicBool, AtomicU64};

/// A value on its way into the cache.
#[derive(Clone, Debug)]
pub struct Fresh<V> {
    /// The value.
    pub value: V,
    /// From when on it is renewed in the background, if it is asked for.
    pub refresh_at: UnixSeconds,
    /// From when on it is no longer handed out.
    pub expires_at: UnixSeconds,
}

/// A held value.
#[derive(Debug)]
pub struct Entry<V> {
    value: V,
    expires_at: UnixSeconds,
    refresh_at: AtomicU64,
    refreshing: AtomicBool,
    /// Used since the clock hand last came by.
    used: AtomicBool,
}

impl<V> Entry<V> {
    pub(super) fn new(fresh: Fresh<V>) -> Self {
        Self {
            value: fresh.value,
            expires_at: fresh.expires_at,
            refresh_at: AtomicU64::new(fresh.refresh_at.0),
            refreshing: AtomicBool::new(false),
            used: AtomicBool::new(false),
        }
    }

    /// The value.
    pub const fn value(&self) -> &V {
        &self.value
    }

    pub(super) fn expired(&self, now: UnixSeconds) -> bool {
        self.expires_at <= now
    }

    /// Writes only when there is something to change: a popular entry's line stays shared.
    pub(super) fn mark_used(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was used since the last call; the caller holds the shard's write lock.
    pub(super) fn take_used(&self) -> bool {
        let used = self.used.load(Ordering::Relaxed);
        if used {
            self.used.store(false, Ordering::Relaxed);
        }
        used
    }

    pub(super) fn claim_refresh(self: &Arc<Self>, now: UnixSeconds) -> Option<Refresh<V>> {
        let due = self.refresh_at.load(Ordering::Relaxed) <= now.0;
        // `Acquire` pairs with the `Release` in `Refresh::drop`: who claims next sees its deadline.
        let claimed = due && !self.refreshing.swap(true, Ordering::Acquire);
        claimed.then(|| Refresh { entry: Arc::clone(self), retry_at: now })
    }
}

/// The right to renew one value; while it is held nobody else is given it.
///
/// Dropped, it frees the claim: a renewed value replaces the entry, a failed renewal is tried again
/// once the time that was given to [`Refresh::retry_at`] has come.
#[derive(Debug)]
pub struct Refresh<V> {
    entry: Arc<Entry<V>>,
    retry_at: UnixSeconds,
}

impl<V> Refresh<V> {
    /// Gives up for now; the value is served on until it expires.
    pub fn retry_at(mut self, then: UnixSeconds) {
        self.retry_at = then;
    }
}

impl<V> Drop for Refresh<V> {
    fn drop(&mut self) {
        self.entry.refresh_at.store(self.retry_at.0, Ordering::Relaxed);
        self.entry.refreshing.store(false, Ordering::Release);
    }
}
