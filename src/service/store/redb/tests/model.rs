//! Tests that a store behaves like a map with revisions, however it ends.

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Puts or removes values. If `stale`, the commit is based on the state before the last change.
    Commit {
        stale: bool,
        changes: Vec<(u8, Option<u8>)>,
    },
    Reopen,
    /// Continues with the file as it is while the store has it open, as after `kill -9`.
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
