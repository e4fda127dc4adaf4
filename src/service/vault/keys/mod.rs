//! Keys of vaults: creation, import, use and rotation.
//!
//! A private part is parsed for one use, on a blocking thread. It never leaves: answers are made of the public
//! half alone, which is stored beside it. A disabled key is not used. Outside of `nbf` and `exp`, a key only
//! decrypts, unwraps and verifies (Azure, "About keys", date-time controlled operations).

mod cipher;
mod material;
mod policy;
mod refusal;
mod request;
mod signature;

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use cipher::EncryptionAlgorithm;
use material::{KeySpec, Pair, encode};
use policy::{expiry_of, is_due, parse_policy};
pub(super) use refusal::KeyRefusal;
use request::{ImportedKey, KeyChange, KeyUse, NewKey};
use signature::SignatureAlgorithm;

use super::bundle::Shown;
use super::error::VaultError;
use super::headers::json;
use super::kind::Kind;
use super::objects::{ObjectRef, live};
use super::operation::KeyVerb;
use super::request::Properties;
use super::work::{Outcome, Work};
use crate::base::clock::UnixSeconds;
use crate::base::ids::ArmId;
use crate::service::directory::{Content as _, Directory, State};
use crate::service::store::StoreError;
use crate::service::world::record::{
    KeyContent, KeyOperation, KeyVersion, RotationPolicy, StoredSecret,
};

/// The result of a use.
#[derive(Serialize)]
struct Used {
    kid: String,
    value: String,
}

/// The result of a verification.
#[derive(Serialize)]
struct Verified {
    value: bool,
}

impl<'a> Work<'a> {
    /// Runs an operation on keys only, which takes time.
    pub(super) fn perform_on_key(
        &self,
        name: &'a str,
        verb: KeyVerb<'_>,
        body: &Bytes,
    ) -> Result<Outcome, VaultError> {
        match verb {
            KeyVerb::Create => self.create_key(name, body),
            KeyVerb::GetPolicy => {
                let last = self.object(name).version::<KeyContent>(&self.directory.read(), None)?;
                Ok(self.shown_policy(&last.name, last.content.rotation_policy.as_deref()))
            }
            KeyVerb::Import => {
                let ImportedKey { pair, operations, properties } = ImportedKey::parse(body)?;
                self.add_key(name, pair, operations, properties)
            }
            KeyVerb::Rotate => self.rotate_key(name),
            KeyVerb::SetPolicy => self.set_policy(name, body),
            KeyVerb::Use { version, operation } => self.use_key(name, version, operation, body),
        }
    }

    fn create_key(&self, name: &'a str, body: &Bytes) -> Result<Outcome, VaultError> {
        let NewKey { spec, operations, properties } = NewKey::parse(body)?;
        // Checked before a key is generated, which may take seconds, and again in the write.
        let limits = (self.now, self.max_versions);
        self.object(name).extensible::<KeyContent>(&self.directory.read(), limits)?;
        self.add_key(name, Pair::generate(spec)?, operations, properties)
    }

    fn add_key(
        &self,
        name: &'a str,
        pair: Pair,
        operations: Vec<KeyOperation>,
        properties: Properties,
    ) -> Result<Outcome, VaultError> {
        let limits = (self.now, self.max_versions);
        let added = self.write(|state, fresh| {
            let content = |last: Option<&KeyContent>| content(pair, operations, last);
            self.object(name).add(state, fresh, properties, limits, content)
        })?;
        Ok(self.shown(&added, Shown::Whole))
    }

    fn rotate_key(&self, name: &'a str) -> Result<Outcome, VaultError> {
        let last = {
            let state = self.directory.read();
            self.object(name).extensible::<KeyContent>(&state, (self.now, self.max_versions))?;
            self.object(name).version::<KeyContent>(&state, None)?
        };
        let spec = KeySpec::of(&last.content.public).ok_or(KeyRefusal::Failed)?;
        let properties = rotated(&last, self.now);
        self.add_key(name, Pair::generate(spec)?, last.content.operations.clone(), properties)
    }

    /// Changes the properties of a version.
    pub(super) fn update_key(
        &self,
        name: &'a str,
        version: Option<&str>,
        body: &Bytes,
    ) -> Result<Outcome, VaultError> {
        let KeyChange { key_ops, properties } = KeyChange::parse(body)?;
        let updated = self.write(|state, _| {
            let object = self.object(name);
            let held = object.version::<KeyContent>(state, version)?;
            let operations = KeyChange::operations(key_ops, &held.content.public)?;
            object.update(state, version, properties, self.now, |content: &mut KeyContent| {
                if let Some(operations) = operations {
                    content.operations = operations;
                }
            })
        })?;
        Ok(self.shown(&updated, Shown::Whole))
    }

    fn set_policy(&self, name: &'a str, body: &Bytes) -> Result<Outcome, VaultError> {
        let policy = parse_policy(body, self.now)?;
        let (name, policy) = self.write(|state, _| {
            let object = self.object(name);
            object.in_vault(state)?;
            let last = object.version::<KeyContent>(state, None)?;
            let before = last.content.rotation_policy.as_deref();
            let created = before.map_or(policy.created, |before| before.created);
            let policy = RotationPolicy { created, ..policy };
            let mut version = KeyVersion::clone(&last);
            version.content.rotation_policy = Some(Box::new(policy.clone()));
            Ok((vec![KeyContent::put_version(version)], (last.name.clone(), policy)))
        })?;
        Ok(self.shown_policy(&name, Some(&policy)))
    }

