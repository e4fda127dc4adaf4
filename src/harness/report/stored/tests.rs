use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::base::clock::UnixSeconds;
use crate::harness::class::Class;
use crate::harness::nanos::Nanos;
use crate::harness::record::collector::collect;
use crate::harness::record::intervals::{Ended, INTERVAL, Window, histogram};
use crate::harness::record::recorder;
use crate::harness::record::recorder::Recorder;
use crate::harness::record::witness::WitnessLog;
use crate::harness::report::folder::Folder;

fn references() -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir("results/reference").unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("run.json").exists())
}

#[test]
fn reference_results_are_read_and_agree_with_themselves() {
    let mut read = 0;
    for path in references() {
        let stored = Stored::read(&path).unwrap();
        assert!(stored.is_complete(), "{}", path.display());
        let run = stored.run.unwrap();
        let logged: BTreeMap<Class, u64> = stored
            .response
            .classes()
            .into_iter()
            .map(|class| (class, stored.response.whole(class).iter().map(|(_, n)| n).sum()))
            .collect();
        let counted: BTreeMap<Class, u64> =
            run.classes.iter().map(|(class, result)| (*class, result.count)).collect();
        assert_eq!(logged, counted, "{}", path.display());
        read += 1;
    }
    assert!(read >= 6, "{read} folders");
}

#[test]
fn what_is_read_is_written_again_and_what_an_older_build_did_not_know_as_unknown() {
    for path in references() {
        let text = fs::read_to_string(path.join("run.json")).unwrap();
        let mut before: Value = serde_json::from_str(&text).unwrap();
        before["load"]["a_later_field"] = 7.into();
        before["a_later_part"] = serde_json::json!({"phase": ["x"]});
        let run: Run = serde_json::from_value(before.clone()).unwrap();
        let mut after = serde_json::to_value(&run).unwrap();
        keep(&mut after, &before);
        assert!(after == before, "{}", path.display());
    }
}

/// Removes from `after` the values that `before` does not have, if they are unknown or empty. Turns a
/// percentile without a lower bound back into the number of version 1.
fn keep(after: &mut Value, before: &Value) {
    if before.is_number() && after["standing"] == "recorded" {
        *after = after["value"].take();
    }
    let (Some(fields), Some(known)) = (after.as_object_mut(), before.as_object()) else { return };
    fields.retain(|name, value| {
        known.contains_key(name) || !(value.is_null() || *value == Value::Array(Vec::new()))
    });
    for (name, value) in fields {
        keep(value, known.get(name).unwrap_or(&Value::Null));
    }
}

fn ended(class: Class, intended_ns: u64, end_ns: u64) -> Ended {
    Ended { class, ..recorder::tests::ended(intended_ns, end_ns) }
}

/// Writes a folder whose logs are like those of a run.
fn written(window: Window, all: &[Ended]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut logs = Folder::create(folder.path().to_owned()).unwrap().logs();
    let (full, sets) = std::sync::mpsc::channel();
    let (spare, empty) = std::sync::mpsc::channel();
    crate::harness::record::collector::IntervalSink::begin(
        &mut logs,
        window,
        UnixSeconds(1_700_000_000),
    )
    .unwrap();
    let mut recorder = Recorder::new(window, full, empty);
    for ended in all {
        recorder.record(ended);
    }
    let _ = recorder.finish();
    collect(&sets, &[spare], &WitnessLog::default(), &mut logs, &|| ()).unwrap();
    folder
}

