//! Rules that turn the state into the changes that delete, recover and purge key vaults. They have no side
//! effects.

use super::state::{Secret, State};
use crate::base::clock::UnixSeconds;
use crate::base::ids::ArmId;
use crate::service::world::record::{Change, DeletedSecret, DeletedVault, Key, Record, Vault};
use crate::service::world::vault::vault_address;

impl State {
    /// Returns the changes that delete a vault. Its secrets stay stored, so that it can be recovered.
    pub fn vault_deletion(&self, id: &ArmId, now: UnixSeconds) -> Vec<Change> {
        let Some(vault) = self.vault(id) else { return Vec::new() };
        let deleted = DeletedVault::of(vault, now);
        vec![
            Change::Remove(Key::Vault(vault.id.clone())),
            Change::Put(Record::DeletedVault(deleted)),
        ]
    }

    /// Returns the changes that remove a deleted vault and its secrets for good.
    pub fn vault_purge(&self, deleted: &DeletedVault) -> Vec<Change> {
        let id = &deleted.vault.id;
        let mut changes: Vec<_> =
            self.secrets(id).flat_map(|(_, secret)| secret_purge(secret)).collect();
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

    /// Returns the changes that purge everything due at `now`: deleted vaults, and deleted secrets of all
    /// vaults.
    pub fn due_purges(&self, now: UnixSeconds) -> Vec<Vec<Change>> {
        let vaults = self.deleted_vaults().filter(|held| held.scheduled_purge <= now);
        let vaults = vaults.map(|held| self.vault_purge(held));
        let is_due = |held: &DeletedSecret| held.scheduled_purge <= now;
        let secrets =
            self.all_secrets().filter(|secret| secret.deleted.as_deref().is_some_and(is_due));
        vaults.chain(secrets.map(secret_purge)).collect()
    }
}

/// Returns the changes that remove a secret with all its versions.
pub fn secret_purge(secret: &Secret) -> Vec<Change> {
    let versions = secret.versions.iter().map(|held| {
        Key::SecretVersion(held.vault.clone(), held.name.clone(), held.version.clone())
    });
    let deleted = secret
        .deleted
        .iter()
        .map(|record| Key::DeletedSecret(record.vault.clone(), record.name.clone()));
    versions.chain(deleted).map(Change::Remove).collect()
}
