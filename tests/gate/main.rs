//! `mintbench gate`, black box: the real binary compares builds of itself.
//!
//! The verdict on equal builds depends on how busy the machine is. The assertions here do not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ci;
mod count;
mod interrupted;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use mintbench::base::clock::Monotonic;
use mintbench::harness::document::gate::Gate;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const MINTBENCH: &str = env!("CARGO_BIN_EXE_mintbench");
/// Settings with the shortest legs, and a false-alarm rate so low that no test will see one.
const TINY: [&str; 8] = [
    "--rate=500",
    "--duration=300ms",
    "--warmup=200ms",
    "--vms=5",
    "--user-assigned=1",
    "--pairs=2",
    "--pairs-max=2",
    "--alpha=0.0001",
];

fn gate(args: &[&str]) -> Output {
    Command::new(MINTBENCH).arg("gate").args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Returns the gate.json in `folder`, which must conform to its schema.
fn document(folder: &Path) -> Value {
    read_valid::<Gate>(&folder.join("gate.json"), "docs/schema/gate-1.json")
}

/// Reads a document, which must conform to its schema and to its type.
fn read_valid<T: DeserializeOwned + Serialize>(file: &Path, schema: &str) -> Value {
    let read = |path: &Path| -> Value {
        let text =
            std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_str(&text).unwrap()
    };
    let json = read(file);
    let validator = jsonschema::validator_for(&read(Path::new(schema))).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let typed: T = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), json, "what is read is what was written");
    json
}

/// Writes a mintbench wrapper that adds these arguments.
fn wrapper(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    let path = folder.join(name);
    script(&path, &format!("exec '{MINTBENCH}' \"$@\" {arguments}"));
    path
}

fn script(path: &Path, body: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn effect_lies_between_the_bounds(metric: &Value) {
    let judged = &metric["judged"];
    let Some(effect) = judged["effect"].as_f64() else { return };
    for span in ["bounds", "effect_interval"] {
        let end = |place| judged.get(span)?.get(place)?.as_f64();
        let (low, high) = (end(0_usize), end(1));
        let below = low.is_none_or(|low| low <= effect + 1e-12);
        assert!(below && high.is_none_or(|high| effect <= high + 1e-12), "{span}: {metric}");
    }
}

/// Asserts that the exit code is one of those for equal builds and fits the verdict in the file.
fn has_verdict_of_equals(output: &Output, json: &Value) {
    let code = output.status.code();
    let verdict = match code {
        Some(0) => "pass",
        Some(3) => "cannot-tell",
        Some(4) => "invalid",
        _ => panic!("{code:?}: {}", stderr(output)),
    };
    assert_eq!(json["verdict"], verdict, "{}", json["sentence"]);
}

#[test]
fn equal_builds_do_not_fail_and_every_form_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, junit, markdown) = (path("out"), path("junit.xml"), path("comment.md"));
    let files = ["--out", &out, "--junit", &junit, "--markdown", &markdown];
    let output = gate(&[&["--base", MINTBENCH][..], &TINY, &files].concat());
    let json = document(Path::new(&out));
    has_verdict_of_equals(&output, &json);
    assert_eq!(json["policy"]["pairs_made"], 2);
    let orders: Vec<&Value> =
        json["pairs"].as_array().unwrap().iter().map(|pair| &pair["order"]).collect();
    assert_eq!(orders, ["AB", "BA"]);
    let turns = json["pairs"].as_array().unwrap().iter().map(|pair| &pair["cpu_by_turn"]);
    let turns: Vec<usize> = turns.map(|turns| turns.as_array().unwrap().len()).collect();
    // Each pair has twelve turns of 25 ms. Turns that were not read in time are left out.
    assert!(turns.iter().all(|turns| *turns <= 12), "{turns:?}");
    assert!(turns.iter().sum::<usize>() > 0, "{turns:?}");
    let seeds: Vec<&Value> =
        json["pairs"].as_array().unwrap().iter().map(|pair| &pair["seed"]).collect();
    assert_eq!(seeds, [1, 2]);
    assert_eq!(json["base"]["sha256"], json["candidate"]["sha256"]);

    let text = String::from_utf8(output.stdout).unwrap();
    let (junit, markdown) =
        (std::fs::read_to_string(junit).unwrap(), std::fs::read_to_string(markdown).unwrap());
    let metrics = json["metrics"].as_array().unwrap();
    assert!(metrics.len() >= 4, "{metrics:?}");
    for metric in metrics {
        let name = metric["metric"].as_str().unwrap();
        let unjudged = text.contains(&format!("\n{name} is not judged: "));
        assert_eq!(unjudged, metric["judged"].is_null(), "{name}: {text}");
        assert!(junit.contains(&format!("<testcase name=\"{name}\"")), "{junit}");
        assert!(markdown.contains(&format!("| {name} ")), "{markdown}");
        effect_lies_between_the_bounds(metric);
    }
    for side in ["base", "candidate"] {
        let curve = Path::new(&out).join(format!("{side}.response.hit.hgrm"));
        let curve = std::fs::read_to_string(curve).unwrap();
        assert!(curve.contains("Total count"), "{curve}");
    }
    assert!(text.contains(json["sentence"].as_str().unwrap()), "{text}");
    assert!(junit.contains("<testcase name=\"checks\" classname=\"mintbench.gate\"/>"), "{junit}");
    assert!(junit.contains("failures=\"0\""), "{junit}");
    assert!(markdown.starts_with("### mintbench gate: "), "{markdown}");
    assert!(markdown.contains(json["host"]["fingerprint"].as_str().unwrap()), "{markdown}");
}

