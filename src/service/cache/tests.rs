//! Properties of the cache: it agrees with a model map of values and their times. It never returns an expired
//! value or another key's value, and never holds more than its capacity. At most one flight per key exists,
//! whatever the interleaving (`shuttle_*`).

use std::collections::HashMap;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::base::clock::Seconds;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gone;

impl From<Abandoned> for Gone {
    fn from(_: Abandoned) -> Self {
        Self
    }
}

type TestCache = Cache<u64, Gone>;

const NOW: UnixSeconds = UnixSeconds(1_000);

fn key(index: u32) -> Key {
    Key::new(index, 0)
}

fn fresh(value: u64, refresh_at: UnixSeconds, expires_at: UnixSeconds) -> NewValue<u64> {
    NewValue { value, usable_from: UnixSeconds(0), refresh_at, expires_at }
}

fn lasting(value: u64, life: u64) -> NewValue<u64> {
    fresh(value, NOW + Seconds(life / 2), NOW + Seconds(life))
}

fn poll<T: Clone>(waiter: &mut Waiter<T>) -> Poll<T> {
    std::pin::Pin::new(waiter).poll(&mut Context::from_waker(Waker::noop()))
}

fn lead(cache: &Arc<TestCache>) -> (Lead<u64, Gone>, Waiter<FlightResult<u64, Gone>>) {
    match cache.join(key(1), NOW, Freshness::Held) {
        Joined::Leader(lead, waiter) => (lead, waiter),
        other => panic!("expected to lead, got {other:?}"),
    }
}

fn follow(cache: &Arc<TestCache>) -> Waiter<FlightResult<u64, Gone>> {
    match cache.join(key(1), NOW, Freshness::Held) {
        Joined::Follower(waiter) => waiter,
        other => panic!("expected to follow, got {other:?}"),
    }
}

#[test]
fn all_who_miss_together_get_what_the_leader_lands() {
    let cache = Arc::new(TestCache::new(64));
    let (lead, mut own) = lead(&cache);
    let mut others = [follow(&cache), follow(&cache)];
    assert!(poll(&mut own).is_pending());
    lead.complete(Ok(lasting(7, 10)), NOW);
    for waiter in others.iter_mut().chain([&mut own]) {
        let Poll::Ready(Ok(entry)) = poll(waiter) else { panic!("not complete") };
        assert_eq!(*entry.value(), 7);
    }
    assert!(matches!(cache.join(key(1), NOW, Freshness::Held), Joined::Ready(_)));
}

#[test]
fn a_dropped_waiter_harms_nobody() {
    let cache = Arc::new(TestCache::new(64));
    let (lead, own) = lead(&cache);
    let mut other = follow(&cache);
    assert!(poll(&mut other).is_pending());
    drop(own);
    drop(follow(&cache));
    lead.complete(Ok(lasting(7, 10)), NOW);
    assert!(matches!(poll(&mut other), Poll::Ready(Ok(_))));
}

#[test]
fn an_abandoned_flight_fails_its_followers_and_frees_the_key() {
    let cache = Arc::new(TestCache::new(64));
    let (first, _own) = lead(&cache);
    let mut other = follow(&cache);
    drop(first);
    assert!(matches!(poll(&mut other), Poll::Ready(Err(Gone))));
    drop(lead(&cache));
    assert_eq!(cache.stats().flights, 0);
}

#[test]
fn a_renewed_value_is_fetched_even_when_one_is_held() {
    let cache = Arc::new(TestCache::new(64));
    cache.insert(key(1), lasting(1, 10), NOW);
    assert!(matches!(cache.join(key(1), NOW, Freshness::Held), Joined::Ready(_)));
    assert!(matches!(cache.join(key(1), NOW, Freshness::Renewed), Joined::Leader(..)));
}

