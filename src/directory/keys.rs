//! The keys that tokens are signed with: made, published before their turn, and kept for as long as a
//! token that they signed may live.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::state::State;
use super::{Directory, DirectoryError};
use crate::clock::{Seconds, UnixSeconds};
use crate::store::StoreError;
use crate::token::{Algorithm, Backend, Issuer, KeyError, KeyMaterial, KeyRing, Keys, SigningKey};
use crate::world::record::{Change, Key, Record, StoredSecret, StoredSigningKey};

/// How tokens are signed.
#[derive(Clone, Copy, Debug)]
pub struct SigningOptions {
    /// What with.
    pub algorithm: Algorithm,
    /// Which library signs.
    pub backend: Backend,
    /// How long the longest token lives: an old key is published for that long.
    pub token_lifetime: Seconds,
}

/// Why there is no signing key.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// A key cannot be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store holds a key that cannot be one.
    #[error("the stored signing key `{0}` cannot be read; restore the folder from a backup")]
    Stored(String),
    /// The change was not stored.
    #[error("cannot store a signing key")]
    Store(#[from] StoreError),
}

impl Directory {
    /// The keys as they are now.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring)
    }

    /// Lets the next key sign from `now` on, publishes a new next one, and forgets the keys whose last
    /// token has expired. Verifiers that follow the published set notice nothing.
    ///
    /// # Errors
    /// When a key cannot be made or stored; the keys are then as before.
    pub fn rotate_signing_keys(&self, now: UnixSeconds) -> Result<(), SigningKeyError> {
        let material = KeyMaterial::generate(self.signing.algorithm, now)?;
        self.change_keys(now, |keys| take_over(keys, now, &material, self.signing.token_lifetime))
    }

    /// When the key that signs began to.
    pub fn signing_since(&self) -> Option<UnixSeconds> {
        self.read().signing_keys().filter_map(|key| key.signs_from).max()
    }

    /// Makes the first keys of a world, or new ones when its keys are for another algorithm: these sign at
    /// once, and verifiers that keep an older key set have to read it again.
    pub(super) fn begin_signing(&self, now: UnixSeconds) -> Result<(), SigningKeyError> {
        let name = self.signing.algorithm.name();
        let fits = |key: &&Arc<StoredSigningKey>| key.retired.is_none() && key.algorithm == name;
        if self.read().signing_keys().filter(fits).count() < 2 {
            let made = [(); 2].map(|()| KeyMaterial::generate(self.signing.algorithm, now));
            let [first, next] = made;
            let (first, next) = (first?, next?);
            self.change_keys(now, |keys| begin(keys, now, &first, &next))?;
        }
        self.load_ring()
    }

    fn change_keys(
        &self,
        now: UnixSeconds,
        plan: impl FnOnce(Vec<StoredSigningKey>) -> Result<Vec<Change>, SigningKeyError>,
    ) -> Result<(), SigningKeyError> {
        // Held until the ring is loaded: an older state must not take the place of a newer.
        let _turn = self.key_turns.lock();
        let planned = |state: &State| plan(stored(state));
        self.write(now, |state, _| Ok::<_, SigningKeyError>((planned(state)?, ())))?;
        self.load_ring()
    }

    pub(super) fn load_ring(&self) -> Result<(), SigningKeyError> {
        let keys = ready(&stored(&self.read()), self.signing.backend)?;
        self.ring.replace(keys);
        Ok(())
    }
}

/// A ring to begin with, of a key that nobody else knows; it is replaced before the world is served.
pub(super) fn empty_ring(now: UnixSeconds) -> Result<Arc<KeyRing>, DirectoryError> {
    let key = SigningKey::generate(Algorithm::EdDsa, Backend::AwsLcRs, now);
    Ok(Arc::new(KeyRing::of(key.map_err(SigningKeyError::from)?)))
}

fn stored(state: &State) -> Vec<StoredSigningKey> {
    let mut keys: Vec<_> = state.signing_keys().map(|key| StoredSigningKey::clone(key)).collect();
    keys.sort_by_key(|key| key.generation);
    keys
}

fn begin(
    keys: Vec<StoredSigningKey>,
    now: UnixSeconds,
    first: &KeyMaterial,
    next: &KeyMaterial,
) -> Result<Vec<Change>, SigningKeyError> {
    let generation = keys.last().map_or(0, |key| key.generation + 1);
    let living = keys.into_iter().filter(|key| key.retired.is_none());
    let mut changes: Vec<Change> =
        living.map(|key| put(StoredSigningKey { retired: Some(now), ..key })).collect();
    changes.push(put(StoredSigningKey { signs_from: Some(now), ..record(first, generation)? }));
    changes.push(put(record(next, generation + 1)?));
    Ok(changes)
}

fn take_over(
    keys: Vec<StoredSigningKey>,
    now: UnixSeconds,
    material: &KeyMaterial,
    token_lifetime: Seconds,
) -> Result<Vec<Change>, SigningKeyError> {
    let generation = keys.last().map_or(0, |key| key.generation + 1);
    let mut changes = vec![put(record(material, generation)?)];
    for key in keys {
        match (key.retired, key.signs_from) {
            (Some(retired), _) if retired + token_lifetime + Issuer::BACKDATED < now => {
                changes.push(Change::Remove(Key::SigningKey(key.kid)));
            }
            (Some(_), _) => {}
            (None, Some(_)) => changes.push(put(StoredSigningKey { retired: Some(now), ..key })),
            (None, None) => changes.push(put(StoredSigningKey { signs_from: Some(now), ..key })),
        }
    }
    Ok(changes)
}

const fn put(key: StoredSigningKey) -> Change {
    Change::Put(Record::SigningKey(key))
}

fn record(material: &KeyMaterial, generation: u64) -> Result<StoredSigningKey, SigningKeyError> {
    let kid = SigningKey::new(Backend::AwsLcRs, material)?.jwk().kid.clone();
    Ok(StoredSigningKey {
        kid,
        algorithm: material.algorithm.name().to_owned(),
        private_key: StoredSecret(material.pkcs8.clone()),
        certificate: BASE64_STANDARD.encode(&material.certificate),
        generation,
        signs_from: None,
        retired: None,
    })
}

fn ready(stored: &[StoredSigningKey], backend: Backend) -> Result<Keys, SigningKeyError> {
    let signs = |key: &StoredSigningKey| key.signs_from.is_some() && key.retired.is_none();
    let mut current = None;
    let mut others = Vec::new();
    for key in stored {
        let parsed = Arc::new(SigningKey::new(backend, &material(key)?)?);
        if signs(key) { current = Some(parsed) } else { others.push(parsed) }
    }
    let missing = || SigningKeyError::Stored("the current one".to_owned());
    Ok(Keys { current: current.ok_or_else(missing)?, others })
}

fn material(key: &StoredSigningKey) -> Result<KeyMaterial, SigningKeyError> {
    let unreadable = || SigningKeyError::Stored(key.kid.clone());
    Ok(KeyMaterial {
        algorithm: key.algorithm.parse()?,
        pkcs8: key.private_key.0.clone(),
        certificate: BASE64_STANDARD.decode(&key.certificate).map_err(|_| unreadable())?,
    })
}
