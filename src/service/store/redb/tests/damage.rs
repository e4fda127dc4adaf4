//! Tests of the errors that a start and a check report for a damaged store.

use super::*;

#[test]
fn a_damaged_record_is_named_and_its_content_is_not() {
    let key = secret(b"").key().to_string();
    let json = serde_json::to_string(&secret(b"hunter2")).unwrap();
    let encoded = "aHVudGVyMg==";
    assert!(json.contains(encoded));
    // serde's errors for the last two, which are JSON, quote the value.
    for bad in [
        "",
        "{",
        "\u{0}",
        &json.replace('}', ""),
        &json.replace("\"created\":1", &format!("\"created\":\"{encoded}\"")),
        &json.replace("secretVersion", encoded),
    ] {
        let folder = stored(&[secret(b"hunter2")]);
        tamper(folder.path(), |transaction| {
            overwrite(transaction, &key, 1, bad.as_bytes());
        });
        let error = RedbStore::open(folder.path(), FolderOptions::default())
            .and_then(|store| all(&store))
            .unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains(&key) && text.contains("is not the JSON of a record"), "{text}");
        assert!(!text.contains(encoded) && !text.contains("hunter2"), "{text}");
    }
}

#[test]
fn tables_that_do_not_agree_are_an_error_that_names_the_key() {
    let [first, second] = [group(1, 0), group(2, 0)];
    let [key, other] = [&first, &second].map(|record| record.key().to_string());
    let (key, other) = (key.as_str(), other.as_str());
    let json = serde_json::to_vec(&second).unwrap();
    let check = |defect: &str, write: &dyn Fn(&WriteTransaction)| {
        let folder = stored(&[first.clone(), second.clone()]);
        tamper(folder.path(), write);
        let text = error(folder.path());
        assert!(text.contains(key) && text.contains(defect), "{text}");
    };
    check("revision 1 wrote it, but it is not there", &|transaction| {
        transaction.open_table(RECORDS).unwrap().remove(key).unwrap();
    });
    check("it names revision 7, which did not write it", &|transaction| {
        overwrite(transaction, key, 7, &json);
    });
    check("it names revision 1, which did not write it", &|transaction| {
        transaction.open_table(ORDER).unwrap().remove(1).unwrap();
    });
    check("revision 1 wrote it, but the store is at 0 only", &|transaction| {
        transaction.open_table(META).unwrap().insert(META_REVISION, 0).unwrap();
        transaction.open_table(RECORDS).unwrap().remove(other).unwrap();
        transaction.open_table(ORDER).unwrap().remove(2).unwrap();
    });
    check("its checksum is wrong", &|transaction| {
        let mut records = transaction.open_table(RECORDS).unwrap();
        records.insert(key, (1, 0, serde_json::to_vec(&first).unwrap().as_slice())).unwrap();
    });
    check(&format!("it is the record of `{other}`"), &|transaction| {
        overwrite(transaction, key, 1, &json);
    });
}

#[test]
fn a_changed_byte_is_an_error_and_a_refusal_leaves_the_file_as_it_was() {
    let records: Vec<Record> = (0..200).map(|slot| group(slot, 0)).collect();
    let folder = stored(&records);
    let file = folder.path().join("world.redb");
    let good = fs::read(&file).unwrap();
    let mut errors = 0;
    for offset in (0..64).chain((64..good.len()).step_by(good.len() / 400)) {
        let mut bad = good.clone();
        bad[offset] ^= 0x41;
        fs::write(&file, &bad).unwrap();
        match RedbStore::open(folder.path(), FolderOptions::default()).and_then(|store| all(&store))
        {
            Ok((_, found)) => assert_eq!(found, records, "byte {offset}"),
            Err(_) => errors += 1,
        }
        assert!(fs::read(&file).unwrap() == bad, "byte {offset}: a start changed the file");
    }
    assert!(errors > 50, "only {errors} changes were seen: most of the file is not records");
}

#[test]
fn a_page_of_zeros_is_refused_or_is_a_free_one() {
    let records: Vec<Record> = (0..200).map(|slot| group(slot, 0)).collect();
    let folder = stored(&records);
    let file = folder.path().join("world.redb");
    let good = fs::read(&file).unwrap();
    let mut refused = 0;
    for page in (4096..good.len()).step_by(4096) {
        let mut bad = good.clone();
        bad[page..page + 4096].fill(0);
        fs::write(&file, &bad).unwrap();
        let damages = Checkup::of(folder.path()).unwrap().damages;
        let opened = RedbStore::open(folder.path(), FolderOptions::default());
        assert_eq!(opened.is_ok(), damages.is_empty(), "page at {page}: {damages:?}");
        let Ok(store) = opened else {
            refused += 1;
            assert!(fs::read(&file).unwrap() == bad, "page at {page}: a start changed the file");
            continue;
        };
        assert_eq!(all(&store).unwrap().1, records, "page at {page}");
        let change = [Change::Put(group(250, 0))];
        store.commit(Revision(200), &change).unwrap_or_else(|error| panic!("{page}: {error}"));
    }
    assert!(refused > 5, "only {refused} pages were found to be damaged");
}

#[test]
fn a_check_names_the_records_that_are_lost_and_reads_the_others() {
    let records: Vec<Record> = (0..200).map(|slot| group(slot, 0)).collect();
    let folder = stored(&records);
    let sound = Checkup::of(folder.path()).unwrap();
    assert_eq!((sound.records.len(), sound.damages), (200, Vec::<String>::new()));
    let file = folder.path().join("world.redb");
    let mut bytes = fs::read(&file).unwrap();
    let json = serde_json::to_vec(&records[100]).unwrap();
    let at = bytes.windows(json.len()).position(|window| window == json).unwrap();
    bytes[at / 4096 * 4096..][..4096].fill(0);
    fs::write(&file, &bytes).unwrap();
    let checkup = Checkup::of(folder.path()).unwrap();
    let lost = format!("the record `{}` is lost: ", records[100].key());
    assert!(
        checkup.damages.iter().any(|damage| damage.starts_with(&lost)),
        "{:?}",
        checkup.damages
    );
    assert!((100..200).contains(&checkup.records.len()), "{} are left", checkup.records.len());
    assert!(fs::read(&file).unwrap() == bytes);
    let error = error(folder.path());
    let remedy = format!("`mintbench store check {}` tells what is lost", folder.path().display());
    assert!(error.contains(&remedy), "{error}");
}

#[test]
fn a_store_in_use_or_of_another_program_is_not_checked() {
    let folder = stored(&[]);
    let store = RedbStore::open(folder.path(), FolderOptions::default()).unwrap();
    let refused = || Checkup::of(folder.path()).unwrap_err();
    assert!(matches!(refused(), StoreError::InUse { .. }));
    drop(store);
    fs::write(folder.path().join("world.redb"), "not a database").unwrap();
    assert!(matches!(refused(), StoreError::NotAStore { .. }));
    fs::remove_file(folder.path().join("world.redb")).unwrap();
    assert!(matches!(refused(), StoreError::File { .. }));
}
