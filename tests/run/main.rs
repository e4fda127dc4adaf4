//! `mintbench run`, black box: the real binary against servers with known delays, and against its
//! own broker.
//!
//! The assertions also hold on a busy machine: a run may be invalid there (exit 4), but its counts
//! still add up.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempts;
mod causes;
mod changes;
mod compare;
mod folder;
mod interrupted;
mod lifecycle;
mod oauth2;
mod pipes;
mod plain;
mod printed;
mod scenarios;
mod scripted;
mod server;
mod targets;
mod tls;
mod watched;
mod witnessed;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use server::{Manner, serve, wrong_token};

struct Run {
    output: Output,
    json: Value,
    folder: tempfile::TempDir,
}

fn mintbench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mintbench")).arg("run").args(args).output().unwrap()
}

/// Writes a file that only its owner can read, as files with secrets must be.
fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Runs to a result, valid or not, and checks its `run.json` against the schema.
fn run(args: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let output = mintbench(&[args, &["--out", out]].concat());
    let path = folder.path().join("run.json");
    assert!(path.exists(), "{}", String::from_utf8_lossy(&output.stderr));
    Run { json: valid(folder.path()), output, folder }
}

/// Returns the `run.json` of a folder, which must conform to its schema.
fn valid(folder: &Path) -> Value {
    let json = std::fs::read_to_string(folder.join("run.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    against_schema("run-2", &json);
    json
}

fn against_schema(name: &str, json: &Value) {
    let schema = std::fs::read_to_string(format!("docs/schema/{name}.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(json).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn against(manner: Manner, args: &[&str]) -> Run {
    let target = format!("http://{}", serve(manner).0);
    run(&[&["--target", &target, "--warmup", "0s"], args].concat())
}

impl Run {
    /// Asserts that the exit code is 0 for a valid run and 4 for an invalid one.
    fn has_result(&self) -> &Self {
        let code = self.output.status.code();
        assert!(matches!(code, Some(0 | 4)), "{code:?}: {}", self.stderr());
        assert_eq!(self.json["validity"]["valid"], code == Some(0));
        self
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    fn us(&self, kind: &str, percentile: &str) -> f64 {
        let of = &self.json["classes"]["all"][kind][percentile];
        of.get("value").unwrap_or(of).as_f64().unwrap()
    }

    fn count(&self, class: &str) -> u64 {
        self.json["classes"][class]["count"].as_u64().unwrap_or(0)
    }
}

#[test]
fn counts_add_up_and_a_known_delay_is_measured() {
    let run = against(
        Manner::Delay(Duration::from_millis(2)),
        &["--arrivals", "constant", "--rate", "200", "--duration", "1500ms"],
    );
    run.has_result();
    assert_eq!(run.count("all"), 300);
    assert_eq!(run.json["statuses"]["200"], 300);
    assert_eq!(run.json["validity"]["unsent"], 0);
    for kind in ["response_us", "service_us"] {
        assert!(run.us(kind, "p50") >= 2_000.0, "{}", run.json);
    }
    for percentile in ["p50", "p90", "p99", "max"] {
        assert!(run.us("response_us", percentile) >= run.us("service_us", percentile));
    }
    assert_eq!(run.json["load"]["scheduled"], 300);
    assert_eq!(run.json["load"]["reconnects"], 0);
    assert!(run.json["classes"]["all"]["p99_interval_note"].is_string());
    assert_eq!(run.json["broker"], Value::Null);
    assert_eq!(run.json["verified"]["bad_signature"], Value::Null);
}

#[test]
fn a_stall_is_seen_at_its_right_weight() {
    // 100 of 400 requests are due within the stall, but only two can be outstanding.
    let run = against(
        Manner::Stall(150, Duration::from_millis(500)),
        &["--arrivals=constant", "--rate=200", "--duration=2s", "--connections=2"],
    );
    run.has_result();
    assert_eq!(run.count("all"), 400);
    assert!(run.us("response_us", "p90") >= 200_000.0, "{}", run.json["classes"]);
    assert!(run.us("service_us", "p90") < run.us("response_us", "p90") / 2.0);
    assert!(run.us("service_us", "max") >= 400_000.0);
}

#[test]
fn refused_and_lost_requests_have_classes_and_causes_of_their_own() {
    let throttled =
        against(Manner::Throttle, &["--arrivals=constant", "--rate=100", "--duration=1s"]);
    let statuses = &throttled.json["statuses"];
    assert_eq!((&statuses["200"], &statuses["429"]), (&Value::from(50), &Value::from(50)));
    assert_eq!((throttled.count("all"), throttled.count("throttled")), (50, 50));
    assert_eq!(throttled.json["classes"]["all"]["errors"], 0);
    assert_eq!(throttled.json["causes"], serde_json::json!({ "status 429": 50 }));
    assert_eq!(throttled.output.status.code(), Some(1), "{}", throttled.json["checks"]);
    let allowed = against(
        Manner::Throttle,
        &["--arrivals=constant", "--rate=100", "--duration=1s", "--max-errors=0.5"],
    );
    allowed.has_result();

    let lost = against(Manner::HangUp, &["--arrivals=constant", "--rate=100", "--duration=1s"]);
    assert_eq!(lost.json["statuses"]["connection"], 100);
    assert_eq!((lost.count("all"), lost.count("error")), (0, 100));
    assert_eq!(lost.json["causes"], serde_json::json!({ "closed after 0 bytes": 100 }));
    assert!(lost.stdout().contains("causes    100 x closed after 0 bytes"), "{}", lost.stdout());
    assert_eq!(lost.output.status.code(), Some(1), "{}", lost.json["checks"]);
}

#[test]
fn the_result_folder_is_complete() {
    let run = against(
        Manner::Delay(Duration::ZERO),
        &["--rate=500", "--duration=1s", "--json", "--slo=p90<1h"],
    );
    run.has_result();
    let printed: Value = serde_json::from_slice(&run.output.stdout).unwrap();
    assert_eq!(printed, run.json);
    assert_eq!(run.json["slo"][0]["met"], true);
    let notes = run.json["notes"].to_string();
    assert!(notes.contains("objectives are judged as if answers were independent"), "{notes}");
    let folder: &Path = run.folder.path();
    for name in ["response.hlog", "service.hlog", "lag.hlog"] {
        let log = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(log.contains("[Histogram log format version 1.3]"), "{log}");
        assert!(log.lines().any(|line| line.starts_with("Tag=all,0.000,1.000,")), "{log}");
    }
    let log = std::fs::read_to_string(folder.join("response.hlog")).unwrap();
    assert!(log.lines().any(|line| line.starts_with("Tag=all.lower,0.000,1.000,")), "{log}");
    let distribution = std::fs::read_to_string(folder.join("response.all.hgrm")).unwrap();
    assert!(distribution.contains("Total count"), "{distribution}");
}

#[test]
fn a_missed_objective_is_reported() {
    let run = against(
        Manner::Delay(Duration::from_millis(5)),
        &["--rate=50", "--duration=1s", "--slo=p50<1ms"],
    );
    let code = run.output.status.code();
    assert!(matches!(code, Some(4 | 5)), "{code:?}");
    assert_eq!(run.json["slo"][0]["met"], false);
}

#[test]
fn what_cannot_be_run_is_refused_before_it_starts() {
    for (args, message) in [
        (&["--rate=0"][..], "--rate"),
        (&["--duration=1ms"], "--duration"),
        (&["--vms=0"], "vms"),
        (&["mint", "--vms=1", "--user-assigned=0"], "distinct keys"),
        (&["herd", "--user-assigned=2", "--herds=3"], "identity of its own"),
        (&["mint", "--target=http://127.0.0.1:1"], "leave out --target"),
        (&["--target=ftp://127.0.0.1"], "http or https URL"),
        (&["--slo=fast"], "not an objective"),
        (&["refresh-wave", "--warmup=100ms"], "use --warmup 1s"),
        (&["--target=http://127.0.0.1:1", "--cores=9999"], "no processor"),
        (&["herd", "--rate=5"], "does not use --rate"),
        (&["--callers=5"], "does not use --callers"),
        (&["--changes=5"], "does not use --changes"),
        (&["churn", "--rotations=5"], "does not use --rotations"),
        (&["churn", "--user-assigned=1"], "at least 2 user-assigned"),
        (&["churn", "--changes=0"], "--changes"),
        (&["churn", "--target=http://127.0.0.1:1"], "leave out --target"),
        (&["rotate", "--duration=5s", "--rotations=6"], "--rotations 6 in 5s is too often"),
        (&["rotate", "--duration=10m", "--rotations=31"], "rotate 30 times at most"),
        (&["rotate", "--vms=1000"], "2000 identities"),
        (&["rotate", "--target=http://127.0.0.1:1"], "leave out --target"),
        (&["--target=http://127.0.0.1:1", "--max-errors=2"], "--max-errors"),
        (&["--target=http://127.0.0.1:1", "--out=target/never"], "cannot connect"),
    ] {
        let output = mintbench(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn an_address_that_is_taken_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let taken = format!("{}", serve(Manner::Delay(Duration::ZERO)).0);
    let (target, metrics) = (format!("--target=http://{taken}"), format!("--metrics={taken}"));
    let output = mintbench(&[&target, &metrics, "--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!out.exists());
}

#[test]
fn a_file_that_cannot_be_written_hides_no_verdict() {
    // A file that can be opened, so that the load begins, but that accepts no byte.
    let run = against(Manner::HangUp, &["--rate=50", "--duration=500ms", "--out-json=/dev/full"]);
    assert_eq!(run.output.status.code(), Some(1), "{}", run.stderr());
    assert!(String::from_utf8_lossy(&run.output.stdout).contains("FAILED"));
    assert!(run.stderr().contains("/dev/full"), "{}", run.stderr());
}

#[test]
fn no_result_shows_the_query_of_its_target() {
    let target = format!("get+http://{}/a?code=hush", serve(Manner::Delay(Duration::ZERO)).0);
    let run = run(&["--target", &target, "--rate=50", "--duration=500ms", "--warmup=0s"]);
    let report = std::fs::read_to_string(run.folder.path().join("report.html")).unwrap();
    let table = String::from_utf8_lossy(&run.output.stdout);
    let hlog = std::fs::read_to_string(run.folder.path().join("response.hlog")).unwrap();
    for text in [&hlog, &run.json.to_string(), &report, &*table, &run.stderr()] {
        assert!(!text.contains("hush"), "{text}");
    }
    assert!(run.json["target"].as_str().unwrap().ends_with("/a"), "{}", run.json["target"]);
}

#[test]
fn a_steady_run_of_our_own_broker_hits_and_verifies() {
    let run = run(&[
        "--vms=20",
        "--rate=200",
        "--warmup=1s",
        "--duration=1s",
        "--alg=ES256",
        "--samples=100",
    ]);
    run.has_result();
    let broker = &run.json["broker"];
    assert_eq!(run.count("miss") + run.count("coalesced"), 0, "{}", run.json);
    assert_eq!(run.json["statuses"]["200"], run.count("hit"));
    assert_eq!(broker["misses"], 0);
    assert!(broker["cpu_us_per_request"].as_f64().unwrap() > 0.0);
    let verified = &run.json["verified"];
    assert_eq!(verified["sampled"], 100);
    for fault in [
        "bad_signature",
        "wrong_identity",
        "wrong_audience",
        "wrong_issuer",
        "wrong_expiry",
        "expired",
    ] {
        assert_eq!(verified[fault], 0, "{fault}");
    }
}

#[test]
fn one_connection_serves_many_vms_in_turn() {
    let run = run(&[
        "--vms=50",
        "--connections=3",
        "--rate=100",
        "--warmup=0s",
        "--duration=1s",
        "--alg=ES256",
    ]);
    run.has_result();
    assert_eq!(run.json["load"]["connections"], 3);
    assert_eq!(run.count("error"), 0, "{}", run.json);
    assert!(run.json["load"]["reconnects"].as_u64() > Some(0));
    let notes = run.json["notes"].to_string();
    assert!(notes.contains("made anew") && notes.contains("0 of 150 keys"), "{notes}");
    assert_eq!(run.json["verified"]["wrong_identity"], 0);
}

#[test]
fn minting_mints_for_every_request() {
    let run =
        run(&["mint", "--vms=50", "--rate=100", "--warmup=500ms", "--duration=1s", "--alg=EdDSA"]);
    run.has_result();
    assert_eq!(run.count("hit") + run.count("coalesced"), 0, "{}", run.json);
    assert_eq!(run.json["statuses"]["200"], run.count("miss"));
    assert_eq!(run.json["checks"]["passed"], true);
}

#[test]
fn a_herd_on_a_cold_key_is_one_mint() {
    let run = run(&["herd", "--herds=1", "--callers=100"]);
    run.has_result();
    assert_eq!(run.count("miss"), 1, "{}", run.json);
    assert_eq!(run.count("hit") + run.count("coalesced"), 99);
    assert_eq!(run.json["broker"]["mints"], 1);
    assert_eq!(run.json["load"]["rate_target"], Value::Null);
}

#[test]
fn an_idle_connection_takes_what_a_busy_one_cannot() {
    // Each connection is busy for 40 % of the time. With a queue per connection, requests would
    // wait for their own connection. With one queue, they wait for the first free one of eight.
    let run = against(
        Manner::Delay(Duration::from_millis(20)),
        &["--rate=160", "--duration=2s", "--connections=8"],
    );
    run.has_result();
    let queue = &run.json["classes"]["all"]["queue_us"];
    assert!(queue["p50"].as_f64().unwrap() < run.us("service_us", "p50") / 4.0, "{queue}");
}

#[test]
fn waiting_for_a_connection_is_told_apart_from_the_target() {
    let run = against(
        Manner::Delay(Duration::from_millis(10)),
        &["--arrivals=constant", "--rate=150", "--duration=1s", "--connections=1"],
    );
    let queue = &run.json["classes"]["all"]["queue_us"];
    assert!(queue["p99"].as_f64().unwrap() > run.us("response_us", "p99") / 2.0, "{queue}");
    assert!(run.json["notes"].to_string().contains("raise --connections"), "{}", run.json["notes"]);
}

#[test]
fn a_slow_target_is_not_blamed_on_the_generator() {
    // Requests that are queued at the end of the run have timed out. Their time counts in the
    // response.
    let run = against(
        Manner::Delay(Duration::from_millis(200)),
        &["--rate=50", "--duration=1s", "--connections=1", "--timeout=300ms", "--max-errors=1"],
    );
    assert_eq!(run.json["validity"]["unsent"], 0);
    assert!(!run.json["validity"]["reasons"].to_string().contains("where"), "{}", run.json);
    assert!(run.json["statuses"]["timeout"].as_u64() > Some(20), "{}", run.json["statuses"]);
    assert_eq!(run.json["load"]["scheduled"], run.count("all") + run.count("error"));
    let given_up: Vec<u64> =
        ["timeout waiting for an answer", "timeout waiting for a free connection"]
            .iter()
            .map(|cause| run.json["causes"][cause].as_u64().unwrap())
            .collect();
    assert_eq!(given_up.iter().sum::<u64>(), run.count("error"), "{}", run.json["causes"]);
    // Requests that were given up count in no percentile of the answers.
    assert!(run.us("service_us", "max") < 300_000.0, "{}", run.json["classes"]);
}

#[test]
fn service_times_agree_with_what_the_server_took() {
    let (address, server) = serve(Manner::Delay(Duration::from_millis(20)));
    let target = format!("http://{address}");
    let run = run(&["--target", &target, "--warmup=0s", "--rate=100", "--duration=1s"]);
    run.has_result();
    let mut taken_ns = server.taken_ns.lock().unwrap().clone();
    taken_ns.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let middle_us = taken_ns[taken_ns.len() / 2] as f64 / 1000.0;
    let service_us = run.us("service_us", "p50");
    // A histogram is exact to 0.1 %; the network and the scheduler only add time.
    assert!((0.998..1.5).contains(&(service_us / middle_us)), "{service_us} of {middle_us}");
}

#[test]
fn the_token_of_another_fails_the_run_however_fast_it_came() {
    let (address, _) = serve(wrong_token());
    let (target, jwks) = (format!("http://{address}"), format!("http://{address}/keys"));
    let args = ["--target", &target, "--jwks", &jwks, "--warmup=0s", "--rate=50", "--duration=1s"];
    let run = run(&[&args[..], &["--samples=10"]].concat());
    assert_eq!(run.output.status.code(), Some(1), "{}", run.json);
    assert_eq!(run.json["verified"]["sampled"], 10);
    assert_eq!(run.json["verified"]["wrong_audience"], 10);
    assert_eq!(run.json["verified"]["bad_signature"], 0);
}

#[test]
fn settings_in_the_environment_are_kept_from_the_broker_that_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_mintbench"))
        .args(["run", "--vms=5", "--rate=50", "--warmup=500ms", "--duration=500ms", "--alg=ES256"])
        .args(["--out", folder.path().to_str().unwrap()])
        .env("MINTBENCH_SERVE_WORLD", "/nowhere.toml")
        .env("MINTBENCH_SERVE_ALG", "nonsense")
        .output()
        .unwrap();
    assert!(matches!(status.status.code(), Some(0 | 4)), "{status:?}");
}
