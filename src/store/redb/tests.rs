use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::files::GroupRead;
use crate::secret::Redacted;
use crate::world::record::{ResourceGroup, SecretVersion, StoredSecret, Tags};

const GROUPS: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups";

/// Equal slots are equal keys, but for the spelling: odd values write it in capitals.
fn group(slot: u8, value: u8) -> Record {
    let name = if value.is_multiple_of(2) { format!("rg-{slot}") } else { format!("RG-{slot}") };
    let id = format!("{GROUPS}/{name}").parse().unwrap();
    Record::ResourceGroup(ResourceGroup { id, location: value.to_string(), tags: Tags::new() })
}

fn secret(value: &[u8]) -> Record {
    Record::SecretVersion(SecretVersion {
        vault: format!("{GROUPS}/rg/providers/Microsoft.KeyVault/vaults/v").parse().unwrap(),
        name: "password".to_owned(),
        version: "0123456789abcdef0123456789abcdef".to_owned(),
        value: StoredSecret(Redacted::new(value.to_vec())),
        content_type: None,
        tags: Tags::new(),
        enabled: true,
        not_before: None,
        expires: None,
        created: crate::clock::UnixSeconds(1),
        updated: crate::clock::UnixSeconds(2),
        ordinal: 0,
    })
}

fn all(store: &RedbStore) -> Result<(Revision, Vec<Record>), StoreError> {
    let mut records = Vec::new();
    let revision = store.replay(&mut |record| records.push(record))?;
    Ok((revision, records))
}

/// A folder with one store in it, closed, that holds `records`.
fn stored(records: &[Record]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let changes: Vec<Change> = records.iter().cloned().map(Change::Put).collect();
    RedbStore::open(folder.path(), FolderOptions::default())
        .unwrap()
        .commit(Revision(0), &changes)
        .unwrap();
    folder
}

