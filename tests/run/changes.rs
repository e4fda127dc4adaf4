//! Runs during which identities are assigned and removed, or keys rotate.

use serde_json::Value;

use super::{Run, run};

const CHURN: [&str; 7] = [
    "churn",
    "--vms=20",
    "--rate=500",
    "--warmup=1s",
    "--duration=3s",
    "--alg=ES256",
    "--samples=1000",
];

fn number(run: &Run, block: &str, name: &str) -> u64 {
    run.json[block][name].as_u64().unwrap_or_else(|| panic!("{block}.{name}: {}", run.json))
}

#[test]
fn no_token_comes_after_a_removal_and_no_request_is_refused_without_one() {
    let run = run(&CHURN);
    run.has_result();
    let churn = |name| number(&run, "churn", name);
    assert!(churn("removals") > 0 && churn("refused_rightly") > 0, "{}", run.json["churn"]);
    assert_eq!((churn("tokens_after_removal"), churn("refused_wrongly")), (0, 0));
    assert_eq!(number(&run, "changes", "failed"), 0);
    assert!(run.json["changes"]["ack_us"]["p99"].as_f64().unwrap() > 0.0);
    // Every refusal is in the class `refused`, which holds nothing else.
    assert_eq!(run.json["statuses"]["400"].as_u64(), Some(run.count("refused")));
    assert_eq!(run.json["classes"]["refused"]["errors"], 0);
    assert_eq!(run.count("error"), 0);
    assert_eq!(run.json["verified"]["wrong_identity"], 0);
    assert_eq!(run.json["rotation"], Value::Null);
    assert!(run.json["notes"].to_string().contains("--arm-auth off"));
}

#[test]
fn a_broker_that_goes_by_a_removal_too_late_is_found_out() {
    let run = run(&[&CHURN[..], &["--propagation-delay=2s"]].concat());
    assert_eq!(run.output.status.code(), Some(1), "{}", run.json);
    assert!(number(&run, "churn", "tokens_after_removal") > 0, "{}", run.json["churn"]);
    let failures = run.json["checks"]["failures"].to_string();
    assert!(failures.contains("came after their identity was removed"), "{failures}");
}

#[test]
fn every_token_verifies_while_the_keys_rotate() {
    let run = run(&[
        "rotate",
        "--vms=5",
        "--rate=200",
        "--warmup=1s",
        "--duration=4s",
        "--alg=ES256",
        "--rotations=3",
    ]);
    run.has_result();
    let rotation = |name| number(&run, "rotation", name);
    assert_eq!(rotation("rotations"), 3);
    assert!(rotation("signing_keys") >= 2 && rotation("key_sets") > 5, "{}", run.json["rotation"]);
    // Five VMs, each with its own identity and a user-assigned one.
    assert_eq!(rotation("certificates"), 10);
    let faults = ["unpublished", "withdrawn", "key_sets_unread"].map(rotation);
    assert_eq!(faults, [0; 3]);
    assert_eq!((number(&run, "changes", "count"), number(&run, "changes", "failed")), (3, 0));
    assert_eq!(run.json["verified"]["bad_signature"], 0);
    assert_eq!(run.count("error"), 0);
    assert_eq!(run.json["churn"], Value::Null);
}
