//! Operations on secrets: pure rules from a state to changes.
//!
//! A secret is live, deleted but recoverable, or absent. A secret whose purge is due counts as absent, even
//! before it is purged. `nbf` and `exp` do not prevent reading: for a vault they are a note to its users
//! (Azure, "About Azure Key Vault secrets"). `enabled` is enforced.

use std::sync::Arc;

use uuid::Uuid;

use super::error::VaultError;
use super::request::{NewVersion, Properties};
use crate::base::clock::UnixSeconds;
use crate::base::ids::ArmId;
use crate::service::directory::{Directory, IdSource, Secret, State, secret_purge};
use crate::service::store::StoreError;
use crate::service::world::record::{
    Change, DeletedSecret, Key, Record, SecretVersion, StoredSecret, Vault,
};

/// A secret, by its vault and name. The case of names is ignored.
#[derive(Clone, Copy, Debug)]
pub(super) struct SecretRef<'a> {
    pub(super) vault: &'a ArmId,
    pub(super) name: &'a str,
}

/// A deleted secret and its last version.
#[derive(Clone, Debug)]
pub(super) struct Deleted {
    pub(super) record: Arc<DeletedSecret>,
    pub(super) last: Arc<SecretVersion>,
}

/// Changes of an operation, and its result.
type Planned<T> = Result<(Vec<Change>, T), VaultError>;

/// Returns the last version of a live secret.
pub(super) fn live(secret: &Secret) -> Option<&Arc<SecretVersion>> {
    secret.versions.last().filter(|_| secret.deleted.is_none())
}

/// Returns a deleted secret that can be recovered.
pub(super) fn deleted(secret: &Secret, now: UnixSeconds) -> Option<Deleted> {
    let record = secret.deleted.as_ref().filter(|record| now < record.scheduled_purge)?;
    Some(Deleted { record: Arc::clone(record), last: Arc::clone(secret.versions.last()?) })
}

