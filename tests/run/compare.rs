//! `mintbench compare --target A --target B`.

use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mintbench::harness::document::compare_targets::TargetComparison;
use serde_json::Value;

use crate::against_schema;
use crate::scripted::{Scripted, whole};
use crate::server::{Manner, serve};

fn compare(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mintbench")).arg("compare").args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const SHORT: [&str; 4] = ["--pairs=3", "--block=500ms", "--warmup=100ms", "--rate=100"];

#[test]
fn the_slower_of_two_endpoints_has_the_ratio_above_one() {
    let [a, b] =
        [5, 40].map(|ms| format!("http://{}", serve(Manner::Delay(Duration::from_millis(ms))).0));
    let output = compare(&[&SHORT[..], &["--target", &a, "--target", &b, "--json"]].concat());
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 4)), "{code:?}: {}", stderr(&output));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    against_schema("versus-1", &json);
    let read: TargetComparison = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), json, "what is read is what was written");
    assert_eq!(json["valid"], code == Some(0), "{json}");
    assert_eq!(json["a"]["target"], a);
    // Both targets get the same schedules, pair by pair.
    assert_eq!(json["a"]["count"], json["b"]["count"]);
    if json["pairs_used"].as_u64() < Some(2) {
        assert_eq!(json["b_over_a"]["service"]["p50"], Value::Null);
        return;
    }
    assert!(json["b"]["service_us"]["p50"].as_f64() >= Some(40_000.0), "{json}");
    for kind in ["response", "service"] {
        let ratio = &json["b_over_a"][kind]["p50"];
        let number = |name: &str| ratio[name].as_f64().unwrap();
        assert!(number("low") <= number("ratio") && number("ratio") <= number("high"), "{json}");
    }
}

#[test]
fn blocks_take_turns_and_both_endpoints_are_asked_each_in_its_own_way() {
    let order = Arc::new(Mutex::new(Vec::new()));
    let [a, b] = ["A", "B"].map(|name| {
        let order = Arc::clone(&order);
        Scripted::serve(move |_| {
            let mut order = order.lock().unwrap();
            if order.last() != Some(&name) {
                order.push(name);
            }
            whole("200 OK", r#"{"access_token":"x"}"#)
        })
    });
    let targets = [format!("gce+http://{}", a.authority), format!("get+http://{}/b", b.authority)];
    let targets = ["--target", &targets[0], "--target", &targets[1], "--header=X: y"];
    let output = compare(&[&SHORT[..], &targets].concat());
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}", stderr(&output));
    // A B, B A, A B.
    assert_eq!(*order.lock().unwrap(), ["A", "B", "A", "B"]);
    assert!(a.asked().iter().all(|request| request.headers[1..] == ["Metadata-Flavor: Google"]));
    assert!(b.asked().iter().all(|request| request.headers[1..] == ["X: y"]));
    assert_eq!(a.asked().len(), b.asked().len());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("A B B A"), "{text}");
}

#[test]
fn an_endpoint_that_fails_its_requests_makes_the_comparison_invalid() {
    let [a, b] = [Manner::Delay(Duration::ZERO), Manner::Throttle]
        .map(|manner| format!("http://{}", serve(manner).0));
    let output = compare(&[&SHORT[..], &["--target", &a, "--target", &b]].concat());
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("no usable pair") && text.contains("unused    3 of B"), "{text}");
    assert!(!text.contains("B / A"), "{text}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let target = "--target=http://127.0.0.1:1";
    for (args, message) in [
        (&[target][..], "give --target twice"),
        (&[target, target, target], "give --target twice"),
        (&[target, target, "--pairs=1"], "--pairs 1"),
        (&[target, target, "--block=1ms"], "--block 1ms is out of range"),
        (&[target, target, "--client-id=x"], "--client-id is of no use"),
        (&[target, target], "cannot connect"),
    ] {
        let output = compare(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
    }
    let variable = Command::new(env!("CARGO_BIN_EXE_mintbench"))
        .args(["compare", target, target])
        .env("MINTBENCH_COMPARE_PROTOCOL", "aws")
        .output()
        .unwrap();
    assert!(stderr(&variable).contains("--role NAME"), "{}", stderr(&variable));
}