#[test]
fn one_caller_is_asked_to_renew_and_another_when_it_gave_up() {
    let cache = Arc::new(TestCache::new(64));
    cache.insert(key(1), lasting(1, 100), NOW);
    let claim = |age: u64| cache.get(key(1), NOW + Seconds(age)).unwrap().refresh;
    assert!(claim(49).is_none());
    let claimed = claim(50).unwrap();
    assert!(claim(51).is_none());
    drop(claimed);
    assert!(claim(79).is_none());
    assert!(claim(80).is_some());
}

#[test]
fn a_value_from_the_future_is_a_miss_until_a_fresh_one_takes_its_place() {
    let cache = Arc::new(TestCache::new(64));
    cache.insert(key(1), NewValue { usable_from: NOW, ..lasting(1, 100) }, NOW);
    let (before, held) = (NOW - Seconds(1), Freshness::Held);
    assert!(cache.get(key(1), before).is_none());
    let Joined::Leader(lead, _own) = cache.join(key(1), before, held) else { panic!("no flight") };
    lead.complete(Ok(NewValue { usable_from: before, ..lasting(2, 50) }), before);
    for now in [before, NOW] {
        assert_eq!(*cache.get(key(1), now).unwrap().entry.value(), 2);
    }
}

#[test]
fn a_renewal_that_failed_before_the_clock_was_set_back_is_tried_again() {
    let cache = Arc::new(TestCache::new(64));
    cache.insert(key(1), lasting(1, 100), NOW);
    let claim = |age: u64| cache.get(key(1), NOW + Seconds(age)).unwrap().refresh;
    drop(claim(90).unwrap());
    assert!(claim(91).is_none());
    assert!(claim(60).is_some());
}

#[test]
fn a_cleared_cache_holds_nothing_and_its_flights_land() {
    let cache = Arc::new(TestCache::new(64));
    for index in 2..50 {
        cache.insert(key(index), lasting(1, 100), NOW);
    }
    let (lead, _own) = lead(&cache);
    cache.clear();
    assert_eq!((cache.stats().entries, cache.stats().flights), (0, 1));
    lead.complete(Ok(lasting(7, 10)), NOW);
    assert!(cache.get(key(1), NOW).is_some());
    assert!(cache.get(key(2), NOW).is_none());
}

#[test]
fn a_renewed_value_is_not_renewed_again() {
    let cache = Arc::new(TestCache::new(64));
    cache.insert(key(1), lasting(1, 100), NOW);
    let old = cache.get(key(1), NOW + Seconds(50)).unwrap();
    let refresh = old.refresh.unwrap();
    assert!(cache.is_current(key(1), &refresh));
    cache.insert(key(1), lasting(2, 1000), NOW);
    assert!(!cache.is_current(key(1), &refresh));
    refresh.done();
    assert!(old.entry.claim_refresh(NOW + Seconds(99)).is_none());
}

#[test]
fn neighbouring_keys_fall_in_different_shards() {
    let cache = TestCache::new(64);
    for stride in [1, 2, 3] {
        let shards = (0..64).map(|index| std::ptr::from_ref(cache.shard(key(index * stride))));
        let distinct = shards.collect::<std::collections::HashSet<_>>().len();
        assert!(distinct >= 40, "{distinct} shards for 64 keys {stride} apart");
    }
}

#[test]
fn a_used_entry_outlives_an_unused_one() {
    let shard = Shard::<u64, Gone>::new(2);
    let entry = |value| Arc::new(Entry::new(lasting(value, 10)));
    shard.insert(key(0), entry(0), NOW);
    shard.insert(key(1), entry(1), NOW);
    assert!(shard.get(key(0), NOW).is_some());
    shard.insert(key(2), entry(2), NOW);
    assert!(shard.get(key(0), NOW).is_some());
    assert!(shard.get(key(1), NOW).is_none());
    assert_eq!(shard.stats().evictions, 1);
}