impl SecretRef<'_> {
    /// Returns a version of a live secret, the last version if none is named.
    pub(super) fn version(
        self,
        state: &State,
        version: Option<&str>,
    ) -> Result<Arc<SecretVersion>, VaultError> {
        let is_meant = |held: &&Arc<SecretVersion>| {
            version.is_none_or(|version| held.version.eq_ignore_ascii_case(version))
        };
        let secret = self.live(state).ok();
        let found = secret.and_then(|secret| secret.versions.iter().rfind(is_meant));
        found.cloned().ok_or_else(|| self.not_found(version))
    }

    /// Returns a live secret with all its versions.
    pub(super) fn live<'s>(&self, state: &'s State) -> Result<&'s Secret, VaultError> {
        let secret = state.secret(self.vault, self.name);
        secret.filter(|secret| live(secret).is_some()).ok_or_else(|| self.not_found(None))
    }

    /// Like [`version`](Self::version), for reading the value. Refuses a disabled version.
    pub(super) fn readable(
        self,
        state: &State,
        version: Option<&str>,
    ) -> Result<Arc<SecretVersion>, VaultError> {
        let version = self.version(state, version)?;
        if version.enabled { Ok(version) } else { Err(VaultError::SecretDisabled) }
    }

    /// Returns the deleted secret.
    pub(super) fn deleted(self, state: &State, now: UnixSeconds) -> Result<Deleted, VaultError> {
        let secret = state.secret(self.vault, self.name);
        let found = secret.and_then(|secret| deleted(secret, now));
        found.ok_or_else(|| VaultError::DeletedSecretNotFound(self.name.to_owned()))
    }

    /// Adds a version, unless the secret already has `max` versions.
    pub(super) fn set(
        self,
        state: &State,
        fresh: &mut IdSource<'_>,
        new: NewVersion,
        (now, max): (UnixSeconds, usize),
    ) -> Planned<SecretVersion> {
        self.in_vault(state)?;
        let held = state.secret(self.vault, self.name);
        if held.is_some_and(|secret| deleted(secret, now).is_some()) {
            return Err(VaultError::SecretDeleted(self.name.to_owned()));
        }
        let last = held.and_then(live);
        if last.is_some() && held.is_some_and(|secret| secret.versions.len() >= max) {
            return Err(VaultError::TooManyVersions { name: self.name.to_owned(), max });
        }
        let NewVersion { value, properties } = new;
        let version = SecretVersion {
            vault: self.vault.clone(),
            // The name keeps its first spelling.
            name: last.map_or(self.name, |last| &last.name).to_owned(),
            version: Uuid::from_bytes(fresh.guid()).simple().to_string(),
            value: StoredSecret(value),
            content_type: properties.content_type,
            tags: properties.tags.unwrap_or_default(),
            enabled: properties.enabled.unwrap_or(true),
            not_before: properties.not_before,
            expires: properties.expires,
            created: now,
            updated: now,
            ordinal: last.map_or(0, |last| last.ordinal.saturating_add(1)),
        };
        let overdue = held.filter(|_| last.is_none()).map(secret_purge);
        let mut changes = overdue.unwrap_or_default();
        changes.push(Change::Put(Record::SecretVersion(version.clone())));
        Ok((changes, version))
    }

    /// Changes the properties of a version. Its value never changes.
    pub(super) fn update(
        self,
        state: &State,
        version: Option<&str>,
        properties: Properties,
        now: UnixSeconds,
    ) -> Planned<SecretVersion> {
        self.in_vault(state)?;
        let held = self.version(state, version)?;
        let updated = SecretVersion {
            content_type: properties.content_type.or_else(|| held.content_type.clone()),
            tags: properties.tags.unwrap_or_else(|| held.tags.clone()),
            enabled: properties.enabled.unwrap_or(held.enabled),
            not_before: properties.not_before.or(held.not_before),
            expires: properties.expires.or(held.expires),
            updated: now,
            ..SecretVersion::clone(&held)
        };
        Ok((vec![Change::Put(Record::SecretVersion(updated.clone()))], updated))
    }

    /// Deletes the secret with all its versions. It can be recovered.
    pub(super) fn delete(self, state: &State, now: UnixSeconds) -> Planned<Deleted> {
        let retention = self.in_vault(state)?.settings.retention();
        let last = self.version(state, None)?;
        let record = DeletedSecret {
            vault: self.vault.clone(),
            name: last.name.clone(),
            deleted: now,
            scheduled_purge: now + retention,
        };
        let changes = vec![Change::Put(Record::DeletedSecret(record.clone()))];
        Ok((changes, Deleted { record: Arc::new(record), last }))
    }

    /// Recovers a deleted secret.
    pub(super) fn recover(self, state: &State, now: UnixSeconds) -> Planned<Arc<SecretVersion>> {
        self.in_vault(state)?;
        let Deleted { record, last } = self.deleted(state, now)?;
        let key = Key::DeletedSecret(record.vault.clone(), record.name.clone());
        Ok((vec![Change::Remove(key)], last))
    }

    /// Purges a deleted secret, unless the vault has purge protection.
    pub(super) fn purge(self, state: &State, now: UnixSeconds) -> Planned<()> {
        let vault = self.in_vault(state)?;
        self.deleted(state, now)?;
        if vault.settings.purge_protection {
            let (vault, location) = (vault.id.name().to_owned(), vault.location.clone());
            return Err(VaultError::PurgeProtected { vault, location });
        }
        let secret = state.secret(self.vault, self.name);
        Ok((secret.map(secret_purge).unwrap_or_default(), ()))
    }

    /// Returns the vault, or an error if it was deleted while the request was read.
    fn in_vault<'s>(&self, state: &'s State) -> Result<&'s Arc<Vault>, VaultError> {
        let gone = || VaultError::VaultNotFound(self.vault.name().to_owned());
        state.vault(self.vault).ok_or_else(gone)
    }

    fn not_found(self, version: Option<&str>) -> VaultError {
        let name = self.name;
        let id = version.map_or(name.to_owned(), |version| format!("{name}/{version}"));
        VaultError::SecretNotFound(id)
    }
}

/// Purges deleted vaults and deleted secrets of all vaults that are due. Returns their number. Call it
/// periodically: due items are not shown any more, but they stay in the store until this call.
///
/// # Errors
/// Returns an error when the store fails. Nothing was purged then.
pub(crate) fn purge_due(directory: &Directory, now: UnixSeconds) -> Result<usize, StoreError> {
    if directory.read().due_purges(now).is_empty() {
        return Ok(0);
    }
    directory.write(now, |state, _| {
        let due = state.due_purges(now);
        let count = due.len();
        Ok((due.concat(), count))
    })
}
