//! The log of refused requests: one line each, with the reason and without secrets.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;

use crate::broker::{Broker, log_with, poll};

const TENANT: &str = "72f988bf-0000-4000-8000-000000000001";

fn serve(folder: &Path, level: &str) -> Broker {
    let log = File::create(folder.join("log")).unwrap();
    Broker::serve_with(&["--vm-extension", "127.0.0.1:0"], |command| {
        command.env("MINTBENCH_LOG", level).stderr(log);
    })
}

/// Returns the log lines of refusals so far.
fn lines(folder: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(folder.join("log")).unwrap();
    log.lines().filter(|line| line.contains("was refused")).map(str::to_owned).collect()
}

/// Sends a request with secrets in every place that may hold one.
fn ask(broker: &Broker, surface: &str, target: &str) -> u16 {
    let mut connection = broker.connect(surface);
    let body = "grant_type=client_credentials&client_id=a0000000-0000-4000-8000-00000000000a&client_secret=hunter2&resource=https%3A%2F%2Fvault.azure.net";
    let (method, sign_in) = match surface {
        "sts" => ("POST", ""),
        _ => ("GET", "Authorization: Bearer hunter2.hunter2.hunter2\r\n"),
    };
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{sign_in}X-Secret: hunter2\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.send(head.as_bytes());
    connection.read().unwrap().status
}

#[test]
fn a_vm_of_a_world_file_without_an_address_answers_nobody_and_is_named_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world.toml");
    let subscription = "5ab5c1de-0000-4000-8000-000000000001";
    let text = format!(
        "[[tenants]]\nid = '{TENANT}'\n[[subscriptions]]\nid = '{subscription}'\ntenant = '{TENANT}'\n[[vms]]\nname = 'lonely'\nsubscription = '{subscription}'\nresource_group = 'demo'\nsystem_assigned = true\n"
    );
    std::fs::write(&world, text).unwrap();
    let log = File::create(folder.path().join("log")).unwrap();
    let broker = Broker::serve_with(&["--world", world.to_str().unwrap()], |command| {
        command.stderr(log);
    });
    let mut connection = broker.connect("imds");
    connection.send(b"GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata: true\r\n\r\n");
    assert_eq!(connection.read().unwrap().status, 403);
    let log = log_with(&folder.path().join("log"), "has no address");
    assert!(log.contains("lonely"), "{log}");
}

#[test]
fn every_surface_logs_a_refusal_with_its_reason_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let broker = serve(folder.path(), "info");
    let asked = [
        (
            "imds",
            "/metadata/identity/oauth2/token?code=hunter2",
            400,
            "Required metadata header not specified",
        ),
        (
            "vm-extension",
            "/oauth2/token?code=hunter2",
            400,
            "Required metadata header not specified",
        ),
        (
            "sts",
            &format!("/{TENANT}/oauth2/token?code=hunter2"),
            400,
            "was not found in the directory",
        ),
        ("arm", "/subscriptions?api-version=2022-12-01&code=hunter2", 401, "token"),
        ("vault", "/secrets/db?api-version=7.4&code=hunter2", 400, "this endpoint speaks https"),
        ("admin", "/nothing?code=hunter2", 404, "Not Found"),
    ];
    for (surface, target, status, _) in asked {
        assert_eq!(ask(&broker, surface, target), status, "{surface}");
    }
    let lines = poll(|| Some(lines(folder.path())).filter(|lines| lines.len() >= asked.len()));
    for (surface, target, status, reason) in asked {
        let path = target.split('?').next().unwrap();
        let of = |line: &&String| line.contains(&format!("surface=\"{surface}\""));
        let [line] = lines.iter().filter(of).collect::<Vec<_>>()[..] else {
            panic!("{surface}: {lines:#?}")
        };
        for part in
            [&format!("status={status}"), reason, &format!(" path={path} "), "peer=127.0.0.1:"]
        {
            assert!(line.contains(part), "`{part}` is not in: {line}");
        }
    }
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(!log.contains("hunter2"), "{log}");
}

#[test]
fn what_is_no_request_is_logged_and_cannot_forge_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let broker = serve(folder.path(), "info");
    let mut connection = broker.connect("imds");
    connection.send(b"nonsense\r\n\r\n");
    assert_eq!(connection.read().unwrap().status, 400);
    let mut connection = broker.connect("vault");
    connection.send(b"\x16\x03\x01\x00\x02no");
    connection.read();
    let forged = "/metadata/x%0a2026-01-01T00:00:00Z%20INFO%20forged";
    assert_eq!(broker.imds(forged).status, 404);
    let lines = poll(|| Some(lines(folder.path())).filter(|lines| lines.len() == 3));
    assert!(lines.iter().all(|line| line.contains(" INFO ")), "{lines:#?}");
    let connections = lines.iter().filter(|line| line.contains("a connection was refused"));
    assert_eq!(connections.count(), 2, "{lines:#?}");
}

#[test]
fn a_flood_of_refusals_is_cut_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let broker = serve(folder.path(), "info");
    let mut connection = broker.connect("imds");
    for _ in 0..3000 {
        assert_eq!(connection.get("/metadata/none").status, 404);
    }
    let count = poll(|| Some(lines(folder.path()).len()).filter(|count| *count >= 900));
    // Each second of the flood adds one line, and no machine takes half an hour for the flood.
    assert!(count < 2800, "{count} lines");
    let counted = poll(|| {
        connection.get("/metadata/none");
        let lines = lines(folder.path());
        lines.iter().find(|line| !line.contains(" left_out=0 ")).cloned()
    });
    assert!(counted.contains("left_out="), "{counted}");
}

#[test]
fn nothing_of_a_refusal_is_logged_unless_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let broker = serve(folder.path(), "");
    assert_eq!(broker.imds("/metadata/none").status, 404);
    drop(broker);
    assert_eq!(lines(folder.path()), [] as [String; 0]);
}

#[test]
fn a_log_that_nobody_reads_delays_no_request_and_no_stop() {
    let broker = Broker::serve_with(&[], |command| {
        // The test keeps the other end, and reads nothing.
        command.env("MINTBENCH_LOG", "trace").stderr(Stdio::piped());
    });
    // A pipe takes 64 KiB. Each connection and each request is a line, or several.
    for _ in 0..1000 {
        assert_eq!(broker.imds("/nothing").status, 404);
    }
    assert_eq!(broker.token("resource=https://vault.azure.net").status, 200);
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(0));
}
