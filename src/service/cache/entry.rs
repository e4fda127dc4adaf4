//! A held value, the time in which it is usable, and the claim to renew it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::sync::{AtomicBool, AtomicU64};

/// A value to be inserted into the cache.
#[derive(Clone, Debug)]
pub struct NewValue<V> {
    /// The value.
    pub value: V,
    /// First moment at which the value is usable. A clock that steps back further makes the lookup a miss.
    pub usable_from: UnixSeconds,
    /// Moment from which a lookup starts a renewal in the background.
    pub refresh_at: UnixSeconds,
    /// Moment from which the value is no longer usable.
    pub expires_at: UnixSeconds,
}

/// A held value.
#[derive(Debug)]
pub struct Entry<V> {
    value: V,
    usable_from: UnixSeconds,
    expires_at: UnixSeconds,
    refresh_at: UnixSeconds,
    /// Moment of the last renewal that was put off or failed; [`NEVER`] if there was none.
    gave_up_at: AtomicU64,
    refreshing: AtomicBool,
}

impl<V> Entry<V> {
    pub(super) fn new(fresh: NewValue<V>) -> Self {
        Self {
            value: fresh.value,
            usable_from: fresh.usable_from,
            expires_at: fresh.expires_at,
            refresh_at: fresh.refresh_at,
            gave_up_at: AtomicU64::new(NEVER),
            refreshing: AtomicBool::new(false),
        }
    }

    /// Returns the value.
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// Returns true if the value is usable at `now`: neither expired nor before its first moment.
    #[inline]
    pub fn is_usable(&self, now: UnixSeconds) -> bool {
        self.usable_from <= now && now < self.expires_at
    }

    pub(super) const fn expires_at(&self) -> UnixSeconds {
        self.expires_at
    }

    /// Returns the duty to renew to the first caller after a renewal is due; `None` for all others.
    pub(super) fn claim_refresh(self: &Arc<Self>, now: UnixSeconds) -> Option<Refresh<V>> {
        let due = || self.refresh_at <= now && !self.rests(now);
        // The swap's `Acquire` pairs with the `Release` in `Refresh::drop`. A thread that claims after a
        // failed renewal therefore sees the moment of the failure, and checks again whether a renewal is due.
        if !due() || self.refreshing.swap(true, Ordering::Acquire) {
            return None;
        }
        let refresh = Refresh { entry: Arc::clone(self), claimed_at: Some(now) };
        if due() { Some(refresh) } else { refresh.put_back() }
    }

    /// Returns true for 30 s after a failed renewal. If the failure lies after `now`, the clock was set back
    /// since and the age of the failure is unknown: returns false.
    fn rests(&self, now: UnixSeconds) -> bool {
        let gave_up_at = UnixSeconds(self.gave_up_at.load(Ordering::Relaxed));
        gave_up_at <= now && now < gave_up_at + RETRY_AFTER
    }
}

/// A moment that never comes.
const NEVER: u64 = u64::MAX;

/// Pause after a failed renewal before the next attempt. The old value is served meanwhile.
const RETRY_AFTER: Seconds = Seconds(30);

/// The duty to renew one value. Only one caller holds it at a time.
///
/// If it is dropped before [`Refresh::done`], the first lookup at least 30 s later gets the duty.
#[derive(Debug)]
pub struct Refresh<V> {
    pub(super) entry: Arc<Entry<V>>,
    claimed_at: Option<UnixSeconds>,
}

impl<V> Refresh<V> {
    /// Ends the duty for good: the value was renewed or is gone, so nobody renews this entry again.
    pub fn done(mut self) {
        // Only the `Arc` is dropped: the claim stays taken for as long as the entry lives.
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
