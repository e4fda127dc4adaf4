//! Tables of the file, and the reading of records from them.

use std::path::PathBuf;

use ::redb::{
    ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};
use aws_lc_rs::digest;

use crate::service::store::error::{Defect, StoreError};
use crate::service::store::revision::{Format, Revision};
use crate::service::world::record::Record;

/// Records by key text: the revision that wrote the record, its checksum, and the record as JSON.
pub(super) const RECORDS: TableDefinition<'_, &str, Stored<'_>> = TableDefinition::new("records");

/// Key texts by revision: the key that the revision wrote. Contains the last revision of each existing key
/// only.
pub(super) const ORDER: TableDefinition<'_, u64, &str> = TableDefinition::new("order");

/// Values of `format` and `revision`.
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

pub(super) type Stored<'a> = (u64, u64, &'a [u8]);

pub(super) const META_FORMAT: &str = "format";

pub(super) const META_REVISION: &str = "revision";

pub(super) type Order = ReadOnlyTable<u64, &'static str>;

pub(super) type Records = ReadOnlyTable<&'static str, Stored<'static>>;

/// Returns the format of a file, if this build can read it.
pub(super) fn read_format(
    database: &dyn ReadableDatabase,
    path: PathBuf,
) -> Result<Format, StoreError> {
    let transaction = database.begin_read()?;
    let meta = match transaction.open_table(META) {
        Err(::redb::TableError::Storage(error)) => return Err(error.into()),
        Err(_) => return Err(StoreError::NotAStore { path }),
        Ok(meta) => meta,
    };
    let Some(found) = meta.get(META_FORMAT)?.map(|found| Format(found.value())) else {
        return Err(StoreError::NotAStore { path });
    };
    if (Format::OLDEST..=Format::CURRENT).contains(&found) {
        return Ok(found);
    }
    Err(StoreError::Format { path, found: found.0, known: Format::CURRENT.0 })
}

pub(super) fn next(
    revisions: &mut ::redb::Range<'_, u64, &'static str>,
    records: &Records,
) -> Result<Option<Record>, StoreError> {
    let Some(entry) = revisions.next() else { return Ok(None) };
    let (revision, key) = entry?;
    read(records, key.value(), Revision(revision.value())).map(Some)
}

/// Returns the revision of the store, after checking that no record was left out.
pub(super) fn finish(
    transaction: &ReadTransaction,
    records: &Records,
    order: &Order,
) -> Result<Revision, StoreError> {
    if records.len()? != order.len()? {
        return Err(stray(records, order)?);
    }
    let stored = transaction.open_table(META)?.get(META_REVISION)?;
    let revision = Revision(stored.map_or(0, |revision| revision.value()));
    match order.last()? {
        Some((last, key)) if last.value() > revision.0 => Err(StoreError::Damaged {
            key: key.value().to_owned(),
            defect: Defect::Ahead { record: Revision(last.value()), store: revision },
        }),
        _ => Ok(revision),
    }
}

/// Reads the record of `key`, which `revision` wrote.
pub(super) fn read(records: &Records, key: &str, revision: Revision) -> Result<Record, StoreError> {
    let wrong = |defect| StoreError::Damaged { key: key.to_owned(), defect };
    let stored = records.get(key)?.ok_or_else(|| wrong(Defect::Missing(revision)))?;
    let (named, sum, json) = stored.value();
    if named != revision.0 {
        return Err(wrong(Defect::Revision(Revision(named))));
    }
    if sum != checksum(key, revision, json) {
        return Err(wrong(Defect::Checksum));
    }
    let record: Record = serde_json::from_slice(json).map_err(|error| damaged(key, &error))?;
    let own = record.key().to_string();
    if own == key { Ok(record) } else { Err(wrong(Defect::Misplaced(own))) }
}

/// Returns the first 8 bytes of SHA-256 over key, revision and JSON. The engine has checksums of its pages
/// but verifies them in a repair only. Without this checksum, a flipped bit in a value would not be noticed.
pub(super) fn checksum(key: &str, revision: Revision, json: &[u8]) -> u64 {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [key.as_bytes(), &[0], &revision.0.to_be_bytes(), json] {
        context.update(part);
    }
    let digest = context.finish();
    u64::from_be_bytes(digest.as_ref().first_chunk().copied().unwrap_or_default())
}

/// Returns the error for JSON that cannot be parsed. Omits serde's message, because it quotes the value,
/// which may be a secret.
pub(super) fn damaged(key: &str, error: &serde_json::Error) -> StoreError {
    StoreError::Damaged { key: key.to_owned(), defect: Defect::Json { column: error.column() } }
}

/// Finds a record that no revision wrote. Call it only when there is one.
pub(super) fn stray(records: &Records, order: &Order) -> Result<StoreError, StoreError> {
    for entry in records.iter()? {
        let (key, stored) = entry?;
        let (revision, ..) = stored.value();
        if order.get(revision)?.is_none_or(|wrote| wrote.value() != key.value()) {
            let defect = Defect::Revision(Revision(revision));
            return Ok(StoreError::Damaged { key: key.value().to_owned(), defect });
        }
    }
    Ok(StoreError::Engine("the tables of the store do not have the length that they claim".into()))
}
