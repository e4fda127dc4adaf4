//! Roles for keys: what each permits, at a vault and at one key.

use super::keys::{EC_JWK, RSA_JWK, import};
use super::*;

/// Requests every operation on the key `rsa` and returns which ones were answered, in the order of the list.
fn allowed(world: &World, principal: u8, key: &str) -> String {
    let encryption = r#"{"alg":"RSA-OAEP","value":"AQ"}"#;
    let digest = "A".repeat(43);
    let signature = format!(r#"{{"alg":"RS256","digest":"{digest}","value":"{digest}"}}"#);
    let ec = r#"{"kty":"EC"}"#;
    let policy = r#"{"attributes":{"expiryTime":"P90D"}}"#;
    let imported = format!(r#"{{"key":{{{EC_JWK}}}}}"#);
    let asked = [
        ('g', "GET", "/keys/K", ""),
        ('l', "GET", "/keys", ""),
        ('v', "GET", "/keys/K/versions", ""),
        ('L', "GET", "/deletedkeys", ""),
        ('e', "POST", "/keys/K/encrypt", encryption),
        ('d', "POST", "/keys/K/decrypt", encryption),
        ('w', "POST", "/keys/K/wrapkey", encryption),
        ('u', "POST", "/keys/K/unwrapkey", encryption),
        ('s', "POST", "/keys/K/sign", &*signature),
        ('V', "POST", "/keys/K/verify", &*signature),
        ('P', "PATCH", "/keys/K", "{}"),
        ('b', "POST", "/keys/K/backup", ""),
        ('y', "GET", "/keys/K/rotationpolicy", ""),
        ('Y', "PUT", "/keys/K/rotationpolicy", policy),
        ('c', "POST", "/keys/new/create", ec),
        ('i', "PUT", "/keys/new", &*imported),
        ('o', "POST", "/keys/K/rotate", ""),
        ('x', "DELETE", "/keys/K", ""),
        ('r', "POST", "/deletedkeys/K/recover", ""),
        ('p', "DELETE", "/deletedkeys/K", ""),
    ];
    let is_allowed = |(_, method, path, body): &(char, &str, &str, &str)| {
        let answer = world.ask_as(principal, method, &path.replace('K', key), body);
        let denied = ("Forbidden".to_owned(), Some("ForbiddenByRbac".to_owned()));
        assert_eq!(answer.status == 403, answer.status >= 400 && answer.codes() == denied);
        answer.status != 403
    };
    asked.iter().filter(|asked| is_allowed(asked)).map(|(letter, ..)| letter).collect()
}

fn furnished() -> World {
    let world = World::with_keys();
    for name in ["rsa", "other"] {
        assert_eq!(import(&world, name, RSA_JWK).status, 200);
    }
    world
}

#[test]
fn roles_decide_what_is_done_with_keys() {
    let subscription = "/subscriptions/5ab5c1de-0000-4000-8000-000000000001";
    let all = "glvLedwusVPbyYcioxrp";
    for (role, scope, expected) in [
        ("Key Vault Crypto Officer", VAULT, all),
        ("Key Vault Administrator", subscription, all),
        ("Key Vault Crypto User", VAULT, "glvLedwusVPb"),
        ("Key Vault Crypto Service Encryption User", VAULT, "glvLewuV"),
        // Whoever reads a key has its public half, and with it can encrypt and verify.
        ("Key Vault Reader", VAULT, "glvLewVy"),
        ("Key Vault Secrets Officer", VAULT, ""),
        ("Key Vault Contributor", VAULT, ""),
        ("Owner", "/", ""),
    ] {
        let world = furnished();
        assert_eq!(allowed(&world, OTHER, "rsa"), "", "without a role");
        world.grant(OTHER, role, scope);
        assert_eq!(allowed(&world, OTHER, "rsa"), expected, "{role} at {scope}");
    }
}

#[test]
fn a_role_at_one_key_opens_that_key_alone() {
    for (role, own) in
        [("Key Vault Crypto User", "gvedwusVPb"), ("Key Vault Crypto Officer", "gvedwusVPbyYoxrp")]
    {
        let world = furnished();
        world.grant(OTHER, role, &format!("{VAULT}/keys/RSA"));
        assert_eq!(allowed(&world, OTHER, "other"), "", "{role}");
        assert_eq!(allowed(&world, OTHER, "rsa"), own, "{role}");
    }
    let world = furnished();
    world.grant(OTHER, "Key Vault Administrator", &format!("{VAULT}/secrets/rsa"));
    assert_eq!(allowed(&world, OTHER, "rsa"), "", "a secret of the same name");
    let world = furnished();
    world.grant(OTHER, "Key Vault Administrator", &format!("{VAULT}/keys/demo-secret"));
    assert_eq!(world.ask_as(OTHER, "GET", "/secrets/demo-secret", "").status, 403);
}

#[test]
fn who_may_not_use_a_key_is_told_which_action_is_missing() {
    let world = furnished();
    for (usage, action) in [("sign", "sign"), ("unwrapkey", "unwrap"), ("verify", "verify")] {
        let refused = world.ask_as(OTHER, "POST", &format!("/keys/Rsa/{usage}"), "{}");
        let message = refused.message();
        let line = format!("Action: 'Microsoft.KeyVault/vaults/keys/{action}/action'\r\n");
        assert!(message.contains(&line), "{message}");
        assert!(message.contains("/providers/microsoft.keyvault/vaults/demo-vault/keys/rsa'\r\n"));
    }
}
