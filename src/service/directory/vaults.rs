//! Rules that turn the state into the changes that delete, recover and purge key vaults and what is in them.
//! They have no side effects.

use std::fmt;

use super::objects::{Object, Objects};
use super::state::State;
use crate::base::clock::UnixSeconds;
use crate::base::ids::ArmId;
use crate::service::world::record::{
    Change, DeletedObject, DeletedVault, Key, KeyContent, ObjectVersion, Record, SecretContent,
    Vault,
};
use crate::service::world::vault::vault_address;

/// The content of an object of a vault, which says where such objects are stored.
pub trait Content: Clone + fmt::Debug + Sized + 'static {
    /// Returns the objects with such a content.
    fn objects(state: &State) -> &Objects<Self>;

    /// Returns the change that stores a version.
    fn put_version(version: ObjectVersion<Self>) -> Change;

    /// Returns the change that removes a version.
    fn remove_version(version: &ObjectVersion<Self>) -> Change;

    /// Returns the change that stores a deletion.
    fn put_deleted(deleted: DeletedObject) -> Change;

    /// Returns the change that removes a deletion.
    fn remove_deleted(deleted: &DeletedObject) -> Change;
}

impl Content for KeyContent {
    fn objects(state: &State) -> &Objects<Self> {
        &state.keys
    }

    fn put_version(version: ObjectVersion<Self>) -> Change {
        Change::Put(Record::KeyVersion(version))
    }

    fn remove_version(version: &ObjectVersion<Self>) -> Change {
        let ObjectVersion { vault, name, version, .. } = version;
        Change::Remove(Key::KeyVersion(vault.clone(), name.clone(), version.clone()))
    }

    fn put_deleted(deleted: DeletedObject) -> Change {
        Change::Put(Record::DeletedKey(deleted))
    }

    fn remove_deleted(deleted: &DeletedObject) -> Change {
        Change::Remove(Key::DeletedKey(deleted.vault.clone(), deleted.name.clone()))
    }
}

impl Content for SecretContent {
    fn objects(state: &State) -> &Objects<Self> {
        &state.secrets
    }

    fn put_version(version: ObjectVersion<Self>) -> Change {
        Change::Put(Record::SecretVersion(version))
    }

    fn remove_version(version: &ObjectVersion<Self>) -> Change {
        let ObjectVersion { vault, name, version, .. } = version;
        Change::Remove(Key::SecretVersion(vault.clone(), name.clone(), version.clone()))
    }

    fn put_deleted(deleted: DeletedObject) -> Change {
        Change::Put(Record::DeletedSecret(deleted))
    }

    fn remove_deleted(deleted: &DeletedObject) -> Change {
        Change::Remove(Key::DeletedSecret(deleted.vault.clone(), deleted.name.clone()))
    }
}

impl State {
    /// Returns the changes that delete a vault. What is in it stays stored, so that it can be recovered.
    pub fn vault_deletion(&self, id: &ArmId, now: UnixSeconds) -> Vec<Change> {
        let Some(vault) = self.vault(id) else { return Vec::new() };
        let deleted = DeletedVault::of(vault, now);
        vec![
            Change::Remove(Key::Vault(vault.id.clone())),
            Change::Put(Record::DeletedVault(deleted)),
        ]
    }

    /// Returns the changes that remove a deleted vault, its secrets and its keys for good.
    pub fn vault_purge(&self, deleted: &DeletedVault) -> Vec<Change> {
        let id = &deleted.vault.id;
        let mut changes: Vec<_> =
            self.secrets.after(id, "").flat_map(|(_, secret)| purge(secret)).collect();
        changes.extend(self.keys.after(id, "").flat_map(|(_, key)| purge(key)));
        changes.push(Change::Remove(Key::DeletedVault(id.clone())));
        changes
    }

    /// Returns the changes that recover a deleted vault as `vault`.
    pub fn vault_recovery(vault: Vault) -> Vec<Change> {
        let id = vault.id.clone();
        vec![Change::Remove(Key::DeletedVault(id)), Change::Put(Record::Vault(vault))]
    }

    /// Returns the deleted vault that reserves the name, even if its purge is due.
    pub fn deleted_vault_named(&self, name: &str) -> Option<&DeletedVault> {
        let mut found = self.deleted_vaults().map(|held| &**held);
        found.find(|held| held.vault.id.name().eq_ignore_ascii_case(name))
    }

    /// Returns true if another vault, live or deleted, has the loopback address that `name` gets. A client
    /// that kept the address would send its secrets to the new vault.
    pub fn vault_address_taken(&self, name: &str) -> bool {
        let address = vault_address(name);
        let live = self.vault_at(address.into()).map(|vault| vault.id.name());
        let deleted = self.deleted_vaults().map(|held| held.vault.id.name());
        let deleted = deleted.filter(|other| vault_address(other) == address);
        live.into_iter().chain(deleted).any(|other| !other.eq_ignore_ascii_case(name))
    }

    /// Returns the changes that purge everything due at `now`: deleted vaults, and deleted secrets and keys
    /// of all vaults.
    pub fn due_purges(&self, now: UnixSeconds) -> Vec<Vec<Change>> {
        let vaults = self.deleted_vaults().filter(|held| held.scheduled_purge <= now);
        let vaults = vaults.map(|held| self.vault_purge(held));
        vaults.chain(due(&self.secrets, now)).chain(due(&self.keys, now)).collect()
    }
}

/// Returns the changes that purge each deleted object that is due at `now`.
fn due<C: Content>(objects: &Objects<C>, now: UnixSeconds) -> impl Iterator<Item = Vec<Change>> {
    let is_due = move |held: &DeletedObject| held.scheduled_purge <= now;
    let due = objects.all().filter(move |object| object.deleted.as_deref().is_some_and(is_due));
    due.map(purge)
}

/// Returns the changes that remove an object with all its versions.
pub fn purge<C: Content>(object: &Object<C>) -> Vec<Change> {
    let versions = object.versions.iter().map(|held| C::remove_version(held));
    versions.chain(object.deleted.iter().map(|held| C::remove_deleted(held))).collect()
}
