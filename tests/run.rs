//! `mintbench run`, black box: the real binary against servers whose delays are known, and against
//! a broker of its own.
//!
//! What is asserted holds on a busy machine too: a run may be invalid there (exit 4), but its
//! counts still add up.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mintbench::clock::Monotonic;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How a server treats its requests.
#[derive(Clone)]
enum Manner {
    /// Answers after this time.
    Delay(Duration),
    /// Hangs up instead of answering.
    HangUp,
    /// Answers at once, but from this request on nobody gets an answer for this time.
    Stall(u64, Duration),
    /// Answers every second request with status 429.
    Throttle,
    /// Answers with one token, whoever asks for whatever, and with the keys at `/keys`.
    Token { body: String, keys: String },
}

/// A keep-alive server on loopback, one thread per connection.
fn serve(manner: Manner) -> (SocketAddr, Arc<Server>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(Server {
        manner,
        requests: AtomicU64::new(0),
        stalled_until_ns: AtomicU64::new(0),
        clock: Monotonic::start(),
        taken_ns: Mutex::default(),
    });
    let served = Arc::clone(&state);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let state = Arc::clone(&state);
            std::thread::spawn(move || state.converse(stream));
        }
    });
    (address, served)
}

struct Server {
    manner: Manner,
    requests: AtomicU64,
    stalled_until_ns: AtomicU64,
    clock: Monotonic,
    /// How long it took over each answer.
    taken_ns: Mutex<Vec<u64>>,
}

impl Server {
    fn converse(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let (mut input, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut piece) {
                Ok(count @ 1..) => input.extend_from_slice(&piece[..count]),
                _ => return,
            }
            if input.ends_with(b"\r\n\r\n") {
                let body = self.body(&input);
                input.clear();
                let begun_ns = self.clock.now_ns();
                let Some(status) = self.status() else { return };
                self.taken_ns.lock().unwrap().push(self.clock.now_ns() - begun_ns);
                let length = body.len();
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
    }

    fn body(&self, request: &[u8]) -> String {
        match &self.manner {
            Manner::Token { keys, .. } if request.starts_with(b"GET /keys ") => keys.clone(),
            Manner::Token { body, .. } => body.clone(),
            _ => "{}".to_owned(),
        }
    }

    fn status(&self) -> Option<&'static str> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        match self.manner {
            Manner::Delay(delay) => std::thread::sleep(delay),
            Manner::HangUp => return None,
            Manner::Stall(at, length) => {
                if number == at {
                    let until = self.clock.now_ns() + u64::try_from(length.as_nanos()).unwrap();
                    self.stalled_until_ns.store(until, Ordering::SeqCst);
                }
                let until = self.stalled_until_ns.load(Ordering::SeqCst);
                let left = until.saturating_sub(self.clock.now_ns());
                std::thread::sleep(Duration::from_nanos(left));
            }
            Manner::Throttle if number % 2 == 1 => return Some("429 Too Many Requests"),
            Manner::Throttle | Manner::Token { .. } => {}
        }
        Some("200 OK")
    }
}

struct Run {
    output: Output,
    json: Value,
    folder: tempfile::TempDir,
}

fn mintbench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mintbench")).arg("run").args(args).output().unwrap()
}

/// Runs to a result, valid or not, and validates its `run.json`.
fn run(args: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let output = mintbench(&[args, &["--out", out]].concat());
    let json = std::fs::read_to_string(folder.path().join("run.json"))
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let json: Value = serde_json::from_str(&json).unwrap();
    let schema = std::fs::read_to_string("docs/schema/run-1.json").unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    Run { output, json, folder }
}

fn against(manner: Manner, args: &[&str]) -> Run {
    let target = format!("http://{}", serve(manner).0);
    run(&[&["--target", &target, "--warmup", "0s"], args].concat())
}

