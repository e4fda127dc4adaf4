//! Backups of secrets and keys: all versions of one object, encrypted with AES-256-GCM. Only this server's
//! vaults can make and read them.
//!
//! The key is derived from the certificate authority of the server. A server with another authority cannot
//! read the backup.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{BackupError, VERSIONS_MAX, VaultError};
use super::headers::json;
use super::kind::OfKind;
use super::located::Located;
use super::objects::{deleted, live};
use crate::base::clock::UnixSeconds;
use crate::base::ids::ArmId;
use crate::base::secret::Redacted;
use crate::service::directory::{Object, State, purge};
use crate::service::world::record::{Change, ObjectVersion};

/// Largest body of a restore, in bytes: 500 versions of 25 KB, base64-encoded twice, with their properties.
pub(super) const BACKUP_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Encrypts and decrypts backups with a key of 32 bytes.
#[derive(Debug)]
pub(super) struct Sealer(pub(super) Redacted);

/// The body of a backup's answer and of a restore's request.
#[derive(Serialize, Deserialize)]
struct Body {
    value: String,
}

impl Sealer {
    fn key(&self) -> Result<RandomizedNonceKey, BackupError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.expose()).map_err(|_| BackupError::Seal)
    }

    /// Encrypts a live object and returns the answer to a backup.
    pub(super) fn backup<C: OfKind + Serialize>(
        &self,
        object: &Object<C>,
    ) -> Result<String, BackupError> {
        let versions: Vec<&ObjectVersion<C>> = object.versions.iter().map(|held| &**held).collect();
        if versions.len() > VERSIONS_MAX {
            return Err(BackupError::TooManyVersions);
        }
        let mut bytes = serde_json::to_vec(&versions).map_err(|_| BackupError::Seal)?;
        let label = Aad::from(C::KIND.backup_label());
        let sealed = self.key()?.seal_in_place_append_tag(label, &mut bytes);
        let nonce = sealed.map_err(|_| BackupError::Seal)?;
        bytes.extend_from_slice(nonce.as_ref());
        Ok(json(&Body { value: BASE64_URL_SAFE_NO_PAD.encode(bytes) }))
    }

    /// Decrypts the body of a restore. Returns its versions, the oldest first, and at least one.
    pub(super) fn open<C: OfKind + DeserializeOwned>(
        &self,
        body: &[u8],
    ) -> Result<Vec<ObjectVersion<C>>, BackupError> {
        let body: Body = serde_json::from_slice(body).map_err(|_| BackupError::Malformed)?;
        let text = body.value.trim_end_matches('=');
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| BackupError::Malformed)?;
        let at = bytes.len().checked_sub(NONCE_LEN).ok_or(BackupError::Foreign)?;
        let nonce = bytes.split_off(at);
        let nonce = Nonce::try_assume_unique_for_key(&nonce).map_err(|_| BackupError::Foreign)?;
        let label = Aad::from(C::KIND.backup_label());
        let opened = self.key()?.open_in_place(nonce, label, &mut bytes);
        let opened = opened.map_err(|_| BackupError::Foreign)?;
        let versions: Vec<_> = serde_json::from_slice(opened).map_err(|_| BackupError::Foreign)?;
        if versions.is_empty() { Err(BackupError::Foreign) } else { Ok(versions) }
    }
}

/// Returns the changes that restore the versions of a backup, and the last version. At most `max` versions
/// are allowed. The vault must not hold the object yet.
pub(super) fn restore<C: OfKind>(
    state: &State,
    located: &Located,
    versions: Vec<ObjectVersion<C>>,
    now: UnixSeconds,
    max: usize,
) -> Result<(Vec<Change>, ObjectVersion<C>), VaultError> {
    let vault: &ArmId = &located.vault.id;
    if state.vault(vault).is_none() {
        return Err(VaultError::VaultNotFound(vault.name().to_owned()));
    }
    let Some(last) = versions.last().cloned() else { return Err(BackupError::Foreign.into()) };
    if last.vault.subscription() != vault.subscription() {
        return Err(BackupError::OtherSubscription.into());
    }
    let (kind, name) = (C::KIND, last.name.clone());
    if versions.len() > max {
        return Err(VaultError::TooManyVersions { kind, name, max });
    }
    let mut changes = Vec::new();
    match C::objects(state).get(vault, &name) {
        Some(held) if live(held).is_some() => return Err(VaultError::Exists { kind, name }),
        Some(held) if deleted(held, now).is_some() => {
            return Err(VaultError::Deleted { kind, name });
        }
        overdue => changes.extend(overdue.map(purge).unwrap_or_default()),
    }
    let moved = versions.into_iter().map(|held| ObjectVersion { vault: vault.clone(), ..held });
    changes.extend(moved.map(C::put_version));
    Ok((changes, ObjectVersion { vault: vault.clone(), ..last }))
}
