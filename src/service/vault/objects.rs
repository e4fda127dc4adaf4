//! Operations that secrets and keys share: pure rules from a state to changes.
//!
//! An object is live, deleted but recoverable, or absent. An object whose purge is due counts as absent, even
//! before it is purged. `nbf` and `exp` do not prevent reading a secret: for a vault they are a note to its
//! users (Azure, "About Azure Key Vault secrets"). `enabled` is enforced. The rules for the use of keys are in `keys`.

use std::sync::Arc;

use uuid::Uuid;

use super::error::VaultError;
use super::kind::{Kind, OfKind};
use super::request::Properties;
use crate::base::clock::UnixSeconds;
use crate::base::ids::ArmId;
use crate::service::directory::{Directory, IdSource, Object, State, purge};
use crate::service::store::StoreError;
use crate::service::world::record::{Change, DeletedObject, ObjectVersion, Vault};

/// A secret or a key, by its vault and name. The case of names is ignored.
#[derive(Clone, Copy, Debug)]
pub(super) struct ObjectRef<'a> {
    pub(super) vault: &'a ArmId,
    pub(super) name: &'a str,
}

/// A deleted object and its last version.
#[derive(Clone, Debug)]
pub(super) struct Deleted<C> {
    pub(super) record: Arc<DeletedObject>,
    pub(super) last: Arc<ObjectVersion<C>>,
}

/// Changes of an operation, and its result.
pub(super) type Planned<T> = Result<(Vec<Change>, T), VaultError>;

/// Returns the last version of a live object.
pub(super) fn live<C>(object: &Object<C>) -> Option<&Arc<ObjectVersion<C>>> {
    object.versions.last().filter(|_| object.deleted.is_none())
}

/// Returns a deleted object that can be recovered.
pub(super) fn deleted<C>(object: &Object<C>, now: UnixSeconds) -> Option<Deleted<C>> {
    let record = object.deleted.as_ref().filter(|record| now < record.scheduled_purge)?;
    Some(Deleted { record: Arc::clone(record), last: Arc::clone(object.versions.last()?) })
}

