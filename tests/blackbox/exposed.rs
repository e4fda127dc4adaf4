//! `serve --expose`: which endpoints other machines reach, and what they need there.

use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Stdio;

use crate::broker::{Broker, Connection, mintbench, token_target};

/// Returns an address of this machine that is not loopback, if it has one. No packet is sent.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let own = socket.local_addr().ok()?.ip();
    (!own.is_loopback() && !own.is_unspecified()).then_some(own)
}

fn at(address: IpAddr, port: u16) -> Connection {
    Connection::open(TcpStream::connect(SocketAddr::new(address, port)).unwrap())
}

#[test]
fn a_refusal_names_the_flag_that_exposes_the_endpoint() {
    for (surface, said) in [
        ("imds", "whoever reaches it gets tokens"),
        ("sts", "whoever reaches it may try to sign in"),
        ("app-service", "whoever reaches it may try to sign in"),
        ("admin", "every request then needs the admin secret"),
    ] {
        let flag = format!("--{surface}");
        let mut command = mintbench();
        command.args(["serve", &flag, "0.0.0.0:0"]).stdout(Stdio::null());
        for other in ["--imds", "--sts", "--admin", "--arm", "--vault"] {
            if other != flag {
                command.args([other, "127.0.0.1:0"]);
            }
        }
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(&format!("--expose {surface}")) && error.contains(said), "{error}");
    }
    let open = [
        "serve",
        "--arm",
        "0.0.0.0:0",
        "--arm-auth",
        "off",
        "--expose",
        "arm",
        "--imds",
        "127.0.0.1:0",
        "--sts",
        "127.0.0.1:0",
    ];
    let output = mintbench().args(open).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && error.contains("leave out --arm-auth off"),
        "{error}"
    );
}

#[test]
fn other_machines_reach_what_is_exposed_and_nothing_else() {
    let Some(outer) = outer_address() else { return };
    let folder = tempfile::tempdir().unwrap();
    let errors = folder.path().join("errors");
    let flags = ["--imds", "0.0.0.0:0", "--expose", "imds", "--host-name", "mintbench"];
    let broker = Broker::serve_with(&flags, |command| {
        command.stderr(std::fs::File::create(&errors).unwrap());
    });
    let imds = broker.address("imds");
    assert!(imds.ip().is_loopback(), "{imds}");
    // Programs on this machine are the demo machine, others are none.
    assert_eq!(broker.token("resource=https://vault.azure.net").status, 200);
    let target = token_target("resource=https://vault.azure.net");
    assert_eq!(at(outer, imds.port()).get(&target).status, 403);
    for (host, status) in [("mintbench", 403), ("evil.example", 400)] {
        let mut caller = at(outer, imds.port());
        let head = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nMetadata: true\r\n\r\n");
        caller.send(head.as_bytes());
        assert_eq!(caller.read().unwrap().status, status, "{host}");
    }
    let admin = broker.address("admin");
    TcpStream::connect(SocketAddr::new(outer, admin.port())).unwrap_err();
    let said = std::fs::read_to_string(&errors).unwrap();
    for part in [
        "these endpoints can be reached from other machines:\n  imds ".to_owned(),
        format!("http://{outer}:{}", imds.port()),
        "from this machine only: sts, arm, vault, admin\n".to_owned(),
        "callers without one get 403".to_owned(),
        "names: addresses, and mintbench\n".to_owned(),
    ] {
        assert!(said.contains(&part), "{part}: {said}");
    }
}

#[test]
fn an_exposed_endpoint_of_app_service_is_called_from_this_machine_by_loopback() {
    let broker = Broker::serve(&["--app-service", "0.0.0.0:0", "--expose", "app-service"]);
    assert!(broker.address("app-service").ip().is_loopback());
    assert!(broker.identity_header.is_some(), "the demo machine calls from 127.0.0.1");
}

#[test]
fn an_exposed_admin_endpoint_answers_nobody_without_its_secret() {
    let broker = Broker::serve(&["--expose", "admin"]);
    for target in ["/healthz", "/readyz", "/metrics", "/ca.pem", "/world"] {
        let refused = broker.connect("admin").get(target);
        assert_eq!(refused.status, 401, "{target}");
        assert_eq!(broker.ask_admin("GET", target, "").status, 200, "{target}");
    }
    let output = broker.client(&["health"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}
