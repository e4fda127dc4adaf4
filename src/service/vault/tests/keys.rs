//! Keys: creation, import, versions, deletion and recovery.

use super::*;

const DAY: u64 = 24 * 60 * 60;

/// The members that a key is shown with.
const SHOWN: [&str; 8] = ["kid", "key_ops", "kty", "n", "e", "crv", "x", "y"];

/// The private key of RFC 7515, appendix A.2, as the members of a JWK.
pub(super) const RSA_JWK: &str = r#""kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","d":"Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ","p":"4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc","q":"uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc","dp":"BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0","dq":"h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU","qi":"IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U""#;

/// The private key of RFC 7515, appendix A.3.
pub(super) const EC_JWK: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI""#;

/// Imports the members of a JWK as a key.
pub(super) fn import(world: &World, name: &str, members: &str) -> Answer {
    world.ask("PUT", &format!("/keys/{name}"), &format!(r#"{{"key":{{{members}}}}}"#))
}

fn version_of(answer: &Answer) -> String {
    let kid = answer.json()["key"]["kid"].as_str().unwrap().to_owned();
    kid.rsplit('/').next().unwrap().to_owned()
}

/// Returns the last segments of the ids of a page.
fn names(page: &Value) -> Vec<String> {
    let ids = page["value"].as_array().unwrap().iter().map(|item| item["kid"].as_str().unwrap());
    ids.map(|id| id.rsplit('/').next().unwrap().to_owned()).collect()
}

#[test]
fn a_key_is_answered_with_its_public_half_alone() {
    let world = World::with_keys();
    let body = r#"{"kty":"EC","tags":{"b":"2","a":"1"},"attributes":{"nbf":5,"exp":2000000000}}"#;
    let created = world.create("Sign-1", body);
    let (version, json, now) = (version_of(&created), created.json(), NOW.0);
    let key = &json["key"];
    let (x, y) = (key["x"].as_str().unwrap(), key["y"].as_str().unwrap());
    let expected = format!(
        r#"{{"key":{{"kid":"{BASE_URL}/keys/Sign-1/{version}","key_ops":["sign","verify"],"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}},"attributes":{{"enabled":true,"nbf":5,"exp":2000000000,"created":{now},"updated":{now},"recoveryLevel":"Recoverable+Purgeable","recoverableDays":90}},"tags":{{"a":"1","b":"2"}}}}"#
    );
    assert_eq!((created.text.as_str(), version.len()), (&*expected, 32));
    for path in ["/keys/Sign-1", "/keys/sign-1/", &format!("/keys/SIGN-1/{version}/")] {
        assert_eq!(world.get(path).text, expected, "{path}");
    }
    let rsa = world.create("rsa", r#"{"kty":"RSA","key_size":2048}"#).json();
    assert_eq!((&rsa["key"]["kty"], &rsa["key"]["e"]), (&"RSA".into(), &"AQAB".into()));
    assert_eq!(rsa["key"]["n"].as_str().unwrap().len(), 342, "256 bytes");
}

#[test]
fn each_curve_makes_a_key_with_coordinates_of_its_length() {
    let world = World::with_keys();
    for (curve, digits) in [("P-256", 43), ("P-256K", 43), ("P-384", 64), ("P-521", 88)] {
        let key = world.create("a", &format!(r#"{{"kty":"EC","crv":"{curve}"}}"#)).json();
        let length = |name: &str| key["key"][name].as_str().unwrap().len();
        assert_eq!((length("x"), length("y")), (digits, digits), "{curve}");
    }
    assert_eq!(names(&world.get("/keys/a/versions").json()).len(), 4);
}

#[test]
fn an_imported_key_is_shown_as_it_came_without_its_private_part() {
    let world = World::with_keys();
    for (name, members) in [("rsa", RSA_JWK), ("ec", EC_JWK)] {
        let imported = import(&world, name, members);
        assert_eq!(imported.status, 200, "{}", imported.text);
        let given: Value = serde_json::from_str(&format!("{{{members}}}")).unwrap();
        let shown = imported.json()["key"].clone();
        for (member, value) in shown.as_object().unwrap() {
            assert!(SHOWN.contains(&member.as_str()), "{member}");
            assert!(["kid", "key_ops"].contains(&member.as_str()) || given[member] == *value);
        }
    }
    for body in [
        "{}",
        r#"{"key":{"kty":"RSA","n":"AQAB","e":"AQAB"}}"#,
        r#"{"key":{"kty":"oct","k":"AAAA"}}"#,
        &format!(r#"{{"Hsm":true,"key":{{{EC_JWK}}}}}"#),
        &format!(r#"{{"key":{{{}}}}}"#, EC_JWK.replace("f83O", "f84O")),
        &format!(r#"{{"key":{{{}}}}}"#, EC_JWK.replace("P-256", "P-384")),
        &format!(r#"{{"key":{{{}}}}}"#, RSA_JWK.replace("AQAB", "Aw")),
        &format!(r#"{{"key":{{{}}}}}"#, RSA_JWK.replace("Eq5x", "Eq5y")),
        &format!(r#"{{"key":{{{}}}}}"#, RSA_JWK.replace("\"ofgW", "\"ofg!")),
    ] {
        let refused = world.ask("PUT", "/keys/bad", body);
        assert_eq!((refused.status, refused.codes().0.as_str()), (400, "BadParameter"), "{body}");
        assert!(!refused.text.contains("Eq5") && !refused.text.contains("jpsQ"), "{body}");
    }
    assert_eq!(world.get("/keys/bad").status, 404);
}

#[test]
fn no_answer_and_no_debug_output_holds_a_private_part() {
    let world = World::with_keys();
    let mut answers = vec![import(&world, "ec", EC_JWK), import(&world, "rsa", RSA_JWK)];
    answers.push(world.create("made", r#"{"kty":"EC"}"#));
    for (method, path, body) in [
        ("GET", "/keys", ""),
        ("GET", "/keys/rsa", ""),
        ("GET", "/keys/rsa/versions", ""),
        ("PATCH", "/keys/rsa", r#"{"tags":{"a":"b"}}"#),
        ("POST", "/keys/rsa/rotate", ""),
        ("POST", "/keys/rsa/backup", ""),
        ("DELETE", "/keys/rsa", ""),
        ("GET", "/deletedkeys/rsa", ""),
        ("GET", "/deletedkeys", ""),
        ("POST", "/deletedkeys/rsa/recover", ""),
    ] {
        answers.push(world.ask(method, path, body));
    }
    let state = world.directory.read();
    let versions = state.all_keys().flat_map(|key| &key.versions);
    let kept: Vec<_> = versions.map(|held| held.content.private_key.0.clone()).collect();
    assert_eq!(kept.len(), 4);
    let shown = format!("{:?} {:?}", *state, world.vault);
    assert!(shown.contains("Redacted(..)"));
    for text in answers.iter().map(|answer| &answer.text).chain([&shown]) {
        for secret in ["jpsQnnGQmL", "Eq5xpGnNCiv", "4BzEEOtIpmVd", "uQPEfgmVtjL0"] {
            assert!(!text.contains(secret), "{text}");
        }
        for private_key in &kept {
            let encoded = BASE64_URL_SAFE_NO_PAD.encode(private_key.expose());
            assert!(!text.contains(&encoded), "{text}");
        }
    }
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text);
        if let Some(key) = answer.json()["key"].as_object() {
            assert!(key.keys().all(|member| SHOWN.contains(&member.as_str())), "{}", answer.text);
        }
    }
}

#[test]
fn an_update_changes_what_it_names() {
    let world = World::with_keys();
    let first = version_of(&import(&world, "a", RSA_JWK));
    import(&world, "A", EC_JWK);
    world.clock.advance(Seconds(10));
    let body = r#"{"key_ops":["sign"],"attributes":{"enabled":false},"tags":{"k":"v"}}"#;
    let updated = world.ask("PATCH", &format!("/keys/a/{first}"), body).json();
    assert_eq!(updated["key"]["key_ops"], serde_json::json!(["sign"]));
    let attributes = &updated["attributes"];
    assert_eq!((&attributes["enabled"], &updated["tags"]["k"]), (&false.into(), &"v".into()));
    assert_eq!(attributes["updated"], NOW.0 + 10);
    // The public half of a disabled key can be read.
    let shown = world.get(&format!("/keys/a/{first}"));
    assert_eq!((shown.status, shown.json()), (200, updated));
    assert_eq!(world.get("/keys/a").json()["attributes"]["enabled"], true, "the last version");
    let refused = world.ask("PATCH", "/keys/a", r#"{"key_ops":["encrypt"]}"#);
    assert_eq!(refused.status, 400, "an EC key does not encrypt");
    assert_eq!(world.ask("PATCH", "/keys/none", "{}").status, 404);
}

#[test]
fn keys_and_secrets_of_one_name_are_apart() {
    let world = World::with_keys();
    import(&world, "demo-secret", EC_JWK);
    assert_eq!(world.get("/secrets/demo-secret").json()["value"], "open sesame");
    assert_eq!(names(&world.get("/keys").json()), ["demo-secret"]);
    assert_eq!(world.ask("DELETE", "/keys/demo-secret", "").status, 200);
    assert_eq!(world.get("/secrets/demo-secret").status, 200);
    assert_eq!(world.get("/deletedsecrets/demo-secret").status, 404);
    assert_eq!(world.get("/deletedkeys/demo-secret").status, 200);
}

#[test]
fn a_deleted_key_can_be_recovered_with_all_its_versions_and_is_not_used() {
    let world = World::with_keys();
    let first = version_of(&import(&world, "a", EC_JWK));
    let last = version_of(&import(&world, "a", EC_JWK));
    let deleted = world.ask("DELETE", "/keys/A", "").json();
    assert_eq!(deleted["recoveryId"], format!("{BASE_URL}/deletedkeys/a"));
    assert_eq!(deleted["scheduledPurgeDate"], NOW.0 + 90 * DAY);
    assert!(deleted["key"]["kid"].as_str().unwrap().ends_with(&last));
    assert_eq!(world.get("/deletedkeys/a").json(), deleted);
    let listed = world.get("/deletedkeys").json();
    let item = &listed["value"][0];
    assert_eq!(
        (item["kid"].as_str(), item.get("key")),
        (Some(&*format!("{BASE_URL}/keys/a")), None)
    );
    let digest = "A".repeat(43);
    let body = format!(r#"{{"alg":"ES256","value":"{digest}"}}"#);
    for (method, path, body) in [
        ("GET", "/keys/a".to_owned(), ""),
        ("POST", format!("/keys/a/{first}/sign"), &*body),
        ("POST", "/keys/a/rotate".to_owned(), ""),
        ("POST", "/keys/a/backup".to_owned(), ""),
    ] {
        let refused = world.ask(method, &path, body);
        let expected =
            if path.ends_with("rotate") { (409, "Conflict") } else { (404, "KeyNotFound") };
        assert_eq!((refused.status, refused.codes().0.as_str()), expected, "{path}");
    }
    let refused = world.ask("POST", "/keys/a/create", r#"{"kty":"EC"}"#);
    assert_eq!(refused.codes().1, Some("ObjectIsDeletedButRecoverable".to_owned()));
    assert!(refused.message().starts_with("Key a is currently in a deleted but recoverable state"));
    let recovered = world.ask("POST", "/deletedkeys/a/recover", "");
    assert_eq!((recovered.status, version_of(&recovered)), (200, last));
    assert_eq!(world.ask("POST", &format!("/keys/a/{first}/sign"), &body).status, 200);
    world.ask("DELETE", "/keys/a", "");
    assert_eq!(world.ask("DELETE", "/deletedkeys/a", "").status, 204);
    let gone = world.get("/deletedkeys/a");
    assert_eq!(
        (gone.status, &*gone.text),
        (404, r#"{"error":{"code":"KeyNotFound","message":"Deleted Key not found: a"}}"#)
    );
    assert_eq!(world.directory.read().all_keys().count(), 0);
}

#[test]
fn keys_whose_purge_is_due_go_alone_or_with_their_vault() {
    let world = World::with_keys();
    import(&world, "a", EC_JWK);
    import(&world, "b", EC_JWK);
    world.ask("DELETE", "/keys/a", "");
    world.clock.advance(Seconds(90 * DAY));
    assert_eq!(purge_due(&world.directory, world.clock.now()).unwrap(), 1);
    assert_eq!(names(&world.get("/keys").json()), ["b"]);
    let changes = world.directory.read().vault_deletion(&VAULT.parse().unwrap(), world.clock.now());
    for change in changes {
        world.change(change);
    }
    assert_eq!(world.directory.read().all_keys().count(), 1);
    world.clock.advance(Seconds(90 * DAY));
    assert_eq!(purge_due(&world.directory, world.clock.now()).unwrap(), 1);
    assert_eq!(world.directory.read().all_keys().count(), 0);
}

#[test]
fn a_backup_brings_back_every_version_of_a_purged_key_and_is_no_backup_of_a_secret() {
    let world = World::with_keys();
    import(&world, "a", RSA_JWK);
    import(&world, "a", EC_JWK);
    let (versions, last) = (world.get("/keys/a/versions").text, world.get("/keys/a").text);
    let backup = world.ask("POST", "/keys/a/backup", "").text;
    assert_eq!(world.ask("POST", "/keys/restore", &backup).status, 409, "it is there");
    world.ask("DELETE", "/keys/a", "");
    world.ask("DELETE", "/deletedkeys/a", "");
    assert_eq!(world.ask("POST", "/secrets/restore", &backup).status, 400);
    let restored = world.ask("POST", "/keys/restore", &backup);
    assert_eq!((restored.status, &restored.text), (200, &last));
    assert_eq!(world.get("/keys/a/versions").text, versions);
    let secret = world.ask("POST", "/secrets/demo-secret/backup", "").text;
    assert_eq!(world.ask("POST", "/keys/restore", &secret).status, 400);
}

#[test]
fn a_key_has_no_more_versions_than_are_kept_of_one() {
    let world = World::with_keys();
    for _ in 0..MAX_VERSIONS {
        world.create("a", r#"{"kty":"EC"}"#);
    }
    for (path, body) in [("/keys/a/create", r#"{"kty":"EC"}"#), ("/keys/a/rotate", "")] {
        let refused = world.ask("POST", path, body);
        assert_eq!((refused.status, refused.codes()), (409, ("Conflict".to_owned(), None)));
        assert!(refused.message().starts_with("The key a has 20 versions"));
    }
    assert_eq!(import(&world, "a", EC_JWK).status, 409);
    assert_eq!(import(&world, "b", EC_JWK).status, 200);
}

#[test]
fn lists_of_keys_come_page_by_page() {
    let world = World::with_keys();
    for number in 0..3 {
        import(&world, &format!("k{number}"), EC_JWK);
    }
    let first = world.get("/keys?maxresults=2").json();
    assert_eq!(names(&first), ["k0", "k1"]);
    assert!(first["value"][0].get("key").is_none());
    let next = first["nextLink"].as_str().unwrap();
    assert!(next.starts_with(&format!("{BASE_URL}/keys?api-version=7.4&$skiptoken=")), "{next}");
    let target = next.strip_prefix(BASE_URL).unwrap();
    let last = world.send(Ask::bare("GET", target).token(&world.token(OFFICER))).json();
    assert_eq!((names(&last), &last["nextLink"]), (vec!["k2".to_owned()], &Value::Null));
    assert_eq!(world.get("/keys/none/versions").text, r#"{"value":[],"nextLink":null}"#);
}
