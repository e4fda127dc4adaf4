//! Checks properties of merging: order and steps do not matter, nothing is lost or counted twice, and
//! the worst of the parts is the verdict of the whole.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::harness::class::Class;
use crate::harness::dialect::outcome::Status;
use crate::harness::document::run::classes::ClassResult;
use crate::harness::nanos::Nanos;
use crate::harness::record::collector::{IntervalSink, Totals, collect as gather};
use crate::harness::record::intervals::{Ended, INTERVAL, Window};
use crate::harness::record::recorder::Recorder;
use crate::harness::record::witness::WitnessLog;
use crate::harness::report::stored::read_run;
use crate::harness::report::text::merged;

/// Test run: its start, its seed, and (class, second, latency) of its answers.
#[derive(Clone, Debug)]
struct Spec {
    start: u64,
    answers: Vec<(Class, u64, u64)>,
    valid: bool,
}

const SECONDS: u64 = 3;

fn spec() -> impl Strategy<Value = Spec> {
    let class = prop::sample::select(vec![Class::Hit, Class::Miss, Class::Coalesced]);
    let answer = (class, 0..SECONDS, 1_u64..50_000_000);
    (0_u64..4, prop::collection::vec(answer, 1..40), prop::bool::weighted(0.8))
        .prop_map(|(start, answers, valid)| Spec { start: 1_700_000_000 + start, answers, valid })
}

fn record(folder: &Path, spec: &Spec) -> Totals {
    let window = Window { start: Nanos::ZERO, end: INTERVAL * SECONDS };
    let result = Folder::create(folder.to_owned()).unwrap();
    let mut logs = result.logs();
    let ((full, sets), (spare, empty)) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    logs.begin(window, UnixSeconds(spec.start)).unwrap();
    let mut recorder = Recorder::new(window, full, empty);
    let mut answers = spec.answers.clone();
    answers.sort_by_key(|(_, second, _)| *second);
    for (class, second, latency) in answers {
        let intended = INTERVAL * second;
        recorder.record(&Ended {
            class,
            status: Status::Http(200),
            cause: None,
            intended,
            acted: intended + Nanos::new(30),
            written: Some(intended + Nanos::new(50)),
            end: intended + Nanos::new(latency),
            added: Nanos::ZERO,
        });
    }
    let _ = recorder.finish();
    gather(&sets, &[spare], &WitnessLog::default(), &mut logs, &|| ()).unwrap()
}

/// Writes a folder like a run does, without the parts that a merge ignores.
fn write(folder: &Path, number: u64, spec: &Spec) {
    let totals = record(folder, spec);
    let mut run = read_run(Path::new("results/reference/steady")).unwrap().unwrap();
    run.run_id = format!("00000000-0000-4000-8000-{number:012}");
    run.seed = number;
    run.load.duration_s = f64::from(u32::try_from(SECONDS).unwrap());
    run.validity.valid = spec.valid;
    run.validity.reasons = if spec.valid { Vec::new() } else { vec!["it was late".to_owned()] };
    let blank = run.classes[&Class::Hit].clone();
    let counted = totals.whole.seen();
    run.classes = counted
        .map(|(class, of)| {
            (class, ClassResult { count: of.response.len(), errors: number, ..blank.clone() })
        })
        .collect();
    fs::write(folder.join("run.json"), serde_json::to_vec(&run).unwrap()).unwrap();
}

/// Returns three runs, each in its own folder.
struct Three {
    root: tempfile::TempDir,
}

impl Three {
    fn new(specs: &[Spec; 3]) -> Self {
        let three = Self { root: tempfile::tempdir().unwrap() };
        for ((name, number), spec) in ["a", "b", "c"].into_iter().zip(1..).zip(specs) {
            write(&three.path(name), number, spec);
        }
        three
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn merge(&self, names: &[&str], out: &str, align: Align) -> Run {
        let folders: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        let whole = merge(&folders, align).unwrap();
        whole.write(Folder::create(self.path(out)).unwrap()).unwrap();
        read_run(&self.path(out)).unwrap().unwrap()
    }

    fn logs(&self, name: &str) -> [Vec<u8>; 3] {
        ["response", "service", "lag"]
            .map(|log| fs::read(self.path(name).join(format!("{log}.hlog"))).unwrap())
    }
}

proptest! {
    // Each case writes six folders with their reports.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn order_and_steps_make_no_difference(
        a in spec(), b in spec(), c in spec(),
        align in prop::sample::select(vec![Align::Time, Align::Index]),
    ) {
        let three = Three::new(&[a.clone(), b.clone(), c.clone()]);
        let at_once = three.merge(&["a", "b", "c"], "abc", align);
        three.merge(&["a", "b"], "ab", align);
        three.merge(&["c", "b"], "cb", align);
        let left = three.merge(&["ab", "c"], "ab-c", align);
        let right = three.merge(&["a", "cb"], "a-cb", align);
        prop_assert_eq!(&at_once, &left);
        prop_assert_eq!(&at_once, &right);
        prop_assert_eq!(three.logs("abc"), three.logs("ab-c"));
        prop_assert_eq!(three.logs("abc"), three.logs("a-cb"));

        let count: usize = [&a, &b, &c].iter().map(|spec| spec.answers.len()).sum();
        prop_assert_eq!(at_once.classes.values().map(|of| of.count).sum::<u64>(), count as u64);
        prop_assert_eq!(at_once.validity.valid, a.valid && b.valid && c.valid);
        prop_assert_eq!(at_once.parts.unwrap().len(), 3);
    }
}