#[test]
fn a_run_that_did_not_end_is_read_up_to_there() {
    let window = Window { start: Nanos::ZERO, end: INTERVAL * 2 };
    let folder = written(
        window,
        &[
            ended(Class::Hit, 0, 1000),
            ended(Class::Miss, 10, 2010),
            ended(Class::Hit, INTERVAL.as_u64(), INTERVAL.as_u64() + 3),
        ],
    );
    let stored = Stored::read(folder.path()).unwrap();
    assert!(stored.run.is_none() && !stored.is_complete());
    assert_eq!(stored.response.head.start, Some(UnixSeconds(1_700_000_000)));
    assert_eq!(stored.response.classes(), [Class::Hit, Class::Miss]);
    assert_eq!(
        stored.response.seconds(Class::Hit),
        [(0, vec![(1000, 1)]), (1, vec![(3, 1)])].into()
    );
    assert_eq!(stored.response.intervals[0].length, Duration::from_secs(1));

    let path = folder.path().join("response.hlog");
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() - 9]).unwrap();
    let cut = Log::read(&path).unwrap();
    assert!(cut.head.cut);
    assert_eq!(cut.intervals, stored.response.intervals[..2]);
}

#[test]
fn lower_bounds_are_read_apart_from_what_was_recorded() {
    let window = Window { start: Nanos::ZERO, end: INTERVAL };
    let late = Ended { added: Nanos::new(400), ..ended(Class::Hit, 0, 1000) };
    let folder = written(window, &[late, ended(Class::Miss, 10, 2010)]);
    let path = folder.path().join("response.hlog");
    let log = Log::read(&path).unwrap();
    assert!(log.has_lower());
    let lower: Vec<_> = log.lower.iter().map(|of| (of.class, of.counts.clone())).collect();
    assert_eq!(lower, [(Class::Hit, vec![(600, 1)]), (Class::Miss, vec![(2000, 1)])]);
    assert_eq!(log.whole(Class::Hit), [(1000, 1)]);
    // A log of an older version, and one that broke off after a lower bound, have none for all.
    let text = fs::read_to_string(&path).unwrap();
    let kept = |keep: fn(&str) -> bool| {
        let kept: String = text.split_inclusive('\n').filter(|line| keep(line)).collect();
        fs::write(&path, kept).unwrap();
        Log::read(&path).unwrap()
    };
    let older = kept(|line| !line.contains(".lower,"));
    assert_eq!((older.intervals, older.lower.len()), (log.intervals, 0));
    assert!(!kept(|line| !line.starts_with("Tag=miss,")).has_lower());
    let broken = kept(|line| !line.starts_with("Tag=miss.lower,"));
    assert!(!broken.has_lower() && broken.classes() == [Class::Hit, Class::Miss]);
}

#[test]
fn a_log_that_grows_out_of_proportion_when_it_is_read_is_refused() {
    use base64::Engine as _;
    use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
    let mut every = histogram();
    let mut value = 1;
    // One count in each bucket deflates to next to nothing.
    while value < 100_000_000_000 {
        every.record(value).unwrap();
        value = every.next_non_equivalent(value);
    }
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(&every, &mut bytes).unwrap();
    let encoded = base64::prelude::BASE64_STANDARD.encode(bytes);
    let line = format!("Tag=hit,0.000,1.000,1.000,{encoded}\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("response.hlog");
    fs::write(&path, line.repeat(20)).unwrap();
    assert_eq!(Log::read(&path).unwrap().intervals.len(), 20, "a short log may be dense");
    fs::write(&path, line.repeat(200)).unwrap();
    let refused = Log::read(&path).unwrap_err().to_string();
    assert!(refused.contains("hold more values than fit"), "{refused}");
}

#[test]
fn errors_name_the_file_and_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let text = |folder: &Path| {
        let error = Stored::read(folder).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", cause.unwrap_or_default())
    };
    assert!(text(folder.path()).contains("neither run.json nor response.hlog"));
    let run = folder.path().join("run.json");
    for (content, part) in [
        ("{\"schema\":\"mintbench/run/9\"}", "`mintbench/run/9`"),
        ("{\"schema\":\"mintbench/run/1\"}", "missing field `run_id`"),
        ("{", "run.json` is damaged"),
    ] {
        fs::write(&run, content).unwrap();
        assert!(text(folder.path()).contains(part), "{}", text(folder.path()));
    }
    fs::copy("results/reference/herd/run.json", &run).unwrap();
    assert!(text(folder.path()).contains("cannot read") && text(folder.path()).contains("hlog"));
    for (line, part) in [
        ("Tag=slow,0.000,1.000,1.000,AAAA\n", "line 1: its tag is no class"),
        (
            "\"StartTimestamp\"\nTag=hit,0.000,1.000,1.000,*\n",
            "line 2: its histogram is not Base64",
        ),
        ("Tag=hit,0.000,1.000,1.000,AAAA\n", "not deflated data"),
        ("Tag=hit,99999999999.000,1.000,1.000,AAAA\n", "years after"),
        ("hello\n", "no line of an interval log"),
    ] {
        fs::write(folder.path().join("response.hlog"), line).unwrap();
        assert!(text(folder.path()).contains(part), "{}", text(folder.path()));
    }
}

