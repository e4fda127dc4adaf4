mod damage;
mod model;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::base::files::GroupRead;
use crate::base::secret::Redacted;
use crate::service::world::record::{
    ResourceGroup, SecretContent, SecretVersion, StoredSecret, Tags,
};

const GROUPS: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups";

/// Returns a record. Equal slots give equal keys, but odd values spell the key in capitals.
fn group(slot: u8, value: u8) -> Record {
    let name = if value.is_multiple_of(2) { format!("rg-{slot}") } else { format!("RG-{slot}") };
    let id = format!("{GROUPS}/{name}").parse().unwrap();
    Record::ResourceGroup(ResourceGroup { id, location: value.to_string(), tags: Tags::new() })
}

fn secret(value: &[u8]) -> Record {
    let vault = format!("{GROUPS}/rg/providers/Microsoft.KeyVault/vaults/v").parse().unwrap();
    let version = "0123456789abcdef0123456789abcdef".to_owned();
    let value = StoredSecret(Redacted::new(value.to_vec()));
    let content = SecretContent { value, content_type: None };
    let created = crate::base::clock::UnixSeconds(1);
    let name = "password".to_owned();
    Record::SecretVersion(SecretVersion::plain(vault, name, version, content, created))
}

fn all(store: &RedbStore) -> Result<(Revision, Vec<Record>), StoreError> {
    let mut records = Vec::new();
    let revision = store.replay(&mut |record| records.push(record))?;
    Ok((revision, records))
}

/// Creates a folder with a closed store that holds `records`.
fn stored(records: &[Record]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let changes: Vec<Change> = records.iter().cloned().map(Change::Put).collect();
    RedbStore::open(folder.path(), FolderOptions::default())
        .unwrap()
        .commit(Revision(0), &changes)
        .unwrap();
    folder
}

/// Changes the tables without the store's knowledge.
fn tamper(folder: &Path, write: impl FnOnce(&WriteTransaction)) {
    let database = ::redb::Database::open(folder.join("world.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    write(&transaction);
    transaction.commit().unwrap();
}

/// Replaces the bytes of a record, with a correct checksum.
fn overwrite(transaction: &WriteTransaction, key: &str, revision: u64, json: &[u8]) {
    let sum = checksum(key, Revision(revision), json);
    transaction.open_table(RECORDS).unwrap().insert(key, (revision, sum, json)).unwrap();
}

fn error(folder: &Path) -> String {
    RedbStore::open(folder, FolderOptions::default())
        .and_then(|store| all(&store))
        .unwrap_err()
        .to_string()
}

fn other_files(other_files: &'static [&'static str]) -> FolderOptions {
    FolderOptions { other_files, ..FolderOptions::default() }
}

#[test]
fn a_second_store_in_one_folder_is_refused_until_the_first_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let first = RedbStore::open(folder.path(), FolderOptions::default()).unwrap();
    let path = folder.path().display();
    assert_eq!(
        error(folder.path()),
        format!("another mintbench serves from `{path}`; stop it or name another folder")
    );
    drop(first);
    RedbStore::open(folder.path(), FolderOptions::default()).unwrap();
}

#[test]
fn a_file_of_another_format_is_refused() {
    let folder = stored(&[]);
    tamper(folder.path(), |transaction| {
        transaction.open_table(META).unwrap().insert(META_FORMAT, Format::CURRENT.0 + 1).unwrap();
    });
    let text = error(folder.path());
    assert!(text.contains("was written by format 4; this build reads formats up to 3"), "{text}");
}

#[test]
fn a_file_of_an_older_format_is_read_and_becomes_one_of_this_format_with_the_first_commit() {
    let folder = stored(&[group(1, 0)]);
    tamper(folder.path(), |transaction| {
        transaction.open_table(META).unwrap().insert(META_FORMAT, Format::OLDEST.0).unwrap();
    });
    let open = || RedbStore::open(folder.path(), FolderOptions::default()).unwrap();
    let (store, records) = (open(), vec![group(1, 0)]);
    assert_eq!((store.format(), all(&store).unwrap()), (Format::OLDEST, (Revision(1), records)));
    store.commit(Revision(1), &[Change::Put(group(2, 0))]).unwrap();
    drop(store);
    assert_eq!(open().format(), Format::CURRENT);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("world.redb");
    for content in ["", "not a database", &"x".repeat(100_000)] {
        fs::write(&file, content).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(error(folder.path()).contains("is not a store of mintbench"));
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
    fs::remove_file(&file).unwrap();
    ::redb::Database::create(&file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(error(folder.path()).contains("is not a store of mintbench"));
}

#[test]
fn what_a_killed_first_start_leaves_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("world.redb.new"), "half a file").unwrap();
    assert_eq!(
        all(&RedbStore::open(folder.path(), FolderOptions::default()).unwrap()).unwrap(),
        (Revision(0), vec![])
    );
    assert!(!folder.path().join("world.redb.new").exists());
}

