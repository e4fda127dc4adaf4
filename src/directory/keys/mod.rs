//! The keys that tokens are signed with: made, published before their turn, and kept for as long as a
//! token that they signed may live. `plan` has the rules.

mod plan;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::state::State;
use super::{Directory, DirectoryError, Ended};
use crate::clock::{Seconds, UnixSeconds};
use crate::store::StoreError;
use crate::token::{Algorithm, Backend, KeyError, KeyMaterial, KeyRing, Keys, SigningKey};
use crate::world::record::{Change, StoredSigningKey};

/// How tokens are signed.
#[derive(Clone, Copy, Debug)]
pub struct SigningOptions {
    /// What with.
    pub algorithm: Algorithm,
    /// Which library signs.
    pub backend: Backend,
    /// How long the longest token lives that is signed from now on.
    pub token_lifetime: Seconds,
    /// How long a key is published before it may sign: verifiers have to read it first.
    pub min_distance: Seconds,
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
    /// The next key was published a moment ago.
    #[error(
        "verifiers may not have read the next key yet: rotate again in {} s",
        until.since(*now).0
    )]
    TooSoon {
        /// When it was tried.
        now: UnixSeconds,
        /// From when on the next key may sign.
        until: UnixSeconds,
    },
    /// As many keys are published as may be, and tokens of each still live.
    #[error(
        "{KEYS_MAX} keys are published, and each may have signed a token that still lives: rotate again in {} s",
        until.since(*now).0
    )]
    TooMany {
        /// When it was tried.
        now: UnixSeconds,
        /// When the first of them goes.
        until: UnixSeconds,
    },
}

/// Keys published at most, about 50 kB of RSA keys.
const KEYS_MAX: usize = 32;

impl Directory {
    /// The keys as they are now.
    pub fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring)
    }

    /// Lets the next key sign from `now` on, publishes a new next one, and forgets the keys whose last
    /// token has expired. Verifiers that follow the published set notice nothing.
    ///
    /// # Errors
    /// `TooSoon` and `TooMany`, or when a key cannot be made or stored; the keys are then as before.
    pub fn rotate_signing_keys(&self, now: UnixSeconds) -> Result<(), SigningKeyError> {
        self.settle_signing_keys(now)?;
        // Asked before a key is made, which takes 100 ms, and again in the write.
        plan::may_take_over(&stored(&self.read()), now, self.signing.min_distance)?;
        let material = KeyMaterial::generate(self.signing.algorithm, now)?;
        self.change_keys(now, |keys| plan::take_over(keys, now, &material, self.signing))
    }

    /// Lets the next key sign from `now` on, whether or not verifiers know it, and ends the current one: it
    /// is published no more, its tokens are refused, and those that are held are minted anew.
    ///
    /// # Errors
    /// When a key cannot be made or stored; the keys are then as before.
    pub fn revoke_signing_key(&self, now: UnixSeconds) -> Result<(), SigningKeyError> {
        let material = KeyMaterial::generate(self.signing.algorithm, now)?;
        self.change_keys(now, |keys| plan::revoke(keys, now, &material, self.signing))
    }

    /// How many signing keys were revoked since the start.
    pub fn revocations(&self) -> u64 {
        self.revocations.load(Ordering::Acquire)
    }

    /// Rotates the signing keys if the current one has signed for `life`, as soon as it may be. Moments
    /// that the clock was set back from count as now.
    ///
    /// # Errors
    /// When a key cannot be made or stored; the keys are then as before.
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

    /// Makes the first keys of a world, or new ones when its keys are for another algorithm: these sign at
    /// once, and verifiers that keep an older key set have to read it again.
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
        self.load_ring()
    }

    /// Stores what has to change of the keys before they are used at `now`; most often nothing.
    fn settle_signing_keys(&self, now: UnixSeconds) -> Result<(), SigningKeyError> {
        let settled =
            |state: &State| plan::settle(state.signing_keys().map(|key| &**key), now, self.signing);
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
        // Held until the ring is loaded: an older state must not take the place of a newer.
        let _turn = self.key_turns.lock();
        let planned = |state: &State| plan(stored(state));
        self.write(now, |state, _| Ok::<_, SigningKeyError>((planned(state)?, ())))?;
        self.load_ring()
    }

    /// Uses the keys that are stored. If the one that signed until now is not among them, it was revoked.
    pub(super) fn load_ring(&self) -> Result<(), SigningKeyError> {
        let keys = ready(&stored(&self.read()), self.signing.backend)?;
        let before = self.ring.keys();
        let is_kept = keys.published().any(|key| key.jwk().kid == before.current.jwk().kid);
        self.ring.replace(keys);
        if !is_kept {
            // After the ring: a mint that sees the new number signs with the new key.
            self.revocations.fetch_add(1, Ordering::AcqRel);
            self.tell(&[Ended::SigningKey]);
        }
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