impl ObjectRef<'_> {
    /// Returns a version of a live object, the last version if none is named.
    pub(super) fn version<C: OfKind>(
        self,
        state: &State,
        version: Option<&str>,
    ) -> Result<Arc<ObjectVersion<C>>, VaultError> {
        let is_meant = |held: &&Arc<ObjectVersion<C>>| {
            version.is_none_or(|version| held.version.eq_ignore_ascii_case(version))
        };
        let object = self.live::<C>(state).ok();
        let found = object.and_then(|object| object.versions.iter().rfind(is_meant));
        found.cloned().ok_or_else(|| self.not_found(C::KIND, version))
    }

    /// Returns a live object with all its versions.
    pub(super) fn live<'s, C: OfKind>(
        &self,
        state: &'s State,
    ) -> Result<&'s Object<C>, VaultError> {
        let object = C::objects(state).get(self.vault, self.name);
        object.filter(|object| live(object).is_some()).ok_or_else(|| self.not_found(C::KIND, None))
    }

    /// Like [`version`](Self::version), for an answer with all that the caller may read. Refuses a disabled
    /// secret. The public half of a disabled key can be read.
    pub(super) fn readable<C: OfKind>(
        self,
        state: &State,
        version: Option<&str>,
    ) -> Result<Arc<ObjectVersion<C>>, VaultError> {
        let version = self.version(state, version)?;
        if version.enabled || C::KIND == Kind::Key {
            Ok(version)
        } else {
            Err(VaultError::Disabled { kind: C::KIND, operation: "get" })
        }
    }

    /// Returns the deleted object.
    pub(super) fn deleted<C: OfKind>(
        self,
        state: &State,
        now: UnixSeconds,
    ) -> Result<Deleted<C>, VaultError> {
        let object = C::objects(state).get(self.vault, self.name);
        let found = object.and_then(|object| deleted(object, now));
        let (kind, name) = (C::KIND, self.name);
        found.ok_or_else(|| VaultError::DeletedNotFound { kind, name: name.to_owned() })
    }

    /// Returns the last version, if the object is live. Refuses an object that may not get another version:
    /// it is deleted, or has `max` versions.
    pub(super) fn extensible<C: OfKind>(
        self,
        state: &State,
        (now, max): (UnixSeconds, usize),
    ) -> Result<Option<&Arc<ObjectVersion<C>>>, VaultError> {
        self.in_vault(state)?;
        let Some(held) = C::objects(state).get(self.vault, self.name) else { return Ok(None) };
        let (kind, name) = (C::KIND, || self.name.to_owned());
        if deleted(held, now).is_some() {
            return Err(VaultError::Deleted { kind, name: name() });
        }
        let last = live(held);
        if last.is_some() && held.versions.len() >= max {
            return Err(VaultError::TooManyVersions { kind, name: name(), max });
        }
        Ok(last)
    }

    /// Adds a version with the content that `content` makes of the last one. At most `max` versions are
    /// allowed.
    pub(super) fn add<C: OfKind>(
        self,
        state: &State,
        fresh: &mut IdSource<'_>,
        properties: Properties,
        (now, max): (UnixSeconds, usize),
        content: impl FnOnce(Option<&C>) -> C,
    ) -> Planned<ObjectVersion<C>> {
        let last = self.extensible::<C>(state, (now, max))?;
        let version = ObjectVersion {
            vault: self.vault.clone(),
            // The name keeps its first spelling.
            name: last.map_or(self.name, |last| &last.name).to_owned(),
            version: Uuid::from_bytes(fresh.guid()).simple().to_string(),
            content: content(last.map(|last| &last.content)),
            tags: properties.tags.unwrap_or_default(),
            enabled: properties.enabled.unwrap_or(true),
            not_before: properties.not_before,
            expires: properties.expires,
            created: now,
            updated: now,
            ordinal: last.map_or(0, |last| last.ordinal.saturating_add(1)),
        };
        // What is there but not live is a deleted object whose purge is due.
        let overdue = C::objects(state).get(self.vault, self.name).filter(|_| last.is_none());
        let mut changes = overdue.map(purge).unwrap_or_default();
        changes.push(C::put_version(version.clone()));
        Ok((changes, version))
    }

    /// Changes the properties of a version, and its content by `change`.
    pub(super) fn update<C: OfKind>(
        self,
        state: &State,
        version: Option<&str>,
        properties: Properties,
        now: UnixSeconds,
        change: impl FnOnce(&mut C),
    ) -> Planned<ObjectVersion<C>> {
        self.in_vault(state)?;
        let held = self.version::<C>(state, version)?;
        let mut updated = ObjectVersion {
            tags: properties.tags.unwrap_or_else(|| held.tags.clone()),
            enabled: properties.enabled.unwrap_or(held.enabled),
            not_before: properties.not_before.or(held.not_before),
            expires: properties.expires.or(held.expires),
            updated: now,
            ..ObjectVersion::<C>::clone(&held)
        };
        change(&mut updated.content);
        Ok((vec![C::put_version(updated.clone())], updated))
    }

    /// Deletes the object with all its versions. It can be recovered.
    pub(super) fn delete<C: OfKind>(self, state: &State, now: UnixSeconds) -> Planned<Deleted<C>> {
        let retention = self.in_vault(state)?.settings.retention();
        let last = self.version::<C>(state, None)?;
        let record = DeletedObject {
            vault: self.vault.clone(),
            name: last.name.clone(),
            deleted: now,
            scheduled_purge: now + retention,
        };
        let changes = vec![C::put_deleted(record.clone())];
        Ok((changes, Deleted { record: Arc::new(record), last }))
    }

    /// Recovers a deleted object.
    pub(super) fn recover<C: OfKind>(
        self,
        state: &State,
        now: UnixSeconds,
    ) -> Planned<Arc<ObjectVersion<C>>> {
        self.in_vault(state)?;
        let Deleted { record, last } = self.deleted::<C>(state, now)?;
        Ok((vec![C::remove_deleted(&record)], last))
    }

    /// Purges a deleted object, unless the vault has purge protection.
    pub(super) fn purge<C: OfKind>(self, state: &State, now: UnixSeconds) -> Planned<()> {
        let vault = self.in_vault(state)?;
        self.deleted::<C>(state, now)?;
        if vault.settings.purge_protection {
            let (vault, location) = (vault.id.name().to_owned(), vault.location.clone());
            return Err(VaultError::PurgeProtected { vault, location });
        }
        let object = C::objects(state).get(self.vault, self.name);
        Ok((object.map(purge).unwrap_or_default(), ()))
    }

    /// Returns the vault, or an error if it was deleted while the request was read.
    pub(super) fn in_vault<'s>(&self, state: &'s State) -> Result<&'s Arc<Vault>, VaultError> {
        let gone = || VaultError::VaultNotFound(self.vault.name().to_owned());
        state.vault(self.vault).ok_or_else(gone)
    }

    fn not_found(self, kind: Kind, version: Option<&str>) -> VaultError {
        let name = self.name;
        let id = version.map_or(name.to_owned(), |version| format!("{name}/{version}"));
        VaultError::NotFound { kind, id }
    }
}

/// Purges deleted vaults, and deleted secrets and keys of all vaults, that are due. Returns their number.
/// Call it periodically: due items are not shown any more, but they stay in the store until this call.
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
