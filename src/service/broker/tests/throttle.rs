//! Limits of the requests of a VM, on both ways to a token.

use super::*;
use crate::service::world::Throttle;

/// Returns a broker whose first VM has these limits. The others have none.
fn limited(limits: &str) -> Fixture {
    let throttle: Throttle = limits.parse().unwrap();
    let world = Synthetic { vms: 2, user_assigned: 2, seed: 1 };
    let mut records = world.build().unwrap();
    let first = records.iter_mut().find_map(|record| match record {
        Record::VirtualMachine(vm) => Some(vm),
        _ => None,
    });
    first.unwrap().throttle = Some(throttle);
    fixture_of(records, 100)
}

const REQUEST: TokenRequest<'_> =
    TokenRequest { selector: None, resource: ARM, freshness: Freshness::Held };

impl Fixture {
    /// Returns true if the way in front of hyper answers the first VM.
    fn hits(&self) -> bool {
        self.broker.hit(&self.vm(0), &REQUEST, &*self.clock).is_some()
    }

    fn is_throttled(&self) -> bool {
        matches!(block_on(self.ask(0, ARM)), Err(TokenError::Throttled(_)))
    }
}

#[test]
fn both_ways_count_against_the_limit_of_the_vm_and_of_no_other() {
    let fixture = limited("identity=3/s");
    assert_eq!(block_on(fixture.ask(0, ARM)).unwrap().via, Via::Miss);
    assert!(fixture.hits());
    assert_eq!(block_on(fixture.ask(0, ARM)).unwrap().via, Via::Hit);
    for _ in 0..10 {
        assert!(!fixture.hits() && fixture.is_throttled());
    }
    for _ in 0..100 {
        block_on(fixture.ask(1, ARM)).unwrap();
    }
    fixture.clock.advance(Seconds(1));
    assert_eq!((0..10).filter(|_| fixture.hits()).count(), 3);
    assert_eq!(fixture.broker.stats().cache.hits, 2 + 99 + 3);
}

#[test]
fn what_is_left_to_hyper_is_counted_there_only() {
    let fixture = limited("identity=2/s,concurrent=1");
    for _ in 0..10 {
        assert!(!fixture.hits());
    }
    for _ in 0..2 {
        block_on(fixture.ask(0, ARM)).unwrap();
    }
    assert!(fixture.is_throttled());
}

#[test]
fn a_request_for_an_identity_that_the_vm_lacks_is_counted_too() {
    let fixture = limited("identity=2/s");
    let nobody = Selector::ClientId(crate::base::ids::ClientId::from_bytes([9; 16]));
    let ask = || {
        let request = TokenRequest { selector: Some(&nobody), ..REQUEST };
        block_on(fixture.broker.token(&fixture.vm(0), &request, &*fixture.clock)).unwrap_err()
    };
    for _ in 0..2 {
        assert_eq!(ask(), TokenError::Select(SelectError::NotFound));
    }
    assert!(matches!(ask(), TokenError::Throttled(_)));
}

#[test]
fn requests_in_flight_are_limited_until_they_are_answered_or_their_callers_leave() {
    let fixture = limited("identity=1000/s,concurrent=2");
    let go = fixture.hold_mints();
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    let mut waiting = [Box::pin(fixture.ask(0, ARM)), Box::pin(fixture.ask(0, VAULT))];
    for asked in &mut waiting {
        assert!(asked.as_mut().poll(&mut context).is_pending());
    }
    assert!(fixture.is_throttled());
    let [first, second] = waiting;
    drop(first);
    ask_and_leave(&fixture, 0, ARM);
    drop(go);
    block_on(second).unwrap();
    fixture.fail_next(Mishap::Panic);
    assert!(block_on(fixture.ask(0, "https://storage.azure.com/")).is_err());
    let again = [fixture.ask(0, ARM), fixture.ask(0, VAULT)];
    for asked in again {
        block_on(asked).unwrap();
    }
}

#[test]
fn other_metadata_has_a_limit_of_its_own() {
    let fixture = limited("identity=1/s,metadata=2/s");
    let admitted = |vm, category| {
        fixture.broker.admitted_vm(&fixture.vm(vm), category, &*fixture.clock).is_ok()
    };
    for _ in 0..2 {
        assert!(admitted(0, Category::Metadata));
    }
    assert!(!admitted(0, Category::Metadata));
    assert!(admitted(1, Category::Metadata) && admitted(0, Category::Identity));
    assert!(!admitted(0, Category::Identity));
}

/// Threat 12 of `docs/reliability.md`.
#[test]
fn threat_12_one_machine_takes_no_more_than_its_limits_and_nothing_from_another() {
    let fixture = limited("identity=3/s,concurrent=2");
    let asked = || (0..10).filter(|_| block_on(fixture.ask(0, ARM)).is_ok()).count();
    assert_eq!(asked(), 3);
    assert!(block_on(fixture.ask(1, ARM)).is_ok());
    fixture.clock.advance(Seconds(1));
    let go = fixture.hold_mints();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let mut waits = Box::pin(fixture.ask(0, VAULT));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(waits.as_mut().poll(&mut context).is_pending());
            waits
        })
        .collect();
    assert!(fixture.is_throttled());
    drop((go, waiting));
    assert!(!fixture.is_throttled());
}
