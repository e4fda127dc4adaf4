//! `mintbench gate --count`: the work of builds of this very binary, and of a server that is none.
//!
//! The tests that count need Valgrind and are skipped without it. Counts hold beside a neighbour.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use mintbench::harness::document::count::Count;
use serde_json::Value;

use crate::{MINTBENCH, gate, read_valid, script, stderr};

fn has_valgrind() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Returns the count.json in `folder`, which must conform to its schema.
fn document(folder: &Path) -> Value {
    read_valid::<Count>(&folder.join("count.json"), "docs/schema/count-1.json")
}

fn count(args: &[&str]) -> Output {
    gate(&[&["--count"], args].concat())
}

fn metric<'a>(json: &'a Value, class: &str, work: &str) -> &'a Value {
    let metrics = json["metrics"].as_array().unwrap();
    let found = metrics.iter().find(|metric| metric["class"] == class && metric["work"] == work);
    found.unwrap_or_else(|| panic!("no {class}.{work}"))
}

#[test]
fn equal_builds_pass_and_every_form_says_the_same() {
    if !has_valgrind() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, junit, markdown) = (path("out"), path("junit.xml"), path("comment.md"));
    let files = ["--out", &out, "--junit", &junit, "--markdown", &markdown];
    // One count of each has no spread, so a debug build that is not repeatable to 0.3 % shows as it is.
    let allow = ["--counts=1", "--allow=instructions=5%,allocated-bytes=5%"];
    let temporary = tempfile::tempdir().unwrap();
    let mut command = Command::new(MINTBENCH);
    command.args(["gate", "--count", "--base", MINTBENCH]).args(allow).args(files);
    command.env("TMPDIR", temporary.path()).env_remove("XDG_RUNTIME_DIR");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", stderr(&output));
    let left = std::fs::read_dir(temporary.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "the counted brokers left {left:?}");
    let json = document(Path::new(&out));
    assert_eq!(json["verdict"], "pass", "{}", json["sentence"]);
    assert_eq!(json["metrics"].as_array().unwrap().len(), 15);
    for class in ["hit", "miss", "refused"] {
        let least = |work: &str| {
            let base = metric(&json, class, work)["base"].as_array().unwrap();
            assert_eq!(base.len(), 1, "{class}.{work}");
            base.iter().map(|count| count.as_f64().unwrap()).fold(f64::INFINITY, f64::min)
        };
        assert!(least("instructions") > 5000.0, "{json}");
        // Each request is read and answered.
        assert!(least("system-calls") >= 2.0, "{json}");
        assert!(least("written-bytes") > 200.0, "{json}");
        // The reader of token requests in front of hyper answers a hit without an allocation.
        assert_eq!(least("allocations") >= 0.5, class != "hit", "{json}");
    }
    let metrics = json["metrics"].as_array().unwrap();
    assert!(metrics.iter().all(|metric| metric["not_counted"].is_null()), "{json}");
    // A token takes a signature.
    let instructions = |class| metric(&json, class, "instructions")["base"][0].as_f64().unwrap();
    assert!(instructions("miss") > 5.0 * instructions("hit"), "{json}");

    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("verdict   PASS: covers instructions, "), "{text}");
    let junit = std::fs::read_to_string(junit).unwrap();
    assert!(junit.contains("<testcase name=\"hit.instructions\""), "{junit}");
    crate::ci::is_of_the_schema(&junit);
    let markdown = std::fs::read_to_string(markdown).unwrap();
    assert!(markdown.starts_with("### mintbench gate --count: pass"), "{markdown}");
    assert!(markdown.contains("| miss "), "{markdown}");
}

/// A server in Python: it answers after it has made one system call more for each dot in its name.
const SERVER: &str = r"
import os, socket, sys
server = socket.create_server(('127.0.0.1', int(sys.argv[1])))
while True:
    peer, _ = server.accept()
    while request := peer.recv(65536):
        for _ in range(int(sys.argv[2])):
            os.getppid()
        peer.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
";