fn calm(start: u64) -> Spec {
    let answers = (0..SECONDS).map(|second| (Class::Hit, second, 1_000 * (second + 1))).collect();
    Spec { start: 1_700_000_000 + start, answers, valid: true }
}

/// Returns a run with 40 answers of this class in each second.
fn many(class: Class, response_ns: u64) -> Spec {
    let answers = (0..SECONDS).flat_map(|second| vec![(class, second, response_ns); 40]).collect();
    Spec { answers, ..calm(0) }
}

fn refusal(folders: &[PathBuf], align: Align) -> String {
    merge(folders, align).unwrap_err().to_string()
}

#[test]
fn parts_that_ran_together_add_their_rates_and_others_their_time() {
    let together = Three::new(&[calm(0), calm(0), calm(0)]).merge(&["a", "b"], "ab", Align::Time);
    let part = together.parts.as_ref().unwrap()[0].rate_target.unwrap();
    assert_eq!(together.load.rate_target, Some(2.0 * part));
    assert_eq!(Some(together.load.duration_s), Some(3.0));
    assert!(!together.merged.unwrap().partial);

    let three = Three::new(&[calm(0), calm(3), calm(1)]);
    let apart = three.merge(&["a", "b"], "ab", Align::Time);
    assert_eq!((apart.load.rate_target, apart.load.duration_s), (Some(part), 6.0));
    let merged = apart.merged.unwrap();
    assert!(merged.partial && merged.remarks[0].contains("in 6 of 6 s"), "{:?}", merged.remarks);
    let shifted = three.merge(&["a", "c"], "ac", Align::Time);
    assert!(shifted.merged.unwrap().remarks[0].contains("in 2 of 4 s"));
    let by_index = three.merge(&["a", "c"], "index", Align::Index);
    assert_eq!((by_index.load.duration_s, by_index.merged.unwrap().partial), (3.0, false));
}

#[test]
fn an_invalid_part_invalidates_the_whole_and_is_named() {
    let late = Spec { valid: false, ..calm(0) };
    let three = Three::new(&[calm(0), late, calm(0)]);
    let whole = three.merge(&["a", "b"], "ab", Align::Time);
    assert!(!whole.validity.valid);
    let reason = format!("part {}: it was late", three.path("b").display());
    assert_eq!(whole.validity.reasons, [reason]);
    assert!(merged::render(&whole).contains("INVALID"));
}

#[test]
fn a_slow_part_is_pointed_out() {
    let slow = (0..SECONDS).map(|second| (Class::Hit, second, 9_000)).collect();
    let three = Three::new(&[calm(0), Spec { answers: slow, ..calm(0) }, calm(0)]);
    let whole = three.merge(&["a", "b", "c"], "abc", Align::Time);
    let remarks = whole.merged.unwrap().remarks;
    assert!(remarks.len() == 1 && remarks[0].contains("3.00 times the median"), "{remarks:?}");
}

#[test]
fn parts_of_different_targets_or_settings_are_merged_with_a_remark_in_any_order_and_steps() {
    let three = Three::new(&[calm(0), calm(0), calm(0)]);
    for (name, target) in [("a", "get+http://x/orders"), ("b", "get+http://x/billing")] {
        let path = three.path(name);
        let mut run = read_run(&path).unwrap().unwrap();
        (run.target, run.broker) = (target.to_owned(), None);
        run.load.vms = if name == "a" { 7 } else { 8 };
        fs::write(path.join("run.json"), serde_json::to_vec(&run).unwrap()).unwrap();
    }
    let whole = three.merge(&["a", "b"], "ab", Align::Time);
    assert_eq!(whole.target, "get+http://x/billing; get+http://x/orders");
    let [vms, target] = &whole.merged.as_ref().unwrap().remarks[..] else { panic!("{whole:?}") };
    let [a, b] = ["a", "b"].map(|name| three.path(name).display().to_string());
    assert!(vms.contains(&format!("in their VMs: `7` in {a}, `8` in {b}")), "{vms}");
    let listed = format!("`get+http://x/billing` in {b}, `get+http://x/orders` in {a}");
    assert!(target.contains(&format!("in their target: {listed}")), "{target}");
    let again = three.merge(&["c", "ab"], "c-ab", Align::Time);
    let at_once = three.merge(&["a", "b", "c"], "abc", Align::Time);
    assert_eq!(again.merged.unwrap().remarks, at_once.merged.unwrap().remarks);
}

