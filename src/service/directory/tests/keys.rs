//! Tests of signing keys: which keys are published, over rotations, restarts and clock changes.

use super::disk::Disk;
use super::*;
use crate::service::token::{ClientProof, Issuer, Subject, TokenSource as _, Verifier};
use crate::service::world::record::StoredSigningKey;

const HOUR: Seconds = Seconds(3_600);
const DAY: Seconds = Seconds(86_400);

fn days(number: u64) -> UnixSeconds {
    NOW + Seconds(number * DAY.0)
}

fn signing(token_lifetime: Seconds, min_distance: Seconds) -> DirectoryOptions {
    let DirectoryOptions { signing, .. } = DirectoryOptions::for_tests(Seconds(0));
    let signing = SigningOptions { token_lifetime, min_distance, ..signing };
    DirectoryOptions { signing, ..DirectoryOptions::for_tests(Seconds(0)) }
}

/// Starts a directory with the records of the disk, or with the demo world if the disk is empty.
fn start(disk: &Disk, now: UnixSeconds, options: &DirectoryOptions) -> Directory {
    let (store, seed) = (Box::new(disk.clone()), || Ok(file::demo().unwrap()));
    Directory::open::<DirectoryError>(store, seed, now, options).unwrap()
}

fn new(options: &DirectoryOptions) -> Directory {
    start(&Disk::new(Format::CURRENT), NOW, options)
}

/// Returns the names of the published keys, the current one first.
fn published(directory: &Directory) -> Vec<String> {
    let keys = directory.ring().keys();
    keys.published().map(|key| key.jwk().kid.clone()).collect()
}

/// Returns a token of an unknown application, signed at `now`.
fn token(directory: &Directory, now: UnixSeconds) -> String {
    let subject = Subject {
        tenant_id: TenantId::from_bytes([1; 16]),
        tenant_created: NOW,
        client_id: ClientId::from_bytes([1; 16]),
        principal_id: PrincipalId::from_bytes([1; 16]),
        resource_id: None,
        caller_id: None,
        proof: ClientProof::Secret,
    };
    let minted = Issuer::new(directory.ring(), HOUR).mint(&subject, "x", now, &[1; 48]);
    minted.unwrap().jwt().to_owned()
}

fn stored(disk: &Disk) -> Vec<StoredSigningKey> {
    let keys = disk.records().into_iter().filter_map(|record| match record {
        Record::SigningKey(key) => Some(key),
        _ => None,
    });
    keys.collect()
}

#[test]
fn the_next_key_is_published_before_it_signs_and_the_old_one_until_its_tokens_are_gone() {
    let directory = demo();
    let (first, next) = (published(&directory)[0].clone(), published(&directory)[1].clone());
    directory.rotate_signing_keys(NOW + Seconds(10)).unwrap();
    assert_eq!(published(&directory)[0], next);
    assert!(published(&directory).contains(&first) && published(&directory).len() == 3);
    directory.rotate_signing_keys(NOW + Seconds(86_400 + 310)).unwrap();
    assert!(published(&directory).contains(&first));
    directory.rotate_signing_keys(NOW + Seconds(86_400 + 311)).unwrap();
    assert!(!published(&directory).contains(&first));
}

#[test]
fn a_key_outlives_the_longest_token_that_it_signed_whatever_later_starts_are_told() {
    let disk = Disk::new(Format::CURRENT);
    let month = Seconds(30 * DAY.0);
    let first = published(&start(&disk, NOW, &signing(HOUR, Seconds(0))))[0].clone();
    drop(start(&disk, NOW, &signing(month, Seconds(0))));
    let directory = start(&disk, days(1), &signing(HOUR, Seconds(0)));
    directory.rotate_signing_keys(days(1)).unwrap();
    drop(directory);
    let directory = start(&disk, days(2), &signing(HOUR, Seconds(0)));
    // The last start counts as the end of its use.
    for day in [2, 15, 32] {
        directory.rotate_signing_keys(days(day)).unwrap();
        assert!(published(&directory).contains(&first), "day {day}");
        // The later keys signed tokens that live for an hour.
        assert!(published(&directory).len() <= 4, "day {day}");
    }
    directory.rotate_signing_keys(days(33)).unwrap();
    assert!(!published(&directory).contains(&first));
}

#[test]
fn a_key_of_an_older_build_stays_for_as_long_as_a_token_can_live() {
    let disk = Disk::new(Format::CURRENT);
    drop(start(&disk, NOW, &signing(HOUR, Seconds(0))));
    let unknown = stored(&disk).into_iter().map(|key| {
        let key = StoredSigningKey { token_lifetime_seconds: None, ..key };
        Change::Put(Record::SigningKey(key))
    });
    let revision = disk.replay(&mut |_| ()).unwrap();
    disk.commit(revision, &unknown.collect::<Vec<_>>()).unwrap();
    let directory = start(&disk, NOW, &signing(HOUR, Seconds(0)));
    let first = published(&directory)[0].clone();
    directory.rotate_signing_keys(NOW).unwrap();
    directory.rotate_signing_keys(days(366)).unwrap();
    assert!(published(&directory).contains(&first));
    directory.rotate_signing_keys(days(367)).unwrap();
    assert!(!published(&directory).contains(&first));
}

