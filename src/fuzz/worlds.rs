//! Files that describe a world, or what goes wrong in it.

use std::io::ErrorKind;

use crate::base::files::ReadError;
use crate::service::directory::Directory;
use crate::service::faults::FaultPlan;
use crate::service::world::archive;
use crate::service::world::archive::by_key;
use crate::service::world::record::Record;
use crate::service::world::{Throttle, ThrottleError};

/// World files and exported worlds. What is read is the same after an export and an import.
pub(super) fn world_file(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let absent = |name: &str| {
        let source = ErrorKind::NotFound.into();
        Err(ReadError::System { path: name.into(), source })
    };
    let Ok(read) = archive::read("world", text, &absent) else { return };
    let _ = Directory::verify(read.records.clone());
    let Ok(written) = archive::render(read.records.clone(), read.secrets) else {
        panic!("a world cannot be written")
    };
    match archive::parse(&written) {
        Ok(again) => assert_eq!(by_key(again.records), by_key(read.records)),
        Err(error) => panic!("{error}\n{written}"),
    }
}

/// Records of a store, one on each line. Each one is read as it was written, and all together make a world or an
/// error.
pub(super) fn records(input: &[u8]) {
    let lines = input.split(|byte| *byte == b'\n');
    let records: Vec<Record> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    for record in &records {
        let Ok(written) = serde_json::to_vec(record) else { panic!("{record:?}") };
        let again: Option<Record> = serde_json::from_slice(&written).ok();
        assert_eq!(again.as_ref(), Some(record));
        assert_eq!(again.map(|again| again.key().to_string()), Some(record.key().to_string()));
    }
    let _ = Directory::verify(records);
}

/// Fault plans in TOML and JSON. A plan that is accepted is accepted again as JSON, and is the same.
pub(super) fn faults(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(plan) = FaultPlan::parse("faults", text) else { return };
    let Ok(written) = serde_json::to_string(&plan) else { panic!("{plan:?}") };
    match FaultPlan::parse("faults", &written) {
        Ok(again) => assert_eq!(again, plan),
        Err(error) => panic!("{error}\n{written}"),
    }
}

/// Values of `--throttle`.
pub(super) fn throttle(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(throttle): Result<Throttle, ThrottleError> = text.parse() else { return };
    assert_eq!(throttle.to_string().parse(), Ok(throttle), "{text}");
}
