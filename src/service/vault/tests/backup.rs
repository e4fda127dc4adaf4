//! Backups, restores, and the effect of a vault's settings on its secrets.

use super::*;

const DAY: u64 = 24 * 60 * 60;

fn backup(world: &World, name: &str) -> String {
    let answer = world.ask("POST", &format!("/secrets/{name}/backup"), "");
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["value"].as_str().unwrap().to_owned()
}

fn restore(world: &World, backup: &str) -> Answer {
    world.ask("POST", "/secrets/restore", &format!(r#"{{"value":"{backup}"}}"#))
}

/// Replaces the settings of the vault.
fn set_up(world: &World, settings: VaultSettings) {
    world.add_vault("demo-vault", settings);
}

#[test]
fn a_backup_brings_back_every_version_of_a_purged_secret() {
    let world = World::new();
    let body = r#"{"value":"one","contentType":"text/plain","tags":{"k":"v"},"attributes":{"exp":2000000000}}"#;
    world.ask("PUT", "/secrets/Db", body);
    world.set("db", "two");
    let (versions, last) = (world.get("/secrets/db/versions").text, world.get("/secrets/db").text);
    let saved = backup(&world, "db");
    assert_eq!(restore(&world, &saved).codes(), ("Conflict".to_owned(), None));
    world.ask("DELETE", "/secrets/db", "");
    let refused = restore(&world, &saved);
    let deleted = Some("ObjectIsDeletedButRecoverable".to_owned());
    assert_eq!((refused.status, refused.codes().1), (409, deleted));
    world.ask("DELETE", "/deletedsecrets/db", "");
    let restored = restore(&world, &saved);
    assert_eq!((restored.status, restored.json().get("value")), (200, None));
    assert_eq!(world.get("/secrets/db/versions").text, versions);
    assert_eq!(world.get("/secrets/db").text, last);
}

#[test]
fn a_backup_hides_the_value_and_cannot_be_changed_or_made() {
    let world = World::new();
    world.set("db", "hunter2");
    let saved = backup(&world, "db");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&saved).unwrap();
    assert!(!bytes.windows(7).any(|part| part == b"hunter2"));
    assert_ne!(backup(&world, "db"), saved, "two backups of one secret do not look alike");
    world.ask("DELETE", "/secrets/db", "");
    world.ask("DELETE", "/deletedsecrets/db", "");
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let refused = restore(&world, &BASE64_URL_SAFE_NO_PAD.encode(changed));
        assert_eq!((refused.status, refused.codes().0.as_str()), (400, "BadParameter"), "{at}");
    }
    for text in ["", "AAAA", "!", &saved[..20]] {
        assert_eq!(restore(&world, text).status, 400, "{text}");
    }
    for body in ["", "{}", "[]", r#"{"value":1}"#] {
        assert_eq!(world.ask("POST", "/secrets/restore", body).status, 400, "{body}");
    }
    assert_eq!(world.get("/secrets/db").status, 404);
    assert_eq!(restore(&world, &format!("{saved}==")).status, 200, "clients may pad it");
}

