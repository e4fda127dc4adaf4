//! Rotation of keys: by request, and by policy.

use super::keys::{RSA_JWK, import};
use super::*;

const DAY: u64 = 24 * 60 * 60;

const EVERY_60_DAYS: &str = r#"{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P60D"},"action":{"type":"Rotate"}}],"attributes":{"expiryTime":"P90D"}}"#;

fn versions(world: &World, key: &str) -> usize {
    let page = world.get(&format!("/keys/{key}/versions")).json();
    page["value"].as_array().unwrap().len()
}

fn rotate_due(world: &World) -> usize {
    rotate_keys_due(&world.directory, world.clock.now(), MAX_VERSIONS, 8).unwrap()
}

#[test]
fn a_rotated_key_has_a_new_version_with_the_same_parameters() {
    let world = World::with_keys();
    let body = r#"{"kty":"EC","crv":"P-384","key_ops":["sign"],"tags":{"a":"b"},"attributes":{"exp":2000000000}}"#;
    let first = world.create("a", body).json();
    let second = world.ask("POST", "/keys/a/rotate", "").json();
    assert_ne!(first["key"]["kid"], second["key"]["kid"]);
    assert_ne!(first["key"]["x"], second["key"]["x"]);
    for member in ["kty", "crv", "key_ops"] {
        assert_eq!(first["key"][member], second["key"][member], "{member}");
    }
    assert_eq!(first["tags"], second["tags"]);
    assert_eq!(second["attributes"].get("exp"), None, "no policy says when it expires");
    import(&world, "rsa", RSA_JWK);
    let rotated = world.ask("POST", "/keys/rsa/rotate", "").json();
    assert_eq!(rotated["key"]["n"].as_str().unwrap().len(), 342, "256 bytes");
    assert_eq!(world.ask("POST", "/keys/none/rotate", "").status, 404);
}

#[test]
fn a_policy_is_kept_over_versions_and_gives_them_an_expiry() {
    let world = World::with_keys();
    world.create("Ka", r#"{"kty":"EC"}"#);
    let usual = world.get("/keys/ka/rotationpolicy");
    assert_eq!(
        usual.text,
        format!(
            r#"{{"id":"{BASE_URL}/keys/Ka/rotationpolicy","lifetimeActions":[{{"trigger":{{"timeBeforeExpiry":"P30D"}},"action":{{"type":"Notify"}}}}],"attributes":{{}}}}"#
        )
    );
    let set = world.ask("PUT", "/keys/ka/rotationpolicy", EVERY_60_DAYS);
    assert_eq!((set.status, set.json()["attributes"]["expiryTime"].as_str()), (200, Some("P90D")));
    world.clock.advance(Seconds(5));
    let rotated = world.ask("POST", "/keys/ka/rotate", "").json();
    assert_eq!(rotated["attributes"]["exp"], NOW.0 + 5 + 90 * DAY);
    assert_eq!(world.get("/keys/ka/rotationpolicy").text, set.text);
    let again = world.ask("PUT", "/keys/ka/rotationpolicy", r#"{"attributes":{}}"#).json();
    let attributes = &again["attributes"];
    assert_eq!(attributes["created"], NOW.0);
    assert_eq!((&attributes["updated"], attributes.get("expiryTime")), (&(NOW.0 + 5).into(), None));
    assert_eq!(world.ask("PUT", "/keys/none/rotationpolicy", EVERY_60_DAYS).status, 404);
    let refused =
        world.ask("PUT", "/keys/ka/rotationpolicy", r#"{"attributes":{"expiryTime":"P1D"}}"#);
    assert_eq!((refused.status, refused.codes().0.as_str()), (400, "BadParameter"));
}

#[test]
fn a_key_is_rotated_when_its_policy_says_so() {
    let world = World::with_keys();
    for name in ["a", "off", "without"] {
        world.create(name, r#"{"kty":"EC"}"#);
    }
    for name in ["a", "off"] {
        world.ask("PUT", &format!("/keys/{name}/rotationpolicy"), EVERY_60_DAYS);
    }
    world.ask("PATCH", "/keys/off", r#"{"attributes":{"enabled":false}}"#);
    world.clock.advance(Seconds(60 * DAY - 1));
    assert_eq!(rotate_due(&world), 0);
    world.clock.advance(Seconds(1));
    assert_eq!((rotate_due(&world), rotate_due(&world)), (1, 0));
    assert_eq!(["a", "off", "without"].map(|name| versions(&world, name)), [2, 1, 1]);
    let policy = r#"{"lifetimeActions":[{"trigger":{"timeBeforeExpiry":"P30D"},"action":{"type":"Rotate"}}],"attributes":{"expiryTime":"P90D"}}"#;
    world.ask("PUT", "/keys/a/rotationpolicy", policy);
    world.clock.advance(Seconds(60 * DAY - 1));
    assert_eq!(rotate_due(&world), 0);
    world.clock.advance(Seconds(1));
    assert_eq!((rotate_due(&world), versions(&world, "a")), (1, 3));
    world.clock.advance(Seconds(100 * DAY));
    world.ask("DELETE", "/keys/a", "");
    assert_eq!(rotate_due(&world), 0, "a deleted key");
}

#[test]
fn a_key_with_all_its_versions_is_not_rotated() {
    let world = World::with_keys();
    for _ in 0..MAX_VERSIONS {
        world.create("a", r#"{"kty":"EC"}"#);
    }
    world.ask("PUT", "/keys/a/rotationpolicy", EVERY_60_DAYS);
    world.clock.advance(Seconds(60 * DAY));
    assert_eq!((rotate_due(&world), versions(&world, "a")), (0, MAX_VERSIONS));
}
