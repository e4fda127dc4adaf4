//! Rules that turn the stored keys into the changes of a rotation. They have no side effects.
//!
//! The oldest keys are retired, one key signs, and the last key is the next one. The next key was published
//! when the current key began to sign.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::key_use::KeyUse;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::service::directory::effective::LEEWAY;
use crate::service::directory::error::{KEYS_MAX, SigningKeyError};
use crate::service::directory::options::SigningOptions;
use crate::service::token::{Issuer, KeyMaterial, SigningKey};
use crate::service::world::record::{Change, Key, Record, StoredSecret, StoredSigningKey};

/// Retires the existing keys, and makes the first of two new keys sign.
pub(super) fn begin(
    keys: Vec<StoredSigningKey>,
    now: UnixSeconds,
    [first, next]: [&KeyMaterial; 2],
    options: SigningOptions,
) -> Result<Vec<Change>, SigningKeyError> {
    let generation = next_generation(&keys);
    let mut changes: Vec<Change> = keys.into_iter().filter_map(|key| ended(key, now)).collect();
    changes.push(put(signing(record(first, generation)?, now, options)));
    changes.push(put(record(next, generation + 1)?));
    Ok(changes)
}

/// Checks that the next key may sign: verifiers had time to read it, and another key may be published.
pub(super) fn may_take_over(
    keys: &[StoredSigningKey],
    now: UnixSeconds,
    next_since: UnixSeconds,
    min_distance: Seconds,
) -> Result<(), SigningKeyError> {
    let published = keys.iter().filter_map(|key| key.signs_from).max();
    let until = published.map_or(now, |published| published.max(next_since) + min_distance);
    if now < until {
        return Err(SigningKeyError::TooSoon { now, until });
    }
    let gone = keys.iter().filter(|key| is_over(key, now)).count();
    let first = keys.iter().filter(|key| !is_over(key, now)).filter_map(over_after).min();
    match first {
        Some(over) if keys.len() - gone >= KEYS_MAX => {
            Err(SigningKeyError::TooMany { now, until: over + Seconds(1) })
        }
        _ => Ok(()),
    }
}

/// Makes the next key sign, and publishes a new next key. The caller has asked [`may_take_over`].
pub(super) fn take_over(
    keys: Vec<StoredSigningKey>,
    now: UnixSeconds,
    material: &KeyMaterial,
    options: SigningOptions,
) -> Result<Vec<Change>, SigningKeyError> {
    succeed(keys, now, material, options, |key| ended(key, now))
}

/// Does the same as [`take_over`], whether or not verifiers know the next key, and removes the current key.
pub(super) fn revoke(
    keys: Vec<StoredSigningKey>,
    now: UnixSeconds,
    material: &KeyMaterial,
    options: SigningOptions,
) -> Result<Vec<Change>, SigningKeyError> {
    succeed(keys, now, material, options, |key| Some(remove(key)))
}

fn succeed(
    keys: Vec<StoredSigningKey>,
    now: UnixSeconds,
    material: &KeyMaterial,
    options: SigningOptions,
    end_current: impl Fn(StoredSigningKey) -> Option<Change>,
) -> Result<Vec<Change>, SigningKeyError> {
    let mut changes = vec![put(record(material, next_generation(&keys))?)];
    changes.extend(keys.into_iter().filter_map(|key| match (key.retired, key.signs_from) {
        (Some(_), _) => ended(key, now),
        (None, Some(_)) => end_current(key),
        (None, None) => Some(put(signing(key, now, options))),
    }));
    Ok(changes)
}

/// Returns the corrections that the keys need before they are used. Times in the future, left when the clock
/// was set back, become `now`. The current key must outlive the tokens that it signs from now on, and a retired key those
/// that it signed after the change that retired it was planned.
pub(super) fn settle<'a>(
    keys: impl Iterator<Item = &'a StoredSigningKey>,
    now: UnixSeconds,
    key_use: &KeyUse,
    options: SigningOptions,
) -> Vec<Change> {
    let past = |moment: UnixSeconds| if moment > now + LEEWAY { now } else { moment };
    let settled = keys.filter_map(|key| {
        let signed_until = key_use.signed_until(&key.kid);
        let retired = key.retired.map(|retired| retired.max(signed_until.unwrap_or(retired)));
        let (signs_from, retired) = (key.signs_from.map(past), retired.map(past));
        let signs = retired.is_none();
        let longest = |known: u64| if signs { known.max(options.token_lifetime.0) } else { known };
        let token_lifetime_seconds = key.token_lifetime_seconds.map(longest);
        let same = (signs_from, retired, token_lifetime_seconds)
            == (key.signs_from, key.retired, key.token_lifetime_seconds);
        let settled =
            || put(StoredSigningKey { signs_from, retired, token_lifetime_seconds, ..key.clone() });
        (!same).then(settled)
    });
    settled.collect()
}

/// Returns the key as one that signs from `now` on.
fn signing(key: StoredSigningKey, now: UnixSeconds, options: SigningOptions) -> StoredSigningKey {
    let token_lifetime_seconds = Some(options.token_lifetime.0);
    StoredSigningKey { signs_from: Some(now), token_lifetime_seconds, ..key }
}

/// Ends the use of a key. It is retired while its tokens may be valid, and removed after that or if it never
/// signed.
fn ended(key: StoredSigningKey, now: UnixSeconds) -> Option<Change> {
    match (key.retired, key.signs_from) {
        (Some(_), _) => is_over(&key, now).then(|| remove(key)),
        (None, None) => Some(remove(key)),
        (None, Some(_)) => Some(put(StoredSigningKey { retired: Some(now), ..key })),
    }
}

/// Returns the last moment at which a verifier may accept a token of a retired key. Includes 300 s for
/// lagging clocks.
fn over_after(key: &StoredSigningKey) -> Option<UnixSeconds> {
    let life = key.token_lifetime_seconds.map_or(Issuer::LIFETIME_MAX, Seconds);
    Some(key.retired? + life + Issuer::BACKDATED)
}

/// Returns true if no verifier accepts a token of the retired key at `now`.
pub(super) fn is_over(key: &StoredSigningKey, now: UnixSeconds) -> bool {
    over_after(key).is_some_and(|over| over < now)
}

fn next_generation(keys: &[StoredSigningKey]) -> u64 {
    keys.last().map_or(0, |key| key.generation + 1)
}

const fn put(key: StoredSigningKey) -> Change {
    Change::Put(Record::SigningKey(key))
}

fn remove(key: StoredSigningKey) -> Change {
    Change::Remove(Key::SigningKey(key.kid))
}

fn record(material: &KeyMaterial, generation: u64) -> Result<StoredSigningKey, SigningKeyError> {
    let kid = SigningKey::new(material)?.jwk().kid.clone();
    Ok(StoredSigningKey {
        kid,
        algorithm: material.algorithm.name().to_owned(),
        private_key: StoredSecret(material.pkcs8.clone()),
        certificate: BASE64_STANDARD.encode(&material.certificate),
        generation,
        signs_from: None,
        retired: None,
        token_lifetime_seconds: None,
    })
}
