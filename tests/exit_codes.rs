//! Every exit code of the interface, provoked through the real binary.
//!
//! | code | here |
//! |---|---|
//! | 0 | a run that meets its objective, a run that was stopped for a while and has none |
//! | 1 | a target that answers with errors |
//! | 2 | invalid flags |
//! | 3 | a gate of two pairs that may never be wrong, an objective on too few answers |
//! | 4 | a rate that no generator reaches, a median of ten answers, with `--strict` a run that was stopped |
//! | 5 | an objective below the target's response time |
//! | 6 | a missing baseline |
//! | 130 | Ctrl-C |
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mintbench::base::clock::Monotonic;
use rustix::process::{Pid, Signal, kill_process};

/// Starts a keep-alive server on loopback that answers with this status and a token after `delay`.
/// Returns its URL.
fn serve(status: &str, delay: Duration) -> String {
    serve_counted(answer(status, TOKEN), delay).0
}

const TOKEN: &str = r#"{"access_token":"x"}"#;

fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Starts a server that gives `answer` to each request after `delay`. Returns its URL and the number of its answers.
fn serve_counted(answer: String, delay: Duration) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answers = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answers);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (answer, count) = (answer.clone(), Arc::clone(&count));
            std::thread::spawn(move || converse(stream, &answer, delay, &count));
        }
    });
    (format!("http://{address}"), answers)
}

