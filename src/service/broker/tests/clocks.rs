//! Tests of cached tokens when the clock is set, and when their signing key is revoked.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use proptest::prelude::*;

use super::*;

/// Greatest tolerated difference between two clocks, in seconds.
const LEEWAY: u64 = 300;

fn claims(token: &Token) -> serde_json::Value {
    let payload = token.jwt().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn kid(answer: &Answer) -> String {
    let header = answer.token().jwt().split('.').next().unwrap();
    let header = BASE64_URL_SAFE_NO_PAD.decode(header).unwrap();
    serde_json::from_slice::<serde_json::Value>(&header).unwrap()["kid"].to_string()
}

/// Checks every value of an answer that clients rely on.
fn is_good(answer: &Answer) -> Result<(), TestCaseError> {
    let (now, claims) = (answer.at, claims(answer.token()));
    let [nbf, exp] = ["nbf", "exp"].map(|name| claims[name].as_u64().unwrap());
    let expires_in = answer.token().expires_in(now).0;
    prop_assert!(nbf <= now.0 + LEEWAY, "nbf {nbf} at {now}");
    prop_assert!(now.0 < exp, "exp {exp} at {now}");
    prop_assert!((1..=LIFETIME.0).contains(&expires_in), "expires_in {expires_in}");
    prop_assert!(now.0 + expires_in <= exp, "expires_in {expires_in} of {exp} at {now}");
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(u8),
    /// Moves the clock by this many seconds.
    Set(i64),
    /// Makes the next mint fail.
    Fail,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_u8).prop_map(Step::Ask),
        2 => (-20..700_i64).prop_map(Step::Set),
        1 => (-700..0_i64).prop_map(Step::Set),
        1 => (-200_000..200_000_i64).prop_map(Step::Set),
        1 => Just(Step::Fail),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_clock_does_a_token_is_valid_when_it_is_given(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let fixture = fixture(10);
        for step in steps {
            match step {
                Step::Set(by) => {
                    fixture.clock.set(UnixSeconds(fixture.clock.now().0.saturating_add_signed(by)));
                }
                Step::Fail => fixture.fail_next(Mishap::Error),
                Step::Ask(vm) => match block_on(fixture.ask(vm, ARM)) {
                    Ok(answer) => is_good(&answer)?,
                    Err(error) => prop_assert_eq!(error, TokenError::Mint(MintError::Sign)),
                },
            }
        }
    }
}

#[test]
fn a_token_from_before_the_clock_was_set_back_is_minted_anew() {
    let fixture = fixture(10);
    fixture.clock.advance(Seconds(25 * 3_600));
    let ahead = block_on(fixture.ask(0, ARM)).unwrap();
    fixture.clock.set(NOW + Seconds(20 * 3_600));
    let back = block_on(fixture.ask(0, ARM)).unwrap();
    assert_eq!(back.via, Via::Miss);
    assert_ne!(back.token().jwt(), ahead.token().jwt());
    assert_eq!(back.token().expires_in(back.at), LIFETIME);
    assert_eq!(block_on(fixture.ask(0, ARM)).unwrap().via, Via::Hit);
}

#[test]
fn a_step_back_of_seconds_keeps_the_token_and_counts_no_more_than_its_life() {
    let fixture = fixture(10);
    block_on(fixture.ask(0, ARM)).unwrap();
    fixture.clock.set(NOW - Seconds(2));
    let again = block_on(fixture.ask(0, ARM)).unwrap();
    assert_eq!((again.via, again.token().expires_in(again.at)), (Via::Hit, LIFETIME));
}

#[test]
fn a_clock_that_is_set_during_a_mint_has_the_token_minted_again() {
    for by in [-20_000, 20_000] {
        let fixture = fixture(10);
        let go = fixture.hold_mints();
        let answer = std::thread::scope(|scope| {
            let asked = scope.spawn(|| block_on(fixture.ask(0, ARM)).unwrap());
            poll(|| (fixture.source.script.is_locked()).then_some(()));
            fixture.clock.set(UnixSeconds(NOW.0.saturating_add_signed(by)));
            drop(go);
            asked.join().unwrap()
        });
        is_good(&answer).unwrap();
    }
}

#[test]
fn a_revoked_key_takes_its_tokens_with_it() {
    let fixture = fixture(10);
    let old = block_on(fixture.ask(0, ARM)).unwrap();
    block_on(fixture.ask(1, ARM)).unwrap();
    fixture.broker.directory().revoke_signing_key(NOW).unwrap();
    assert_eq!(fixture.broker.stats().cache.entries, 0);
    let new = block_on(fixture.ask(0, ARM)).unwrap();
    assert_eq!(new.via, Via::Miss);
    assert_ne!(kid(&new), kid(&old));
}

#[test]
fn who_waits_while_a_key_is_revoked_gets_a_token_of_the_next_key() {
    let fixture = fixture(10);
    let old = kid(&block_on(fixture.ask(1, ARM)).unwrap());
    let go = fixture.hold_mints();
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| block_on(fixture.ask(0, ARM)).unwrap());
        poll(|| (fixture.source.script.is_locked()).then_some(()));
        fixture.broker.directory().revoke_signing_key(NOW).unwrap();
        drop(go);
        asked.join().unwrap()
    });
    assert_ne!(kid(&answer), old);
    let held = block_on(fixture.ask(0, ARM)).unwrap();
    assert_eq!((held.via, kid(&held)), (Via::Hit, kid(&answer)));
}

/// A clock that moves by a token's life after its first reading.
#[derive(Debug, Default)]
struct Leap(AtomicU64);

impl Clock for Leap {
    fn now(&self) -> UnixSeconds {
        let readings = self.0.fetch_add(1, Ordering::Relaxed);
        NOW + Seconds(LIFETIME.0 * readings.min(1))
    }

    fn monotonic_ns(&self) -> u64 {
        0
    }
}

#[test]
fn a_token_that_expires_between_two_looks_is_no_hit() {
    let fixture = fixture(10);
    let resource = "https://account.blob.core.windows.net";
    block_on(fixture.ask(0, resource)).unwrap();
    let request = TokenRequest { selector: None, resource, freshness: Freshness::Held };
    let caller = fixture.vm(0);
    assert!(fixture.broker.hit(&caller, &request, &Leap::default()).is_none());
    // The lanes read their own clock.
    fixture.clock.advance(LIFETIME);
    let answer = block_on(fixture.broker.token(&caller, &request, &Leap::default())).unwrap();
    assert_eq!(answer.via, Via::Miss);
    let stats = fixture.broker.stats();
    assert_eq!((stats.cache.hits, stats.coalesced, stats.misses), (0, 0, 2));
}