#[test]
fn a_build_that_takes_several_times_the_processor_time_fails() {
    let folder = tempfile::tempdir().unwrap();
    let base = wrapper(folder.path(), "base", "--alg EdDSA");
    let args = ["--rate=100", "--duration=1s", "--warmup=100ms", "--pairs=5", "--pairs-max=5"];
    let out = folder.path().join("out");
    let (base, out) = (base.to_str().unwrap(), out.to_str().unwrap());
    let mut command = Command::new(MINTBENCH);
    command.args(["gate", "mint", "--base", base, "--out", out, "--junit"]);
    command.arg(folder.path().join("gate.xml")).args(args);
    command.env("MINTBENCH_GATE_METRICS", "cpu").env("MINTBENCH_GATE_JSON", "true");
    let output = command.output().unwrap();
    let json = document(&folder.path().join("out"));
    assert_eq!(output.status.code(), Some(1), "{}: {}", json["sentence"], json["metrics"]);
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, json);
    let judged = &json["metrics"][0]["judged"];
    assert_eq!((&json["verdict"], &judged["verdict"]), (&"fail".into(), &"fail".into()));
    assert!(judged["effect"].as_f64().unwrap() > 0.2, "{judged}");
    assert!(judged["bounds"][0].as_f64().unwrap() > 0.01, "{judged}");
    let junit = std::fs::read_to_string(folder.path().join("gate.xml")).unwrap();
    assert!(junit.contains("tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\""), "{junit}");
    assert!(junit.contains("<failure message=\"fail: "), "{junit}");
}

#[test]
fn a_candidate_whose_answers_wait_for_milliseconds_fails_on_any_machine() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // The build is stopped most of the time, so hardly any of its legs is valid: the host seems
    // disturbed.
    let slow = path("slow");
    let stopping = "while kill -STOP $$; do sleep 0.03; kill -CONT $$; sleep 0.002; done";
    let body = format!(
        "[ \"$1\" = serve ] && ({stopping}) >/dev/null 2>&1 </dev/null &\nexec '{MINTBENCH}' \"$@\""
    );
    script(Path::new(&slow), &body);
    let (out, junit) = (path("out"), path("junit.xml"));
    let sides = ["--base", MINTBENCH, "--candidate", &slow, "--out", &out, "--junit", &junit];
    let load = ["--rate=250", "--duration=1s", "--warmup=200ms", "--vms=5", "--user-assigned=1"];
    let rules =
        ["--metrics=hit.p50", "--pairs=5", "--pairs-max=5", "--limit=60%", "--tolerance=40%"];
    let output = gate(&[&sides[..], &load, &rules].concat());
    let json = document(Path::new(&out));
    assert_eq!(output.status.code(), Some(1), "{}: {}", json["sentence"], json["pairs"]);
    let judged = &json["metrics"][0]["judged"];
    assert!(judged["bounds"][0].as_f64().unwrap() > 0.6, "{judged}");
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains(" % worse, between "), "{junit}");
}