    fn shown_policy(&self, name: &str, policy: Option<&RotationPolicy>) -> Outcome {
        let (base_url, collection) = (&self.located.base_url, Kind::Key.collection());
        let id = format!("{base_url}/{collection}/{name}/rotationpolicy");
        Outcome::Json(json(&policy::shown(policy, id)))
    }

    fn use_key(
        &self,
        name: &'a str,
        version: Option<&str>,
        operation: KeyOperation,
        body: &Bytes,
    ) -> Result<Outcome, VaultError> {
        let key = self.object(name).version::<KeyContent>(&self.directory.read(), version)?;
        check_usable(&key, operation, self.now)?;
        let KeyUse { algorithm, value, digest } = KeyUse::parse(body)?;
        let (kid, content) = (self.located.id_of(&key), &key.content);
        let (public, algorithm, value) = (&content.public, algorithm.as_deref(), value.expose());
        let id = || kid.clone();
        let value = match operation {
            KeyOperation::Encrypt | KeyOperation::WrapKey => {
                let algorithm = EncryptionAlgorithm::of(algorithm)?;
                algorithm.fits(public, id)?;
                encode(&algorithm.encrypt(public, value)?)
            }
            KeyOperation::Decrypt | KeyOperation::UnwrapKey => {
                let algorithm = EncryptionAlgorithm::of(algorithm)?;
                algorithm.fits(public, id)?;
                encode(algorithm.decrypt(content, value)?.expose())
            }
            KeyOperation::Sign => {
                let algorithm = SignatureAlgorithm::of(algorithm)?;
                algorithm.fits(public, id)?;
                encode(&algorithm.sign(content, value)?)
            }
            KeyOperation::Verify => {
                let algorithm = SignatureAlgorithm::of(algorithm)?;
                algorithm.fits(public, id)?;
                let verified = Verified { value: algorithm.verify(public, &digest, value)? };
                return Ok(Outcome::Json(json(&verified)));
            }
        };
        Ok(Outcome::Json(json(&Used { kid, value })))
    }
}

/// Returns the content of a new version. It takes over the rotation policy of the last one.
fn content(pair: Pair, operations: Vec<KeyOperation>, last: Option<&KeyContent>) -> KeyContent {
    KeyContent {
        public: pair.public,
        private_key: StoredSecret(pair.private_key),
        operations,
        rotation_policy: last.and_then(|last| last.rotation_policy.clone()),
    }
}

/// Returns the properties of the version that follows `last` by rotation.
fn rotated(last: &KeyVersion, now: UnixSeconds) -> Properties {
    Properties {
        tags: Some(last.tags.clone()),
        expires: expiry_of(last.content.rotation_policy.as_deref(), now),
        ..Properties::default()
    }
}

/// Checks that a key may be used for an operation at `now`.
fn check_usable(
    key: &KeyVersion,
    operation: KeyOperation,
    now: UnixSeconds,
) -> Result<(), VaultError> {
    use KeyOperation::{Decrypt, UnwrapKey, Verify};
    let name = operation.name();
    if !key.enabled {
        return Err(VaultError::Disabled { kind: Kind::Key, operation: name });
    }
    if !key.content.operations.contains(&operation) {
        return Err(KeyRefusal::NotPermitted(name).into());
    }
    if matches!(operation, Decrypt | UnwrapKey | Verify) {
        return Ok(());
    }
    if key.not_before.is_some_and(|not_before| now < not_before) {
        return Err(KeyRefusal::NotYetValid { operation: name }.into());
    }
    if key.expires.is_some_and(|expires| expires <= now) {
        return Err(KeyRefusal::Expired { operation: name }.into());
    }
    Ok(())
}

/// Makes a new version of keys whose rotation policy says so, at most `limit` of them, and returns their
/// number. A key with `max` versions is left alone. Call it periodically, on a thread of its own: it generates
/// keys.
///
/// # Errors
/// Returns an error when the store fails. Versions that were made stay.
pub(crate) fn rotate_keys_due(
    directory: &Directory,
    now: UnixSeconds,
    max: usize,
    limit: usize,
) -> Result<usize, StoreError> {
    let due = due(&directory.read(), now, max);
    let mut rotated_count = 0;
    for (vault, last) in due.into_iter().take(limit) {
        let spec = KeySpec::of(&last.content.public).ok_or(KeyRefusal::Failed);
        let Ok(pair) = spec.and_then(Pair::generate) else {
            tracing::warn!(%vault, name = %last.name, "a key was not rotated; it is tried again");
            continue;
        };
        let object = ObjectRef { vault: &vault, name: &last.name };
        let made = directory.write(now, |state, fresh| {
            // The key may have been changed or deleted meanwhile.
            let held = object.version::<KeyContent>(state, None).ok();
            let held = held.filter(|held| held.version == last.version && is_due(held, now));
            let planned = held.and_then(|held| {
                let (operations, properties) =
                    (held.content.operations.clone(), rotated(&held, now));
                let content = |last: Option<&KeyContent>| content(pair, operations, last);
                object.add(state, fresh, properties, (now, max), content).ok()
            });
            let is_made = planned.is_some();
            Ok::<_, StoreError>((planned.map(|(changes, _)| changes).unwrap_or_default(), is_made))
        })?;
        rotated_count += usize::from(made);
    }
    Ok(rotated_count)
}

/// Returns the vaults and the last versions of the keys that are due.
fn due(state: &State, now: UnixSeconds, max: usize) -> Vec<(ArmId, Arc<KeyVersion>)> {
    let keys = state.all_keys().filter(|key| key.versions.len() < max).filter_map(live);
    let due = keys.filter(|last| is_due(last, now) && state.vault(&last.vault).is_some());
    due.map(|last| (last.vault.clone(), Arc::clone(last))).collect()
}
