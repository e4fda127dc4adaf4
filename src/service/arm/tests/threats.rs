//! Threats to the control plane, by their numbers in `docs/reliability.md`. Each test fails without its guards.

use super::*;
use crate::service::token::{Flaw, TokenBreaker};

#[test]
fn threat_13_the_control_plane_takes_tokens_for_itself_alone() {
    let world = world();
    for (audience, status) in [(ARM, 200), ("https://vault.azure.net", 401), ("", 401)] {
        let token = format!("Bearer {}", world.token_for("owner", audience));
        let path = versioned("/subscriptions");
        let answer = world.raw(("owner", "GET", &path), b"", |headers| {
            headers.insert("authorization", token.parse().unwrap());
        });
        assert_eq!(answer.status, status, "{audience}");
    }
    let breaker = TokenBreaker::new(world.directory.ring());
    let broken = breaker.break_token(&world.token_for("owner", ARM), Flaw::WrongIssuer).unwrap();
    let answer = world.raw(("owner", "GET", &versioned("/subscriptions")), b"", |headers| {
        headers.insert("authorization", format!("Bearer {broken}").parse().unwrap());
    });
    assert_eq!(answer.status, 401);
}

#[test]
fn threat_17_nobody_grants_a_role_or_takes_an_identity_without_the_right_to_it() {
    let world = world();
    let id = world.identity("one");
    let wanted = json!({"properties": {
        "roleDefinitionId": by_name("Owner").unwrap().resource_id(None),
        "principalId": principal("nobody").to_string(),
    }});
    for name in ["nobody", "reader", "machinist"] {
        let granted = world.send(name, "PUT", &assignment_path(GROUP, 7), &wanted);
        assert_eq!(granted.refusal(), (403, "AuthorizationFailed"), "{name}");
    }
    let body = json!({"location": "westus", "identity": {"type": "UserAssigned", "userAssignedIdentities": {&id: {}}}});
    let taken = world.send("machinist", "PUT", &machine_id("vm"), &body);
    assert_eq!(taken.refusal(), (403, "LinkedAuthorizationFailed"));
    assert_eq!(world.put(&machine_id("vm"), &body).status, 201);
}