#[test]
fn memory_is_anonymous_and_a_copy_of_the_file_has_as_much() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (copy, out, stored) = (path("copy"), path("gate"), path("run"));
    std::fs::copy(MINTBENCH, &copy).unwrap();
    let load = ["--rate=500", "--duration=300ms", "--warmup=200ms", "--vms=5"];
    // A few pages of difference change no verdict.
    let rules = ["--metrics=memory", "--pairs=6", "--pairs-max=6", "--tolerance=5%", "--limit=20%"];
    let sides = ["--base", MINTBENCH, "--candidate", &copy, "--out", &out];
    let output = gate(&[&sides[..], &load, &rules].concat());
    let json = document(Path::new(&out));
    assert_ne!(output.status.code(), Some(1), "{}", json["metrics"]);

    let mut run = Command::new(MINTBENCH);
    run.arg("run").args(load).args(["--out", &stored]).stdout(Stdio::null());
    assert!(matches!(run.status().unwrap().code(), Some(0 | 4)));
    let text = std::fs::read_to_string(path("run/run.json")).unwrap();
    let run: Value = serde_json::from_str(&text).unwrap();
    let [resident, anonymous] =
        ["rss_bytes", "anonymous_bytes"].map(|name| run["broker"][name].as_f64().unwrap());
    let judged = json["metrics"][0]["judged"]["base_median"].as_f64().unwrap();
    // Most of the resident memory is pages of the executable.
    assert!(anonymous > 0.0 && anonymous < resident / 2.0, "{anonymous} of {resident}");
    assert!(judged > 0.0 && judged < resident / 2.0, "{judged} of {resident}");
}

#[test]
fn a_candidate_that_fails_its_checks_fails_and_such_a_base_is_no_base() {
    let folder = tempfile::tempdir().unwrap();
    // All but two mints of a burst are refused.
    let broken = wrapper(folder.path(), "broken", "--mint-queue 1 --mint-lanes 1");
    let broken = broken.to_str().unwrap();
    let load = ["mint", "--rate=1500", "--duration=400ms", "--warmup=100ms", "--pairs=4"];
    for (sides, code, side) in [
        (["--base", MINTBENCH, "--candidate", broken], 1, "candidate"),
        (["--base", broken, "--candidate", MINTBENCH], 4, "base"),
    ] {
        let out = folder.path().join(side);
        let output = gate(&[&load[..], &sides, &["--out", out.to_str().unwrap()]].concat());
        let json = document(&out);
        assert_eq!(output.status.code(), Some(code), "{}", json["sentence"]);
        let failure = json["failures"][0].as_str().unwrap();
        assert!(failure.starts_with(&format!("{side} in pair 1: ")), "{failure}");
        assert!(json["sentence"].as_str().unwrap().contains("requests failed"), "{json}");
        // The gate stopped there.
        assert_eq!(json["policy"]["pairs_made"], 1);
    }
}

#[test]
fn a_candidate_that_dies_under_load_fails_and_leaves_every_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // The kernel kills the build after a second of processor time: a third to start, the rest under
    // load.
    let mortal = folder.path().join("mortal");
    script(&mortal, &format!("ulimit -c 0\nulimit -t 1\nexec '{MINTBENCH}' \"$@\""));
    let (out, junit, markdown) = (path("out"), path("junit.xml"), path("comment.md"));
    let files = ["--out", &out, "--junit", &junit, "--markdown", &markdown];
    let sides = ["--base", MINTBENCH, "--candidate", mortal.to_str().unwrap()];
    let load = ["--vms=5", "--user-assigned=1", "--rate=10000", "--duration=8s", "--pairs=2"];
    let output = gate(&[&load[..], &sides, &files].concat());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let json = document(Path::new(&out));
    assert_eq!(json["verdict"], "fail");
    let failure = json["failures"][0].as_str().unwrap();
    assert!(failure.starts_with("candidate in pair 1: "), "{failure}");
    assert!(String::from_utf8(output.stdout).unwrap().contains(failure), "{failure}");
    let (junit, markdown) =
        (std::fs::read_to_string(junit).unwrap(), std::fs::read_to_string(markdown).unwrap());
    assert!(junit.contains("<failure message=\"checks failed: "), "{junit}");
    assert!(markdown.starts_with("### mintbench gate: fail"), "{markdown}");
}

