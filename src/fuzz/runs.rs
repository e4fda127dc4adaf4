//! Files of the harness, and the answers of a target.

use std::path::Path;

use crate::base::synthetic::Synthetic;
use crate::harness::dialect::response;
use crate::harness::dialect::response::Rest;
use crate::harness::report::stored::parse_run;
use crate::harness::scenario::replay::{Row, Trace};
use crate::harness::scenario::spec::{ProcessLimits, RunSpec, Scenario};

/// Files `run.json`. What is read is the same after it was written and read again.
pub(super) fn run_json(input: &[u8]) {
    let path = Path::new("run.json");
    let Ok(run) = parse_run(path, input) else { return };
    let Ok(written) = serde_json::to_vec(&run) else { panic!("a run cannot be written") };
    match parse_run(path, &written) {
        Ok(again) => assert_eq!(again, run),
        Err(error) => panic!("{error}\n{}", written.escape_ascii()),
    }
}

/// Scenario files. An accepted file makes a plan, or an error that says why not.
pub(super) fn scenario(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    // A recorded trace is a file of the user, and no input of this target.
    if text.contains("replay") {
        return;
    }
    let Ok(spec) = RunSpec::parse(Scenario::Steady, text) else { return };
    let limits = ProcessLimits { cores: vec![0, 1], open_files: 10_000 };
    let _ = spec.resolve(&limits).map(|resolved| format!("{resolved:?}"));
}

/// Recorded traces. The requests are in order, and the last one ends the trace.
pub(super) fn trace(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(trace) = Trace::parse("trace", text) else { return };
    let rows = trace.rows();
    assert!(!rows.is_empty() && rows.is_sorted_by_key(|row| row.at));
    assert!(rows.iter().all(|row| row.at < trace.length()));
    let world = Synthetic { vms: 3, user_assigned: 2, seed: 1 };
    let fits = |row: &Row| {
        let Row { vm, identity, .. } = *row;
        vm.is_none_or(|vm| vm < 3) && identity.is_none_or(|identity| identity <= 2)
    };
    assert_eq!(trace.check(&world).is_ok(), rows.iter().all(fits));
}

/// Answers of a target. An answer ends within its bytes, and stays the same when more bytes follow.
pub(super) fn response(input: &[u8]) {
    let _ = (response::extent(input), response::parse_head(input).is_ok());
    if let Ok(Some(answer)) = response::parse(input, Rest::Ended) {
        assert!(answer.end <= input.len() && answer.body(input).len() <= input.len());
    }
    let Ok(Some(answer)) = response::parse(input, Rest::Open) else { return };
    assert!(answer.end <= input.len());
    let more = [input, b"HTTP/1.1 200 OK\r\n"].concat();
    let Ok(Some(again)) = response::parse(&more, Rest::Open) else {
        panic!("an answer that was complete is none: {}", input.escape_ascii())
    };
    assert_eq!((again.status, again.end), (answer.status, answer.end));
    assert_eq!(again.body(&more), answer.body(input));
}
