//! Which changes make keys take turns: pure rules from the stored keys to changes.
//!
//! Of the keys, the oldest first, some are retired, one signs, and the last waits. The one that waits was
//! published when the one that signs began to.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::{KEYS_MAX, SigningKeyError, SigningOptions};
use crate::clock::{Seconds, UnixSeconds};
use crate::directory::LEEWAY;
use crate::token::{Backend, Issuer, KeyMaterial, SigningKey};
use crate::world::record::{Change, Key, Record, StoredSecret, StoredSigningKey};

/// Retires the keys that there are, and lets the first of two new ones sign.
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

/// Whether the key that waits may sign: verifiers know it, and another one may be published.
pub(super) fn may_take_over(
    keys: &[StoredSigningKey],
    now: UnixSeconds,
    min_distance: Seconds,
) -> Result<(), SigningKeyError> {
    let published = keys.iter().filter_map(|key| key.signs_from).max();
    let until = published.map_or(now, |published| published + min_distance);
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

/// Lets the key that waits sign, and publishes the next one.
pub(super) fn take_over(
    keys: Vec<StoredSigningKey>,
    now: UnixSeconds,
    material: &KeyMaterial,
    options: SigningOptions,
) -> Result<Vec<Change>, SigningKeyError> {
    may_take_over(&keys, now, options.min_distance)?;
    succeed(keys, now, material, options, |key| ended(key, now))
}

/// As [`take_over`], at any time, and the key that signs now is gone.
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

/// What has to change before the keys are used: moments that the clock was set back from become `now`, and
/// the key that signs is to outlive the tokens that it signs from now on.
pub(super) fn settle<'a>(
    keys: impl Iterator<Item = &'a StoredSigningKey>,
    now: UnixSeconds,
    options: SigningOptions,
) -> Vec<Change> {
    let past = |moment: UnixSeconds| if moment > now + LEEWAY { now } else { moment };
    let settled = keys.filter_map(|key| {
        let (signs_from, retired) = (key.signs_from.map(past), key.retired.map(past));
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

/// A key that signs from `now` on.
fn signing(key: StoredSigningKey, now: UnixSeconds, options: SigningOptions) -> StoredSigningKey {
    let token_lifetime_seconds = Some(options.token_lifetime.0);
    StoredSigningKey { signs_from: Some(now), token_lifetime_seconds, ..key }
}

/// The end of a key: retired while its tokens live, and gone after that, or if it never signed.
fn ended(key: StoredSigningKey, now: UnixSeconds) -> Option<Change> {
    match (key.retired, key.signs_from) {
        (Some(_), _) => is_over(&key, now).then(|| remove(key)),
        (None, None) => Some(remove(key)),
        (None, Some(_)) => Some(put(StoredSigningKey { retired: Some(now), ..key })),
    }
}

/// The last moment at which a token of a retired key may be taken: verifiers' clocks may lag.
fn over_after(key: &StoredSigningKey) -> Option<UnixSeconds> {
    let life = key.token_lifetime_seconds.map_or(Issuer::LIFETIME_MAX, Seconds);
    Some(key.retired? + life + Issuer::BACKDATED)
}

fn is_over(key: &StoredSigningKey, now: UnixSeconds) -> bool {
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
    let kid = SigningKey::new(Backend::AwsLcRs, material)?.jwk().kid.clone();
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
