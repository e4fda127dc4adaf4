//! Callers that open many connections, or do not read their answers, harm only themselves.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};

use crate::broker::{Broker, Connection, log_with, poll, token_target};

const VM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn attacker(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

fn connections(broker: &Broker, surface: &str) -> u64 {
    broker.metric(&format!("mintbench_connections{{surface=\"{surface}\"}}"))
}

fn token(connection: &mut Connection) -> u16 {
    connection.get(&token_target("resource=https://vault.azure.net")).status
}

#[test]
fn idle_connections_of_one_caller_lock_out_nobody_and_fill_no_log() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let flags = ["--max-connections", "64", "--max-connections-per-caller", "40"];
    let broker = Broker::serve_with(&flags, |command| {
        command.stderr(File::create(log.path()).unwrap());
    });
    let mut vm = broker.connect_from(VM);
    assert_eq!(token(&mut vm), 200);
    let mut attack = Vec::new();
    for attacker in [attacker(2), attacker(3), attacker(4)] {
        attack.extend((0..200).map(|_| broker.connect_from(attacker)));
        assert_eq!(token(&mut vm), 200);
        assert_eq!(token(&mut broker.connect_from(VM)), 200);
        assert_eq!(broker.connect("admin").get("/readyz").status, 200);
    }
    // Connections that were told to close are closed soon.
    poll(|| {
        let shed: u64 = broker.metric("mintbench_connections_shed_total{surface=\"imds\"}");
        (shed >= 500 && connections(&broker, "imds") <= 64).then_some(())
    });
    let log = log_with(log.path(), "too many connections");
    let lines = log.lines().filter(|line| line.contains("too many connections")).count();
    assert!((1..20).contains(&lines), "{lines} lines\n{log}");
}

#[test]
fn idle_connections_to_the_admin_endpoint_do_not_lock_out_operators() {
    let broker = Broker::serve(&[]);
    let admin = broker.address("admin");
    let attack: Vec<_> = (0..200).map(|_| std::net::TcpStream::connect(admin).unwrap()).collect();
    poll(|| (connections(&broker, "admin") < 40).then_some(()));
    assert_eq!(broker.connect("admin").get("/readyz").status, 200);
    assert_eq!(broker.token("resource=https://vault.azure.net").status, 200);
    drop(attack);
}

#[test]
fn a_connection_limit_that_the_descriptors_do_not_allow_is_refused() {
    let mut command = crate::broker::mintbench();
    command.args(["serve", "--max-connections", "2000000000000"]);
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("this process may open") && error.contains("use at most"), "{error}");
}

/// Connects to the control plane. With a small window, the system accepts little of an unread
/// answer.
fn reader(broker: &Broker, source: IpAddr, window_bytes: Option<usize>) -> socket2::Socket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    if let Some(bytes) = window_bytes {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
    socket.connect(&broker.address("arm").into()).unwrap();
    socket
}

fn list_target(broker: &Broker) -> String {
    let subscriptions = broker.connect("arm").get("/subscriptions?api-version=2022-12-01").json();
    let subscription = subscriptions["value"][0]["subscriptionId"].as_str().unwrap();
    format!(
        "/subscriptions/{subscription}/providers/Microsoft.Compute/virtualMachines?api-version=2023-03-01"
    )
}

#[test]
fn a_caller_that_does_not_read_its_answers_is_refused_more_and_others_are_not() {
    let flags = ["--arm-auth", "off", "--synthetic", "vms=300,user-assigned=5"];
    let broker = Broker::serve(&[&flags[..], &["--max-unsent-bytes", "1000000"]].concat());
    let list = list_target(&broker);
    let request = format!("GET {list} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let slow: Vec<_> = (0..20).map(|_| reader(&broker, attacker(2), Some(2048))).collect();
    for socket in &slow {
        socket.send(request.as_bytes()).unwrap();
    }
    let ask = |source| {
        let mut connection = Connection::open(reader(&broker, source, None).into());
        connection.get(&list)
    };
    let refused = poll(|| {
        let answer = ask(attacker(2));
        (answer.status == 429).then_some(answer)
    });
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.json()["error"]["code"], "TooManyRequests");
    assert_eq!(ask(attacker(3)).status, 200);
    let counted: u64 = broker.metric("mintbench_answers_refused_total{surface=\"arm\"}");
    assert!(counted > 0);
    // The memory of its answers is released when its connections end.
    drop(slow);
    poll(|| (ask(attacker(2)).status == 200).then_some(()));
}