/// Changes the tables behind the store's back.
fn tamper(folder: &Path, write: impl FnOnce(&WriteTransaction)) {
    let database = ::redb::Database::open(folder.join("world.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    write(&transaction);
    transaction.commit().unwrap();
}

/// Puts other bytes in the place of a record, with the checksum that they should have.
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

#[derive(Clone, Debug)]
enum Step {
    /// Puts a value or removes; planned on the state before the last change if `stale`.
    Commit {
        stale: bool,
        changes: Vec<(u8, Option<u8>)>,
    },
    Reopen,
    /// Goes on with the file as it is while the store has it open: what `kill -9` leaves.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let changes = proptest::collection::vec((0..12_u8, proptest::option::of(any::<u8>())), 0..9);
    prop_oneof![
        8 => (proptest::bool::weighted(0.1), changes)
            .prop_map(|(stale, changes)| Step::Commit { stale, changes }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

#[derive(Default)]
struct Model {
    revision: u64,
    records: BTreeMap<String, (u64, Record)>,
}

fn beside(beside: &'static [&'static str]) -> FolderOptions {
    FolderOptions { beside, ..FolderOptions::default() }
}

impl Model {
    fn apply(&mut self, change: &Change) {
        self.revision += 1;
        let key = change.key().to_string();
        match change {
            Change::Put(record) => drop(self.records.insert(key, (self.revision, record.clone()))),
            Change::Remove(_) => drop(self.records.remove(&key)),
        }
    }

    fn all(&self) -> (Revision, Vec<Record>) {
        let mut records: Vec<_> = self.records.values().cloned().collect();
        records.sort_by_key(|(revision, _)| *revision);
        (Revision(self.revision), records.into_iter().map(|(_, record)| record).collect())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_store_holds_what_was_committed_in_the_order_of_revisions(
        steps in proptest::collection::vec(step(), 1..30),
    ) {
        let mut folder = tempfile::tempdir().unwrap();
        let mut store = RedbStore::open(folder.path(), FolderOptions::default()).unwrap();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Commit { stale, changes } => {
                    let changes: Vec<Change> = changes.iter().map(|(slot, value)| match value {
                        Some(value) => Change::Put(group(*slot, *value)),
                        None => Change::Remove(group(*slot, 0).key()),
                    }).collect();
                    let expected = Revision(model.revision + u64::from(stale));
                    let result = store.commit(expected, &changes);
                    if stale {
                        let refused = matches!(result, Err(StoreError::Conflict { .. }));
                        prop_assert!(refused, "{:?}", result);
                    } else {
                        for change in &changes {
                            model.apply(change);
                        }
                        prop_assert_eq!(result.unwrap(), Revision(model.revision));
                    }
                }
                Step::Reopen => {
                    drop(store);
                    store = RedbStore::open(folder.path(), FolderOptions::default()).unwrap();
                }
                Step::Kill => {
                    let copy = tempfile::tempdir().unwrap();
                    fs::copy(folder.path().join("world.redb"), copy.path().join("world.redb")).unwrap();
                    (store, folder) = (RedbStore::open(copy.path(), FolderOptions::default()).unwrap(), copy);
                }
            }
            prop_assert_eq!(all(&store).unwrap(), model.all());
            prop_assert!(!store.repaired());
        }
    }
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
    assert!(text.contains("was written by format 3; this build reads formats up to 2"), "{text}");
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
    let new = RedbStore::open(folder.path(), beside(&["ca.key"])).unwrap().new_store().unwrap();
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
    let open = || RedbStore::open(folder.path(), beside(&["ca.pem", "ca.key"]));
    let text = open().unwrap_err().to_string();
    assert!(text.contains("`world.redb` is missing, but `ca.key` shows"), "{text}");
    assert!(text.contains("restore the file from a backup; to begin a new world"), "{text}");
    assert_eq!(names(folder.path()), ["backup", "ca.key"]);
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

#[test]
fn a_damaged_record_is_named_and_its_content_is_not() {
    let key = secret(b"").key().to_string();
    let json = serde_json::to_string(&secret(b"hunter2")).unwrap();
    let encoded = "aHVudGVyMg==";
    assert!(json.contains(encoded));
    // The last two are JSON whose errors serde would explain with the value that it found.
    for bad in [
        "",
        "{",
        "\u{0}",
        &json.replace('}', ""),
        &json.replace("\"created\":1", &format!("\"created\":\"{encoded}\"")),
        &json.replace("secretVersion", encoded),
    ] {
        let folder = stored(&[secret(b"hunter2")]);
        tamper(folder.path(), |transaction| {
            overwrite(transaction, &key, 1, bad.as_bytes());
        });
        let error = RedbStore::open(folder.path(), FolderOptions::default())
            .and_then(|store| all(&store))
            .unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(&key) && text.contains("is not the JSON of a record"), "{text}");
        assert!(!text.contains(encoded) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn tables_that_do_not_agree_are_an_error_that_names_the_key() {
    let [first, second] = [group(1, 0), group(2, 0)];
    let [key, other] = [&first, &second].map(|record| record.key().to_string());
    let (key, other) = (key.as_str(), other.as_str());
    let json = serde_json::to_vec(&second).unwrap();
    let check = |defect: &str, write: &dyn Fn(&WriteTransaction)| {
        let folder = stored(&[first.clone(), second.clone()]);
        tamper(folder.path(), write);
        let text = error(folder.path());
        assert!(text.contains(key) && text.contains(defect), "{text}");
    };
    check("revision 1 wrote it, but it is not there", &|transaction| {
        transaction.open_table(RECORDS).unwrap().remove(key).unwrap();
    });
    check("it names revision 7, which did not write it", &|transaction| {
        overwrite(transaction, key, 7, &json);
    });
    check("it names revision 1, which did not write it", &|transaction| {
        transaction.open_table(ORDER).unwrap().remove(1).unwrap();
    });
    check("revision 1 wrote it, but the store is at 0 only", &|transaction| {
        transaction.open_table(META).unwrap().insert(META_REVISION, 0).unwrap();
        transaction.open_table(RECORDS).unwrap().remove(other).unwrap();
        transaction.open_table(ORDER).unwrap().remove(2).unwrap();
    });
    check("its checksum is wrong", &|transaction| {
        let mut records = transaction.open_table(RECORDS).unwrap();
        records.insert(key, (1, 0, serde_json::to_vec(&first).unwrap().as_slice())).unwrap();
    });
    check(&format!("it is the record of `{other}`"), &|transaction| {
        overwrite(transaction, key, 1, &json);
    });
}

#[test]
fn a_changed_byte_is_an_error_and_a_refusal_leaves_the_file_as_it_was() {
    let records: Vec<Record> = (0..200).map(|slot| group(slot, 0)).collect();
    let folder = stored(&records);
    let file = folder.path().join("world.redb");
    let good = fs::read(&file).unwrap();
    let mut errors = 0;
    for offset in (0..64).chain((64..good.len()).step_by(good.len() / 400)) {
        let mut bad = good.clone();
        bad[offset] ^= 0x41;
        fs::write(&file, &bad).unwrap();
        match RedbStore::open(folder.path(), FolderOptions::default()).and_then(|store| all(&store))
        {
            Ok((_, found)) => assert_eq!(found, records, "byte {offset}"),
            Err(_) => errors += 1,
        }
        assert!(fs::read(&file).unwrap() == bad, "byte {offset}: a start changed the file");
    }
    assert!(errors > 50, "only {errors} changes were seen: most of the file is not records");
}

#[test]
fn a_page_of_zeros_is_refused_or_is_a_free_one() {
    let records: Vec<Record> = (0..200).map(|slot| group(slot, 0)).collect();
    let folder = stored(&records);
    let file = folder.path().join("world.redb");
    let good = fs::read(&file).unwrap();
    let mut refused = 0;
    for page in (4096..good.len()).step_by(4096) {
        let mut bad = good.clone();
        bad[page..page + 4096].fill(0);
        fs::write(&file, &bad).unwrap();
        let damages = Checkup::of(folder.path()).unwrap().damages;
        let opened = RedbStore::open(folder.path(), FolderOptions::default());
        assert_eq!(opened.is_ok(), damages.is_empty(), "page at {page}: {damages:?}");
        let Ok(store) = opened else {
            refused += 1;
            assert!(fs::read(&file).unwrap() == bad, "page at {page}: a start changed the file");
            continue;
        };
        assert_eq!(all(&store).unwrap().1, records, "page at {page}");
        let change = [Change::Put(group(250, 0))];
        store.commit(Revision(200), &change).unwrap_or_else(|error| panic!("{page}: {error}"));
    }
    assert!(refused > 5, "only {refused} pages were found to be damaged");
}

#[test]
fn a_check_names_the_records_that_are_lost_and_reads_the_others() {
    let records: Vec<Record> = (0..200).map(|slot| group(slot, 0)).collect();
    let folder = stored(&records);
    let sound = Checkup::of(folder.path()).unwrap();
    assert_eq!((sound.records.len(), sound.damages), (200, Vec::<String>::new()));
    let file = folder.path().join("world.redb");
    let mut bytes = fs::read(&file).unwrap();
    let json = serde_json::to_vec(&records[100]).unwrap();
    let at = bytes.windows(json.len()).position(|window| window == json).unwrap();
    bytes[at / 4096 * 4096..][..4096].fill(0);
    fs::write(&file, &bytes).unwrap();
    let checkup = Checkup::of(folder.path()).unwrap();
    let lost = format!("the record `{}` is lost: ", records[100].key());
    assert!(
        checkup.damages.iter().any(|damage| damage.starts_with(&lost)),
        "{:?}",
        checkup.damages
    );
    assert!((100..200).contains(&checkup.records.len()), "{} are left", checkup.records.len());
    assert!(fs::read(&file).unwrap() == bytes);
    let error = error(folder.path());
    let remedy = format!("`mintbench store check {}` tells what is lost", folder.path().display());
    assert!(error.contains(&remedy), "{error}");
}

#[test]
fn a_store_in_use_or_of_another_program_is_not_checked() {
    let folder = stored(&[]);
    let store = RedbStore::open(folder.path(), FolderOptions::default()).unwrap();
    let refused = || Checkup::of(folder.path()).unwrap_err();
    assert!(matches!(refused(), StoreError::InUse { .. }));
    drop(store);
    fs::write(folder.path().join("world.redb"), "not a database").unwrap();
    assert!(matches!(refused(), StoreError::NotAStore { .. }));
    fs::remove_file(folder.path().join("world.redb")).unwrap();
    assert!(matches!(refused(), StoreError::File { .. }));
}

/// The examples of the description, each a key and a record.
fn examples() -> Vec<(&'static str, &'static str)> {
    let text = include_str!("../../../docs/STORE-FORMAT.md");
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
    assert_eq!(kinds.len(), 15, "{kinds:?}");
    let folder = stored(&records);
    assert_eq!(
        all(&RedbStore::open(folder.path(), FolderOptions::default()).unwrap()).unwrap().1,
        records
    );
}
