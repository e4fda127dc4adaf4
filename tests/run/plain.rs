//! Plain requests with a method, headers and a body, and runs of a number of requests.

use std::process::Command;

use crate::run;
use crate::scripted::{Scripted, whole};

const SHORT: [&str; 4] = ["--warmup=0s", "--rate=50", "--duration=500ms", "--arrivals=constant"];

/// Starts a server that answers any request with 200, and HEAD without the body.
fn server() -> Scripted {
    Scripted::serve(|request| {
        let mut pieces = whole("200 OK", "hello");
        if request.line.starts_with("HEAD ") {
            let head = pieces[0].len() - "hello".len();
            pieces[0].truncate(head);
        }
        pieces
    })
}

#[test]
fn a_method_headers_and_a_body_are_sent_as_curl_sends_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body.json");
    std::fs::write(&file, "{\"a\":\n1}\n").unwrap();
    let from_file = format!("--body-file={}", file.display());
    let form = "Content-Type: application/x-www-form-urlencoded";
    for (args, method, headers, body) in [
        (&["--body=a=b&c=d"][..], "POST", &[form, "Content-Length: 7"][..], "a=b&c=d"),
        (
            &["-X", "put", "-H", "Content-Type: application/json", &from_file],
            "PUT",
            &["Content-Type: application/json", "Content-Length: 9"],
            "{\"a\":\n1}\n",
        ),
        (&["--method=GET", "--body=x"], "GET", &[form, "Content-Length: 1"], "x"),
        (&["-XDELETE", "-HA: b"], "DELETE", &["A: b"], ""),
        (&["-X=POST"], "POST", &["Content-Length: 0"], ""),
    ] {
        let server = server();
        let url = format!("http://{}/path?q", server.authority);
        let run = run(&[&[url.as_str()], args, &SHORT].concat());
        run.has_result();
        assert_eq!(run.json["statuses"], serde_json::json!({ "200": 25 }), "{args:?}");
        let asked = server.asked();
        assert_eq!(asked.len(), 25);
        for request in asked {
            assert_eq!(request.line, format!("{method} /path?q HTTP/1.1"));
            assert!(request.headers[1..].iter().eq(headers), "{:?}", request.headers);
            assert_eq!(request.body, body);
        }
        let note = format!("each request is a {method} with");
        assert!(run.json["notes"].to_string().contains(&note), "{}", run.json["notes"]);
    }
}

#[test]
fn an_answer_to_head_has_no_body_whatever_its_length_says() {
    let server = server();
    let run = run(&[&[&format!("http://{}", server.authority), "-XHEAD"], &SHORT[..]].concat());
    run.has_result();
    assert_eq!(run.json["statuses"], serde_json::json!({ "200": 25 }));
    assert_eq!(run.json["load"]["reconnects"], 0);
    // Nothing in such an answer can be verified, and the flag for it is refused.
    assert!(!run.stdout().contains("verified"), "{}", run.stdout());
}

#[test]
fn the_number_of_requests_that_a_refusal_names_is_enough() {
    let refusal = |requests: &str| {
        let args = ["http://127.0.0.1:1", "-r50", "-n", requests, "--out=target/never"];
        String::from_utf8(crate::mintbench(&args).stderr).unwrap()
    };
    let refused = refusal("4");
    let (_, enough) = refused.split_once("use --requests ").unwrap();
    let (enough, _) = enough.split_once(' ').unwrap();
    assert!((5..20).contains(&enough.parse::<u32>().unwrap()), "{refused}");
    assert!(refusal(enough).contains("cannot connect"), "{}", refusal(enough));
}

#[test]
fn a_short_run_of_failures_names_them() {
    let server = Scripted::serve(|_| Vec::new());
    let url = format!("http://{}", server.authority);
    let run = run(&[&[url.as_str()], &SHORT[..]].concat());
    let notes = run.json["notes"].to_string();
    assert!(notes.contains("all 25 requests failed (") && !notes.contains("too short"), "{notes}");
}

#[test]
fn a_target_file_has_a_method_and_a_body_too() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.toml");
    std::fs::write(folder.path().join("b.txt"), "ping").unwrap();
    let text = format!(
        "target = 'get+http://{}/x'\nmethod = 'PATCH'\nbody-file = 'b.txt'\nheader = ['Content-Type: text/plain']\n",
        server.authority
    );
    std::fs::write(&path, text).unwrap();
    run(&[&["--target", path.to_str().unwrap()], &SHORT[..]].concat()).has_result();
    let first = server.asked().into_iter().next().unwrap();
    assert_eq!((first.line.as_str(), first.body.as_str()), ("PATCH /x HTTP/1.1", "ping"));
}

#[test]
fn a_request_that_cannot_be_sent_is_refused_before_the_run() {
    for (args, message) in [
        (&["http://127.0.0.1:1", "--body=@file"][..], "name the file with --body-file"),
        (&["http://127.0.0.1:1", "--body-file=/no"], "cannot read `/no`"),
        (&["http://127.0.0.1:1", "--method=PO ST"], "is not a method"),
        (&["http://127.0.0.1:1", "--method=CONNECT"], "opens a tunnel"),
        (&["http://127.0.0.1:1", "-H", "Content-Length: 3"], "generator's to set"),
        (&["gce+http://127.0.0.1:1", "--body=x"], "--body is of no use with the protocol `gce`"),
        (&["imds+http://127.0.0.1:1", "-X", "POST"], "--method is of no use"),
        (&["--body=x"], "name one with --target"),
        (&["http://127.0.0.1:1", "-n", "5", "-d", "1s"], "leave one out"),
        (&["http://127.0.0.1:1", "-n", "5", "-r", "1000"], "--requests 5 take 5ms at this rate"),
        (&["http://127.0.0.1:1", "-n", "0"], "0 is not in 1.."),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_mintbench"))
            .arg("run")
            .args(args)
            .args(["--out", "target/never"])
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(message), "{args:?}: {stderr}");
    }
}

#[test]
fn a_run_ends_after_exactly_so_many_requests() {
    let server = server();
    let url = format!("http://{}", server.authority);
    for arrivals in ["constant", "poisson"] {
        let before = server.count("GET");
        let args = ["-n", "123", "-r", "200", "--warmup=0s", "--arrivals", arrivals];
        let run = run(&[&[url.as_str()], &args[..]].concat());
        run.has_result();
        assert_eq!(run.json["load"]["scheduled"], 123, "{arrivals}");
        assert_eq!(run.json["statuses"], serde_json::json!({ "200": 123 }), "{arrivals}");
        assert_eq!(server.count("GET") - before, 123);
    }
}

#[test]
fn a_run_is_written_as_a_table_for_a_pull_request() {
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("comment.md");
    let url = format!("http://{}", server.authority);
    let args = ["--slo=p50<1h", "--out-markdown", path.to_str().unwrap()];
    run(&[&[url.as_str()], &args[..], &SHORT].concat()).has_result();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("### mintbench run: steady\n\n**"), "{text}");
    assert!(text.contains("\n| all | response | 25 | "), "{text}");
    assert!(text.contains("\n- objective: p50&#60;1h: met ("), "{text}");
    assert!(text.contains(&format!("\n- target: get+{url}\n")), "{text}");
    let missing = folder.path().join("none/comment.md");
    let output = crate::mintbench(&[&url, "--out-markdown", missing.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("no folder for --out-markdown"), "{stderr}");
}