#[test]
fn a_stored_run_is_a_base_on_its_own_machine_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let load = ["--rate=200", "--duration=300ms", "--warmup=200ms", "--vms=5"];
    let mut run = Command::new(MINTBENCH);
    run.arg("run").args(load).arg("--out").arg(path("stored")).stdout(Stdio::null());
    assert!(matches!(run.status().unwrap().code(), Some(0 | 4)));

    let stored = path("stored").to_str().unwrap().to_owned();
    let (pairs, out) = (["--pairs=2", "--pairs-max=2", "--alpha=0.0001"], path("gate"));
    let args = ["--baseline", &stored, "--out", out.to_str().unwrap()];
    let output = gate(&[&args[..], &pairs].concat());
    let json = document(&out);
    has_verdict_of_equals(&output, &json);
    assert_eq!((&json["policy"]["design"], &json["load"]["vms"]), (&"baseline".into(), &5.into()));
    let base = |pair: usize| &json["pairs"][pair]["base"]["values"];
    assert_eq!(base(0), base(1));

    let refused = gate(&["--baseline", &stored, "--rate=5"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("leave out --rate"), "{}", stderr(&refused));

    let file = path("stored").join("run.json");
    let mut json: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    json["host"]["fingerprint"] = "000000000000".into();
    std::fs::write(&file, json.to_string()).unwrap();
    let missing = path("missing").to_str().unwrap().to_owned();
    for (baseline, message) in [(&stored, "unlike machine"), (&missing, "there is no baseline")] {
        let output = gate(&["--baseline", baseline]);
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn what_cannot_be_compared_is_refused_before_it_starts() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gate.json"), "{}").unwrap();
    let taken = folder.path().to_str().unwrap();
    let base = ["--base", MINTBENCH];
    for (args, message) in [
        (&["--base=/bin/true"][..], "is not a mintbench"),
        (&["--base", MINTBENCH, "--candidate=/bin/true"], "the candidate `/bin/true`"),
        (&["--base=target/no-such-file"], "cannot find the base"),
        (&["--base=Cargo.toml"], "cannot run the base"),
        (&["--base-rev=no-such-revision"], "not a revision"),
        (&["--base-rev=--all"], "not a revision"),
        (&[], "--base"),
        (&["--base=x", "--baseline=y"], "cannot be used with"),
        (&[&base[..], &["--metrics=speed"]].concat(), "is not a metric"),
        (&[&base[..], &["--pairs=1"]].concat(), "--pairs 1"),
        (&[&base[..], &["--pairs=9", "--pairs-max=3"]].concat(), "--pairs-max 3"),
        (&[&base[..], &["--limit=1%", "--tolerance=2%"]].concat(), "--tolerance"),
        (&[&base[..], &["--alpha=2"]].concat(), "--alpha 2"),
        (&[&base[..], &["--limit=much"]].concat(), "is not a share"),
        (&[&base[..], &["herd"]].concat(), "not `herd`"),
        (&[&base[..], &["--rate=0"]].concat(), "--rate 0"),
        (&[&base[..], &["--junit=target/no/such/folder/x.xml"]].concat(), "there is no folder"),
        (&[&base[..], &["--out", taken]].concat(), "holds a gate already"),
    ] {
        let output = gate(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_base_that_does_not_serve_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let base = wrapper(folder.path(), "mute", "--no-such-flag");
    // The base still reports its version.
    let base = base.to_str().unwrap();
    let output = gate(&[&["--base", base][..], &TINY].concat());
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("pair 1: the base could not be measured"),
        "{}",
        stderr(&output)
    );
}

/// A repository with one commit, and a `cargo` that builds by copying.
struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    fn new() -> Self {
        let project = Self { folder: tempfile::tempdir().unwrap() };
        project.git(&["init", "--quiet", "tree"]);
        std::fs::write(project.tree().join("Cargo.toml"), "[package]\n").unwrap();
        std::fs::write(project.tree().join(".gitignore"), "/target/\n").unwrap();
        project.git(&["-C", "tree", "add", "."]);
        let author = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
        let commit = ["commit", "--quiet", "--message=One"];
        project.git(&[&["-C", "tree"], &author[..], &commit].concat());
        let body = format!(
            "test -f Cargo.toml || exit 9\necho built >> '{}'\nmkdir -p \"$CARGO_TARGET_DIR/release\"\n\
             cp '{MINTBENCH}' \"$CARGO_TARGET_DIR/release/mintbench\"",
            project.folder.path().join("builds").display()
        );
        script(&project.folder.path().join("cargo"), &body);
        project
    }

    fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    fn git(&self, args: &[&str]) -> String {
        let output =
            Command::new("git").args(args).current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn gate(&self, args: &[&str]) -> Output {
        let mut command = Command::new(MINTBENCH);
        command.arg("gate").args(args).args(TINY).current_dir(self.tree());
        command.env("CARGO", self.folder.path().join("cargo")).env_remove("CARGO_TARGET_DIR");
        command.output().unwrap()
    }

    fn builds(&self) -> usize {
        let builds = std::fs::read_to_string(self.folder.path().join("builds"));
        builds.map_or(0, |builds| builds.lines().count())
    }
}

#[test]
fn a_revision_is_built_once_in_a_work_tree_that_is_gone_afterwards() {
    let project = Project::new();
    let commit = project.git(&["-C", "tree", "rev-parse", "HEAD"]);
    for out in ["first", "second"] {
        let out = project.folder.path().join(out);
        let output = project.gate(&["--base-rev=HEAD", "--out", out.to_str().unwrap()]);
        let json = document(&out);
        has_verdict_of_equals(&output, &json);
        assert_eq!(json["base"]["commit"], commit.trim());
        assert_eq!(json["base"]["name"], "HEAD");
        assert_eq!(project.builds(), 1);
    }
    let trees = project.git(&["-C", "tree", "worktree", "list"]);
    assert_eq!(trees.lines().count(), 1, "{trees}");
    let left = std::fs::read_dir(project.tree().join("target/gate")).unwrap();
    let names: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().starts_with("tree-")), "{names:?}");
}

