//! The secrets or the keys of all vaults: their versions and their deletions.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::base::ids::ArmId;
use crate::service::world::record::{DeletedObject, ObjectVersion};

/// A secret or a key: its versions, and its deletion if it is deleted.
#[derive(Clone, Debug)]
pub struct Object<C> {
    /// Versions, the oldest first.
    pub versions: Vec<Arc<ObjectVersion<C>>>,
    /// Record of the deletion, until the object is recovered or purged.
    pub deleted: Option<Arc<DeletedObject>>,
}

impl<C> Default for Object<C> {
    fn default() -> Self {
        Self { versions: Vec::new(), deleted: None }
    }
}

/// Objects of one kind, by vault and name in lower case.
#[derive(Debug)]
pub struct Objects<C>(BTreeMap<(ArmId, String), Object<C>>);

impl<C> Default for Objects<C> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<C> Objects<C> {
    /// Returns an object of a vault. Names ignore case.
    pub fn get(&self, vault: &ArmId, name: &str) -> Option<&Object<C>> {
        self.0.get(&(vault.clone(), name.to_lowercase()))
    }

    /// Returns the objects of a vault whose names come after `after`, by name. `after` is in lower case.
    pub fn after<'a>(
        &'a self,
        vault: &'a ArmId,
        after: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Object<C>)> + use<'a, C> {
        let from = (Bound::Excluded((vault.clone(), after.to_owned())), Bound::Unbounded);
        let own = self.0.range(from).take_while(move |((other, _), _)| other == vault);
        own.map(|((_, name), object)| (name.as_str(), object))
    }

    /// Returns the objects of all vaults.
    pub fn all(&self) -> impl Iterator<Item = &Object<C>> {
        self.0.values()
    }

    pub(super) fn put_version(&mut self, version: ObjectVersion<C>) {
        let key = (version.vault.clone(), version.name.to_lowercase());
        let versions = &mut self.0.entry(key).or_default().versions;
        versions.retain(|held| held.version != version.version);
        versions.push(Arc::new(version));
        versions.sort_by_key(|version| version.ordinal);
    }

    pub(super) fn put_deleted(&mut self, deleted: DeletedObject) {
        let key = (deleted.vault.clone(), deleted.name.to_lowercase());
        self.0.entry(key).or_default().deleted = Some(Arc::new(deleted));
    }

    pub(super) fn remove_version(&mut self, vault: &ArmId, name: &str, version: &str) {
        self.change(vault, name, |object| {
            object.versions.retain(|held| held.version != version);
        });
    }

    pub(super) fn remove_deleted(&mut self, vault: &ArmId, name: &str) {
        self.change(vault, name, |object| object.deleted = None);
    }

    fn change(&mut self, vault: &ArmId, name: &str, change: impl FnOnce(&mut Object<C>)) {
        let key = (vault.clone(), name.to_lowercase());
        if let Some(object) = self.0.get_mut(&key) {
            change(object);
            if object.versions.is_empty() && object.deleted.is_none() {
                self.0.remove(&key);
            }
        }
    }
}