#[test]
fn a_key_does_not_sign_before_it_was_published_for_the_least_time() {
    let directory = new(&signing(DAY, Seconds(300)));
    let next = published(&directory)[1].clone();
    for rotation in 0..2 {
        let from = NOW + Seconds(rotation * 300);
        let early = directory.rotate_signing_keys(from + Seconds(299)).unwrap_err();
        assert!(
            matches!(early, SigningKeyError::TooSoon { until, .. } if until == from + Seconds(300))
        );
        assert!(early.to_string().ends_with("in 1 s"), "{early}");
        assert_eq!(published(&directory).len() as u64, 2 + rotation);
        directory.rotate_signing_keys(from + Seconds(300)).unwrap();
    }
    assert_eq!(published(&directory)[1..].iter().filter(|kid| **kid == next).count(), 1);
    // Periodic rotation waits until the next key may sign.
    directory.rotate_due(NOW + Seconds(601), Seconds(1)).unwrap();
    assert_eq!(published(&directory).len(), 4);
    directory.rotate_due(NOW + Seconds(600), Seconds(1)).unwrap();
    directory.rotate_due(NOW + Seconds(900), Seconds(1)).unwrap();
    assert_eq!(published(&directory).len(), 5);
}

#[test]
fn a_revoked_key_is_published_no_more_and_its_tokens_are_refused() {
    let directory = new(&signing(DAY, Seconds(300)));
    let verifier = Verifier::new(directory.ring());
    let (first, next) = (published(&directory)[0].clone(), published(&directory)[1].clone());
    let (old, before) = (token(&directory, NOW), directory.revocations());
    assert!(verifier.verify(&old, NOW).is_ok());
    directory.revoke_signing_key(NOW).unwrap();
    assert!(verifier.verify(&old, NOW).is_err());
    assert!(published(&directory)[0] == next && !published(&directory).contains(&first));
    let new = token(&directory, NOW);
    // Revocation affects the current key, not keys that were retired before.
    directory.rotate_signing_keys(NOW + Seconds(300)).unwrap();
    directory.revoke_signing_key(NOW + Seconds(300)).unwrap();
    assert!(verifier.verify(&new, NOW).is_ok());
    assert_eq!(directory.revocations(), before + 2);
}

#[test]
fn thirty_two_keys_are_published_at_most() {
    let disk = Disk::new(Format::CURRENT);
    let directory = start(&disk, NOW, &signing(HOUR, Seconds(0)));
    let mut refused = 0;
    for round in 0..70 {
        match directory.rotate_signing_keys(NOW + Seconds(round)) {
            Ok(()) => {}
            Err(SigningKeyError::TooMany { until, .. }) => {
                refused += 1;
                assert_eq!(until, NOW + Seconds(3_600 + 300 + 1));
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((published(&directory).len(), refused), (32, 70 - 30));
    directory.rotate_signing_keys(NOW + Seconds(3_600 + 301)).unwrap();
    assert_eq!(published(&directory).len(), 32);
    directory.revoke_signing_key(NOW).unwrap();
    directory.rotate_signing_keys(days(1)).unwrap();
    assert_eq!((published(&directory).len(), stored(&disk).len()), (3, 3));
}

#[test]
fn another_algorithm_keeps_the_key_that_signed_and_not_the_one_that_waited() {
    let disk = Disk::new(Format::CURRENT);
    let before = published(&start(&disk, NOW, &signing(HOUR, Seconds(0))));
    let mut options = signing(HOUR, Seconds(0));
    options.signing.algorithm = Algorithm::EdDsa;
    let after = published(&start(&disk, NOW, &options));
    assert_eq!(after.iter().filter(|kid| before.contains(kid)).collect::<Vec<_>>(), [&before[0]]);
    assert_eq!(after.len(), 3);
}

#[test]
fn keys_from_before_the_clock_was_set_back_take_their_turns_from_now_on() {
    let disk = Disk::new(Format::CURRENT);
    let directory = start(&disk, NOW, &signing(HOUR, Seconds(300)));
    let (first, month) = (published(&directory)[0].clone(), Seconds(30 * DAY.0));
    directory.rotate_due(days(31), month).unwrap();
    let second = published(&directory)[0].clone();
    assert_ne!(second, first);
    // The clock is back: the new key still signs, and later moments were moved to the present.
    directory.rotate_due(NOW + Seconds(600), month).unwrap();
    assert_eq!(published(&directory)[0], second);
    let moments = |key: &StoredSigningKey| key.signs_from.max(key.retired);
    assert!(stored(&disk).iter().filter_map(moments).all(|moment| moment <= NOW + Seconds(600)));
    directory.rotate_due(NOW + Seconds(599) + month, month).unwrap();
    assert_eq!(published(&directory)[0], second);
    directory.rotate_due(NOW + Seconds(600) + month, month).unwrap();
    assert_ne!(published(&directory)[0], second);
    // A clock step of one minute changes nothing.
    let revision = disk.replay(&mut |_| ()).unwrap();
    directory.rotate_due(NOW + Seconds(540) + month, month).unwrap();
    assert_eq!(disk.replay(&mut |_| ()).unwrap(), revision);
}
