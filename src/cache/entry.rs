//! One held value: its deadlines, and who renews it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::{Seconds, UnixSeconds};
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
}

impl<V> Entry<V> {
    pub(super) fn new(fresh: Fresh<V>) -> Self {
        Self {
            value: fresh.value,
            expires_at: fresh.expires_at,
            refresh_at: AtomicU64::new(fresh.refresh_at.0),
            refreshing: AtomicBool::new(false),
        }
    }

    /// The value.
    pub const fn value(&self) -> &V {
        &self.value
    }

    pub(super) const fn expires_at(&self) -> UnixSeconds {
        self.expires_at
    }

    /// The duty to renew, for the first who asks once it is due.
    pub(super) fn claim_refresh(self: &Arc<Self>, now: UnixSeconds) -> Option<Refresh<V>> {
        let due = || self.refresh_at.load(Ordering::Relaxed) <= now.0;
        // The swap's `Acquire` pairs with the `Release` in `Refresh::drop`: whoever claims after a
        // failed renewal sees the later moment that it left, and so asks again whether it is due.
        if !due() || self.refreshing.swap(true, Ordering::Acquire) {
            return None;
        }
        let refresh = Refresh { entry: Arc::clone(self), retry_at: Some(now + RETRY_AFTER) };
        if due() { Some(refresh) } else { refresh.put_back() }
    }
}

/// How long a value rests whose renewal was put off or failed; it is served meanwhile.
const RETRY_AFTER: Seconds = Seconds(30);

/// The duty to renew one value; while it is held nobody else is given it.
///
/// Dropped, it leaves the renewal to whoever asks for the value 30 s later.
#[derive(Debug)]
pub struct Refresh<V> {
    pub(super) entry: Arc<Entry<V>>,
    retry_at: Option<UnixSeconds>,
}

impl<V> Refresh<V> {
    /// The value is renewed, or gone: nobody need renew this entry again.
    pub fn done(mut self) {
        // Only the `Arc` is given back: the claim stays taken for as long as the entry lives.
        self.retry_at = None;
    }

    fn put_back(self) -> Option<Self> {
        self.entry.refreshing.store(false, Ordering::Release);
        self.done();
        None
    }
}

impl<V> Drop for Refresh<V> {
    fn drop(&mut self) {
        if let Some(retry_at) = self.retry_at {
            self.entry.refresh_at.store(retry_at.0, Ordering::Relaxed);
            self.entry.refreshing.store(false, Ordering::Release);
        }
    }
}