fn converse(mut stream: TcpStream, answer: &str, delay: Duration, answers: &AtomicU64) {
    let (mut input, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        input.extend_from_slice(piece.get(..count).unwrap());
        if input.ends_with(b"\r\n\r\n") {
            input.clear();
            std::thread::sleep(delay);
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
            answers.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A delay so long that a tenth of it, the limit of the validity rules, exceeds the delays of a
/// scheduler.
const SLOW: Duration = Duration::from_millis(500);

fn mintbench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mintbench")).args(args).output().unwrap()
}

fn run(args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let common = ["run", "--warmup=0s", "--pacer-test=0s", "--out", out.to_str().unwrap()];
    mintbench(&[&common, args].concat())
}

fn says(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Runs until a run is valid. A hypervisor may take more time than the rules allow, and then the
/// run is rightly invalid. Any other exit code must be `code` at once.
fn ends_with(code: i32, args: &[&str]) {
    const TRIES: usize = 60;
    for _ in 0..TRIES {
        let output = run(args);
        let text = says(&output);
        if output.status.code() != Some(4) {
            assert_eq!(output.status.code(), Some(code), "{text}");
            return;
        }
        assert!(text.contains("INVALID"), "{text}");
    }
    panic!("no valid run in {TRIES}");
}

#[test]
fn exit_0_is_a_valid_run_that_meets_its_objective() {
    let target = serve("200 OK", SLOW);
    ends_with(0, &["--target", &target, "--rate=50", "--duration=1s", "--slo=p50<1m"]);
}

/// Runs for three seconds, and stops the generator for a quarter of a second meanwhile.
fn stopped(args: &[&str]) -> (Output, serde_json::Value) {
    const STOPPED: Duration = Duration::from_millis(250);
    let (target, answers) = serve_counted(answer("200 OK", TOKEN), Duration::ZERO);
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
    command.args(["run", "--warmup=0s", "--pacer-test=0s", "--rate=200", "--duration=3s"]);
    command.args(["--target", &target, "--out"]).arg(folder.path()).args(args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A twelfth of the requests.
    wait_until("50 answers", || answers.load(Ordering::SeqCst) >= 50);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    std::thread::sleep(STOPPED);
    kill_process(pid, Signal::CONT).unwrap();
    let output = child.wait_with_output().unwrap();
    let run = std::fs::read(folder.path().join("run.json")).unwrap();
    (output, serde_json::from_slice(&run).unwrap())
}

#[test]
fn exit_0_is_a_disturbed_run_that_says_what_it_measured() {
    let (output, run) = stopped(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", says(&output));
    let validity = run.get("validity").unwrap();
    assert_eq!(validity.get("valid").unwrap(), true);
    let disturbances = validity.get("disturbances").unwrap().as_array().unwrap();
    assert!(!disturbances.is_empty(), "{validity}");
    let said = says(&output);
    for disturbance in disturbances {
        assert!(said.contains(disturbance.as_str().unwrap()), "{said}");
    }
    assert!(said.contains("\ndisturbed ") && said.contains("\nfor more  "), "{said}");
    assert!(!said.contains("INVALID"), "{said}");
}

#[test]
fn exit_4_is_a_disturbed_run_by_the_strict_rule() {
    let (output, run) = stopped(&["--strict"]);
    assert_eq!(output.status.code(), Some(4), "{}", says(&output));
    assert!(says(&output).contains("INVALID"), "{}", says(&output));
    let validity = run.get("validity").unwrap();
    assert_eq!(validity.get("valid").unwrap(), false);
    assert_eq!(validity.get("disturbances").unwrap(), &serde_json::json!([]));
}

#[test]
fn exit_4_is_a_median_of_too_few_answers() {
    let target = serve("200 OK", Duration::ZERO);
    let args = ["--target", &target, "--arrivals=constant", "--rate=10", "--duration=1s"];
    let output = run(&args);
    assert_eq!(output.status.code(), Some(4), "{}", says(&output));
    assert!(says(&output).contains("10 answers are too few for a median"), "{}", says(&output));
}

#[test]
fn exit_1_is_a_failed_check() {
    let target = serve("500 Internal Server Error", Duration::ZERO);
    let output = run(&["--target", &target, "--rate=50", "--duration=500ms"]);
    assert_eq!(output.status.code(), Some(1), "{}", says(&output));
    assert!(says(&output).contains("FAILED"), "{}", says(&output));
}

#[test]
fn exit_1_is_a_good_status_without_a_token() {
    for body in ["{}", "hello", r#"{"error":"invalid_client"}"#] {
        let target = serve_counted(answer("200 OK", body), Duration::ZERO).0;
        let output = run(&["--target", &target, "--rate=50", "--duration=500ms"]);
        assert_eq!(output.status.code(), Some(1), "{}", says(&output));
        assert!(says(&output).contains("the most frequent cause: no token"), "{}", says(&output));
    }
}

#[test]
fn exit_2_is_a_wrong_command_line_or_configuration() {
    for args in [
        &["run", "--rate=0"][..],
        &["run", "--no-such-flag"],
        &["doctor", "--duration=1ms"],
        &["no-such-command"],
        &["--config=/nowhere.toml", "run"],
    ] {
        let output = mintbench(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", says(&output));
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn exit_3_is_evidence_that_does_not_suffice() {
    const TRIES: usize = 60;
    // Two pairs of equal builds neither fail nor pass at these error rates.
    let rates = ["--alpha=0.0001", "--power=0.9999"];
    let pairs = ["--pairs=2", "--pairs-max=2", "--metrics=cpu"];
    let load = ["--rate=50", "--vms=5", "--duration=500ms", "--warmup=100ms"];
    let base = ["gate", "--base", env!("CARGO_BIN_EXE_mintbench")];
    for _ in 0..TRIES {
        let output = mintbench(&[&base[..], &rates, &pairs, &load].concat());
        // On a machine that others use, perhaps no leg is valid.
        if output.status.code() != Some(4) {
            assert_eq!(output.status.code(), Some(3), "{}", says(&output));
            return;
        }
    }
    panic!("no valid gate in {TRIES}");
}

#[test]
fn exit_3_is_an_objective_on_too_few_answers() {
    let target = serve("200 OK", SLOW);
    ends_with(3, &["--target", &target, "--rate=50", "--duration=1s", "--slo=p99.99<1m"]);
}

#[test]
fn exit_6_is_a_baseline_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let output = mintbench(&["gate", "--baseline", missing.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(6), "{}", says(&output));
}

#[test]
fn exit_4_is_a_run_that_the_generator_could_not_make() {
    let target = serve("200 OK", Duration::ZERO);
    let args = ["--rate=5000000", "--duration=200ms", "--timeout=100ms", "--threads=1"];
    let output = run(&[&args[..], &["--target", &target, "--max-errors=1"]].concat());
    assert_eq!(output.status.code(), Some(4), "{}", says(&output));
    assert!(says(&output).contains("INVALID"), "{}", says(&output));
}

#[test]
fn exit_5_is_a_missed_objective_of_a_valid_run() {
    let target = serve("200 OK", SLOW);
    ends_with(5, &["--target", &target, "--rate=50", "--duration=1s", "--slo=p99<1ms"]);
}

#[test]
fn the_strict_rule_judges_an_undisturbed_run_like_the_other() {
    let target = serve("200 OK", SLOW);
    for (code, slo) in [(0, "--slo=p50<1m"), (5, "--slo=p99<1ms")] {
        ends_with(code, &["--target", &target, "--rate=50", "--duration=1s", "--strict", slo]);
    }
}

#[test]
fn exit_130_is_an_interrupt() {
    let (target, folder) = (serve("200 OK", Duration::ZERO), tempfile::tempdir().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
    command.args(["run", "--target", &target, "--rate=50", "--duration=3m", "--out"]);
    command.arg(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    await_file(&folder.path().join("response.hlog"));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

fn await_file(path: &Path) {
    wait_until(&path.display().to_string(), || path.exists());
}

fn wait_until(what: &str, is_there: impl Fn() -> bool) {
    let clock = Monotonic::start();
    while !is_there() {
        assert!(clock.now_ns() < 60_000_000_000, "no {what} within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}
