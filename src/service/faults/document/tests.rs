use std::fs;
use std::path::Path;

use jsonschema::validator_for;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::FaultPlan;
use super::plan::SCHEMA;

/// Writes the schema instead of comparing it, where it is set.
const WRITE: &str = "MINTBENCH_WRITE_SCHEMAS";

const FILE: &str = "faults-1.json";

fn schema() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<FaultPlan>();
    schema.insert("$id".to_owned(), SCHEMA.into());
    schema.to_value()
}

#[test]
fn the_schema_in_the_docs_is_that_of_the_type() {
    let path = Path::new("docs/schema").join(FILE);
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == text,
        "{} differs from its type; write it with `{WRITE}=1 cargo test --lib document::tests` and commit it",
        path.display()
    );
}

/// A plan with every field and every kind of fault.
const WHOLE: &str = r#"
schema = "mintbench/faults/1"
seed = 7

[[rules]]
endpoint = "imds"
vms = ["web-1"]
identities = ["app"]
resources = ["https://vault.azure.net"]
share = 0.25
count = 3
from = "10s"
until = "1m 20s"
fault = { kind = "status", status = 429, retry_after = 5 }

[[rules]]
endpoint = "sts"
fault = { kind = "slow", delay = "1500ms" }

[[rules]]
endpoint = "arm"
fault = { kind = "trickle", every = "10ms", bytes = 1 }

[[rules]]
endpoint = "vault"
fault = { kind = "hang" }

[[rules]]
endpoint = "token-source"
fault = { kind = "reset" }

[[rules]]
endpoint = "app-service"
fault = { kind = "truncated" }

[[rules]]
endpoint = "vm-extension"
fault = { kind = "wrong-json" }

[[rules]]
endpoint = "imds"
fault = { kind = "wrong-content-type" }

[[rules]]
endpoint = "imds"
fault = { kind = "token", flaw = "hs256-public-key" }
"#;

#[test]
fn a_plan_in_toml_is_the_same_in_json_and_as_the_schema_says() {
    let plan = FaultPlan::parse("plan.toml", WHOLE).unwrap();
    assert_eq!(plan.rules.len(), 9);
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(FaultPlan::parse("the request", &json.to_string()).unwrap(), plan);
    let errors: Vec<String> =
        validator_for(&schema()).unwrap().iter_errors(&json).map(|one| one.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(json.pointer("/rules/0/until"), Some(&json!("1m 20s")));
}

#[test]
fn what_is_left_out_has_a_value() {
    let text = "[[rules]]\nendpoint = 'imds'\nfault = { kind = 'trickle' }";
    let plan = FaultPlan::parse("plan.toml", text).unwrap();
    assert_eq!((plan.schema.as_str(), plan.seed), (SCHEMA, 0));
    assert!(plan.rules.iter().all(|rule| rule.share >= 1.0 && rule.count.is_none()));
}

/// Returns what is said about a rule.
fn refused(rule: &str) -> String {
    FaultPlan::parse("plan.toml", &format!("[[rules]]\n{rule}")).unwrap_err().to_string()
}

#[test]
fn a_refusal_names_the_field_and_the_remedy() {
    for (rule, said) in [
        (
            "endpoint = 'imd'\nfault = { kind = 'hang' }",
            "plan.toml:2: rules.endpoint: unknown variant `imd`",
        ),
        ("endpoint = 'imds'\nfault = { kind = 'hung' }", "unknown variant `hung`, expected one of"),
        ("endpoint = 'imds'\nfault = { kind = 'hang', delay = '1s' }", "unknown field `delay`"),
        ("endpoint = 'imds'\nsahre = 1\nfault = { kind = 'hang' }", "unknown field `sahre`"),
        ("endpoint = 'imds'\nfrom = '10'\nfault = { kind = 'hang' }", "`10` is no time"),
        (
            "endpoint = 'imds'\nshare = 0\nfault = { kind = 'hang' }",
            "rules[0].share: 0 is no share; write a number above 0, up to 1",
        ),
        (
            "endpoint = 'imds'\nshare = nan\nfault = { kind = 'hang' }",
            "rules[0].share: NaN is no share",
        ),
        ("endpoint = 'imds'\ncount = 0\nfault = { kind = 'hang' }", "rules.count"),
        (
            "endpoint = 'imds'\nfrom = '2s'\nuntil = '2s'\nfault = { kind = 'hang' }",
            "rules[0].until: 2s is not after from = 2s",
        ),
        (
            "endpoint = 'imds'\nvms = ['']\nfault = { kind = 'hang' }",
            "rules[0].vms: a name is empty",
        ),
        (
            "endpoint = 'arm'\nvms = ['a']\nfault = { kind = 'hang' }",
            "rules[0].vms: arm does not know which machine calls; write identities",
        ),
        (
            "endpoint = 'imds'\nfault = { kind = 'status', status = 200 }",
            "rules[0].fault.status: 200 is no refusal; write 400 to 599",
        ),
        (
            "endpoint = 'imds'\nfault = { kind = 'slow', delay = '2h' }",
            "rules[0].fault.delay: 2h is too long; write 1h at most",
        ),
        (
            "endpoint = 'vault'\nfault = { kind = 'token', flaw = 'expired' }",
            "rules[0].fault.kind: vault gives clients no token",
        ),
        (
            "endpoint = 'token-source'\nfault = { kind = 'trickle' }",
            "token-source has no trickle; write slow",
        ),
    ] {
        let text = refused(rule);
        assert!(text.contains(said), "{rule}\n{text}\n{said}");
    }
}

#[test]
fn a_plan_is_bounded_and_has_a_rule() {
    let rule = json!({ "endpoint": "imds", "fault": { "kind": "hang" } });
    for (rules, said) in [
        (vec![], "rules: there is none"),
        (vec![rule.clone(); 101], "rules: there are 101; write 100 at most"),
    ] {
        let text = json!({ "rules": rules }).to_string();
        let error = FaultPlan::parse("the request", &text).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let names = vec!["a"; 101];
    let text =
        json!({ "rules": [{ "endpoint": "imds", "vms": names, "fault": { "kind": "hang" } }] });
    let error = FaultPlan::parse("the request", &text.to_string()).unwrap_err().to_string();
    assert!(error.contains("rules[0].vms: there are 101"), "{error}");
    let text = json!({ "schema": "mintbench/faults/2", "rules": [rule] }).to_string();
    let error = FaultPlan::parse("the request", &text).unwrap_err().to_string();
    assert!(error.contains("schema: `mintbench/faults/2` is not known"), "{error}");
    let error = FaultPlan::parse("the request", "{").unwrap_err().to_string();
    assert!(error.starts_with("`the request` is no fault plan: EOF"), "{error}");
}