#[test]
fn a_backup_is_restored_in_another_vault_of_the_subscription_and_in_no_other_subscription() {
    let world = World::new();
    world.set("db", "x");
    let saved = backup(&world, "db");
    world.add_vault("second", VaultSettings::default());
    let second = VAULT.replace("demo-vault", "second");
    world.grant(OFFICER, "Key Vault Secrets Officer", &second);
    let subscription = "5ab5c1de-0000-4000-8000-000000000009";
    world.change(Change::Put(Record::Subscription(record::Subscription {
        id: subscription.parse().unwrap(),
        tenant: TENANT.parse().unwrap(),
        display_name: String::new(),
        management_groups: Vec::new(),
    })));
    let foreign = VAULT
        .replace("demo-vault", "foreign")
        .replace("5ab5c1de-0000-4000-8000-000000000001", subscription);
    world.change(Change::Put(Record::Vault(record::Vault {
        id: foreign.parse().unwrap(),
        location: "x".to_owned(),
        tags: record::Tags::new(),
        settings: VaultSettings::default(),
    })));
    world.grant(OFFICER, "Key Vault Secrets Officer", &foreign);
    let status = |host: &str| {
        let ask = Ask::new("POST", "/secrets/restore").token(&world.token(OFFICER));
        world.send(ask.hosts(&[host]).body(&format!(r#"{{"value":"{saved}"}}"#))).status
    };
    assert_eq!((status("second.x"), status("foreign.x")), (200, 400));
    let ask = Ask::new("GET", "/secrets/db").token(&world.token(OFFICER));
    assert_eq!(world.send(ask.hosts(&["second.x"])).json()["value"], "x");
}

#[test]
fn a_backup_and_a_restore_take_their_own_rights() {
    let world = World::new();
    let saved = backup(&world, "demo-secret");
    world.grant(OTHER, "Key Vault Secrets User", VAULT);
    let ask = |path: &str, body: &str| world.ask_as(OTHER, "POST", path, body);
    let refused = ask("/secrets/demo-secret/backup", "");
    assert_eq!(refused.status, 403);
    assert!(refused.message().contains("vaults/secrets/backup/action"), "{}", refused.message());
    let refused = ask("/secrets/restore", &format!(r#"{{"value":"{saved}"}}"#));
    assert_eq!(refused.status, 403);
    assert!(refused.message().contains("vaults/secrets/restore/action"), "{}", refused.message());
    assert_eq!(world.ask("POST", "/secrets/none/backup", "").status, 404);
    world.ask("DELETE", "/secrets/demo-secret", "");
    assert_eq!(world.ask("POST", "/secrets/demo-secret/backup", "").status, 404);
}

#[test]
fn a_deleted_secret_is_kept_as_long_as_its_vault_says() {
    let world = World::new();
    set_up(&world, VaultSettings { retention_days: 7, ..VaultSettings::default() });
    let set = world.set("a", "x").json();
    let attributes = &set["attributes"];
    assert_eq!(attributes["recoverableDays"], 7);
    assert_eq!(attributes["recoveryLevel"], "CustomizedRecoverable+Purgeable");
    let deleted = world.ask("DELETE", "/secrets/a", "").json();
    assert_eq!(deleted["scheduledPurgeDate"], NOW.0 + 7 * DAY);
    world.clock.advance(Seconds(7 * DAY));
    assert_eq!(world.get("/deletedsecrets/a").status, 404);
}

#[test]
fn nobody_purges_a_secret_of_a_protected_vault_before_its_time() {
    let world = World::new();
    set_up(&world, VaultSettings { purge_protection: true, ..VaultSettings::default() });
    let level = |answer: &Answer| answer.json()["attributes"]["recoveryLevel"].clone();
    assert_eq!(level(&world.set("a", "x")), "Recoverable");
    world.ask("DELETE", "/secrets/a", "");
    let refused = world.ask("DELETE", "/deletedsecrets/a", "");
    assert_eq!((refused.status, refused.codes()), (403, ("Forbidden".to_owned(), None)));
    assert!(refused.message().starts_with("Operation \"purge\" is not allowed"));
    assert_eq!(world.ask("POST", "/deletedsecrets/a/recover", "").status, 200);
    world.ask("DELETE", "/secrets/a", "");
    world.clock.advance(Seconds(90 * DAY));
    assert_eq!(purge_due(&world.directory, world.clock.now()).unwrap(), 1);
}

#[test]
fn a_deleted_vault_is_purged_with_its_secrets_when_its_time_is_over() {
    let world = World::new();
    let vault = VAULT.parse().unwrap();
    let state = || world.directory.read();
    let changes = state().vault_deletion(&vault, NOW);
    for change in changes {
        world.change(change);
    }
    assert_eq!(world.get("/secrets").status, 404, "a deleted vault answers nobody");
    assert!(state().secret(&vault, "demo-secret").is_some());
    world.clock.advance(Seconds(90 * DAY - 1));
    assert_eq!(purge_due(&world.directory, world.clock.now()).unwrap(), 0);
    world.clock.advance(Seconds(1));
    assert_eq!(purge_due(&world.directory, world.clock.now()).unwrap(), 1);
    assert_eq!((state().deleted_vaults().count(), state().all_secrets().count()), (0, 0));
}
