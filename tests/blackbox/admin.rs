//! The admin endpoint: everybody may read, and callers that know its secret may make changes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;

use crate::broker::{Answer, Broker};

fn ask(broker: &Broker, request: &str, headers: &str) -> Answer {
    let mut admin = broker.connect("admin");
    admin.send(format!("{request} HTTP/1.1\r\nContent-Length: 0\r\n{headers}\r\n").as_bytes());
    // The answer to HEAD states the length of a body that is not sent.
    let answer = if request.starts_with("HEAD ") { admin.read_head() } else { admin.read() };
    answer.unwrap()
}

fn keys(broker: &Broker) -> String {
    broker.connect("sts").get("/common/discovery/keys").text()
}

const CHANGES: [&str; 2] = ["POST /signing-keys/rotate", "POST /credentials/roll"];

#[test]
fn nobody_changes_anything_without_the_secret_and_everybody_may_read() {
    let broker = Broker::serve(&[]);
    let (before, secret) = (keys(&broker), fs::read_to_string(&broker.admin_secret).unwrap());
    let secret = secret.trim();
    let host = "Host: localhost\r\n";
    let others = ["PUT /metrics", "DELETE /healthz", "OPTIONS /", "POST /none"];
    for request in CHANGES.into_iter().chain(others) {
        for wrong in [
            String::new(),
            "x-mintbench-admin: true\r\n".to_owned(),
            "Authorization: Bearer\r\n".to_owned(),
            format!("Authorization: Basic {secret}\r\n"),
            format!("Authorization: Bearer {secret}x\r\n"),
            format!("Authorization: Bearer {}\r\n", &secret[1..]),
            format!("Authorization: Bearer {secret}\r\nAuthorization: Bearer x\r\n"),
        ] {
            let refused = ask(&broker, request, &format!("{host}{wrong}"));
            assert_eq!(refused.status, 401, "{request} {wrong}");
            assert_eq!(refused.headers["www-authenticate"], "Bearer");
            let text = refused.text();
            assert!(text.contains("`admin-secret`") && !text.contains(secret), "{text}");
            let path = broker.admin_secret.display().to_string();
            assert!(!text.contains(&path), "{text}");
        }
    }
    assert_eq!(keys(&broker), before);
    for path in ["/healthz", "/readyz", "/metrics", "/ca.pem"] {
        for method in ["GET", "HEAD"] {
            assert_eq!(ask(&broker, &format!("{method} {path}"), host).status, 200);
        }
    }
}

#[test]
fn whoever_knows_the_secret_changes_something_but_no_page_in_a_browser_does() {
    let broker = Broker::serve(&["--signing-key-min-distance", "0s"]);
    let (before, secret) = (keys(&broker), fs::read_to_string(&broker.admin_secret).unwrap());
    let proof = format!("authorization: bearer {}\r\n", secret.trim());
    for (headers, status) in
        [("Host: evil.example\r\n", 400), ("Host: localhost\r\nOrigin: http://localhost\r\n", 400)]
    {
        for request in CHANGES {
            let answer = ask(&broker, request, &format!("{headers}{proof}"));
            assert_eq!(answer.status, status, "{headers}");
        }
    }
    assert_eq!(keys(&broker), before);
    let host = "Host: localhost\r\n";
    for request in CHANGES {
        assert_eq!(ask(&broker, request, &format!("{host}{proof}")).status, 200);
    }
    assert_ne!(keys(&broker), before);
    let verb = ask(&broker, "PUT /metrics", &format!("{host}{proof}"));
    assert_eq!((verb.status, verb.headers["allow"].as_str()), (405, "GET, HEAD"));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_secret_that_is_not_kept_is_its_owners_and_goes_with_the_server() {
    let variables = ["XDG_RUNTIME_DIR", "TMPDIR"];
    for (signal, [named, other]) in
        [(Signal::TERM, variables), (Signal::INT, [variables[1], variables[0]])]
    {
        // The temporary folder of the broker fixture would not do, because it is removed with the
        // fixture.
        let above = tempfile::tempdir().unwrap();
        let broker = Broker::serve_with(&[], |command| {
            command.env(named, above.path()).env(other, "/nowhere");
        });
        let file = broker.admin_secret.clone();
        let folder = file.parent().unwrap();
        assert_eq!(folder.parent(), Some(above.path()));
        assert_eq!((mode(folder), mode(&file)), (0o700, 0o600));
        broker.signal(signal);
        assert_eq!(broker.wait().code(), Some(0));
        assert_eq!(fs::read_dir(above.path()).unwrap().count(), 0, "after {signal:?}");
    }
}

#[test]
fn a_data_folder_keeps_its_secret_and_another_start_has_another() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let secret = || {
        let broker = Broker::serve(&["--data", data.to_str().unwrap()]);
        assert_eq!(broker.admin_secret, data.join("admin.secret"));
        assert_eq!(mode(&broker.admin_secret), 0o600);
        assert_eq!(broker.post_admin("/credentials/roll").status, 200);
        fs::read_to_string(&broker.admin_secret).unwrap()
    };
    let first = secret();
    assert_eq!(secret(), first);
    fs::remove_file(data.join("admin.secret")).unwrap();
    assert_ne!(secret(), first);
}

#[test]
fn a_server_that_cannot_write_its_secret_serves_and_changes_nothing() {
    let broker = Broker::serve_with(&[], |command| {
        command.env("TMPDIR", "/nowhere").env("XDG_RUNTIME_DIR", "/nowhere");
    });
    assert_eq!(broker.admin_secret, Path::new(""));
    assert_eq!(broker.token("resource=https://vault.azure.net").status, 200);
    assert_eq!(ask(&broker, CHANGES[0], "Host: localhost\r\n").status, 401);
}