#[test]
fn an_entry_keeps_its_mark_when_another_is_removed_and_a_replaced_one_loses_it() {
    let shard = Shard::<u64, Gone>::new(2);
    let insert = |index| {
        let entry = Arc::new(Entry::new(lasting(u64::from(index), 10)));
        shard.insert(key(index), entry, NOW);
    };
    let has = |index| shard.get(key(index), NOW).is_some();
    insert(0);
    insert(1);
    assert!(has(1));
    shard.remove(key(0));
    insert(2);
    // The hand begins with the first slot, to which the marked entry has moved.
    insert(3);
    assert!(has(1) && !has(2));
    insert(1);
    insert(4);
    assert!(!has(1) && has(3) && has(4));
}

#[derive(Clone, Debug)]
enum Step {
    Get(u32),
    Insert(u32, u64),
    Wait(u64),
    SetBack(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0_u32..20).prop_map(Step::Get),
        (0_u32..20, 1_u64..50).prop_map(|(key, life)| Step::Insert(key, life)),
        (0_u64..20).prop_map(Step::Wait),
        (0_u64..60).prop_map(Step::SetBack),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn a_large_cache_agrees_with_a_map_of_values_and_their_times_whatever_the_clock_does(steps in steps()) {
        let (cache, mut model, mut now) = (TestCache::new(10_000), HashMap::new(), NOW);
        for (value, step) in (0_u64..).zip(steps) {
            match step {
                Step::Wait(span) => now = now + Seconds(span),
                Step::SetBack(span) => now = now - Seconds(span),
                Step::Insert(index, life) => {
                    let expires_at = now + Seconds(life);
                    let fresh = NewValue { usable_from: now, ..fresh(value, expires_at, expires_at) };
                    cache.insert(key(index), fresh, now);
                    model.insert(index, (value, now..expires_at));
                }
                Step::Get(index) => {
                    let held = cache.get(key(index), now).map(|hit| *hit.entry.value());
                    let usable = model.get(&index).filter(|(_, time)| time.contains(&now));
                    let expected = usable.map(|(value, _)| *value);
                    prop_assert_eq!(held, expected);
                }
            }
        }
    }

    #[test]
    fn a_small_cache_never_holds_more_than_its_capacity_or_another_keys_value(steps in steps()) {
        let (cache, mut now) = (TestCache::new(1), NOW);
        for step in steps {
            match step {
                Step::Wait(span) => now = now + Seconds(span),
                Step::SetBack(span) => now = now - Seconds(span),
                Step::Insert(index, life) => {
                    let expires_at = now + Seconds(life);
                    cache.insert(key(index), fresh(index.into(), expires_at, expires_at), now);
                    prop_assert!(cache.get(key(index), now).is_some());
                }
                Step::Get(index) => {
                    let held = cache.get(key(index), now).map(|hit| *hit.entry.value());
                    prop_assert!(held.is_none_or(|value| value == u64::from(index)));
                }
            }
            prop_assert!(cache.stats().entries <= TestCache::SHARDS as u64);
        }
    }
}

proptest! {
    #[test]
    fn removals_leave_every_other_value_in_place(removed in prop::collection::vec(0_u32..40, 0..40)) {
        let cache = Arc::new(TestCache::new(64 * 40));
        for index in 0..40 {
            cache.insert(key(index), lasting(u64::from(index), 10), NOW);
        }
        for index in &removed {
            cache.remove(key(*index));
        }
        for index in 0..40 {
            let held = cache.get(key(index), NOW).map(|hit| *hit.entry.value());
            let expected = (!removed.contains(&index)).then_some(u64::from(index));
            prop_assert_eq!(held, expected);
        }
    }
}

/// Model checking of thread interleavings: `MINTBENCH_SHUTTLE=1 cargo test --lib shuttle`.
#[cfg(mintbench_shuttle)]
mod shuttle_schedules {
    use super::*;
    use shuttle::sync::atomic::AtomicUsize;
    use shuttle::{future, thread};

    const SCHEDULES: usize = 5_000;

