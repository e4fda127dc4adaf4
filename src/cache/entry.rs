//! One held value: when it may be handed out, and who renews it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::clock::{Seconds, UnixSeconds};
use crate::sync::{AtomicBool, AtomicU64};

/// A value on its way into the cache.
#[derive(Clone, Debug)]
pub struct Fresh<V> {
    /// The value.
    pub value: V,
    /// From when on it is handed out: a clock that steps back further makes it a miss.
    pub usable_from: UnixSeconds,
    /// From when on it is renewed in the background, if it is asked for.
    pub refresh_at: UnixSeconds,
    /// From when on it is no longer handed out.
    pub expires_at: UnixSeconds,
}

/// A held value.
#[derive(Debug)]
pub struct Entry<V> {
    value: V,
    usable_from: UnixSeconds,
    expires_at: UnixSeconds,
    refresh_at: UnixSeconds,
    /// When a renewal was last put off or failed.
    gave_up_at: AtomicU64,
    refreshing: AtomicBool,
}

impl<V> Entry<V> {
    pub(super) fn new(fresh: Fresh<V>) -> Self {
        Self {
            value: fresh.value,
            usable_from: fresh.usable_from,
            expires_at: fresh.expires_at,
            refresh_at: fresh.refresh_at,
            gave_up_at: AtomicU64::new(NEVER),
            refreshing: AtomicBool::new(false),
        }
    }

    /// The value.
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// Whether it is handed out at `now`: not once it has expired, nor before its time.
    #[inline]
    pub fn is_usable(&self, now: UnixSeconds) -> bool {
        self.usable_from <= now && now < self.expires_at
    }

    pub(super) const fn expires_at(&self) -> UnixSeconds {
        self.expires_at
    }

    /// The duty to renew, for the first who asks once it is due.
    pub(super) fn claim_refresh(self: &Arc<Self>, now: UnixSeconds) -> Option<Refresh<V>> {
        let due = || self.refresh_at <= now && !self.rests(now);
        // The swap's `Acquire` pairs with the `Release` in `Refresh::drop`: whoever claims after a
        // failed renewal sees the moment that it left, and so asks again whether it is due.
        if !due() || self.refreshing.swap(true, Ordering::Acquire) {
            return None;
        }
        let refresh = Refresh { entry: Arc::clone(self), claimed_at: Some(now) };
        if due() { Some(refresh) } else { refresh.put_back() }
    }

    /// Whether a renewal failed just now. One that failed later than `now` failed before the clock was
    /// set back, nobody knows how long ago.
    fn rests(&self, now: UnixSeconds) -> bool {
        let gave_up_at = UnixSeconds(self.gave_up_at.load(Ordering::Relaxed));
        gave_up_at <= now && now < gave_up_at + RETRY_AFTER
    }
}

/// No moment that comes.
const NEVER: u64 = u64::MAX;

/// How long a value rests after a claim to renew it that came to nothing; it is served meanwhile.
const RETRY_AFTER: Seconds = Seconds(30);

/// The duty to renew one value; while it is held nobody else is given it.
///
/// Dropped, it leaves the renewal to whoever asks for the value 30 s later.
#[derive(Debug)]
pub struct Refresh<V> {
    pub(super) entry: Arc<Entry<V>>,
    claimed_at: Option<UnixSeconds>,
}

impl<V> Refresh<V> {
    /// The value is renewed, or gone: nobody need renew this entry again.
    pub fn done(mut self) {
        // Only the `Arc` is given back: the claim stays taken for as long as the entry lives.
        self.claimed_at = None;
    }

    fn put_back(self) -> Option<Self> {
        self.entry.refreshing.store(false, Ordering::Release);
        self.done();
        None
    }
}

impl<V> Drop for Refresh<V> {
    fn drop(&mut self) {
        if let Some(claimed_at) = self.claimed_at {
            self.entry.gave_up_at.store(claimed_at.0, Ordering::Relaxed);
            self.entry.refreshing.store(false, Ordering::Release);
        }
    }
}
