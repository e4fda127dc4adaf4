//! Outputs are checked before the work, and a command that fails to start leaves no file behind.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use crate::broker::{Broker, mintbench};

/// Returns the names of everything below a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            names.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    names.sort();
    names
}

fn refused(folder: &Path, args: &[&str]) -> String {
    let output: Output = mintbench().current_dir(folder).args(args).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    said
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_the_work_and_leaves_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    let run = [
        "run",
        "-q",
        "--target",
        &target,
        "--rate=20",
        "--duration=1s",
        "--warmup=0s",
        "--pacer-test=0s",
    ];
    let gate = ["gate", "--base", env!("CARGO_BIN_EXE_mintbench"), "--pairs=2"];
    let plan = ["plan", "--fleet", "fleet.toml", "--quick"];
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("fleet.toml"), "[fleet]\nvms = 1\n[nodes]\ncores = 1\n").unwrap();
    fs::write(folder.path().join("other.csv"), "when,what\n1,2\n").unwrap();
    fs::create_dir(folder.path().join("mine")).unwrap();
    fs::write(folder.path().join("mine/thesis.txt"), "years of work").unwrap();
    let before = names(folder.path());
    for (work, output, expected) in [
        (&run[..], "--out-json=none/x.json", "there is no folder for --out-json `none/x.json`"),
        (&run, "--out-csv=none/x.csv", "there is no folder for --out-csv"),
        (&run, "--out-csv=other.csv", "`other.csv` has other columns"),
        (&run, "--out-csv=mine", "--out-csv `mine` is a folder; name a file"),
        (&run, "--out=mine", "`mine` holds `thesis.txt`, which mintbench did not write"),
        (&run, "--out=other.csv/x", "cannot write to the folder `other.csv/x`"),
        (&gate, "--junit=none/x.xml", "there is no folder for --junit"),
        (&gate, "--markdown=none/x.md", "there is no folder for --markdown"),
        (&gate, "--out=mine", "`mine` holds `thesis.txt`"),
        (&plan, "--out=mine", "`mine` holds `thesis.txt`"),
        (
            &["compare", "/nowhere", "/nowhere"],
            "--html=none/x.html",
            "there is no folder for --html",
        ),
        (&["merge", "/nowhere"], "--out=mine", "`mine` holds `thesis.txt`"),
        (&["report", "/nowhere"], "--out-json=none/x", "there is no folder for --out-json"),
        (&["report", "/nowhere"], "--out-csv=none/x", "there is no folder for --out-csv"),
    ] {
        let said = refused(folder.path(), &[work, &[output]].concat());
        assert!(said.contains(expected), "{output}: {said}");
        assert_eq!(names(folder.path()), before, "{output}");
    }
    assert!(listener.accept().is_err(), "the target was asked before the outputs were checked");
}

#[test]
fn a_run_that_does_not_start_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = format!("--metrics={}", taken.local_addr().unwrap());
    let run = [
        "run",
        "-q",
        "--target=http://127.0.0.1:1",
        "--rate=20",
        "--duration=1s",
        "--pacer-test=0s",
    ];
    for out in [&["--out=a/b"][..], &[]] {
        let said = refused(folder.path(), &[&run[..], &[&metrics], out].concat());
        assert!(said.contains("cannot serve metrics"), "{said}");
        assert_eq!(names(folder.path()), [] as [String; 0]);
    }
    let said = refused(folder.path(), &["gate", "--base=/nowhere", "--out=a/b"]);
    assert!(said.contains("/nowhere"), "{said}");
    let said = refused(folder.path(), &["merge", "/nowhere", "--out=a/b"]);
    assert!(said.contains("/nowhere"), "{said}");
    assert_eq!(names(folder.path()), [] as [String; 0]);
}

const PORTS: [&str; 5] = [
    "--imds=127.0.0.1:0",
    "--sts=127.0.0.1:0",
    "--arm=127.0.0.1:0",
    "--vault=127.0.0.1:0",
    "--admin=127.0.0.1:0",
];

#[test]
fn a_server_that_does_not_start_leaves_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("--vm-extension={}", taken.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bad.toml"), "[[tenants]]\nid = 'x'\n").unwrap();
    fs::create_dir(folder.path().join("old")).unwrap();
    fs::write(folder.path().join("old/notes.txt"), "mine").unwrap();
    let before = names(folder.path());
    for data in ["--data=new", "--data=new/deep/er", "--data=old"] {
        for fault in [
            "--world=bad.toml",
            "--world=none.toml",
            &taken,
            "--trust-credential-issuer=none.pem",
            "--token-source-ca=none.pem",
        ] {
            let source: &[&str] = if fault.contains("source-ca") {
                &["--token-source=https://127.0.0.1:1"]
            } else {
                &[]
            };
            refused(folder.path(), &[&["serve", data, fault][..], source, &PORTS].concat());
            assert_eq!(names(folder.path()), before, "{data} {fault}");
        }
    }
}

#[test]
fn a_failed_start_changes_nothing_in_a_folder_with_a_world() {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("--data={}", folder.path().join("data").display());
    let broker = Broker::serve(&[&data]);
    let held = names(folder.path());
    let said = refused(folder.path(), &[&["serve", &data][..], &PORTS].concat());
    assert!(said.contains("another mintbench serves from"), "{said}");
    assert_eq!(names(folder.path()), held, "while another server has the folder");
    drop(broker);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("--vm-extension={}", taken.local_addr().unwrap());
    refused(folder.path(), &[&["serve", &data, &taken][..], &PORTS].concat());
    assert_eq!(names(folder.path()), held);
}