#[test]
fn a_start_that_is_undone_leaves_the_files_of_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("lost+found")).unwrap();
    let new =
        RedbStore::open(folder.path(), other_files(&["ca.key"])).unwrap().new_store().unwrap();
    for name in ["ca.key", "thesis.txt"] {
        fs::write(folder.path().join(name), "of meanwhile").unwrap();
    }
    new.undo();
    assert_eq!(names(folder.path()), ["lost+found", "thesis.txt"]);
    assert!(
        RedbStore::open(folder.path(), FolderOptions::default()).unwrap().new_store().is_some()
    );
    assert!(
        RedbStore::open(folder.path(), FolderOptions::default()).unwrap().new_store().is_none()
    );
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_whose_store_is_lost_is_refused_and_left_as_it_is() {
    let folder = stored(&[group(1, 0)]);
    fs::write(folder.path().join("ca.key"), "of the first start").unwrap();
    let moved = folder.path().join("backup");
    fs::rename(folder.path().join("world.redb"), &moved).unwrap();
    fs::remove_file(folder.path().join("lock")).unwrap();
    fs::write(folder.path().join("who.json"), "of the first start").unwrap();
    let traces = FolderOptions { traces: &["who.json"], ..other_files(&["ca.key", "who.json"]) };
    let open = || RedbStore::open(folder.path(), traces);
    let text = open().unwrap_err().to_string();
    assert!(text.contains("`world.redb` is missing, but `who.json` shows"), "{text}");
    assert!(text.contains("restore the file from a backup; to begin a new world"), "{text}");
    assert_eq!(names(folder.path()), ["backup", "ca.key", "who.json"]);
    fs::rename(&moved, folder.path().join("world.redb")).unwrap();
    assert_eq!(all(&open().unwrap()).unwrap().0, Revision(1));
}

#[test]
fn a_change_is_refused_while_the_open_file_is_not_the_one_in_the_folder() {
    let folder = stored(&[group(1, 0)]);
    let store = RedbStore::open(folder.path(), FolderOptions::default()).unwrap();
    let (file, aside) = (folder.path().join("world.redb"), folder.path().join("aside"));
    let change = [Change::Put(group(2, 0))];
    let refused = || {
        let fault = store.health().unwrap_err();
        assert_eq!(fault.cause, Cause::Lost);
        let error = store.commit(Revision(1), &change).unwrap_err();
        assert!(matches!(error, StoreError::Unwritable(found) if found == fault));
        assert!(store.recover().is_err());
    };
    fs::rename(&file, &aside).unwrap();
    refused();
    fs::copy(&aside, &file).unwrap();
    refused();
    fs::rename(&aside, &file).unwrap();
    assert_eq!(store.recover().unwrap(), Revision(1));
    assert!(store.health().is_ok());
    assert_eq!(store.commit(Revision(1), &change).unwrap(), Revision(2));
    drop(store);
    assert_eq!(
        all(&RedbStore::open(folder.path(), FolderOptions::default()).unwrap()).unwrap().1.len(),
        2
    );
}

#[test]
fn a_store_on_a_disk_that_fails_takes_changes_again_once_the_disk_does() {
    let folder = stored(&[group(1, 0)]);
    let store = RedbStore::open(folder.path(), FolderOptions::default()).unwrap();
    let change = [Change::Put(group(2, 0))];
    let failures = store.engine.lock().failures();
    for (error, text) in [
        (io::ErrorKind::StorageFull, "no space left on the disk of"),
        (io::ErrorKind::ReadOnlyFilesystem, "is mounted read-only"),
        (io::ErrorKind::QuotaExceeded, "the disk quota for"),
        (io::ErrorKind::Other, "fails: "),
    ] {
        let revision = store.recover().unwrap();
        failures.inject(Some(error));
        let refused = store.commit(revision, &change).unwrap_err().to_string();
        assert!(refused.contains(text), "{refused}");
        assert_eq!(store.health().unwrap_err().to_string(), refused);
        assert_eq!(store.recover().unwrap_err().to_string(), refused);
        failures.inject(None);
        assert_eq!(store.recover().unwrap(), revision, "{refused}");
        assert!(store.health().is_ok());
        store.commit(revision, &change).unwrap();
    }
    drop(store);
    let store = RedbStore::open(folder.path(), FolderOptions::default()).unwrap();
    assert_eq!(all(&store).unwrap(), (Revision(5), vec![group(1, 0), group(2, 0)]));
}

#[test]
fn only_the_owner_can_read_a_store() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("a/b");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    drop(RedbStore::open(&folder, FolderOptions::default()).unwrap());
    assert_eq!((mode(&folder), mode(&folder.join("world.redb"))), (0o700, 0o600));
    let trusting = FolderOptions { group: GroupRead::Allowed, ..FolderOptions::default() };
    for (path, open, closed) in
        [(folder.join("world.redb"), 0o660, 0o600), (folder.clone(), 0o2770, 0o700)]
    {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        assert!(matches!(
            RedbStore::open(&folder, FolderOptions::default()),
            Err(StoreError::Exposed(_))
        ));
        drop(RedbStore::open(&folder, trusting).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(closed)).unwrap();
    }
    drop(RedbStore::open(&folder, FolderOptions::default()).unwrap());
}

/// Returns the examples of the format description, each as key and record.
fn examples() -> Vec<(&'static str, &'static str)> {
    let text = include_str!("../../../../../docs/STORE-FORMAT.md");
    let examples = text.split("\n```json\n").collect::<Vec<_>>();
    let example = |pair: &[&'static str]| {
        let (before, after) = (pair[0].trim_end(), pair[1]);
        let key = before.lines().last().unwrap().trim_matches('`');
        (key, after.split_once("```").unwrap().0)
    };
    examples.windows(2).map(example).collect()
}

#[test]
fn the_description_has_an_example_of_each_kind_that_is_stored_so() {
    let mut kinds = std::collections::BTreeSet::new();
    let mut records = Vec::new();
    for (key, json) in examples() {
        let record: Record = serde_json::from_str(json).unwrap_or_else(|e| panic!("{key}: {e}"));
        assert_eq!(record.key().to_string(), key);
        let written: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), written, "{key}");
        kinds.insert(key.split_once(' ').unwrap().0);
        records.push(record);
    }
    assert_eq!(kinds.len(), 17, "{kinds:?}");
    let folder = stored(&records);
    assert_eq!(
        all(&RedbStore::open(folder.path(), FolderOptions::default()).unwrap()).unwrap().1,
        records
    );
}