    /// Asks for the key as the broker does, and counts the fetches.
    fn ask(cache: &Arc<TestCache>, fetches: &AtomicUsize) -> Result<u64, Gone> {
        if let Some(hit) = cache.get(key(1), NOW) {
            return Ok(*hit.entry.value());
        }
        let waiter = match cache.join(key(1), NOW, Freshness::Held) {
            Joined::Ready(entry) => return Ok(*entry.value()),
            Joined::Follower(waiter) => waiter,
            Joined::Leader(lead, waiter) => {
                fetches.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || lead.complete(Ok(lasting(7, 10)), NOW));
                waiter
            }
        };
        future::block_on(waiter).map(|entry| *entry.value())
    }

    /// Follows the broker: after the insert, a mint lane checks whether the identity has ended. The thread
    /// that ends an identity first marks it as ended, then clears the cache.
    #[test]
    fn shuttle_a_token_minted_while_its_identity_ends_is_not_kept() {
        use shuttle::sync::atomic::AtomicBool;
        let schedule = || {
            let (cache, ended) = (Arc::new(TestCache::new(64)), Arc::new(AtomicBool::new(false)));
            let lane = {
                let (cache, ended) = (Arc::clone(&cache), Arc::clone(&ended));
                thread::spawn(move || {
                    let (lead, _waiter) = lead(&cache);
                    lead.complete(Ok(lasting(7, 10)), NOW);
                    if ended.load(Ordering::Acquire) {
                        cache.remove(key(1));
                    }
                })
            };
            ended.store(true, Ordering::Release);
            cache.remove(key(1));
            lane.join().unwrap();
            assert!(cache.get(key(1), NOW).is_none());
        };
        shuttle::check_random(schedule, SCHEDULES);
    }

    #[test]
    fn shuttle_three_callers_cause_one_fetch_and_all_get_it() {
        let schedule = || {
            let (cache, fetches) = (Arc::new(TestCache::new(64)), Arc::new(AtomicUsize::new(0)));
            let callers: Vec<_> = (0..3)
                .map(|_| {
                    let (cache, fetches) = (Arc::clone(&cache), Arc::clone(&fetches));
                    thread::spawn(move || assert_eq!(ask(&cache, &fetches), Ok(7)))
                })
                .collect();
            callers.into_iter().for_each(|caller| caller.join().unwrap());
            assert_eq!(fetches.load(Ordering::SeqCst), 1);
        };
        shuttle::check_random(schedule, SCHEDULES);
        shuttle::check_pct(schedule, SCHEDULES, 3);
    }

    #[test]
    fn shuttle_a_leader_that_goes_away_wakes_its_followers() {
        let schedule = || {
            let cache = Arc::new(TestCache::new(64));
            let (first, own) = lead(&cache);
            let follower = follow(&cache);
            let waiting =
                thread::spawn(move || future::block_on(follower).map(|entry| *entry.value()));
            drop(own);
            thread::spawn(move || drop(first));
            assert_eq!(waiting.join().unwrap(), Err(Gone));
            drop(lead(&cache));
        };
        shuttle::check_random(schedule, SCHEDULES);
    }

    #[test]
    fn shuttle_at_most_one_caller_refreshes_at_a_time() {
        let schedule = || {
            let cache = Arc::new(TestCache::new(64));
            cache.insert(key(1), lasting(1, 10), NOW);
            let claims = Arc::new(AtomicUsize::new(0));
            let callers: Vec<_> = (0..3)
                .map(|_| {
                    let (cache, claims) = (Arc::clone(&cache), Arc::clone(&claims));
                    thread::spawn(move || {
                        if let Some(refresh) = cache.get(key(1), NOW + Seconds(5)).unwrap().refresh
                        {
                            assert_eq!(claims.fetch_add(1, Ordering::SeqCst), 0);
                            claims.fetch_sub(1, Ordering::SeqCst);
                            drop(refresh);
                        }
                    })
                })
                .collect();
            callers.into_iter().for_each(|caller| caller.join().unwrap());
        };
        shuttle::check_random(schedule, SCHEDULES);
    }
}
