//! Results that standard output does not take.

use std::fs::File;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::broker::mintbench;
use crate::control::Server;

/// Runs a command of `server` with standard output at `to`.
fn printed(server: &Server, args: &[&str], to: impl Into<Stdio>) -> Output {
    let mut command = mintbench();
    command.args(args).env("MINTBENCH_DATA", server.folder()).stdin(Stdio::null()).stdout(to);
    command.output().unwrap()
}

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// Returns a pipe whose reader has gone away.
fn closed() -> std::io::PipeWriter {
    std::io::pipe().unwrap().1
}

#[test]
fn a_result_that_is_lost_is_an_error_and_a_closed_pipe_is_none() {
    let server = Server::start();
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/reference");
    let steady = results.join("steady");
    let steady = steady.to_str().unwrap();
    let out = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| out.path().join(name));
    let merged = |path: &Path| format!("--out={}", path.display());
    let [first, second] = [merged(&first), merged(&second)];
    let operator = std::fs::read_to_string(server.folder().join("operator.json")).unwrap();
    let operator: serde_json::Value = serde_json::from_str(&operator).unwrap();
    let operator = operator["object_id"].as_str().unwrap();
    let role = ["--role", "Key Vault Secrets User", "--scope", "vault/demo-vault"];
    server.prints(&[&["role", "assign", "--principal", operator][..], &role].concat());
    let token = ["token", "--bare", "--resource", "https://vault.azure.net"];
    for args in [
        &["--help"][..],
        &["completions", "bash"],
        &["vm", "list"],
        &["vm", "list", "--json"],
        &["secret", "get", "demo-vault/demo-secret"],
        &token,
        &["compare", steady, steady, "--json"],
        &["run", "--print-scenario", "outage"],
        &["merge", steady, "--json"],
    ] {
        let is_merge = args.first() == Some(&"merge");
        let with = |out| if is_merge { [args, &[out]].concat() } else { args.to_vec() };
        let lost = printed(&server, &with(first.as_str()), full());
        let said = String::from_utf8(lost.stderr).unwrap();
        assert_eq!(lost.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.starts_with("error: cannot write the result to standard output: "), "{said}");
        let piped = printed(&server, &with(second.as_str()), closed());
        let said = String::from_utf8(piped.stderr).unwrap();
        // The result of one part is printed, and is not valid.
        let code = if is_merge { 4 } else { 0 };
        assert!(piped.status.code() == Some(code) && said.is_empty(), "{args:?}: {said}");
    }
}

#[test]
fn a_server_whose_addresses_are_lost_does_not_start_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut command = mintbench();
    command.arg("serve").arg("--data").arg(&data).stdout(full());
    for surface in ["--imds", "--sts", "--admin", "--arm", "--vault"] {
        command.args([surface, "127.0.0.1:0"]);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(!data.exists());
}