impl Run {
    /// The exit code is 0 on a quiet machine and 4 on a busy one.
    fn has_result(&self) -> &Self {
        let code = self.output.status.code();
        assert!(matches!(code, Some(0 | 4)), "{code:?}: {}", self.stderr());
        assert_eq!(self.json["validity"]["valid"], code == Some(0));
        self
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    fn us(&self, kind: &str, percentile: &str) -> f64 {
        self.json["classes"]["all"][kind][percentile].as_f64().unwrap()
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
    // 100 of 400 requests are meant to start within the stall, but only two can be under way.
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
fn refused_and_lost_requests_are_counted_as_errors_of_their_class() {
    let throttled =
        against(Manner::Throttle, &["--arrivals=constant", "--rate=100", "--duration=1s"]);
    let statuses = &throttled.json["statuses"];
    assert_eq!((&statuses["200"], &statuses["429"]), (&Value::from(50), &Value::from(50)));
    assert_eq!(throttled.json["classes"]["all"]["errors"], 50);
    assert_eq!(throttled.output.status.code(), Some(1), "{}", throttled.json["checks"]);
    let allowed = against(
        Manner::Throttle,
        &["--arrivals=constant", "--rate=100", "--duration=1s", "--max-errors=0.5"],
    );
    allowed.has_result();

    let lost = against(Manner::HangUp, &["--arrivals=constant", "--rate=100", "--duration=1s"]);
    assert_eq!(lost.json["statuses"]["connection"], 100);
    assert_eq!(lost.json["classes"]["all"]["errors"], 100);
    assert_eq!(lost.output.status.code(), Some(1), "{}", lost.json["checks"]);
}

#[test]
fn the_result_folder_is_complete() {
    let run = against(
        Manner::Delay(Duration::ZERO),
        &["--rate=500", "--duration=1s", "--json", "--slo=p99<1h"],
    );
    run.has_result();
    let printed: Value = serde_json::from_slice(&run.output.stdout).unwrap();
    assert_eq!(printed, run.json);
    assert_eq!(run.json["slo"][0]["met"], true);
    let folder: &Path = run.folder.path();
    for name in ["response.hlog", "service.hlog", "lag.hlog"] {
        let log = std::fs::read_to_string(folder.join(name)).unwrap();
        assert!(log.contains("[Histogram log format version 1.3]"), "{log}");
        assert!(log.lines().any(|line| line.starts_with("Tag=all,0.000,1.000,")), "{log}");
    }
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
        (&["--target=https://127.0.0.1"], "plain http URL"),
        (&["--slo=fast"], "not an objective"),
        (&["herd", "--rate=5"], "does not use --rate"),
        (&["--callers=5"], "does not use --callers"),
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
    // Each connection is busy for 40 % of the time. With a queue for each, requests would wait for
    // the one they were bound to; with one queue, for the first of eight.
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
    // What is queued when the run is over has timed out; its time is in the response.
    let run = against(
        Manner::Delay(Duration::from_millis(200)),
        &["--rate=50", "--duration=1s", "--connections=1", "--timeout=300ms", "--max-errors=1"],
    );
    assert_eq!(run.json["validity"]["unsent"], 0);
    assert!(!run.json["validity"]["reasons"].to_string().contains("where"), "{}", run.json);
    assert!(run.json["statuses"]["timeout"].as_u64() > Some(20), "{}", run.json["statuses"]);
    assert_eq!(run.json["load"]["scheduled"], run.count("all"));
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
    // A histogram is exact to 0.1 %; the network and the scheduler only add.
    assert!((0.998..1.5).contains(&(service_us / middle_us)), "{service_us} of {middle_us}");
}

/// A token for the wrong resource, in an answer that looks right, and the keys to find that out.
fn wrong_token() -> Manner {
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = key.public_key().as_ref();
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k",
        "x": b64(&point[1..33]), "y": b64(&point[33..])}]});
    let header = b64(br#"{"alg":"ES256","kid":"k"}"#);
    let claims = b64(br#"{"aud":"https://graph.microsoft.com/","exp":9999999999}"#);
    let signed = format!("{header}.{claims}");
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", b64(signature.as_ref()));
    let body = json!({"access_token": token, "resource": "https://management.azure.com/"});
    Manner::Token { body: body.to_string(), keys: keys.to_string() }
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

/// Starts a long run and waits until its first interval is written.
fn begin(folder: &Path, args: &[&str]) -> Child {
    let out = folder.to_str().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
    command.args(["run", "--rate=100", "--duration=1h", "--warmup=0s", "--out", out]).args(args);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let log = folder.join("response.hlog");
    let clock = Monotonic::start();
    while !std::fs::read_to_string(&log).unwrap_or_default().contains("Tag=") {
        assert!(clock.now_ns() < 60_000_000_000, "no interval within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// The broker that a run has started.
fn child_of(pid: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn an_interrupt_ends_the_run_and_its_broker_and_keeps_the_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = begin(folder.path(), &["--vms=5", "--alg=ES256"]);
    let broker = child_of(child.id());
    signal(child.id(), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!Path::new(&format!("/proc/{broker}")).exists());
    assert!(folder.path().join("response.hlog").exists());
    assert!(!folder.path().join("run.json").exists());
}

#[test]
fn a_broker_that_dies_fails_the_run_and_keeps_the_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let child = begin(folder.path(), &["--vms=5", "--alg=ES256"]);
    signal(child_of(child.id()), Signal::KILL);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("the broker ended during the run"), "{stderr}");
    assert!(folder.path().join("response.hlog").exists());
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
