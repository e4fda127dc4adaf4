//! Operations of authorized callers. Those that secrets and keys share are written once.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::access::authorize;
use super::backup::{Sealer, restore};
use super::bundle::{Bundle, Shown, Shows};
use super::error::VaultError;
use super::headers::json;
use super::kind::Kind;
use super::list::List;
use super::located::Located;
use super::objects::{ObjectRef, Planned};
use super::operation::{Operation, Verb};
use super::query::Query;
use super::request::{NewSecret, SecretChange};
use crate::base::clock::UnixSeconds;
use crate::service::directory::{Directory, IdSource, State};
use crate::service::token::Bearer;
use crate::service::world::record::{KeyContent, ObjectVersion, SecretContent, StoredSecret};

/// An operation, its caller and what it works on.
pub(super) struct Work<'a> {
    pub(super) directory: &'a Directory,
    pub(super) sealer: &'a Sealer,
    /// Largest number of versions of an object.
    pub(super) max_versions: usize,
    pub(super) located: &'a Located,
    pub(super) bearer: &'a Bearer,
    pub(super) operation: Operation<'a>,
    pub(super) now: UnixSeconds,
}

/// Result of an operation.
pub(super) enum Outcome {
    Done,
    Json(String),
}

/// Objects that can be shown and backed up.
trait Kept: Shows + Serialize + DeserializeOwned {}

impl<C: Shows + Serialize + DeserializeOwned> Kept for C {}

impl<'a> Work<'a> {
    /// Returns the answer to an operation that changes nothing and takes no time. All others return `None`.
    pub(super) fn read(&self, query: &Query) -> Result<Option<String>, VaultError> {
        match self.operation {
            Operation::Object(Kind::Key, verb) => self.read_object::<KeyContent>(verb, query),
            Operation::Object(Kind::Secret, verb) => self.read_object::<SecretContent>(verb, query),
            Operation::Key { .. } | Operation::SetSecret { .. } => Ok(None),
        }
    }

    fn read_object<C: Kept>(
        &self,
        verb: Verb<'a>,
        query: &Query,
    ) -> Result<Option<String>, VaultError> {
        let (state, located, now) = (self.directory.read(), self.located, self.now);
        let (collection, deleted) = (C::KIND.collection(), C::KIND.deleted_collection());
        let list = |path| List { located, query, path };
        let answer = match verb {
            Verb::Backup { name } => self.sealer.backup(self.object(name).live::<C>(&state)?)?,
            Verb::Get { name, version } => {
                let version = self.object(name).readable::<C>(&state, version)?;
                json(&Bundle::of(&version, located, Shown::WithValue))
            }
            Verb::GetDeleted { name } => {
                let deleted = self.object(name).deleted::<C>(&state, now)?;
                json(&Bundle::of_deleted(&deleted, located, Shown::Whole))
            }
            Verb::List => list(format!("/{collection}")).live::<C>(&state)?,
            Verb::ListDeleted => list(format!("/{deleted}")).deleted::<C>(&state, now)?,
            Verb::ListVersions { name } => {
                list(format!("/{collection}/{name}/versions")).versions::<C>(&state, name)?
            }
            Verb::Delete { .. }
            | Verb::Purge { .. }
            | Verb::Recover { .. }
            | Verb::Restore
            | Verb::Update { .. } => return Ok(None),
        };
        Ok(Some(answer))
    }

    /// Runs an operation that changes something or takes time, for a thread that may wait.
    pub(super) fn perform(&self, body: &Bytes) -> Result<Outcome, VaultError> {
        match self.operation {
            Operation::Key { name, verb } => self.perform_on_key(name, verb, body),
            Operation::Object(kind, Verb::Update { name, version }) => match kind {
                Kind::Key => self.update_key(name, version, body),
                Kind::Secret => self.update_secret(name, version, body),
            },
            Operation::Object(Kind::Key, verb) => self.change::<KeyContent>(verb, body),
            Operation::Object(Kind::Secret, verb) => self.change::<SecretContent>(verb, body),
            Operation::SetSecret { name } => self.set_secret(name, body),
        }
    }

    fn change<C: Kept>(&self, verb: Verb<'a>, body: &Bytes) -> Result<Outcome, VaultError> {
        let now = self.now;
        match verb {
            Verb::Delete { name } => {
                let deleted = self.write(|state, _| self.object(name).delete::<C>(state, now))?;
                let bundle = Bundle::of_deleted(&deleted, self.located, Shown::Whole);
                Ok(Outcome::Json(json(&bundle)))
            }
            Verb::Purge { name } => {
                self.write(|state, _| self.object(name).purge::<C>(state, now))?;
                Ok(Outcome::Done)
            }
            Verb::Recover { name } => {
                let recovered =
                    self.write(|state, _| self.object(name).recover::<C>(state, now))?;
                Ok(self.shown(&recovered, Shown::Whole))
            }
            Verb::Restore => {
                let versions = self.sealer.open::<C>(body)?;
                let restored = self.write(|state, _| {
                    restore(state, self.located, versions, now, self.max_versions)
                })?;
                Ok(self.shown(&restored, Shown::Whole))
            }
            _ => Err(VaultError::PathNotFound),
        }
    }

    fn set_secret(&self, name: &'a str, body: &Bytes) -> Result<Outcome, VaultError> {
        let NewSecret { value, content_type, properties } = NewSecret::parse(body)?;
        let content = SecretContent { value: StoredSecret(value), content_type };
        let limits = (self.now, self.max_versions);
        let set = self.write(|state, fresh| {
            self.object(name).add(state, fresh, properties, limits, |_| content)
        })?;
        Ok(self.shown(&set, Shown::WithValue))
    }

    fn update_secret(
        &self,
        name: &'a str,
        version: Option<&str>,
        body: &Bytes,
    ) -> Result<Outcome, VaultError> {
        let SecretChange { content_type, properties } = SecretChange::parse(body)?;
        let change = |content: &mut SecretContent| {
            if content_type.is_some() {
                content.content_type = content_type;
            }
        };
        let updated = self.write(|state, _| {
            self.object(name).update(state, version, properties, self.now, change)
        })?;
        Ok(self.shown(&updated, Shown::Whole))
    }

    pub(super) fn object(&self, name: &'a str) -> ObjectRef<'a> {
        ObjectRef { vault: &self.located.vault.id, name }
    }

    pub(super) fn shown<C: Shows>(&self, version: &ObjectVersion<C>, shown: Shown) -> Outcome {
        Outcome::Json(json(&Bundle::of(version, self.located, shown)))
    }

    /// Changes the directory, unless the caller has lost its role since.
    pub(super) fn write<T>(
        &self,
        plan: impl FnOnce(&State, &mut IdSource<'_>) -> Planned<T>,
    ) -> Result<T, VaultError> {
        self.directory.write(self.now, |state, fresh| {
            authorize(state, self.located, self.bearer, &self.operation, self.now)?;
            plan(state, fresh)
        })
    }
}