/// Writes a server that makes `calls` calls for each request.
fn server(folder: &Path, name: &str, calls: u32) -> String {
    let path = folder.join(name);
    script(&path, "exit 9");
    std::fs::write(&path, SERVER.replace("int(sys.argv[2])", &calls.to_string())).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn one_system_call_more_fails_for_a_server_of_any_kind() {
    if !has_valgrind() || !Path::new("/usr/bin/python3").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (base, more) = (server(folder.path(), "base", 1), server(folder.path(), "more", 2));
    let command =
        ["--command=/usr/bin/python3 {program} {port}", "--url=http://127.0.0.1:{port}/a"];
    for (candidate, code, allow, counts) in [
        (&more, 1, "system-calls=0", 1),
        (&base, 0, "system-calls=0", 2),
        (&more, 0, "system-calls=1", 1),
    ] {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("out");
        let sides = ["--base", &base, "--candidate", candidate, "--out", folder.to_str().unwrap()];
        let rules =
            ["--allow=instructions=50%,allocations=9,allocated-bytes=50%", "--allow", allow];
        // Two counts of each are the default.
        let once = ["--counts=1"];
        let times = if counts == 1 { &once[..] } else { &[] };
        let output = count(&[&sides[..], &rules, times, &command].concat());
        let json = document(&folder);
        assert_eq!(output.status.code(), Some(code), "{} {}", stderr(&output), json["sentence"]);
        let calls = metric(&json, "all", "system-calls");
        assert_eq!(calls["base"].as_array().map(Vec::len), Some(counts), "{calls}");
        let expected = if candidate == &more { 1.0 } else { 0.0 };
        assert!((calls["change"].as_f64().unwrap() - expected).abs() < 0.2, "{calls}");
        assert_eq!(metric(&json, "all", "written-bytes")["base"][0], 40.0);
    }
}

#[test]
fn a_server_whose_work_another_process_does_is_not_compared() {
    if !has_valgrind() || !Path::new("/usr/bin/python3").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let forks = server(folder.path(), "forks", 0);
    let text = std::fs::read_to_string(&forks).unwrap();
    // A child answers, and the process that was started waits for it.
    let text = text.replace("while True:", "if os.fork():\n    os.wait()\nwhile True:");
    std::fs::write(&forks, text).unwrap();
    let sides = ["--counts=1", "--base", &forks, "--candidate", &forks];
    let command = ["--command=/usr/bin/python3 {program} {port}", "--url=http://127.0.0.1:{port}/"];
    let out = folder.path().join("out");
    let output = count(&[&sides[..], &command, &["--out", out.to_str().unwrap()]].concat());
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let json = document(&out);
    assert_eq!(json["verdict"], "invalid");
    let instructions = metric(&json, "all", "instructions");
    assert_eq!(instructions["not_counted"], "below 1 for each request in the base and candidate");
    let note = json["notes"].to_string();
    assert!(note.contains("other processes that the base and candidate started are not"), "{note}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("INVALID: cannot tell, because another process"), "{text}");
    assert!(text.contains("without a shell, a supervisor or workers"), "{text}");
}

#[test]
fn a_candidate_that_answers_wrongly_fails_and_such_a_base_is_no_base() {
    if !has_valgrind() || !Path::new("/usr/bin/python3").exists() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let good = server(folder.path(), "good", 0);
    let bad = server(folder.path(), "bad", 0);
    let text = std::fs::read_to_string(&bad).unwrap().replace("200 OK", "500 No");
    std::fs::write(&bad, text).unwrap();
    let command = ["--command=/usr/bin/python3 {program} {port}", "--url=http://127.0.0.1:{port}/"];
    for (base, candidate, code) in [(&good, &bad, 1), (&bad, &good, 4)] {
        let output = count(&[&["--base", base, "--candidate", candidate], &command[..]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("a request of class `all` was answered with 500"), "{text}");
    }
}

#[test]
fn what_cannot_be_counted_is_refused_before_it_starts() {
    let base = ["--base", MINTBENCH];
    let sides = ["--base", MINTBENCH, "--candidate", MINTBENCH];
    let url = "--url=http://127.0.0.1:{port}/";
    for (args, message) in [
        (&[&base[..], &["--allow=speed=1%"]].concat()[..], "`speed` is not counted"),
        (&[&base[..], &["--allow=instructions"]].concat(), "write it like instructions=0.5%"),
        (&[&base[..], &["--rate=5"]].concat(), "cannot be used with"),
        (&[&base[..], &["--counts=0"]].concat(), "--counts"),
        (&[&base[..], &["--command={program} {port}"]].concat(), "--url"),
        (&[&sides[..], &["--command={program}", url]].concat(), "has to contain `{port}`"),
        (&[&sides[..], &["--command=x {port}", url]].concat(), "has to contain `{program}`"),
        (&[&sides[..], &["--command={program} {port} '", url]].concat(), "quote"),
        (
            &[&sides[..], &["--command={program} {port}", "--url=https://127.0.0.1:{port}/"]]
                .concat(),
            "over TLS",
        ),
    ] {
        let output = count(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(message), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_build_that_is_not_there_is_named() {
    if !has_valgrind() {
        return;
    }
    let output = count(&["--base=target/no-such-file"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot find the base"), "{}", stderr(&output));
}

#[test]
fn without_valgrind_the_gate_says_how_to_install_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(MINTBENCH);
    command.args(["gate", "--count", "--base", MINTBENCH]).env("PATH", folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("apt-get install valgrind"), "{}", stderr(&output));
}
