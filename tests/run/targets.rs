//! Targets other than IMDS: the requests they receive, byte by byte, and the counted results.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::scripted::{Pieces, Request, Scripted, whole};
use crate::{Run, run, write_secret};

/// Runs briefly against `target` with these flags.
fn short(target: &str, args: &[&str]) -> Run {
    let fixed = ["--warmup=0s", "--rate=100", "--duration=1s", "--arrivals=constant"];
    run(&[&["--target", target], &fixed[..], args].concat())
}

fn refused(args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = command(args).envs(variables.iter().copied()).output().unwrap();
    let stderr = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    stderr
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mintbench"));
    command.arg("run").args(args).args(["--out", "target/never"]);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts a server that answers only this request, and any other with status 400.
fn strict(line: &'static str, headers: &'static [&'static str], answer: Pieces) -> Scripted {
    Scripted::serve(move |request| {
        // The first header is `Host`, whose port differs each time.
        if request.line == line && request.headers[1..] == *headers {
            answer.clone()
        } else {
            whole("400 Bad Request", "")
        }
    })
}

#[test]
fn the_metadata_server_of_gce_is_asked_as_it_wants_to_be() {
    let server = strict(
        "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1",
        &["Metadata-Flavor: Google"],
        whole(
            "200 OK",
            r#"{"access_token":"ya29.opaque","expires_in":3599,"token_type":"Bearer"}"#,
        ),
    );
    let run = short(&format!("http://{}", server.authority), &["--protocol=gce"]);
    run.has_result();
    assert_eq!(run.json["statuses"]["200"], 100, "{}", run.json["statuses"]);
    assert_eq!((run.count("all"), server.count("GET")), (100, 100));
    assert_eq!(run.json["target"], format!("gce+http://{}", server.authority));
    // The token is opaque.
    assert_eq!(run.json["verified"]["bad_signature"], Value::Null);
    assert_eq!(server.asked()[0].headers[0], format!("Host: {}", server.authority));
}

#[test]
fn app_service_is_shown_its_secret_from_a_file_or_the_environment() {
    let server = strict(
        "GET /MSI/token/?api-version=2019-08-01&resource=https%3A%2F%2Fmanagement%2Eazure%2Ecom%2F HTTP/1.1",
        &["X-IDENTITY-HEADER: 853b9a84"],
        whole("200 OK", r#"{"access_token":"x","expires_on":"1"}"#),
    );
    let target = format!("app-service+http://{}/MSI/token/", server.authority);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("header");
    write_secret(&file, "853b9a84\n");
    let run = short(&target, &["--identity-header-file", file.to_str().unwrap()]);
    run.has_result();
    assert_eq!(run.json["statuses"]["200"], 100, "{:?}", server.asked().first());

    let out = folder.path().join("out");
    let args = ["--warmup=0s", "--duration=500ms", "--rate=50", "--arrivals=constant", "--json"];
    let output = Command::new(env!("CARGO_BIN_EXE_mintbench"))
        .args(["run", "--target", &target, "--out", out.to_str().unwrap()])
        .args(args)
        .env("MINTBENCH_RUN_IDENTITY_HEADER", "853b9a84")
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["statuses"]["200"], 25, "{json}");
}

#[test]
fn a_secret_that_others_can_read_is_refused_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    write_secret(&file, "hush");
    let path = file.to_str().unwrap();
    let header = format!("--header=@{path}");
    let (app_service, oauth2) = ("app-service+http://127.0.0.1:1", "oauth2+http://127.0.0.1:1/t");
    for (target, args) in [
        (app_service, &["--identity-header-file", path][..]),
        (oauth2, &["--client-id=a", "--client-secret-file", path]),
        (oauth2, &["--client-id=a", "--client-certificate", path]),
        (oauth2, &["--client-id=a", "--client-certificate=/no", "--client-key", path]),
        ("get+http://127.0.0.1:1", &[&header]),
    ] {
        let args = [&["--target", target], args].concat();
        let said = |folder_mode: u32, mode: u32, flag: &[&str]| {
            for (path, mode) in [(folder.path(), folder_mode), (&file, mode)] {
                std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            }
            let output = command(&[&args[..], flag].concat()).output().unwrap();
            assert_eq!(output.status.code(), Some(2));
            stderr(&output)
        };
        let fix = format!("run `chmod 600 {path}`");
        let flag = ["--allow-group-read"];
        assert!(said(0o755, 0o644, &[]).contains(&fix), "{args:?}");
        assert!(said(0o755, 0o640, &[]).contains(flag[0]), "{args:?}");
        assert!(said(0o755, 0o644, &flag).contains("`chmod o-rwx "), "{args:?}");
        // The permissions are accepted. The run then fails because of the file's content, or
        // because nobody listens.
        for taken in [said(0o755, 0o600, &[]), said(0o755, 0o640, &flag), said(0o700, 0o644, &[])] {
            assert!(!taken.contains("chmod"), "{taken}");
        }
    }
}

/// Starts an EC2 metadata service whose sessions each answer `gets_per_session` requests.
fn aws(gets_per_session: u64) -> Scripted {
    let (sessions, gets) = (AtomicU64::new(0), AtomicU64::new(0));
    Scripted::serve(move |Request { line, headers, .. }| {
        let other: Vec<&str> = headers[1..].iter().map(String::as_str).collect();
        let session = sessions.load(Ordering::SeqCst);
        match line.as_str() {
            "PUT /latest/api/token HTTP/1.1" => {
                let wanted = ["X-aws-ec2-metadata-token-ttl-seconds: 21600", "Content-Length: 0"];
                assert_eq!(other, wanted);
                let session = sessions.fetch_add(1, Ordering::SeqCst) + 1;
                gets.store(0, Ordering::SeqCst);
                whole("200 OK", &format!("AQAEA{session}=="))
            }
            "GET /latest/meta-data/iam/security-credentials/web HTTP/1.1" => {
                let right = other == [format!("X-aws-ec2-metadata-token: AQAEA{session}==")];
                if right && gets.fetch_add(1, Ordering::SeqCst) < gets_per_session {
                    whole(
                        "200 OK",
                        r#"{"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"s","Token":"t"}"#,
                    )
                } else {
                    whole("401 Unauthorized", "")
                }
            }
            line => panic!("{line}"),
        }
    })
}

#[test]
fn a_session_is_opened_before_the_run_and_is_none_of_its_requests() {
    let server = aws(u64::MAX);
    let target = format!("aws+http://{}", server.authority);
    let run = short(&target, &["--role=web", "--connections=1"]);
    run.has_result();
    assert_eq!(run.json["statuses"]["200"], 100, "{}", run.json["statuses"]);
    assert_eq!((run.count("all"), server.count("GET"), server.count("PUT")), (100, 100, 1));
    assert!(!run.json["notes"].to_string().contains("sessions"), "{}", run.json["notes"]);
}

#[test]
fn a_session_that_has_ended_is_opened_anew_before_the_next_request() {
    let server = aws(9);
    let target = format!("aws+http://{}", server.authority);
    let run = short(&target, &["--role=web", "--connections=1", "--max-errors=0.2"]);
    run.has_result();
    // Of every ten requests, nine are answered and the tenth finds that the session has ended.
    let statuses = &run.json["statuses"];
    assert_eq!((&statuses["200"], &statuses["401"]), (&90.into(), &10.into()), "{statuses}");
    assert_eq!((server.count("GET"), server.count("PUT")), (100, 10));
    assert!(run.json["notes"].to_string().contains("9 sessions were opened anew"), "{}", run.json);
}

#[test]
fn a_server_that_opens_no_session_is_refused_before_the_run() {
    let server = Scripted::serve(|_| whole("403 Forbidden", ""));
    let error = refused(&["--target", &format!("aws+http://{}/path", server.authority)], &[]);
    assert!(error.contains("opens no session: status 403"), "{error}");
}

/// Returns a chunked answer after an interim answer, in pieces of three bytes.
fn dribbled() -> Pieces {
    let answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: y\r\n\r\n";
    answer.as_bytes().chunks(3).map(<[u8]>::to_vec).collect()
}

#[test]
fn answers_in_chunks_are_read_to_their_end_and_the_connection_goes_on() {
    let server = strict("GET /a?b=c HTTP/1.1", &["Accept: text/plain", "X-Key: k"], dribbled());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headers");
    write_secret(&file, "X-Key: k\n\n");
    let from_file = format!("--header=@{}", file.display());
    let target = format!("get+http://{}/a?b=c", server.authority);
    let run = short(&target, &["--header=Accept: text/plain", &from_file, "--connections=2"]);
    run.has_result();
    assert_eq!(run.json["statuses"]["200"], 100, "{}", run.json["statuses"]);
    assert_eq!(run.json["load"]["reconnects"], 0);
}

#[test]
fn answers_that_end_with_their_connection_are_whole() {
    let answer = vec![b"HTTP/1.0 200 OK\r\n\r\nso".to_vec(), b"me text".to_vec()];
    let server = strict("GET / HTTP/1.1", &[], answer);
    let run = short(&format!("get+http://{}", server.authority), &["--connections=4"]);
    run.has_result();
    assert_eq!(run.json["statuses"]["200"], 100, "{}", run.json["statuses"]);
    // The first request of each connection used the connection made before the load.
    assert_eq!(run.json["load"]["reconnects"], 96);
}

#[test]
fn any_success_counts_for_a_plain_get_and_only_a_token_for_the_others() {
    let server = Scripted::serve(|_| whole("204 No Content", ""));
    let plain = short(&format!("get+http://{}", server.authority), &[]);
    plain.has_result();
    assert_eq!(
        (&plain.json["statuses"]["204"], &plain.json["classes"]["all"]["errors"]),
        (&100.into(), &0.into())
    );
    let token = short(&format!("gce+http://{}", server.authority), &[]);
    assert_eq!(token.json["causes"], serde_json::json!({ "status 204": 100 }));
    assert_eq!(token.output.status.code(), Some(1), "{}", token.json["checks"]);
}

#[test]
fn a_url_alone_is_measured_by_plain_gets_with_the_short_flags_of_other_tools() {
    let server = strict("GET /a?b=C HTTP/1.1", &["X: y"], whole("200 OK", "ok"));
    let url = format!("HTTP://{}/a?b=C", server.authority);
    let short = ["-d", "1s", "-c", "2", "-r", "100", "--warmup=0s", "--arrivals=constant"];
    let measured = run(&[&[&url, "--header=X: y"], &short[..]].concat());
    measured.has_result();
    assert_eq!(measured.json["statuses"]["200"], 100, "{:?}", server.asked().first());
    let load = &measured.json["load"];
    assert_eq!((&load["connections"], &load["duration_s"]), (&2.into(), &1.0.into()));
    assert_eq!(load["target_address"], server.authority);
    assert_eq!(load["target_other_addresses"], serde_json::json!([]));
    assert_eq!(measured.json["target"], format!("get+http://{}/a", server.authority));
    assert_eq!(measured.json["scenario"], "steady");
}

#[test]
fn a_url_alone_takes_a_protocol_and_names_the_one_of_its_path() {
    let server = Scripted::serve(|_| whole("200 OK", r#"{"access_token":"x"}"#));
    let url = format!("http://{}/metadata/identity/oauth2/token", server.authority);
    let fixed = ["--warmup=0s", "--rate=50", "--duration=500ms", "--arrivals=constant"];
    let plain = run(&[&[url.as_str()], &fixed[..]].concat());
    plain.has_result();
    for text in [plain.json["notes"].to_string(), plain.stderr()] {
        assert!(text.contains("add --protocol imds"), "{text}");
    }
    assert_eq!(server.asked()[0].line, "GET /metadata/identity/oauth2/token HTTP/1.1");
    for args in [&[&url, "--protocol=IMDS"][..], &[&format!("Imds+{url}")]] {
        let asked = run(&[args, &fixed].concat());
        asked.has_result();
        assert_eq!(asked.json["target"], url, "{args:?}");
    }
}

#[test]
fn a_target_that_gives_nothing_gets_a_hint() {
    for (prefix, status, hint) in [
        ("", "404 Not Found", "write get+URL for a plain GET, or name another --protocol"),
        ("gce+", "405 Method Not Allowed", "no token by the protocol `gce`"),
        ("get+", "302 Found", "redirects are not followed"),
    ] {
        let server = Scripted::serve(move |_| whole(status, ""));
        let run = short(&format!("{prefix}http://{}", server.authority), &[]);
        assert_eq!(run.output.status.code(), Some(1), "{}", run.stderr());
        assert!(run.json["notes"].to_string().contains(hint), "{status}: {}", run.json["notes"]);
    }
}

#[test]
fn a_good_status_without_a_token_is_an_error_of_every_protocol_that_has_one() {
    let secret = [("MINTBENCH_RUN_IDENTITY_HEADER", "x"), ("MINTBENCH_RUN_CLIENT_SECRET", "x")];
    for (protocol, path, args) in [
        ("imds", "", &[][..]),
        ("app-service", "", &[]),
        ("gce", "", &[]),
        ("oauth2", "/token", &["--client-id=me"]),
        ("aws", "/credentials", &[]),
    ] {
        let server = Scripted::serve(|request| {
            let opens = request.line.starts_with("PUT");
            whole("200 OK", if opens { "session" } else { r#"{"error":"invalid_client"}"# })
        });
        let folder = tempfile::tempdir().unwrap();
        let target = format!("{protocol}+http://{}{path}", server.authority);
        let output = Command::new(env!("CARGO_BIN_EXE_mintbench"))
            .args(["run", "--target", &target, "--rate=50", "--duration=500ms", "--warmup=0s"])
            .args(["--arrivals=constant", "--json", "--out"])
            .arg(folder.path().join("run"))
            .args(args)
            .envs(secret)
            .output()
            .unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["causes"], serde_json::json!({ "no token": 25 }), "{protocol}");
        assert_eq!(json["classes"]["error"]["count"], 25, "{protocol}");
        assert_eq!(json["classes"]["all"], Value::Null, "{protocol}");
        assert_eq!(output.status.code(), Some(1), "{protocol}: {}", json["checks"]);
    }
}

#[test]
fn what_a_plain_get_expects_decides_what_is_good() {
    let server = Scripted::serve(|request| {
        if request.line.contains("/empty") {
            whole("204 No Content", "")
        } else {
            whole("200 OK", "the service is up")
        }
    });
    let target = |path: &str| format!("get+http://{}{path}", server.authority);
    let good = short(&target("/"), &["--expect=status=200", "--expect=body=is up"]);
    good.has_result();
    assert_eq!((good.count("all"), &good.json["causes"]), (100, &serde_json::json!({})));
    let other = short(&target("/empty"), &["--expect=status=200"]);
    assert_eq!(other.json["causes"], serde_json::json!({ "status 204": 100 }));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("target.toml");
    std::fs::write(&file, format!("target = '{}'\nexpect = ['body=down']\n", target("/"))).unwrap();
    let missing = short(file.to_str().unwrap(), &[]);
    assert_eq!(missing.json["causes"], serde_json::json!({ "expected text missing": 100 }));
    assert_eq!(missing.output.status.code(), Some(1), "{}", missing.json["checks"]);
}

#[test]
fn percentiles_hold_good_answers_only_and_objectives_count_the_others_against_the_target() {
    let number = AtomicU64::new(0);
    let server = Scripted::serve(move |_| {
        if number.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            std::thread::sleep(std::time::Duration::from_millis(40));
            whole("200 OK", "{}")
        } else {
            whole("503 Service Unavailable", "")
        }
    });
    let target = format!("get+http://{}", server.authority);
    let args = ["--max-errors=0.9", "--connections=16", "--slo=p30<10s,all.p75<10s,error.p50<10s"];
    let run = short(&target, &args);
    assert_eq!((run.count("all"), run.count("error")), (50, 50));
    assert!(run.us("response_us", "p50") >= 40_000.0, "{}", run.json["classes"]);
    let met: Vec<&Value> = run.json["slo"].as_array().unwrap().iter().map(|s| &s["met"]).collect();
    assert_eq!(met, [&Value::from(true), &Value::from(false), &Value::from(true)]);
}

#[test]
fn a_target_that_is_not_wholly_described_is_refused_and_says_what_is_missing() {
    let to = |target: &'static str| ["--target", target];
    for (target, args, message) in [
        ("aws+http://127.0.0.1:1", &[][..], "--role NAME"),
        ("app-service+http://127.0.0.1:1", &[], "--identity-header-file FILE"),
        ("oauth2+http://127.0.0.1:1", &[], "path of the token endpoint"),
        ("oauth2+http://127.0.0.1:1/t", &[], "--client-id ID"),
        ("oauth2+http://127.0.0.1:1/t", &["--client-id=a"], "--client-secret-file FILE"),
        (
            "oauth2+http://127.0.0.1:1/t",
            &["--client-id=a", "--client-certificate=/no"],
            "cannot read `/no`",
        ),
        ("oauth2+http://127.0.0.1:1/t", &["--protocol=gce"], "are two"),
        ("gce+http://127.0.0.1:1", &["--client-id=a"], "--client-id is of no use"),
        ("gce+http://127.0.0.1:1", &["--jwks=http://127.0.0.1:1"], "--jwks is of no use"),
        ("gce+http://127.0.0.1:1", &["--user-assigned=1"], "--user-assigned is of no use"),
        ("get+http://127.0.0.1:1", &["--header=nonsense"], "Name: value"),
        ("get+http://127.0.0.1:1", &["--expect=fine"], "status=CODE or body=TEXT"),
        ("gce+http://127.0.0.1:1", &["--expect=status=200"], "--expect is of no use"),
        ("get+http://127.0.0.1:1", &["--header=Content-Length: 1"], "generator's to set"),
        ("http://127.0.0.1:1", &["http://127.0.0.1:2"], "are two targets; leave one out"),
        ("get+http://127.0.0.1:1", &["--client-auth=basic"], "--client-auth is of no use"),
        (
            "oauth2+http://127.0.0.1:1/t",
            &["--client-id=a", "--client-certificate=/no", "--client-auth=post"],
            "--client-auth says how a secret is sent",
        ),
        ("ldap+http://127.0.0.1:1", &[], "is not a protocol; use one of"),
        ("/no.toml", &[], "the target file cannot be used: cannot read `/no.toml`: No such file"),
        (
            "http://127.0.0.1:1",
            &["--ca=Cargo.toml"],
            "cannot trust the authorities of `Cargo.toml`",
        ),
    ] {
        let error = refused(&[&to(target)[..], args].concat(), &[]);
        assert!(error.contains(message), "{target} {args:?}: {error}");
    }
    for flag in ["--protocol=gce", "--insecure", "--role=x", "--cores=0"] {
        let error = refused(&[flag], &[]);
        assert!(error.contains("name one with --target"), "{flag}: {error}");
    }
    let ours = refused(&["http://127.0.0.1:1", "--alg=ES256"], &[]);
    assert!(ours.contains("--alg is for our own broker"), "{ours}");
    assert!(!Path::new("target/never").exists());
}