#[test]
fn a_lost_interval_makes_the_whole_partial_and_invalid() {
    let three = Three::new(&[calm(0), calm(0), calm(0)]);
    let path = three.path("a").join("response.hlog");
    let log = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = log.lines().filter(|line| !line.starts_with("Tag=hit,1.")).collect();
    fs::write(&path, kept.join("\n") + "\n").unwrap();
    let whole = three.merge(&["a", "b"], "ab", Align::Time);
    let merged = whole.merged.clone().unwrap();
    assert!(merged.partial && merged.remarks[0].contains("counted 1 requests"), "{merged:?}");
    assert!(merged::render(&whole).contains("PARTIAL"));
    assert!(!whole.validity.valid && whole.validity.reasons[0].contains("do not hold"));
    let again = three.merge(&["ab", "c"], "abc", Align::Time);
    assert!(!again.validity.valid && again.validity.reasons.len() == 1);
    assert!(again.merged.unwrap().partial, "what is missing stays missing");
}

#[test]
fn what_cannot_be_added_is_refused() {
    let three = Three::new(&[calm(0), calm(0), calm(0)]);
    let [a, b, c] = ["a", "b", "c"].map(|name| three.path(name));
    assert!(refusal(&[a.clone(), a.clone()], Align::Time).contains("would count twice"));
    three.merge(&["a", "b"], "ab", Align::Time);
    assert!(refusal(&[three.path("ab"), b.clone()], Align::Time).contains("would count twice"));
    assert!(refusal(&[three.path("ab"), c.clone()], Align::Index).contains("--align time"));

    let run = fs::read_to_string(c.join("run.json")).unwrap();
    fs::write(c.join("run.json"), run.replace("\"steady\"", "\"herd\"")).unwrap();
    assert!(refusal(&[a.clone(), c.clone()], Align::Time).contains("scenario `herd`"));
    fs::write(c.join("run.json"), run.replace("mintbench/run/1", "mintbench/run/3")).unwrap();
    assert!(refusal(&[a.clone(), c.clone()], Align::Time).contains("schema `mintbench/run/3`"));
    fs::remove_file(c.join("run.json")).unwrap();
    assert!(refusal(&[a.clone(), c], Align::Time).contains("did not end"));

    let other = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 1_000_000, 2).unwrap();
    fs::write(b.join("lag.hlog"), line(other)).unwrap();
    assert!(refusal(&[a, b], Align::Time).contains("other bounds"));
}

/// Returns a log of one histogram.
fn line(mut histogram: hdrhistogram::Histogram<u64>) -> String {
    use base64::Engine;
    use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};

    histogram.record(5).unwrap();
    let mut bytes = Vec::new();
    V2DeflateSerializer::new().serialize(&histogram, &mut bytes).unwrap();
    let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
    format!("Tag=hit,0.000,1.000,5.000,{encoded}\n")
}

#[test]
fn objectives_are_judged_by_the_whole() {
    let three = Three::new(&[many(Class::Hit, 1_000), many(Class::Hit, 9_000_000), calm(0)]);
    for (name, met) in [("a", true), ("b", false)] {
        let path = three.path(name).join("run.json");
        let mut run = read_run(&three.path(name)).unwrap().unwrap();
        for of in run.classes.values_mut() {
            of.errors = 0;
        }
        let slo = |objective: &str| {
            serde_json::from_value(serde_json::json!(
                {"objective": objective, "measured_us": null, "met": met}
            ))
        };
        let objectives = ["p10<1ms", "p90<1ms", "p99.9<1h", "phase one"];
        run.slo = objectives.map(|text| slo(text).unwrap()).to_vec();
        fs::write(path, serde_json::to_vec(&run).unwrap()).unwrap();
    }
    let whole = three.merge(&["a", "b"], "ab", Align::Time);
    let verdicts: Vec<(Option<bool>, bool)> =
        whole.slo.iter().map(|slo| (slo.met, slo.measured_us.is_some())).collect();
    // By name: half of the 240 are fast, and 240 are too few for the p99.9; the last is not an objective of
    // the whole.
    let (met, missed) = (Some(true), Some(false));
    assert_eq!(verdicts, [(met, true), (missed, true), (None, false), (missed, false)]);
}

#[test]
fn failed_requests_of_earlier_versions_are_slower_than_every_objective() {
    let three = Three::new(&[many(Class::All, 1_000), many(Class::All, 1_000), calm(0)]);
    for (name, errors) in [("a", 120), ("b", 10)] {
        let path = three.path(name).join("run.json");
        let mut run = read_run(&three.path(name)).unwrap().unwrap();
        run.classes.get_mut(&Class::All).unwrap().errors = errors;
        let slo = serde_json::json!({"objective": "p50<1ms", "measured_us": null, "met": true});
        run.slo = vec![serde_json::from_value(slo).unwrap()];
        fs::write(path, serde_json::to_vec(&run).unwrap()).unwrap();
    }
    let met = |names: &[&str], out| three.merge(names, out, Align::Time).slo[0].met;
    assert_eq!(met(&["a", "b"], "ab"), Some(false));
    assert_eq!(met(&["b"], "only-b"), Some(true));
}
