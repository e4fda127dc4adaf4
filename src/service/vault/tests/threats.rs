//! Threats to the vaults, by their numbers in `docs/reliability.md`. Each test fails without its guards.

use super::*;
use crate::service::directory::Principal;
use crate::service::token::{Flaw, TokenBreaker};

/// Returns the answer to a list of secrets with this token.
fn listed(world: &World, token: &str) -> u16 {
    world.send(Ask::new("GET", "/secrets").token(token)).status
}

#[test]
fn threat_10_a_token_of_a_removed_identity_opens_nothing() {
    let world = World::new();
    world.grant(OTHER, "Key Vault Secrets Officer", VAULT);
    let token = world.token(OTHER);
    assert_eq!(listed(&world, &token), 200);
    let id = match world.directory.read().principal(ids(OTHER).1) {
        Some(Principal::ManagedIdentity(identity)) => identity.resource_id.clone(),
        other => panic!("{other:?}"),
    };
    world.change(Change::Remove(Key::UserAssigned(id)));
    assert_eq!(listed(&world, &token), 401);
}

#[test]
fn threat_13_a_token_for_another_service_or_of_another_issuer_opens_nothing() {
    let world = World::new();
    assert_eq!(listed(&world, &world.token(OFFICER)), 200);
    for audience in ["https://management.azure.com/", "https://vault.azure.net/", ""] {
        assert_eq!(listed(&world, &world.token_for(OFFICER, audience, TENANT)), 401, "{audience}");
    }
    // A client of another tenant that is known, and even has the role.
    let (stranger, tenant) = (0x77, "72f988bf-0000-4000-8000-000000000002");
    let (client_id, principal_id) = ids(stranger);
    let id = tenant.parse().unwrap();
    world.change(Change::Put(Record::Tenant(record::Tenant { id, created: NOW })));
    world.change(Change::Put(Record::Application(record::Application {
        client_id,
        principal_id,
        tenant: id,
        display_name: "stranger".to_owned(),
        secret_digests: Vec::new(),
    })));
    world.grant(stranger, "Key Vault Secrets Officer", VAULT);
    let token = world.token_for(stranger, "https://vault.azure.net", tenant);
    assert_eq!(listed(&world, &token), 401);
    let breaker = TokenBreaker::new(world.directory.ring());
    let broken = breaker.break_token(&world.token(OFFICER), Flaw::WrongIssuer).unwrap();
    assert_eq!(listed(&world, &broken), 401);
}

#[test]
fn threat_17_without_a_role_at_the_vault_a_good_token_opens_nothing() {
    let world = World::new();
    world.grant(OTHER, "Owner", VAULT);
    assert_eq!(listed(&world, &world.token(OTHER)), 403);
}
