//! The life of a secret from set to purge.

use super::*;

const DAY: u64 = 24 * 60 * 60;

fn version_of(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

/// Returns the last segments of the ids of a page.
fn names(page: &Value) -> Vec<String> {
    let ids = page["value"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap());
    ids.map(|id| id.rsplit('/').next().unwrap().to_owned()).collect()
}

#[test]
fn a_secret_is_answered_as_it_was_set() {
    let world = World::new();
    let body = r#"{"value":"p\u00e4ss\"word","contentType":"text/plain","tags":{"b":"2","a":"1"},"attributes":{"enabled":true,"nbf":5,"exp":2000000000,"created":1}}"#;
    let set = world.ask("PUT", "/secrets/Db-1", body);
    let version = version_of(&set);
    let now = NOW.0;
    let expected = format!(
        r#"{{"value":"päss\"word","contentType":"text/plain","id":"{BASE_URL}/secrets/Db-1/{version}","attributes":{{"enabled":true,"nbf":5,"exp":2000000000,"created":{now},"updated":{now},"recoveryLevel":"Recoverable+Purgeable","recoverableDays":90}},"tags":{{"a":"1","b":"2"}}}}"#
    );
    assert_eq!((set.status, &*set.text), (200, &*expected));
    assert_eq!(version.len(), 32);
    assert!(version.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase()));
    for path in [
        "/secrets/Db-1",
        "/secrets/Db-1/",
        "//secrets/Db-1",
        &format!("/secrets/Db-1/{version}"),
        &format!("/secrets/Db-1/{version}/"),
        "/secrets/DB-1",
    ] {
        assert_eq!(world.get(path).text, expected, "{path}");
    }
}

#[test]
fn a_secret_of_the_world_file_is_there_from_the_start() {
    let secret = World::new().get("/secrets/demo-secret").json();
    assert_eq!(secret["value"], "open sesame");
    assert!(secret.get("tags").is_none() && secret.get("contentType").is_none());
}

#[test]
fn each_set_makes_a_version_and_the_last_is_the_secret() {
    let world = World::new();
    let versions: Vec<_> = ["1", "2", "3"].map(|value| version_of(&world.set("a", value))).into();
    assert_eq!(world.set("A", "4").json()["id"].as_str().unwrap().rsplit('/').nth(1), Some("a"));
    assert_eq!(world.get("/secrets/a").json()["value"], "4");
    for (version, value) in versions.iter().zip(["1", "2", "3"]) {
        let path = format!("/secrets/a/{}", version.to_uppercase());
        assert_eq!(world.get(&path).json()["value"], value);
    }
    let page = world.get("/secrets/a/versions").json();
    assert_eq!(names(&page)[..3], versions);
    assert_eq!(page["nextLink"], Value::Null);
}

