//! Tests with one identity on several machines, and with resources that are on no list.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::*;
use crate::base::synthetic::IdentityIds;
use crate::service::world::record::{Change, Key as RecordKey};

/// Returns four machines that share one user-assigned identity; each also has an identity of its own.
fn shared() -> (Fixture, IdentityIds) {
    let mut records = Synthetic { vms: 4, user_assigned: 1, seed: 1 }.build().unwrap();
    let first = records.iter().find_map(|record| match record {
        Record::VirtualMachine(vm) => Some(vm.user_assigned[0].clone()),
        _ => None,
    });
    let first = first.unwrap();
    let mut ids = None;
    for record in &mut records {
        match record {
            Record::VirtualMachine(vm) => vm.user_assigned = vec![first.clone()],
            Record::UserAssigned(identity) if identity.id == first.id => ids = Some(identity.ids),
            _ => {}
        }
    }
    (fixture_of(records, 100), ids.unwrap())
}

fn ask(fixture: &Fixture, vm: u8, ids: IdentityIds, resource: &str) -> Result<Answer, TokenError> {
    let selector = Selector::ClientId(ids.client_id);
    let request = TokenRequest { selector: Some(&selector), resource, freshness: Freshness::Held };
    block_on(fixture.broker.token(&fixture.vm(vm), &request, &*fixture.clock))
}

fn claim(answer: &Answer, name: &str) -> Option<String> {
    let payload = answer.token().jwt().split('.').nth(1).unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims[name].as_str().map(str::to_owned)
}

fn entries(fixture: &Fixture) -> u64 {
    fixture.broker.stats().cache.entries
}

/// Returns the current record of a machine.
fn record(fixture: &Fixture, vm: u8) -> VirtualMachine {
    VirtualMachine::clone(&fixture.broker.vm(&fixture.vm(vm), NOW).unwrap().record)
}

fn unassign(fixture: &Fixture, vm: u8) {
    let changed = VirtualMachine { user_assigned: Vec::new(), ..record(fixture, vm) };
    directory::tests::put(fixture.broker.directory(), Record::VirtualMachine(changed));
}

#[test]
fn a_token_of_a_user_assigned_identity_names_the_machine_that_asked() {
    let (fixture, ids) = shared();
    for vm in [0, 1] {
        let answer = ask(&fixture, vm, ids, ARM).unwrap();
        assert_eq!(answer.via, Via::Miss);
        let named = record(&fixture, vm).id.as_str().replace("resourceGroups", "resourcegroups");
        assert_eq!(claim(&answer, "xms_az_rid"), Some(named));
        assert_eq!(ask(&fixture, vm, ids, ARM).unwrap().token().jwt(), answer.token().jwt());
    }
    let own = block_on(fixture.ask(0, ARM)).unwrap();
    assert_eq!(claim(&own, "xms_az_rid"), None);
}

#[test]
fn tokens_go_with_the_assignment_of_one_machine_and_stay_with_the_others() {
    let (fixture, ids) = shared();
    for vm in [0, 1] {
        ask(&fixture, vm, ids, ARM).unwrap();
        ask(&fixture, vm, ids, "https://account.blob.core.windows.net").unwrap();
    }
    assert_eq!(entries(&fixture), 4);
    let before = record(&fixture, 0);
    unassign(&fixture, 0);
    assert_eq!(entries(&fixture), 2);
    let refused = ask(&fixture, 0, ids, ARM).unwrap_err();
    assert_eq!(refused, TokenError::Select(SelectError::NotFound));
    assert_eq!(ask(&fixture, 1, ids, ARM).unwrap().via, Via::Hit);
    directory::tests::put(fixture.broker.directory(), Record::VirtualMachine(before));
    assert_eq!(ask(&fixture, 0, ids, ARM).unwrap().via, Via::Miss);
}

#[test]
fn tokens_of_every_machine_go_with_the_identity() {
    let (fixture, ids) = shared();
    for vm in 0..4 {
        ask(&fixture, vm, ids, ARM).unwrap();
        ask(&fixture, vm, ids, "https://account.blob.core.windows.net").unwrap();
        block_on(fixture.ask(vm, ARM)).unwrap();
    }
    let id = record(&fixture, 0).user_assigned[0].id.clone();
    directory::tests::change(
        fixture.broker.directory(),
        Change::Remove(RecordKey::UserAssigned(id)),
    );
    assert_eq!(entries(&fixture), 4);
    let id = record(&fixture, 0).id;
    directory::tests::change(
        fixture.broker.directory(),
        Change::Remove(RecordKey::VirtualMachine(id)),
    );
    assert_eq!(entries(&fixture), 3);
}

