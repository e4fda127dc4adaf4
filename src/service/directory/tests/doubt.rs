//! Tests of changes whose commit failed. Such changes may be stored or not, and the directory must follow the
//! store.

use super::*;
use crate::service::store::{Cause, Fault};

/// Outcome of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Disk {
    #[default]
    Works,
    FailsBefore,
    FailsAfter,
}

/// A store on a disk that can fail.
#[derive(Clone, Debug, Default)]
struct Flaky {
    store: Arc<MemoryStore>,
    disk: Arc<Mutex<Disk>>,
}

impl Flaky {
    fn open(&self) -> Directory {
        open(Box::new(self.clone()), file::demo().unwrap(), Seconds(0))
    }

    fn set(&self, disk: Disk) {
        *self.disk.lock() = disk;
    }
}

impl Store for Flaky {
    fn commit(&self, expected: Revision, changes: &[Change]) -> Result<Revision, StoreError> {
        let disk = *self.disk.lock();
        if disk == Disk::FailsAfter {
            self.store.commit(expected, changes)?;
        }
        self.health()?;
        self.store.commit(expected, changes)
    }

    fn replay(&self, each: &mut dyn FnMut(Record)) -> Result<Revision, StoreError> {
        self.store.replay(each)
    }

    fn format(&self) -> Format {
        Format::CURRENT
    }

    fn health(&self) -> Result<(), Fault> {
        let fault = Fault { folder: "/data".into(), cause: Cause::Full };
        if *self.disk.lock() == Disk::Works { Ok(()) } else { Err(fault) }
    }

    fn recover(&self) -> Result<Revision, StoreError> {
        self.health()?;
        self.store.recover()
    }
}

fn add(directory: &Directory, id: u8) -> Result<(), StoreError> {
    let id = format!("00000000-0000-4000-8000-0000000000{id:02x}").parse().unwrap();
    let tenant = Record::Tenant(Tenant { id, created: NOW });
    directory.write(NOW, |_, _| Ok((vec![Change::Put(tenant)], ())))
}

fn tenants(directory: &Directory) -> usize {
    directory.read().tenants().count()
}

#[test]
fn a_change_that_failed_takes_effect_later_if_it_was_stored_and_not_otherwise() {
    for (disk, stored) in [(Disk::FailsBefore, 0), (Disk::FailsAfter, 1)] {
        let flaky = Flaky::default();
        let directory = flaky.open();
        let before = tenants(&directory);
        flaky.set(disk);
        let refused = add(&directory, 1).unwrap_err();
        assert!(matches!(refused, StoreError::Unwritable(_)), "{refused}");
        assert_eq!(tenants(&directory), before, "{disk:?}");
        assert!(add(&directory, 2).is_err() && directory.recover_store(NOW).is_err());
        flaky.set(Disk::Works);
        directory.recover_store(NOW).unwrap();
        assert_eq!(tenants(&directory), before + stored, "{disk:?}");
        add(&directory, 3).unwrap();
        assert_eq!(tenants(&directory), before + stored + 1, "{disk:?}");
    }
}

#[test]
fn the_next_write_settles_what_became_of_the_last_and_signs_with_the_keys_that_are_stored() {
    let flaky = Flaky::default();
    let directory = flaky.open();
    let signing = |directory: &Directory| directory.ring().keys().current.jwk().kid.clone();
    let old = signing(&directory);
    flaky.set(Disk::FailsAfter);
    directory.rotate_signing_keys(NOW).unwrap_err();
    assert_eq!(signing(&directory), old);
    flaky.set(Disk::Works);
    add(&directory, 1).unwrap();
    let state = directory.read();
    let signs = state.signing_keys().find(|key| key.signs_from.is_some() && key.retired.is_none());
    assert_eq!(signs.unwrap().kid, signing(&directory));
    assert_ne!(signing(&directory), old);
}

#[test]
fn a_revocation_that_was_stored_after_all_ends_the_tokens_of_the_key() {
    for (disk, told) in [(Disk::FailsBefore, 0), (Disk::FailsAfter, 1)] {
        let flaky = Flaky::default();
        let directory = flaky.open();
        let ended = Arc::new(Mutex::new(0));
        let heard = Arc::clone(&ended);
        directory.on_end(move |one| *heard.lock() += u32::from(matches!(one, Ended::SigningKey)));
        let before = directory.revocations();
        flaky.set(disk);
        directory.revoke_signing_key(NOW).unwrap_err();
        assert_eq!((*ended.lock(), directory.revocations()), (0, before), "{disk:?}");
        flaky.set(Disk::Works);
        directory.recover_store(NOW).unwrap();
        assert_eq!(*ended.lock(), told, "{disk:?}");
        assert_eq!(directory.revocations(), before + u64::from(told), "{disk:?}");
    }
}

/// Returns a directory on this disk that publishes keys for 100 s before they sign.
fn with_distance(flaky: &Flaky) -> Directory {
    let options = DirectoryOptions::for_tests(Seconds(0));
    let signing = SigningOptions { min_distance: Seconds(100), ..options.signing };
    let options = DirectoryOptions { signing, ..options };
    let seed = || Ok(file::demo().unwrap());
    Directory::open::<DirectoryError>(Box::new(flaky.clone()), seed, NOW, &options).unwrap()
}

fn published(directory: &Directory) -> Vec<String> {
    directory.ring().keys().published().map(|key| key.jwk().kid.clone()).collect()
}

#[test]
fn a_key_whose_publication_was_in_doubt_signs_only_once_verifiers_had_time_to_read_it() {
    let flaky = Flaky::default();
    let directory = with_distance(&flaky);
    flaky.set(Disk::FailsAfter);
    directory.rotate_signing_keys(NOW + Seconds(100)).unwrap_err();
    flaky.set(Disk::Works);
    // The new next key is published here, long after it was stored.
    let late = NOW + Seconds(5_000);
    let refused = directory.rotate_signing_keys(late).unwrap_err();
    let until = late + Seconds(100);
    assert!(
        matches!(refused, SigningKeyError::TooSoon { until: told, .. } if told == until),
        "{refused}"
    );
    directory.rotate_signing_keys(until).unwrap();
}

#[test]
fn a_key_that_signed_while_its_end_was_in_doubt_stays_published_for_its_last_tokens() {
    const DAY: Seconds = Seconds(86_400);
    for ends in [Directory::rotate_signing_keys, Directory::revoke_signing_key] {
        let flaky = Flaky::default();
        let directory = flaky.open();
        let first = published(&directory)[0].clone();
        flaky.set(Disk::FailsAfter);
        directory.rotate_signing_keys(NOW).unwrap_err();
        flaky.set(Disk::Works);
        // Until now the first key signed, although the store says that it was retired two days ago.
        let settled = NOW + DAY + DAY;
        assert_eq!(published(&directory)[0], first);
        ends(&directory, settled).unwrap();
        assert!(published(&directory).contains(&first));
        directory.rotate_signing_keys(settled + DAY + Seconds(300)).unwrap();
        assert!(published(&directory).contains(&first));
        directory.rotate_signing_keys(settled + DAY + Seconds(301)).unwrap();
        assert!(!published(&directory).contains(&first));
    }
}
