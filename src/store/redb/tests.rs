use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use proptest::prelude::*;

use super::*;
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
    RedbStore::open(folder.path()).unwrap().commit(Revision(0), &changes).unwrap();
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
    RedbStore::open(folder).and_then(|store| all(&store)).unwrap_err().to_string()
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
        let mut store = RedbStore::open(folder.path()).unwrap();
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
                    store = RedbStore::open(folder.path()).unwrap();
                }
                Step::Kill => {
                    let copy = tempfile::tempdir().unwrap();
                    fs::copy(folder.path().join("world.redb"), copy.path().join("world.redb")).unwrap();
                    (store, folder) = (RedbStore::open(copy.path()).unwrap(), copy);
                }
            }
            prop_assert!(!store.repaired());
            prop_assert_eq!(all(&store).unwrap(), model.all());
        }
    }
}

#[test]
fn a_second_store_in_one_folder_is_refused_until_the_first_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let first = RedbStore::open(folder.path()).unwrap();
    let path = folder.path().display();
    assert_eq!(
        error(folder.path()),
        format!("another mintbench serves from `{path}`; stop it or name another folder")
    );
    drop(first);
    RedbStore::open(folder.path()).unwrap();
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
    let open = || RedbStore::open(folder.path()).unwrap();
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
    assert_eq!(all(&RedbStore::open(folder.path()).unwrap()).unwrap(), (Revision(0), vec![]));
    assert!(!folder.path().join("world.redb.new").exists());
}

#[test]
fn a_start_that_is_undone_leaves_the_files_of_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ca.key"), "of before").unwrap();
    let new = RedbStore::open(folder.path()).unwrap().new_store().unwrap();
    for name in ["ca.pem", "thesis.txt"] {
        fs::write(folder.path().join(name), "of meanwhile").unwrap();
    }
    new.undo(&["ca.key", "ca.pem"]);
    let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: std::collections::BTreeSet<_> = left.collect();
    assert_eq!(left, ["ca.key", "thesis.txt"].map(Into::into).into());
    assert!(RedbStore::open(folder.path()).unwrap().new_store().is_some());
    assert!(RedbStore::open(folder.path()).unwrap().new_store().is_none());
}

#[test]
fn only_the_owner_can_read_a_store() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("a/b");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    drop(RedbStore::open(&folder).unwrap());
    assert_eq!((mode(&folder), mode(&folder.join("world.redb"))), (0o700, 0o600));
    for (path, open, closed) in
        [(folder.join("world.redb"), 0o660, 0o600), (folder.clone(), 0o2770, 0o700)]
    {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        assert!(matches!(RedbStore::open(&folder), Err(StoreError::Exposed(_))));
        drop(RedbStore::open_for(&folder, GroupRead::Allowed).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(closed)).unwrap();
    }
    drop(RedbStore::open(&folder).unwrap());
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
        let error = RedbStore::open(folder.path()).and_then(|store| all(&store)).unwrap_err();
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
fn a_changed_byte_is_an_error_or_changes_nothing() {
    let records: Vec<Record> = (0..200).map(|slot| group(slot, 0)).collect();
    let folder = stored(&records);
    let file = folder.path().join("world.redb");
    let good = fs::read(&file).unwrap();
    let mut errors = 0;
    for offset in (0..64).chain((64..good.len()).step_by(good.len() / 400)) {
        let mut bad = good.clone();
        bad[offset] ^= 0x41;
        fs::write(&file, &bad).unwrap();
        match RedbStore::open(folder.path()).and_then(|store| all(&store)) {
            Ok((_, found)) => assert_eq!(found, records, "byte {offset}"),
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 50, "only {errors} changes were seen: most of the file is not records");
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
    assert_eq!(all(&RedbStore::open(folder.path()).unwrap()).unwrap().1, records);
}
