//! Keys that sign tokens: generated and published before they sign, and kept while a token that they signed
//! may be valid. The rules are in `plan`.

mod key_use;
mod plan;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::prelude::{BASE64_STANDARD, Engine as _};

pub(super) use self::key_use::KeyUse;
use super::core::Directory;
use super::effective::Ended;
use super::error::SigningKeyError;
use super::state::State;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::service::store::StoreError;
use crate::service::token::{KeyMaterial, KeyRing, Keys, SigningKey};
use crate::service::world::record::{Change, StoredSigningKey};

impl Directory {
    /// Returns the ring of signing keys.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring)
    }

    /// Makes the next key sign from `now` on, publishes a new next key, and removes the keys whose last token
    /// has expired. Verifiers that follow the published key set are not affected.
    ///
    /// # Errors
    /// Returns `TooSoon` or `TooMany`, or an error when a key cannot be generated or stored. The keys are
    /// then unchanged.
    pub fn rotate_signing_keys(&self, now: UnixSeconds) -> Result<(), SigningKeyError> {
        self.settle_doubt(now)?;
        self.settle_signing_keys(now)?;
        // Checked before a key is generated, which takes 100 ms, and again in the write.
        let may = |keys: &[_]| {
            let next_since = self.key_use.lock().next_since();
            plan::may_take_over(keys, now, next_since, self.signing.min_distance)
        };
        may(&stored(&self.read()))?;
        let material = KeyMaterial::generate(self.signing.algorithm, now)?;
        self.change_keys(now, |keys| {
            may(&keys)?;
            plan::take_over(keys, now, &material, self.signing)
        })
    }

    /// Revokes the current key, and makes the next key sign from `now` on, whether or not verifiers know it.
    /// The revoked key is no longer published, its tokens are refused, and cached tokens are minted again.
    ///
    /// # Errors
    /// Returns an error when a key cannot be generated or stored. The keys are then unchanged.
    pub fn revoke_signing_key(&self, now: UnixSeconds) -> Result<(), SigningKeyError> {
        self.settle_doubt(now)?;
        self.settle_signing_keys(now)?;
        let material = KeyMaterial::generate(self.signing.algorithm, now)?;
        self.change_keys(now, |keys| plan::revoke(keys, now, &material, self.signing))
    }

    /// Returns the number of signing keys revoked since the start.
    pub fn revocations(&self) -> u64 {
        self.revocations.load(Ordering::Acquire)
    }

    /// Rotates the signing keys once the current one has signed for `life` and the next one may sign. Times
    /// in the future, left when the clock was set back, count as `now`.
    ///
    /// # Errors
    /// Returns an error when a key cannot be generated or stored. The keys are then unchanged.
    pub fn rotate_due(&self, now: UnixSeconds, life: Seconds) -> Result<(), SigningKeyError> {
        self.settle_signing_keys(now)?;
        let since = self.read().signing_keys().filter_map(|key| key.signs_from).max();
        if since.is_none_or(|since| now < since + life) {
            return Ok(());
        }
        match self.rotate_signing_keys(now) {
            Err(SigningKeyError::TooSoon { .. } | SigningKeyError::TooMany { .. }) => Ok(()),
            rotated => rotated,
        }
    }

    /// Generates the first keys of a world, or new ones if its keys are for another algorithm. These sign at
    /// once, so verifiers with an older key set must read it again.
    pub(super) fn begin_signing(&self, now: UnixSeconds) -> Result<(), SigningKeyError> {
        let name = self.signing.algorithm.name();
        let fits = |key: &&Arc<StoredSigningKey>| key.retired.is_none() && key.algorithm == name;
        if self.read().signing_keys().filter(fits).count() < 2 {
            let made = [(); 2].map(|()| KeyMaterial::generate(self.signing.algorithm, now));
            let [first, next] = made;
            let (first, next) = (first?, next?);
            self.change_keys(now, |keys| plan::begin(keys, now, [&first, &next], self.signing))?;
        }
        self.settle_signing_keys(now)?;
        self.load_ring(now)?;
        let retired = stored(&self.read()).into_iter().rfind(|key| key.retired.is_some());
        if let Some(retired) = retired.filter(|key| !plan::is_over(key, now)) {
            self.key_use.lock().note_start(retired.kid, now);
        }
        Ok(())
    }

    /// Finds out whether an earlier change is stored whose commit failed. If so, it comes into effect.
    fn settle_doubt(&self, now: UnixSeconds) -> Result<(), StoreError> {
        self.write(now, |_, _| Ok((Vec::new(), ())))
    }

    /// Stores the corrections that the keys need before they are used at `now`. Usually there are none.
    fn settle_signing_keys(&self, now: UnixSeconds) -> Result<(), SigningKeyError> {
        self.key_use.lock().settle(now);
        let settled = |state: &State| {
            let key_use = self.key_use.lock();
            plan::settle(state.signing_keys().map(|key| &**key), now, &key_use, self.signing)
        };
        if settled(&self.read()).is_empty() {
            return Ok(());
        }
        self.write(now, |state, _| Ok((settled(state), ())))
    }

    fn change_keys(
        &self,
        now: UnixSeconds,
        plan: impl FnOnce(Vec<StoredSigningKey>) -> Result<Vec<Change>, SigningKeyError>,
    ) -> Result<(), SigningKeyError> {
        // Held until the ring is loaded, so that an older state cannot replace a newer one.
        let _turn = self.key_turns.lock();
        let planned = |state: &State| plan(stored(state));
        self.write(now, |state, _| Ok::<_, SigningKeyError>((planned(state)?, ())))?;
        self.load_ring(now)
    }

    /// Loads the stored keys into the ring at `now`. If the key that signed until now is not stored, it was revoked.
    pub(super) fn load_ring(&self, now: UnixSeconds) -> Result<(), SigningKeyError> {
        let keys = ready(&stored(&self.read()))?;
        let before = self.ring.keys();
        self.key_use.lock().note(&before, &keys, now);
        let is_kept = keys.published().any(|key| key.jwk().kid == before.current.jwk().kid);
        self.ring.replace(keys);
        if !is_kept {
            // Counted after the ring changed: a mint that sees the new count signs with the new key.
            self.revocations.fetch_add(1, Ordering::AcqRel);
            self.tell(&[Ended::SigningKey]);
        }
        Ok(())
    }
}

fn stored(state: &State) -> Vec<StoredSigningKey> {
    let mut keys: Vec<_> = state.signing_keys().map(|key| StoredSigningKey::clone(key)).collect();
    keys.sort_by_key(|key| key.generation);
    keys
}

fn ready(stored: &[StoredSigningKey]) -> Result<Keys, SigningKeyError> {
    let signs = |key: &StoredSigningKey| key.signs_from.is_some() && key.retired.is_none();
    let mut current = None;
    let mut others = Vec::new();
    for key in stored {
        let parsed = Arc::new(SigningKey::new(&material(key)?)?);
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
