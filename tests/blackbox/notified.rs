//! Messages to a service manager: `READY=1`, `WATCHDOG=1` and `STOPPING=1`.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{Broker, DEADLINE, mintbench};

/// The socket of a service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        Self::with(UnixDatagram::bind(path).unwrap())
    }

    /// Listens at a name that is in no file system, and returns the name as `NOTIFY_SOCKET` has it.
    #[cfg(target_os = "linux")]
    fn in_no_file_system() -> (Self, String) {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;
        let name = format!("mintbench-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        (Self::with(UnixDatagram::bind_addr(&address).unwrap()), format!("@{name}"))
    }

    fn with(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self(socket)
    }

    /// Returns the next message.
    fn hears(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// Returns true if a message waits to be read.
    fn has_more(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let found = self.0.recv(&mut [0; 16]).is_ok();
        self.0.set_nonblocking(false).unwrap();
        found
    }
}

/// Starts a broker whose environment names the socket, and whose environment `prepare` completes.
fn served(socket: &str, prepare: impl FnOnce(&mut Command)) -> Broker {
    Broker::serve_with(&[], |command| {
        command.env("NOTIFY_SOCKET", socket);
        prepare(command);
    })
}

#[test]
fn a_manager_is_told_when_the_endpoints_answer_and_when_they_will_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    let broker = served(path.to_str().unwrap(), |_| {});
    let said = manager.hears();
    let imds = format!("\nSTATUS=The identity endpoint is http://{}", broker.address("imds"));
    assert_eq!(said, format!("READY=1{imds}"));
    assert_eq!(broker.token("resource=https://vault.azure.net").status, 200);
    assert!(!manager.has_more());
    broker.signal(Signal::TERM);
    assert!(manager.hears().starts_with("STOPPING=1\n"));
    assert_eq!(broker.wait().code(), Some(0));
    assert!(!manager.has_more());
}

#[test]
#[cfg(target_os = "linux")]
fn a_socket_may_be_in_no_file_system() {
    let (manager, name) = Manager::in_no_file_system();
    let broker = served(&name, |_| {});
    assert!(manager.hears().starts_with("READY=1\n"));
    broker.signal(Signal::INT);
    assert!(manager.hears().starts_with("STOPPING=1\n"));
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn a_manager_hears_nothing_of_a_start_that_fails() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    let mut command = mintbench();
    command.args(["serve", "--imds", "192.0.2.1:0"]).env("NOTIFY_SOCKET", &path);
    assert_eq!(command.output().unwrap().status.code(), Some(2));
    assert!(!manager.has_more());
}

#[test]
fn a_watchdog_hears_again_and_again_that_the_server_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    // An exposed admin endpoint answers nobody without its secret.
    let flags = ["--expose", "admin", "--admin", "127.0.0.1:0"];
    let broker = Broker::serve_with(&flags, |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    });
    assert!(manager.hears().starts_with("READY=1\n"));
    for _ in 0..3 {
        assert_eq!(manager.hears(), "WATCHDOG=1");
    }
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn a_watchdog_of_another_process_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    let broker = served(path.to_str().unwrap(), |command| {
        command.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    });
    assert!(manager.hears().starts_with("READY=1\n"));
    broker.signal(Signal::TERM);
    assert!(manager.hears().starts_with("STOPPING=1\n"));
}

#[test]
fn a_manager_that_is_gone_keeps_no_server_from_its_work() {
    let folder = tempfile::tempdir().unwrap();
    for socket in [folder.path().join("gone").to_str().unwrap(), "vsock:2:1234"] {
        let mut command = mintbench();
        command.arg("serve").env("NOTIFY_SOCKET", socket).env("TMPDIR", folder.path());
        for surface in ["--imds", "--sts", "--arm", "--vault", "--admin"] {
            command.args([surface, "127.0.0.1:0"]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let errors = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let said = "the service manager hears nothing of this server";
        let line = { errors }.find(|line| line.contains(said)).unwrap();
        assert!(line.contains(socket), "{line}");
        kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
        assert_eq!(process.wait().unwrap().code(), Some(0));
    }
}