#[test]
fn a_disabled_secret_is_not_read_but_shown_and_dates_keep_nobody_out() {
    let world = World::new();
    let future = NOW.0 + 1000;
    for attributes in [format!(r#"{{"nbf":{future}}}"#), r#"{"exp":1}"#.to_owned()] {
        let body = format!(r#"{{"value":"x","attributes":{attributes}}}"#);
        assert_eq!(world.ask("PUT", "/secrets/a", &body).status, 200);
        assert_eq!(world.get("/secrets/a").status, 200, "{attributes}");
    }
    let version = version_of(&world.get("/secrets/a"));
    let off = world.ask("PATCH", "/secrets/a/", r#"{"attributes":{"enabled":false}}"#);
    assert_eq!((off.status, off.json()["attributes"]["enabled"].as_bool()), (200, Some(false)));
    for path in ["/secrets/a".to_owned(), format!("/secrets/a/{version}")] {
        let refused = world.get(&path);
        assert_eq!(
            (refused.status, &*refused.text),
            (
                403,
                r#"{"error":{"code":"Forbidden","message":"Operation get is not allowed on a disabled secret.","innererror":{"code":"SecretDisabled"}}}"#
            )
        );
    }
    assert!(names(&world.get("/secrets").json()).contains(&"a".to_owned()));
    world.ask("PATCH", &format!("/secrets/a/{version}"), r#"{"attributes":{"enabled":true}}"#);
    assert_eq!(world.get("/secrets/a").status, 200);
}

#[test]
fn an_update_changes_what_it_names_and_shows_no_value() {
    let world = World::new();
    let first = version_of(&world.ask("PUT", "/secrets/a", r#"{"value":"one","tags":{"k":"v"}}"#));
    world.set("a", "two");
    world.clock.advance(Seconds(10));
    let body = r#"{"value":"other","contentType":"json","attributes":{"exp":2000000000}}"#;
    let updated = world.ask("PATCH", &format!("/secrets/a/{first}"), body).json();
    assert_eq!(updated.get("value"), None);
    assert_eq!((&updated["contentType"], &updated["tags"]["k"]), (&"json".into(), &"v".into()));
    let attributes = &updated["attributes"];
    assert_eq!(
        (&attributes["created"], &attributes["updated"]),
        (&NOW.0.into(), &(NOW.0 + 10).into())
    );
    assert_eq!(world.get(&format!("/secrets/a/{first}")).json()["value"], "one");
    assert_eq!(world.get("/secrets/a").json()["value"], "two");
    let cleared = world.ask("PATCH", &format!("/secrets/a/{first}"), r#"{"tags":{}}"#).json();
    assert_eq!((cleared.get("tags"), &cleared["contentType"]), (None, &"json".into()));
    for path in ["/secrets/none", "/secrets/a/none"] {
        assert_eq!(world.ask("PATCH", path, "{}").status, 404, "{path}");
    }
}

#[test]
fn lists_come_page_by_page_without_values() {
    let world = World::new();
    for number in 0..60 {
        world.set(&format!("s{number:02}"), "hidden");
    }
    world.ask("DELETE", "/secrets/s07", "");
    let (mut seen, mut sizes) = (Vec::new(), Vec::new());
    let mut target = "/secrets?api-version=7.4".to_owned();
    loop {
        let page = world.send(Ask::bare("GET", &target).token(&world.token(OFFICER)));
        assert!(!page.text.contains("hidden") && !page.text.contains("sesame"));
        sizes.push(names(&page.json()).len());
        seen.extend(names(&page.json()));
        let Some(next) = page.json()["nextLink"].as_str().map(str::to_owned) else { break };
        assert!(next.starts_with(&format!("{BASE_URL}/secrets?api-version=7.4&$skiptoken=")));
        // Some clients encode the dollar sign when they follow the link.
        target = next.strip_prefix(BASE_URL).unwrap().replace('$', "%24");
    }
    assert_eq!(sizes, [25, 25, 10]);
    let mut expected: Vec<_> = (0..60).map(|number| format!("s{number:02}")).collect();
    expected.retain(|name| name != "s07");
    expected.insert(0, "demo-secret".to_owned());
    assert_eq!(seen, expected);
}

#[test]
fn pages_are_as_short_as_is_asked_for_also_of_versions_and_deleted_secrets() {
    let world = World::new();
    for value in 0..3 {
        world.set("a", &value.to_string());
    }
    for name in ["x", "y", "z"] {
        world.set(name, "");
        world.ask("DELETE", &format!("/secrets/{name}"), "");
    }
    for path in ["/secrets/a/versions", "/deletedsecrets"] {
        let first = world.get(&format!("{path}?maxresults=2")).json();
        assert_eq!(names(&first).len(), 2, "{path}");
        let next = first["nextLink"].as_str().unwrap();
        let target = next.strip_prefix(BASE_URL).unwrap();
        let last = world.send(Ask::bare("GET", target).token(&world.token(OFFICER))).json();
        assert_eq!((names(&last).len(), &last["nextLink"]), (1, &Value::Null), "{path}");
    }
    for token in ["!", "_w", "eA"] {
        let path = format!("/secrets/a/versions?$skiptoken={token}");
        assert_eq!(world.get(&path).status, 400, "{token}");
    }
    assert_eq!(world.get("/secrets/none/versions").text, r#"{"value":[],"nextLink":null}"#);
}

#[test]
fn a_deleted_secret_can_be_recovered_with_all_its_versions() {
    let world = World::new();
    let first = version_of(&world.set("a", "1"));
    let last = version_of(&world.set("a", "2"));
    let deleted = world.ask("DELETE", "/secrets/A", "");
    let (now, purge) = (NOW.0, NOW.0 + 90 * DAY);
    let expected = format!(
        r#"{{"recoveryId":"{BASE_URL}/deletedsecrets/a","deletedDate":{now},"scheduledPurgeDate":{purge},"id":"{BASE_URL}/secrets/a/{last}","attributes":{{"enabled":true,"created":{now},"updated":{now},"recoveryLevel":"Recoverable+Purgeable","recoverableDays":90}}}}"#
    );
    assert_eq!((deleted.status, &*deleted.text), (200, &*expected));
    assert_eq!(world.get("/deletedsecrets/a").text, expected);
    for (method, path) in [
        ("GET", "/secrets/a".to_owned()),
        ("GET", format!("/secrets/a/{first}")),
        ("PATCH", "/secrets/a".to_owned()),
        ("DELETE", "/secrets/a".to_owned()),
    ] {
        let refused = world.ask(method, &path, "{}");
        assert_eq!((refused.status, refused.codes().0.as_str()), (404, "SecretNotFound"), "{path}");
    }
    assert_eq!(names(&world.get("/secrets").json()), ["demo-secret"]);
    assert_eq!(names(&world.get("/deletedsecrets").json()), ["a"]);
    let recovered = world.ask("POST", "/deletedsecrets/a/recover", "");
    assert_eq!((recovered.status, version_of(&recovered)), (200, last));
    assert_eq!(recovered.json().get("value"), None);
    assert_eq!(world.get(&format!("/secrets/a/{first}")).json()["value"], "1");
    assert_eq!(world.get("/deletedsecrets/a").status, 404);
}

#[test]
fn the_name_of_a_deleted_secret_is_taken_until_it_is_purged() {
    let world = World::new();
    let old = version_of(&world.set("a", "1"));
    world.ask("DELETE", "/secrets/a", "");
    let refused = world.set("a", "2");
    assert_eq!(
        (refused.status, &*refused.text),
        (
            409,
            r#"{"error":{"code":"Conflict","message":"Secret a is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the secret can only be recovered or purged.","innererror":{"code":"ObjectIsDeletedButRecoverable"}}}"#
        )
    );
    let purged = world.ask("DELETE", "/deletedsecrets/a", "");
    assert_eq!((purged.status, &*purged.text), (204, ""));
    assert!(!purged.headers.contains_key("content-type"));
    for (method, path) in [
        ("GET", "/deletedsecrets/a"),
        ("DELETE", "/deletedsecrets/a"),
        ("POST", "/deletedsecrets/a/recover"),
    ] {
        let refused = world.ask(method, path, "");
        assert_eq!(
            (refused.status, &*refused.text),
            (404, r#"{"error":{"code":"SecretNotFound","message":"Deleted Secret not found: a"}}"#)
        );
    }
    assert_eq!(world.set("a", "3").status, 200);
    assert_eq!(world.get(&format!("/secrets/a/{old}")).status, 404);
}

#[test]
fn a_secret_whose_purge_is_due_is_gone_before_it_is_purged() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.set(name, "old");
        world.ask("DELETE", &format!("/secrets/{name}"), "");
    }
    world.clock.advance(Seconds(90 * DAY - 1));
    assert_eq!(purge_due(&world.directory, world.clock.now()).unwrap(), 0);
    assert_eq!(world.ask("POST", "/deletedsecrets/c/recover", "").status, 200);
    world.clock.advance(Seconds(1));
    assert_eq!(world.get("/deletedsecrets/a").status, 404);
    assert_eq!(names(&world.get("/deletedsecrets").json()), [""; 0]);
    assert_eq!(world.set("b", "new").status, 200);
    assert_eq!(names(&world.get("/secrets/b/versions").json()).len(), 1);
    assert_eq!(purge_due(&world.directory, world.clock.now()).unwrap(), 1, "a alone");
    assert_eq!(purge_due(&world.directory, world.clock.now()).unwrap(), 0);
    assert_eq!(world.directory.read().all_secrets().count(), 3, "demo-secret, b and c");
}

#[test]
fn what_is_not_there_is_named() {
    let world = World::new();
    let message = |id: &str| {
        format!(
            "A secret with (name/id) {id} was not found in this key vault. If you recently deleted this secret you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
        )
    };
    for (path, id) in [("/secrets/x", "x"), ("/secrets/demo-secret/0a", "demo-secret/0a")] {
        let answer = world.get(path);
        assert_eq!((answer.status, answer.message()), (404, message(id)));
        assert_eq!(answer.codes(), ("SecretNotFound".to_owned(), None));
    }
}

#[test]
fn names_queries_and_bodies_that_cannot_be_are_bad_parameters() {
    let world = World::new();
    let long = "a".repeat(128);
    for name in ["a_b", "a.b", "a%20b", &long] {
        let answer = world.get(&format!("/secrets/{name}"));
        assert_eq!(answer.message(), format!("The request URI contains an invalid name: {name}"));
        assert_eq!((answer.status, answer.codes()), (400, ("BadParameter".to_owned(), None)));
    }
    let token = world.token(OFFICER);
    for query in ["", "?api-version=", "?api-version=latest", "?api-version=7.4&maxresults=26"] {
        let ask = Ask::bare("GET", "/secrets").token(&token);
        let answer = world.send(Ask { target: format!("/secrets{query}"), ..ask });
        assert_eq!((answer.status, answer.codes().0.as_str()), (400, "BadParameter"), "{query}");
    }
    for body in ["{}", "[]", "hunter2", r#"{"value":4711}"#, r#"{"value":"hunter2","tags":[]}"#] {
        let answer = world.ask("PUT", "/secrets/a", body);
        assert_eq!((answer.status, answer.codes().0.as_str()), (400, "BadParameter"), "{body}");
        assert!(!answer.text.contains("hunter2") && !answer.text.contains("4711"));
    }
    assert_eq!(world.ask("PUT", "/secrets/a", "").status, 400, "no body at all");
    assert_eq!(world.get("/secrets/a").status, 404);
    for (error, status) in [(BodyError::TooLarge(1), 413), (BodyError::Broken, 400)] {
        let ask = Ask::new("PUT", "/secrets/a").token(&token);
        assert_eq!(world.send_with(ask, async move { Err(error) }).status, status);
    }
}

#[test]
fn a_value_of_25_kilobytes_and_an_empty_one_are_kept() {
    let world = World::new();
    for value in [String::new(), "x".repeat(25 * 1024)] {
        assert_eq!(world.set("a", &value).status, 200);
        assert_eq!(world.get("/secrets/a").json()["value"], value);
    }
    assert_eq!(world.set("a", &"x".repeat(25 * 1024 + 1)).status, 400);
}

#[test]
fn no_debug_output_of_the_world_holds_a_value() {
    let world = World::new();
    world.set("a", "hunter2");
    let shown = format!("{:?} {:?}", *world.directory.read(), world.vault);
    assert!(
        shown.contains("demo-secret") && !shown.contains("hunter2") && !shown.contains("sesame")
    );
}

#[test]
fn a_secret_has_no_more_versions_than_are_kept_of_one_until_it_is_purged() {
    let world = World::new();
    for _ in 0..MAX_VERSIONS {
        assert_eq!(world.set("a", "x").status, 200);
    }
    let backup = world.ask("POST", "/secrets/a/backup", "");
    let refused = world.set("A", "one more");
    assert_eq!((refused.status, refused.codes()), (409, ("Conflict".to_owned(), None)));
    let message = refused.message();
    assert!(message.contains("has 20 versions") && message.contains("--max-secret-versions"));
    assert_eq!(world.get("/secrets/a").json()["value"], "x");
    assert_eq!(world.ask("PATCH", "/secrets/a", r#"{"tags":{"b":"1"}}"#).status, 200);
    assert_eq!(world.set("b", "x").status, 200);
    world.ask("DELETE", "/secrets/a", "");
    world.ask("DELETE", "/deletedsecrets/a", "");
    assert_eq!(world.ask("POST", "/secrets/restore", &backup.text).status, 200);
    assert_eq!(world.set("a", "one more").status, 409);
}