#[test]
fn a_token_in_flight_when_its_assignment_ends_is_not_kept() {
    let (fixture, ids) = shared();
    let go = fixture.hold_mints();
    {
        let selector = Selector::ClientId(ids.client_id);
        let request =
            TokenRequest { selector: Some(&selector), resource: ARM, freshness: Freshness::Held };
        let caller = fixture.vm(0);
        let asked = std::pin::pin!(fixture.broker.token(&caller, &request, &*fixture.clock));
        let waker = std::task::Waker::noop();
        assert!(asked.poll(&mut std::task::Context::from_waker(waker)).is_pending());
    }
    unassign(&fixture, 0);
    drop(go);
    poll(|| (fixture.broker.stats().lanes.mints == 1).then_some(()));
    poll(|| (entries(&fixture) == 0).then_some(()));
}

#[test]
fn a_machine_that_makes_up_resources_displaces_its_own_tokens_and_nobody_elses() {
    let (fixture, ids) = shared();
    let name = |number: u32| format!("https://account{number}.queue.core.windows.net");
    ask(&fixture, 1, ids, &name(0)).unwrap();
    for number in 0..100 {
        let answer = ask(&fixture, 0, ids, &name(number)).unwrap();
        assert_eq!(claim(&answer, "aud"), Some(name(number)));
    }
    assert_eq!(entries(&fixture), 33);
    assert_eq!(ask(&fixture, 1, ids, &name(0)).unwrap().via, Via::Hit);
    assert_eq!(ask(&fixture, 0, ids, &name(99)).unwrap().via, Via::Hit);
    // A name that returns gets a new number, and never the token of another name.
    let again = ask(&fixture, 0, ids, &name(0)).unwrap();
    assert_eq!((again.via, claim(&again, "aud")), (Via::Miss, Some(name(0))));
}

#[test]
fn all_spellings_of_a_resource_share_one_token() {
    let fixture = fixture(10);
    let id = "cfa8b339-82a2-471a-a3c9-0fc0be7a4093";
    let first = block_on(fixture.ask(0, &id.to_uppercase())).unwrap();
    assert_eq!(claim(&first, "aud").as_deref(), Some(id));
    assert_eq!(block_on(fixture.ask(0, id)).unwrap().via, Via::Hit);
    let host = "https://account.blob.core.windows.net";
    let first = block_on(fixture.ask(0, &host.to_uppercase())).unwrap();
    assert_eq!(claim(&first, "aud").as_deref(), Some(host));
    assert_eq!(block_on(fixture.ask(0, host)).unwrap().via, Via::Hit);
}

#[test]
fn a_hit_is_the_cached_token_renews_it_when_due_and_counts_once() {
    let (fixture, ids) = shared();
    let selector = Selector::ClientId(ids.client_id);
    let hit = |resource: &str, freshness| {
        let request = TokenRequest { selector: Some(&selector), resource, freshness };
        fixture.broker.hit(&fixture.vm(0), &request, &*fixture.clock)
    };
    let resources = [ARM, "https://account.blob.core.windows.net"];
    for (number, resource) in (1..).zip(resources) {
        assert!(hit(resource, Freshness::Held).is_none());
        let token = ask(&fixture, 0, ids, resource).unwrap();
        let answer = hit(resource, Freshness::Held).unwrap();
        assert_eq!((answer.via, answer.at), (Via::Hit, NOW));
        assert_eq!(answer.token().jwt(), token.token().jwt());
        let stats = fixture.broker.stats();
        assert_eq!((stats.misses, stats.cache.hits), (number, number));
    }
    assert!(hit(ARM, Freshness::Renewed).is_none());
    assert!(hit("https://nobody.example", Freshness::Held).is_none());
    // Renewals are due at a moment around half of the lifetime.
    fixture.clock.advance(Seconds(LIFETIME.0 * 6 / 10));
    assert!(resources.into_iter().all(|resource| hit(resource, Freshness::Held).is_some()));
    poll(|| (fixture.broker.stats().lanes.refreshes == 2).then_some(()));
    fixture.clock.advance(LIFETIME);
    assert!(resources.into_iter().all(|resource| hit(resource, Freshness::Held).is_none()));
    fixture.clock.set(NOW);
    unassign(&fixture, 0);
    assert!(resources.into_iter().all(|resource| hit(resource, Freshness::Held).is_none()));
}
