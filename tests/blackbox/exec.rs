//! `mintbench exec`: the environment, signals and exit code of a program, and what is left behind.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{Broker, Connection, mintbench, poll, token_target};

/// A program below `mintbench exec`, whose first line is the URL of its identity endpoint.
struct Run {
    process: Child,
    lines: BufReader<ChildStdout>,
    imds: SocketAddr,
}

const URL: &str = "echo \"$AZURE_POD_IDENTITY_AUTHORITY_HOST\"";

impl Run {
    /// Runs a script of the shell after it has printed the URL. Temporary files are in `folder`.
    fn start(folder: &Path, flags: &[&str], script: &str) -> Self {
        Self::start_with(folder, flags, script, |_| {})
    }

    fn start_with(
        folder: &Path,
        flags: &[&str],
        script: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> Self {
        let own = mintbench();
        // Whoever runs the tests in the background or below nohup may have signals ignored, which programs inherit.
        let mut command = Command::new("env");
        command.env_clear().envs(own.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.arg("--default-signal").arg(own.get_program()).arg("exec").args(flags);
        command.args(["--", "/bin/sh", "-c"]).arg(format!("{URL}; {script}"));
        command.env("TMPDIR", folder).env("IDENTITY_ENDPOINT", "http://127.0.0.1:1");
        command.current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        prepare(&mut command);
        // Not in the foreground of a terminal, whose signals would not be passed on.
        let mut process = command.process_group(0).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let url = line(&mut lines);
        let imds = url.strip_prefix("http://").unwrap_or_else(|| panic!("no URL: {url}"));
        Self { imds: imds.parse().unwrap(), process, lines }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    fn code(mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }
}

fn line(lines: &mut impl std::io::BufRead) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// Returns the lines before an empty one.
fn paragraph(lines: &mut impl std::io::BufRead) -> String {
    let mut text = String::new();
    while lines.read_line(&mut text).unwrap() > 1 {}
    text.pop();
    text
}

/// Returns the client id of a token from the endpoint of App Service.
fn app_service_client_id(endpoint: SocketAddr, header: &str) -> String {
    let mut connection = Connection::open(TcpStream::connect(endpoint).unwrap());
    let target = "/msi/token?api-version=2019-08-01&resource=https://vault.azure.net";
    let head =
        format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-IDENTITY-HEADER: {header}\r\n\r\n");
    connection.send(head.as_bytes());
    connection.read().unwrap().json()["client_id"].as_str().unwrap().to_owned()
}

/// Returns the client id of a token from this endpoint.
fn client_id(imds: SocketAddr) -> String {
    let mut connection = Connection::open(TcpStream::connect(imds).unwrap());
    let answer = connection.get(&token_target("resource=https://vault.azure.net"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

/// Returns the names of what is in a folder.
fn left_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_program_gets_a_token_and_gives_its_exit_code_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::start(folder.path(), &[], "read line; exit 7");
    assert_eq!(client_id(run.imds), "c11e0000-0000-4000-8000-000000000001");
    assert_eq!(left_in(folder.path()).len(), 1);
    run.process.stdin.take().unwrap().write_all(b"\n").unwrap();
    let imds = run.imds;
    assert_eq!(run.code(), Some(7));
    assert_eq!(left_in(folder.path()), [""; 0]);
    TcpStream::connect(imds).unwrap_err();
}

#[test]
fn a_server_for_one_program_gives_it_the_pair_of_app_service_and_trust_in_both_authorities() {
    let world = crate::vm_listeners::two_machines();
    let path = world.path().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let public = folder.path().join("public.pem");
    let pem = "-----BEGIN CERTIFICATE-----\npublic\n-----END CERTIFICATE-----\n";
    std::fs::write(&public, pem).unwrap();
    let script = "cat \"$NODE_EXTRA_CA_CERTS\"; echo; for file in \"$SSL_CERT_FILE\" \
         \"$REQUESTS_CA_BUNDLE\" \"$CURL_CA_BUNDLE\"; do cat \"$file\"; echo; done; read line";
    for (vm, client_id) in [("vm-1", "c1"), ("vm-2", "c2")] {
        let script =
            format!("echo \"$IDENTITY_ENDPOINT\"; echo \"$IDENTITY_HEADER\"; exec 2>&1; {script}");
        let public = public.to_str().unwrap();
        let prepare = |command: &mut Command| {
            command.env("SSL_CERT_FILE", public);
        };
        let mut run =
            Run::start_with(folder.path(), &["--world", path, "--vm", vm], &script, prepare);
        let [endpoint, header] = [(); 2].map(|()| line(&mut run.lines));
        let address = endpoint.strip_prefix("http://").unwrap();
        let address = address.strip_suffix("/msi/token").unwrap().parse().unwrap();
        let expected = format!("00000000-0000-4000-8000-0000000000{client_id}");
        assert_eq!(app_service_client_id(address, &header), expected);
        assert_eq!(self::client_id(run.imds), expected);
        let texts = [(); 4].map(|()| paragraph(&mut run.lines));
        let own = &texts[0];
        assert!(own.starts_with("-----BEGIN CERTIFICATE-----"), "{own}");
        assert_eq!(texts[1..], [(); 3].map(|()| format!("{pem}{own}")));
        run.process.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert_eq!(run.code(), Some(0));
        assert_eq!(left_in(folder.path()), ["public.pem"]);
    }
}

#[test]
fn other_signals_reach_the_program_too() {
    let folder = tempfile::tempdir().unwrap();
    let script = "for name in QUIT USR1 USR2 WINCH; do trap \"echo $name\" $name; done; echo set; \
         while :; do sleep 0.05; done";
    let mut run = Run::start(folder.path(), &[], script);
    assert_eq!(line(&mut run.lines), "set");
    for (signal, name) in [
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::WINCH, "WINCH"),
    ] {
        run.signal(signal);
        assert_eq!(line(&mut run.lines), name);
    }
    run.signal(Signal::TERM);
    assert_eq!(run.code(), Some(143));
    let run = Run::start(folder.path(), &[], "exec sleep 60");
    run.signal(Signal::USR1);
    assert_eq!(run.code(), Some(138));
    assert_eq!(left_in(folder.path()), [""; 0]);
}

#[test]
fn signals_reach_the_program_and_its_end_is_the_exit_code() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::start(folder.path(), &[], "exec sleep 60");
        run.signal(signal);
        let imds = run.imds;
        assert_eq!(run.code(), Some(code));
        assert_eq!(left_in(folder.path()), [""; 0]);
        TcpStream::connect(imds).unwrap_err();
    }
    let folder = tempfile::tempdir().unwrap();
    let script = "trap 'exit 9' TERM; echo set; while :; do sleep 0.05; done";
    let mut run = Run::start(folder.path(), &[], script);
    assert_eq!(line(&mut run.lines), "set");
    run.signal(Signal::TERM);
    assert_eq!(run.code(), Some(9));
    assert_eq!(left_in(folder.path()), [""; 0]);
}

#[test]
fn a_server_ends_with_its_exec_also_when_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Run::start(folder.path(), &[], "echo $$; exec sleep 60");
    let program: i32 = line(&mut run.lines).parse().unwrap();
    run.signal(Signal::KILL);
    let imds = run.imds;
    assert_eq!(run.code(), None);
    poll(|| TcpStream::connect(imds).is_err().then_some(()));
    poll(|| left_in(folder.path()).is_empty().then_some(()));
    kill_process(Pid::from_raw(program).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_server_that_runs_is_used_and_left_alone() {
    let broker = Broker::serve(&[]);
    let run = Run::start(broker.temporary.path(), &[], "exit 3");
    assert_eq!(run.imds, broker.address("imds"));
    assert_eq!(run.code(), Some(3));
    assert_eq!(broker.token("resource=https://vault.azure.net").status, 200);
}

#[test]
fn what_cannot_run_ends_as_in_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let exec = |args: &[&str]| {
        let mut command: Command = mintbench();
        command.arg("exec").args(args).env("TMPDIR", folder.path()).current_dir(folder.path());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = exec(&["--", "/no/such/program"]);
    assert!(code == Some(127) && said.contains("cannot run `/no/such/program`"), "{said}");
    let (code, said) = exec(&["--", "/"]);
    assert_eq!(code, Some(126), "{said}");
    let (code, said) = exec(&["--data", "/nowhere", "--", "/bin/true"]);
    assert!(code == Some(2) && said.contains("no server has the folder"), "{said}");
    let (code, said) = exec(&["--vm", "nobody", "--", "/bin/true"]);
    assert!(code == Some(2) && said.contains("no virtual machine is called `nobody`"), "{said}");
    let (code, said) = exec(&["--vm", "", "--", "/bin/true"]);
    assert!(code == Some(2) && said.contains("a value is required for '--vm"), "{said}");
    let (code, said) = exec(&["--world", "/nowhere", "--", "/bin/true"]);
    assert!(code == Some(2) && said.contains("cannot read `/nowhere`"), "{said}");
    assert!(!said.contains("note: "), "settings that no user made: {said}");
    let (code, said) = exec(&["--data", "/nowhere", "--world", "/nowhere", "--", "/bin/true"]);
    let expected = "--data names a server that runs, and --world starts another one";
    assert!(code == Some(2) && said.contains(expected), "{said}");
    let (code, said) = exec(&["--data", "/nowhere", "--netns", "--", "/bin/true"]);
    assert!(code == Some(2) && said.contains("--netns starts another one"), "{said}");
    let (code, _) = exec(&[]);
    assert_eq!(code, Some(2));
    assert_eq!(left_in(folder.path()), [""; 0]);
}

#[test]
fn two_machines_of_one_host_are_side_by_side() {
    let world = crate::vm_listeners::two_machines();
    let path = world.path().to_str().unwrap();
    let broker = Broker::serve(&["--world", path]);
    let folder = broker.temporary.path();
    let [first, second] = ["vm-1", "vm-2"].map(|vm| Run::start(folder, &["--vm", vm], "read line"));
    assert_ne!(first.imds, second.imds);
    assert_eq!(client_id(first.imds), "00000000-0000-4000-8000-0000000000c1");
    assert_eq!(client_id(second.imds), "00000000-0000-4000-8000-0000000000c2");
    for mut run in [first, second] {
        run.process.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert_eq!(run.code(), Some(0));
    }
}

#[test]
fn a_program_has_the_pair_of_app_service_of_its_machine() {
    let world = crate::vm_listeners::two_machines();
    let path = world.path().to_str().unwrap();
    let broker = Broker::serve(&["--world", path, "--app-service", "127.0.0.1:0"]);
    let header = |flags: &[&str]| {
        let script = "echo \"$IDENTITY_ENDPOINT $IDENTITY_HEADER\"";
        let mut run = Run::start(broker.temporary.path(), flags, script);
        let said = line(&mut run.lines);
        assert_eq!(run.code(), Some(0));
        let (endpoint, header) = said.split_once(' ').unwrap();
        assert_eq!(endpoint, format!("http://{}/msi/token", broker.address("app-service")));
        header.to_owned()
    };
    let [first, second] = [header(&[]), header(&["--vm", "vm-2"])];
    assert_eq!(Some(&first), broker.identity_header.as_ref());
    for (header, client_id) in [(first, "c1"), (second, "c2")] {
        let client_id = format!("00000000-0000-4000-8000-0000000000{client_id}");
        assert_eq!(app_service_client_id(broker.address("app-service"), &header), client_id);
    }
}

#[test]
fn a_program_that_is_no_machine_has_no_pair_of_app_service() {
    let broker = Broker::serve(&["--synthetic", "vms=1", "--app-service", "127.0.0.1:0"]);
    let mut run = Run::start(broker.temporary.path(), &[], "echo \"[$IDENTITY_ENDPOINT]\"");
    assert_eq!(line(&mut run.lines), "[]");
    assert_eq!(run.code(), Some(0));
}

#[test]
fn a_world_of_its_own_is_served_beside_a_server_that_runs() {
    let world = crate::vm_listeners::two_machines();
    let path = world.path().to_str().unwrap();
    let broker = Broker::serve(&[]);
    let folder = broker.temporary.path();
    // The variable that names the other server gives way to a flag.
    let data = broker.admin_secret.parent().unwrap();
    let prepare = |command: &mut Command| {
        command.env("MINTBENCH_DATA", data);
    };
    let flags = ["--world", path, "--vm", "vm-2"];
    let mut run = Run::start_with(folder, &flags, "read line", prepare);
    assert_ne!(run.imds, broker.address("imds"));
    assert_eq!(client_id(run.imds), "00000000-0000-4000-8000-0000000000c2");
    run.process.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(run.code(), Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn root_gets_a_network_with_the_real_address() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo \"$AZURE_POD_IDENTITY_AUTHORITY_HOST\"; \"$0\" token --data \"${NODE_EXTRA_CA_CERTS%/ca.pem}\" --resource https://vault.azure.net; exit 5";
    let mut command = mintbench();
    command.args([
        "exec",
        "--netns",
        "--",
        "/bin/sh",
        "-c",
        script,
        env!("CARGO_BIN_EXE_mintbench"),
    ]);
    command.env("TMPDIR", folder.path()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let output = command.current_dir(folder.path()).output().unwrap();
    let (out, err) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    if err.contains("--netns needs the rights of root") || err.contains("cannot run `ip`") {
        // Not here, and said so.
        assert!(matches!(output.status.code(), Some(2 | 127)), "{err}");
        return;
    }
    assert_eq!(output.status.code(), Some(5), "{err}");
    let (url, token) = out.split_once('\n').unwrap();
    assert_eq!(url, "http://169.254.169.254:80");
    assert_eq!(err, "");
    assert!(token.contains("c11e0000-0000-4000-8000-000000000001"), "{token} {err}");
    assert_eq!(left_in(folder.path()), [""; 0]);
}
