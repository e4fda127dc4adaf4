//! Test store in memory that can be opened again.

use std::collections::BTreeMap;

use super::*;

/// A store that outlives its directory, and keeps records as JSON text.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) format: Format,
    pub(super) kept: Arc<Mutex<(Revision, Kept)>>,
}

/// Records by key text: the revision that wrote the record, and its JSON.
pub(super) type Kept = BTreeMap<String, (Revision, String)>;

impl Disk {
    pub(super) fn new(format: Format) -> Self {
        Self { format, kept: Arc::default() }
    }

    pub(super) fn open(&self, seed: Vec<Record>) -> Directory {
        open(Box::new(self.clone()), seed, Seconds(0))
    }

    pub(super) fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        self.replay(&mut |record| records.push(record)).unwrap();
        records
    }
}

impl Store for Disk {
    fn commit(&self, expected: Revision, changes: &[Change]) -> Result<Revision, StoreError> {
        let mut kept = self.kept.lock();
        assert_eq!(kept.0, expected);
        for change in changes {
            kept.0.0 += 1;
            let (revision, key) = (kept.0, change.key().to_string());
            match change {
                Change::Put(record) => {
                    let text = serde_json::to_string(record).unwrap();
                    kept.1.insert(key, (revision, text));
                }
                Change::Remove(_) => drop(kept.1.remove(&key)),
            }
        }
        Ok(kept.0)
    }

    fn replay(&self, each: &mut dyn FnMut(Record)) -> Result<Revision, StoreError> {
        let kept = self.kept.lock();
        let mut records: Vec<_> = kept.1.values().collect();
        records.sort();
        for (_, text) in records {
            each(serde_json::from_str(text).unwrap());
        }
        Ok(kept.0)
    }

    fn format(&self) -> Format {
        self.format
    }
}