#[test]
fn two_gates_at_once_build_a_revision_once() {
    let project = Project::new();
    std::thread::scope(|scope| {
        let gates = [(); 2].map(|()| scope.spawn(|| project.gate(&["--base-rev=HEAD"])));
        for gate in gates {
            let output = gate.join().unwrap();
            assert!(matches!(output.status.code(), Some(0 | 3 | 4)), "{}", stderr(&output));
        }
    });
    assert_eq!(project.builds(), 1);
}

#[test]
fn a_revision_that_does_not_build_is_no_base_and_leaves_no_work_tree() {
    let project = Project::new();
    script(&project.folder.path().join("cargo"), "echo 'error: broken' >&2; exit 101");
    let output = project.gate(&["--base-rev=HEAD"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("error: broken") && said.contains("`HEAD` does not build"), "{said}");
    let trees = project.git(&["-C", "tree", "worktree", "list"]);
    assert_eq!(trees.lines().count(), 1, "{trees}");
}

#[test]
fn the_patches_of_the_proofs_apply_to_the_broker() {
    // If a patch does not apply, its script proves nothing, which shows only once a month.
    for patch in [
        "benches/gate/slow.patch",
        "benches/gate/sleep.patch",
        "benches/count/planted.patch",
        "tests/simulation/planted/key.patch",
        "tests/simulation/planted/nbf.patch",
        "tests/simulation/planted/removal.patch",
    ] {
        let output = Command::new("git").args(["apply", "--check", patch]).output().unwrap();
        assert!(output.status.success(), "{patch}: {}", stderr(&output));
    }
}

#[test]
fn an_interrupt_ends_the_gate_and_its_broker() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(MINTBENCH);
    command.args(["gate", "--base", MINTBENCH, "--duration=1h", "--vms=5", "--out"]);
    command.arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let broker = broker_of(child.id());
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!Path::new(&format!("/proc/{broker}")).exists());
    assert!(!folder.path().join("gate.json").exists());
}

/// Returns the child that runs `serve`. The gate also has children that only print their version.
fn broker_of(pid: u32) -> u32 {
    let clock = Monotonic::start();
    loop {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let serves = |pid: &&str| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split('\0').nth(1) == Some("serve")
        };
        if let Some(child) = children.split_whitespace().find(serves) {
            return child.parse().unwrap();
        }
        assert!(clock.now_ns() < 60_000_000_000, "no broker within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}
