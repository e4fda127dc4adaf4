//! The commands for users, against a server started for each test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::broker::mintbench;

/// A `mintbench serve` process with a folder; killed when dropped.
pub(crate) struct Server {
    process: Child,
    folder: TempDir,
}

/// The exit code and the output of a command.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        Self { code: output.status.code(), stdout, stderr }
    }
}

/// Runs a client command with the folder.
fn client(folder: &Path, args: &[&str], input: &str) -> Ended {
    let mut command = mintbench();
    command.args(args).env("MINTBENCH_DATA", folder).stdin(Stdio::piped());
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    process.wait_with_output().unwrap().into()
}

/// Starts `serve` with the folder and waits until it is ready.
fn serve(folder: &Path, flags: &[&str]) -> Child {
    let mut command = mintbench();
    command.arg("serve").arg("--data").arg(folder).args(flags).stdout(Stdio::piped());
    for surface in ["--imds", "--sts", "--admin", "--arm", "--vault"] {
        command.args([surface, "127.0.0.1:0"]);
    }
    let mut process = command.spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let ready = lines.map(Result::unwrap).any(|line| line == "ready");
    assert!(ready, "the server did not start");
    process
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { process: serve(folder.path(), &[]), folder }
    }

    /// Kills the process and starts another with the same folder and `flags`.
    pub(crate) fn restart(&mut self, flags: &[&str]) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = serve(self.folder.path(), flags);
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, args: &[&str]) -> Ended {
        client(self.folder.path(), args, "")
    }

    /// Returns the output of a command that must succeed.
    pub(crate) fn prints(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert!(ended.code == Some(0) && ended.stderr.is_empty(), "{args:?}: {ended:?}");
        ended.stdout
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.prints(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// Returns the error of a command that must fail: with 1 if the server refused, with 2 if it
    /// was misused.
    pub(crate) fn refuses(&self, code: i32, args: &[&str]) -> String {
        let ended = self.run(args);
        assert!(ended.code == Some(code) && ended.stdout.is_empty(), "{args:?}: {ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{args:?}: {}", ended.stderr);
        ended.stderr
    }

    /// Starts a server with a group that holds an identity, and a machine that calls from
    /// 127.0.0.9.
    fn furnished() -> Self {
        let server = Self::start();
        server.prints(&["group", "create", "g", "--location", "northeurope"]);
        server.prints(&["identity", "create", "web", "--group", "g", "--tag", "team=a"]);
        server.prints(&["vm", "create", "v", "--group", "g", "--address", "127.0.0.9"]);
        server
    }

    fn token(&self, more: &[&str]) -> Ended {
        let line = ["token", "--vm-address", "127.0.0.9", "--resource", "https://vault.azure.net"];
        self.run(&[&line, more].concat())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the command that an error tells users to run.
pub(crate) fn suggested(error: &str) -> &str {
    let fix = error.split_once("fix: ").unwrap_or_else(|| panic!("no fix: {error}")).1;
    fix.split('`').find(|part| part.starts_with("mintbench ")).unwrap()
}

#[test]
fn an_identity_is_made_assigned_used_and_taken_away() {
    let server = Server::furnished();
    let identity = server.json(&["identity", "show", "web"]);
    assert_eq!(identity["location"], "northeurope");
    assert_eq!(identity["tags"]["team"], "a");
    let client_id = identity["properties"]["clientId"].as_str().unwrap();

    assert_eq!(server.token(&[]).code, Some(1), "no identity yet");
    let shown = server.prints(&["vm", "assign", "v", "--identity", "web", "--system-assigned"]);
    assert!(shown.contains(client_id) && shown.contains("SystemAssigned, UserAssigned"), "{shown}");
    let answer: Value =
        serde_json::from_str(&server.token(&["--identity", client_id]).stdout).unwrap();
    assert_eq!(answer["client_id"], client_id);

    server.prints(&["vm", "unassign", "v", "--identity", "WEB"]);
    let refused = server.token(&["--identity", client_id]);
    assert!(refused.code == Some(1) && refused.stderr.contains("fix: "), "{refused:?}");
    assert_eq!(server.token(&[]).code, Some(0), "the machine's own identity stays");
    assert_eq!(server.json(&["vm", "show", "v"])["identity"]["type"], "SystemAssigned");

    server.prints(&["vm", "remove", "v"]);
    server.prints(&["identity", "remove", "web"]);
    let left = server.json(&["identity", "list", "--group", "g"]);
    assert_eq!(left.as_array().map(Vec::len), Some(0));
}

#[test]
fn a_token_is_not_asked_from_an_address_that_the_machine_does_not_have() {
    let server = Server::start();
    for address in ["192.0.2.1", "::1"] {
        let line = ["token", "--vm-address", address, "--resource", "https://vault.azure.net"];
        let error = server.refuses(2, &line);
        assert!(error.contains("from --vm-address") && error.contains("fix: "), "{error}");
        assert_eq!(suggested(&error), "mintbench vm list");
    }
}

#[test]
fn lists_are_plain_tables_in_a_pipe_and_what_the_server_said_in_json() {
    let server = Server::furnished();
    let table = server.prints(&["vm", "list"]);
    let mut lines = table.lines();
    assert!(lines.next().unwrap().starts_with("NAME "), "{table}");
    assert!(lines.any(|line| line.starts_with("v ") && line.contains("127.0.0.9")), "{table}");
    assert!(table.is_ascii(), "{table}");
    for noun in ["group", "identity", "role", "vault", "vm"] {
        assert!(server.json(&[noun, "list"]).is_array(), "{noun}");
    }
    for show in [["group", "show", "g"], ["identity", "show", "web"], ["vm", "show", "v"]] {
        assert_eq!(server.json(&show)["name"], show[2]);
    }
    let owner = server.prints(&["role", "list", "--principal", "me"]);
    assert!(owner.lines().any(|line| line.starts_with("me ") && line.contains("Owner")), "{owner}");
    assert!(server.prints(&["role", "definitions"]).contains("Key Vault Secrets User"));
}

#[test]
fn a_role_is_assigned_shown_and_taken_back() {
    let server = Server::furnished();
    let assign = ["role", "assign", "--principal", "web", "--role", "Reader", "--scope", "group/g"];
    let made = server.json(&assign);
    assert_eq!(server.json(&assign)["id"], made["id"], "a second time changes nothing");
    let listed = server.prints(&["role", "list", "--principal", "web"]);
    assert!(listed.contains("Reader") && listed.lines().count() == 2, "{listed}");
    server.prints(&["role", "remove", made["name"].as_str().unwrap()]);
    assert_eq!(server.json(&["role", "list", "--principal", "web"]), serde_json::json!([]));

    server.prints(&assign);
    server.prints(&[
        "role",
        "remove",
        "--principal",
        "web",
        "--role",
        "Reader",
        "--scope",
        "group/g",
    ]);
    let error = server.refuses(1, &["role", "remove", "--principal", "web"]);
    assert_eq!(suggested(&error), "mintbench role list");
}

#[test]
fn a_secret_needs_the_role_that_its_refusal_names() {
    let server = Server::furnished();
    server.prints(&["vault", "create", "vault-1", "--group", "g"]);
    let set = ["secret", "set", "vault-1/db", "--value-file", "-", "--tag", "team=a"];
    let refused = client(server.folder.path(), &set, "");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let mut fix = Command::new("sh");
    fix.args(["-c", &suggested(&refused.stderr).replace("mintbench", "\"$MINTBENCH\"")]);
    fix.env("MINTBENCH", env!("CARGO_BIN_EXE_mintbench"));
    fix.env("MINTBENCH_DATA", server.folder.path());
    let fixed = Ended::from(fix.output().unwrap());
    assert_eq!(fixed.code, Some(0), "{fixed:?}");

    for value in ["first\n", "second"] {
        let set = client(server.folder.path(), &set, value);
        assert!(set.code == Some(0) && !set.stdout.contains(value.trim()), "{set:?}");
    }
    assert_eq!(server.prints(&["secret", "get", "vault-1/db"]), "second");
    assert!(!server.prints(&["secret", "show", "vault-1/db", "--json"]).contains("second"));
    assert!(
        server.prints(&["secret", "list", "vault-1"]).lines().any(|line| line.starts_with("db "))
    );
    let versions = server.json(&["secret", "versions", "vault-1/db"]);
    assert_eq!(versions.as_array().map(Vec::len), Some(2));
    let older = versions.as_array().unwrap().iter().map(|it| {
        let version = it["id"].as_str().unwrap().rsplit('/').next().unwrap();
        server.prints(&["secret", "get", &format!("vault-1/db/{version}")])
    });
    assert!(older.into_iter().any(|value| value == "first\n"), "the value is kept as it is");

    server.prints(&["secret", "remove", "vault-1/db"]);
    let error = server.refuses(1, &["secret", "get", "vault-1/db"]);
    assert_eq!(suggested(&error), "mintbench secret list vault-1");
    let error = server.refuses(1, &["secret", "set", "vault-1/db", "--value", "third"]);
    assert!(suggested(&error).starts_with("mintbench secret recover"), "{error}");
    server.prints(&["secret", "recover", "vault-1/db"]);
    assert_eq!(server.prints(&["secret", "get", "vault-1/db"]), "second");
}

#[test]
fn a_machine_is_given_another_address_any_or_none() {
    let server = Server::furnished();
    let address = |args: &[&str]| {
        let vm = server.json(&[&["vm"], args].concat());
        vm["tags"]["mintbench-address"].as_str().map(str::to_owned)
    };
    let gets_token = |from: &str| {
        let args = ["token", "--vm-address", from, "--resource", "https://vault.azure.net"];
        server.run(&args).code == Some(0)
    };
    server.prints(&["vm", "create", "w", "-g", "g", "--system-assigned", "--tag", "env=test"]);
    assert_eq!(address(&["show", "w"]), None);
    assert_eq!(address(&["update", "w", "--address", "127.0.0.40"]).as_deref(), Some("127.0.0.40"));
    assert!(gets_token("127.0.0.40") && !gets_token("127.0.0.41"));
    assert_eq!(address(&["update", "w", "--address", "any"]).as_deref(), Some("any"));
    assert!(gets_token("127.0.0.40") && gets_token("127.0.0.41"));
    let error = server.refuses(1, &["vm", "update", "demo-vm", "--address", "any"]);
    assert!(error.contains("belongs to another virtual machine"), "{error}");
    assert_eq!(address(&["update", "w", "--no-address"]), None);
    assert!(!gets_token("127.0.0.40") && !gets_token("127.0.0.41"));
    assert_eq!(server.json(&["vm", "show", "w"])["tags"]["env"], "test");
    for args in [&["vm", "update", "w"][..], &["vm", "update", "w", "--address", "here"]] {
        assert!(!server.refuses(2, args).is_empty());
    }
}

#[test]
fn errors_name_the_fix() {
    let server = Server::furnished();
    for (code, args, expected) in [
        (1, &["identity", "show", "none"][..], "mintbench identity list"),
        (1, &["vm", "remove", "none"], "mintbench vm list"),
        (1, &["vm", "create", "v", "-g", "g"], "mintbench vm assign v"),
        (1, &["identity", "create", "x", "-g", "none"], "mintbench group create none"),
        (1, &["vault", "show", "none"], "mintbench vault list"),
        (1, &["secret", "get", "none/x"], "mintbench vault list"),
        (2, &["identity", "create", "x"], "--group"),
        (2, &["vm", "assign", "v"], "--identity NAME"),
        (2, &["vm", "show", "/subscriptions/x"], "write it as /subscriptions/<id>"),
    ] {
        let error = server.refuses(code, args);
        assert!(error.contains(expected), "{args:?}: {error}");
    }
}

#[test]
fn without_a_server_the_error_says_how_to_start_one() {
    let empty = tempfile::tempdir().unwrap();
    let error = client(empty.path(), &["vm", "list"], "");
    assert_eq!(error.code, Some(2), "{error:?}");
    let serve = format!("mintbench serve --data {}", empty.path().display());
    assert_eq!(suggested(&error.stderr), serve);

    let mut server = Server::start();
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    let error = server.refuses(1, &["vm", "list"]);
    assert!(
        error.contains("Connection refused") && error.contains("is `mintbench serve` running"),
        "{error}"
    );
}

#[test]
fn completions_are_printed_for_three_shells() {
    for shell in ["bash", "fish", "zsh"] {
        let output = mintbench().args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("unassign"), "{shell}");
        if shell == "bash" {
            let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
            assert!(bash.wait().unwrap().success());
        }
    }
}
