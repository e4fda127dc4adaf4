//! Files of a gate for CI systems, and the examples of `docs/ci.md`.

use std::path::Path;
use std::process::Command;

use crate::{MINTBENCH, Project, TINY, document, gate, has_verdict_of_equals, script, stderr};

/// The elements and attributes of `junit-10.xsd` (Jenkins' xUnit plugin) that a gate writes.
const JUNIT_10: [(&str, &[&str]); 9] = [
    ("testsuites", &["name", "time", "tests", "failures", "errors"]),
    (
        "testsuite",
        &[
            "name",
            "tests",
            "failures",
            "errors",
            "group",
            "time",
            "skipped",
            "timestamp",
            "hostname",
        ],
    ),
    ("properties", &[]),
    ("property", &["name", "value"]),
    ("testcase", &["name", "time", "classname", "group"]),
    ("failure", &["type", "message"]),
    ("error", &["type", "message"]),
    ("skipped", &["type", "message"]),
    ("system-out", &[]),
];

/// Asserts that every element and attribute belongs to the schema.
pub(crate) fn is_of_the_schema(junit: &str) {
    let body = junit.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>").unwrap();
    for tag in body.split('<').skip(1).filter(|tag| !tag.starts_with('/')) {
        let (tag, _) = tag.split_once('>').unwrap();
        let (name, rest) = tag.split_once(' ').unwrap_or((tag, ""));
        let (_, known) =
            JUNIT_10.iter().find(|(known, _)| *known == name.trim_end_matches('/')).unwrap();
        // Every second piece between quotes is a value.
        for attribute in rest.split('"').step_by(2) {
            let attribute = attribute.trim().trim_end_matches(['=', '/']);
            assert!(attribute.is_empty() || known.contains(&attribute), "{attribute} in <{tag}>");
        }
    }
}

#[test]
fn files_for_ci_are_of_the_schema_and_hold_no_control_character_of_a_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let base = path("base\u{1b}[31m\r\u{202e}");
    std::os::unix::fs::symlink(MINTBENCH, &base).unwrap();
    let (out, junit, markdown) = (path("out"), path("junit.xml"), path("comment.md"));
    let files = ["--out", &out, "--junit", &junit, "--markdown", &markdown];
    let output = gate(&[&["--base", &base, "--metrics=cpu,hit.p99"][..], &TINY, &files].concat());
    has_verdict_of_equals(&output, &document(Path::new(&out)));
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    is_of_the_schema(&read(&junit));
    let printed = String::from_utf8(output.stdout).unwrap();
    let report = read(&path("out/report.html"));
    for text in [printed, read(&junit), read(&markdown), report] {
        assert!(!text.contains(['\u{1b}', '\r', '\u{202e}']), "{text:?}");
        assert!(text.contains("base\\u{1b}[31m\\r\\u{202e}"), "{text}");
    }
}

#[test]
fn a_required_p99_of_too_few_answers_leaves_the_gate_without_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, junit) = (path("out"), path("junit.xml"));
    let flags = ["--base", MINTBENCH, "--require=p99", "--out", &out, "--junit", &junit];
    let output = gate(&[&flags[..], &TINY].concat());
    let json = document(Path::new(&out));
    let sentence = json["sentence"].as_str().unwrap();
    assert_eq!(output.status.code(), Some(3), "{sentence}");
    assert!(sentence.starts_with("required, and could not be judged: hit.p99 ("), "{sentence}");
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("<error message=\"not judged: "), "{junit}");
    is_of_the_schema(&junit);
}

#[test]
fn a_path_in_an_error_message_commands_no_terminal() {
    let output = gate(&["--base=missing\u{1b}[31m"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("missing\\u{1b}[31m") && !said.contains('\u{1b}'), "{said:?}");
}

/// Returns the fenced block of `docs/ci.md` that begins with `start`.
fn example(start: &str) -> String {
    let text = std::fs::read_to_string("docs/ci.md").unwrap();
    let block = text.split("```").find(|block| block.starts_with(start)).unwrap();
    block.strip_prefix(start).unwrap().to_owned()
}

#[test]
fn the_workflow_of_the_docs_has_a_step_for_every_exit_code_and_only_a_pass_succeeds() {
    let workflow = example("yaml\n");
    assert!(
        workflow.contains("judge/mintbench gate --base judge/mintbench --candidate candidate/")
    );
    let steps: Vec<&str> = workflow.split("      - name: ").collect();
    for code in [0, 1, 2, 3, 4, 6] {
        let condition = format!("if: steps.gate.outputs.code == '{code}'");
        let step = steps.iter().find(|step| step.contains(&condition));
        let step = step.unwrap_or_else(|| panic!("no step for {code}"));
        assert_eq!(step.contains("exit 1"), code != 0, "{step}");
    }
    let others = steps.iter().find(|step| step.contains("if: ${{ !contains(")).unwrap();
    assert!(others.contains("exit 1"), "{others}");
}

#[test]
fn the_shell_script_of_the_docs_lets_the_base_judge_and_ends_with_the_exit_code_of_the_gate() {
    let project = Project::new();
    let commit = project.git(&["-C", "tree", "rev-parse", "HEAD"]);
    let script_path = project.folder.path().join("gate.sh");
    std::fs::write(&script_path, example("sh\n#!/bin/sh")).unwrap();
    // A build here is a script that records its path and its arguments.
    let body = format!(
        "target=${{CARGO_TARGET_DIR:-target}}\nmkdir -p \"$target/release\"\ncat >\"$target/release/mintbench\" <<EOF\n#!/bin/sh\n\
         echo \"$target \\$*\" >'{}'\nexit \\$CODE\nEOF\nchmod +x \"$target/release/mintbench\"",
        project.folder.path().join("called").display()
    );
    script(&project.folder.path().join("cargo"), &body);
    let search = std::env::var("PATH").unwrap();
    for code in [0, 1, 2, 3, 4, 6, 9] {
        let mut command = Command::new("sh");
        command.arg(&script_path).arg(commit.trim()).current_dir(project.tree());
        command.env("PATH", format!("{}:{search}", project.folder.path().display()));
        let output = command.env("CODE", code.to_string()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        let called = std::fs::read_to_string(project.folder.path().join("called")).unwrap();
        let judge = "target/judge/release/mintbench";
        let expected =
            format!("target/judge gate --base {judge} --candidate target/release/mintbench");
        assert!(called.starts_with(&expected), "{called}");
    }
    let trees = project.git(&["-C", "tree", "worktree", "list"]);
    assert_eq!(trees.lines().count(), 1, "{trees}");
}