proptest! {
    #[test]
    fn samples_come_back_as_they_were_recorded(
        samples in prop::collection::vec((0_u64..3 * INTERVAL.as_u64(), 0_u64..100_000_000), 1..50),
    ) {
        let window = Window { start: Nanos::ZERO, end: INTERVAL * 3 };
        let mut all: Vec<Ended> = samples
            .iter()
            .map(|(start, length)| ended(Class::Hit, *start, start + length))
            .collect();
        all.sort_by_key(|ended| ended.end);
        let folder = written(window, &all);
        let log = Log::read(&folder.path().join("response.hlog")).unwrap();
        let mut expected = histogram();
        for (_, length) in &samples {
            expected.record(*length).unwrap();
        }
        let expected: crate::harness::stats::intervals::Counts = expected
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_at_value()))
            .collect();
        prop_assert_eq!(log.whole(Class::Hit), expected);
    }

    /// Damage that survives Base64 and the deflate checksum reaches the decoder.
    #[test]
    fn no_damage_makes_the_reader_panic(
        at in 0_usize..4000, byte: u8, inner: bool, length in 0_usize..4000,
    ) {
        let text = fs::read("results/reference/herd/response.hlog").unwrap();
        let mut damaged = if inner { with_inner_damage(at, byte) } else { text };
        damaged.truncate(damaged.len().saturating_sub(length * usize::from(!inner)));
        if let Some(hit) = damaged.get_mut(at).filter(|_| !inner) {
            *hit = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("response.hlog");
        fs::write(&path, damaged).unwrap();
        if let Ok(log) = Log::read(&path) {
            let _ = (log.seconds(Class::Hit), log.whole(Class::All));
        }
    }

    #[test]
    fn no_run_json_makes_the_reader_panic(at in 0_usize..3000, byte: u8) {
        let mut text = fs::read("results/reference/steady/run.json").unwrap();
        if let Some(hit) = text.get_mut(at) {
            *hit = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("run.json"), text).unwrap();
        let _ = read_run(folder.path());
    }
}

/// Returns a log of one line, whose histogram was damaged before it was deflated.
fn with_inner_damage(at: usize, byte: u8) -> Vec<u8> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hdrhistogram::serialization::{Serializer, V2Serializer};
    use std::io::Write;

    let mut histogram = histogram();
    (1..200_u64).for_each(|i| histogram.record(i * i * 37).unwrap());
    let mut plain = Vec::new();
    V2Serializer::new().serialize(&histogram, &mut plain).unwrap();
    let length = plain.len();
    // Runs of one byte make the longest numbers.
    plain[at % length..].iter_mut().take(1 + at % 11).for_each(|hit| *hit = byte);
    let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    deflated.write_all(&plain).unwrap();
    let deflated = deflated.finish().unwrap();
    let mut whole = 0x1c84_9314_u32.to_be_bytes().to_vec();
    whole.extend(u32::try_from(deflated.len()).unwrap().to_be_bytes());
    whole.extend(deflated);
    format!("Tag=hit,0.000,1.000,1.000,{}\n", STANDARD.encode(whole)).into_bytes()
}
