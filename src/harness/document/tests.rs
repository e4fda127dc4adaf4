//! The schemas in `docs/schema/`, generated from the types of the documents.

use std::fs;
use std::path::Path;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Map, Value, json};

use super::percentiles::Standing;
use super::{compare, compare_targets, count, doctor, find_max, gate, plan, run};

/// Writes the schemas instead of comparing them, where it is set.
const WRITE: &str = "MINTBENCH_WRITE_SCHEMAS";

/// The files and their contents.
fn schemas() -> [(&'static str, Value); 8] {
    [
        ("compare-1.json", schema::<compare::Comparison>(compare::SCHEMA, Numbers::NotNegative)),
        ("count-1.json", schema::<count::Count>(count::SCHEMA, Numbers::Any)),
        ("doctor-1.json", schema::<doctor::Doctor>(doctor::SCHEMA, Numbers::NotNegative)),
        ("find-max-1.json", schema::<find_max::FindMax>(find_max::SCHEMA, Numbers::NotNegative)),
        ("gate-1.json", schema::<gate::Gate>(gate::SCHEMA, Numbers::Any)),
        ("plan-1.json", schema::<plan::Plan>(plan::SCHEMA, Numbers::Any)),
        ("run-2.json", schema::<run::Run>(run::SCHEMA, Numbers::NotNegative)),
        (
            "versus-1.json",
            schema::<compare_targets::TargetComparison>(
                compare_targets::SCHEMA,
                Numbers::NotNegative,
            ),
        ),
    ]
}

/// The numbers of a document, where a field says nothing else.
#[derive(Clone, Copy, PartialEq)]
enum Numbers {
    Any,
    NotNegative,
}

fn schema<T: JsonSchema>(id: &str, numbers: Numbers) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let exact = RecursiveTransform(move |schema: &mut Schema| {
        if let Some(schema) = schema.as_object_mut() {
            exact(schema, numbers);
        }
    });
    let generator = settings.with_transform(exact).into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), id.into());
    schema.to_value()
}

/// Allows what this version writes and nothing else; fields with a default came later and may be absent.
fn exact(schema: &mut Map<String, Value>, numbers: Numbers) {
    schema.remove("format");
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let is_number =
        schema.get("type").is_some_and(|of| *of == "number" || *of == json!(["number", "null"]));
    let is_bound = ["minimum", "exclusiveMinimum"].iter().any(|bound| schema.contains_key(*bound));
    if is_number && !is_bound && numbers == Numbers::NotNegative {
        schema.insert("minimum".to_owned(), 0.into());
    }
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    let mut later = Vec::new();
    for (name, property) in properties {
        later.extend(
            property.as_object_mut().and_then(|own| own.remove("default")).map(|_| name.clone()),
        );
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| later.iter().all(|later| name != later));
    }
    schema.insert("additionalProperties".to_owned(), false.into());
}

fn validator(file: &str) -> jsonschema::Validator {
    let (_, schema) = schemas().into_iter().find(|(name, _)| *name == file).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

fn reference(name: &str) -> Value {
    let path = Path::new("results/reference").join(name).join("run.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_schemas_in_the_docs_are_those_of_the_types() {
    for (file, schema) in schemas() {
        let path = Path::new("docs/schema").join(file);
        let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
        if std::env::var_os(WRITE).is_some() {
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "{} differs from its type; write it with `{WRITE}=1 cargo test --lib document::tests` and commit it",
            path.display()
        );
    }
}

/// The committed results, which earlier builds wrote.
const REFERENCES: [&str; 6] = ["churn", "herd", "mint", "rotate", "steady", "steady-100k"];

/// Returns the schema of version 1, which no type generates any more.
fn version_1() -> jsonschema::Validator {
    let schema = fs::read("docs/schema/run-1.json").unwrap();
    jsonschema::validator_for(&serde_json::from_slice(&schema).unwrap()).unwrap()
}

fn conforms(name: &str, validator: &jsonschema::Validator, run: &Value) {
    let errors: Vec<String> = validator.iter_errors(run).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{name}: {errors:?}");
}

#[test]
fn results_of_earlier_builds_are_as_the_schema_says() {
    for name in REFERENCES {
        conforms(name, &version_1(), &reference(name));
    }
}

#[test]
fn results_of_earlier_builds_are_read_and_become_results_of_this_version() {
    for name in REFERENCES {
        let old = reference(name);
        let mut run: run::Run = serde_json::from_value(old.clone()).unwrap();
        assert_eq!(run.schema, run::SCHEMA_1);
        run.schema = run::SCHEMA.to_owned();
        let new = serde_json::to_value(&run).unwrap();
        conforms(name, &validator("run-2.json"), &new);
        for (class, of) in &run.classes {
            let response = &old["classes"][class.as_str()]["response_us"];
            for (key, bounded) in
                ["p50", "p90", "p99", "p999", "max"].iter().zip(of.response_us.named())
            {
                let bounded = bounded.1.unwrap();
                assert_eq!(Some(bounded.value), response[*key].as_f64(), "{name} {class} {key}");
                assert_eq!((bounded.lower, bounded.standing), (None, Standing::Recorded));
            }
        }
    }
}

#[test]
fn a_schema_refuses_what_no_version_writes() {
    refuses(&version_1(), reference("steady"));
    let mut run: run::Run = serde_json::from_value(reference("steady")).unwrap();
    run.schema = run::SCHEMA.to_owned();
    refuses(&validator("run-2.json"), serde_json::to_value(run).unwrap());
}

/// Asserts that a schema refuses changes of this run.
fn refuses(validator: &jsonschema::Validator, sound: Value) {
    for (at, value) in [
        ("/a_field", json!(1)),
        ("/host/a_field", json!(1)),
        ("/classes/hit/response_us/p75", json!(1.0)),
        ("/classes/slow", json!({})),
        ("/statuses/ok", json!(1)),
        ("/load/vms", json!(0)),
        ("/load/arrivals", json!("sometimes")),
        ("/load/rate_target", json!(-1.0)),
        ("/load/rate_answered", Value::Null),
        ("/host/fingerprint", json!("a machine")),
    ] {
        let mut run = sound.clone();
        let (parent, name) = at.rsplit_once('/').unwrap();
        run.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
        assert!(!validator.is_valid(&run), "{at}");
    }
    let mut run = sound;
    run.as_object_mut().unwrap().remove("seed");
    assert!(!validator.is_valid(&run), "a field that every version writes is missing");
}
