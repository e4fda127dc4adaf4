//! Listeners of single virtual machines.

use std::net::{SocketAddr, TcpStream};

use rustix::process::Signal;
use tempfile::NamedTempFile;

use crate::broker::{Broker, Connection, poll, token_target};
use crate::cli::file;

/// Returns a world file with two machines, at 127.0.0.1 and without an address.
pub(crate) fn two_machines() -> NamedTempFile {
    let (tenant, subscription) =
        ("00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000b1");
    let vm = |number: u8, address: &str| {
        format!(
            "[[vms]]\nname = 'vm-{number}'\nsubscription = '{subscription}'\nresource_group = 'rg'\n{address}\n\
             system_assigned = {{ client_id = '00000000-0000-4000-8000-0000000000c{number}', \
             principal_id = '00000000-0000-4000-8000-0000000000d{number}' }}\n"
        )
    };
    file(&format!(
        "[[tenants]]\nid = '{tenant}'\n[[subscriptions]]\nid = '{subscription}'\ntenant = '{tenant}'\n{}{}",
        vm(1, "address = '127.0.0.1'"),
        vm(2, "")
    ))
}

/// Opens the listener of a machine.
fn listener(broker: &Broker, vm: &str) -> SocketAddr {
    let answer = broker.post_admin(&format!("/listeners?vm={vm}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().trim().strip_prefix("http://").unwrap().parse().unwrap()
}

fn client_id(imds: SocketAddr) -> String {
    let mut connection = Connection::open(TcpStream::connect(imds).unwrap());
    let answer = connection.get(&token_target("resource=https://vault.azure.net"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["client_id"].as_str().unwrap().to_owned()
}

#[test]
fn every_caller_at_the_listener_of_a_machine_is_that_machine() {
    let world = two_machines();
    let broker = Broker::serve(&["--world", world.path().to_str().unwrap()]);
    let [first, second] = ["vm-1", "vm-2"].map(|vm| listener(&broker, vm));
    assert!(first.ip().is_loopback() && second.ip().is_loopback());
    for _ in 0..2 {
        assert_eq!(client_id(broker.address("imds")), "00000000-0000-4000-8000-0000000000c1");
        assert_eq!(client_id(first), "00000000-0000-4000-8000-0000000000c1");
        assert_eq!(client_id(second), "00000000-0000-4000-8000-0000000000c2");
    }
    assert_eq!(listener(&broker, "VM-2"), second);
    let mut rebound = Connection::open(TcpStream::connect(second).unwrap());
    rebound
        .send(b"GET /metadata/versions HTTP/1.1\r\nHost: evil.example\r\nMetadata: true\r\n\r\n");
    assert_eq!(rebound.read().unwrap().status, 400);
}

#[test]
fn a_listener_is_refused_without_the_secret_and_without_its_machine() {
    let broker = Broker::serve(&[]);
    let mut admin = broker.connect("admin");
    admin.send(
        b"POST /listeners?vm=demo-vm HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    );
    assert_eq!(admin.read().unwrap().status, 401);
    for (query, status, said) in [
        ("?vm=nobody", 404, "no virtual machine is called `nobody`"),
        ("?vm=%2Fnot%2Fan%2Fid", 404, "no virtual machine is called `/not/an/id`"),
        ("", 400, "?vm=NAME"),
        ("?vm=", 400, "?vm=NAME"),
        ("?vm=demo-vm&x=1", 400, "?vm=NAME"),
    ] {
        let answer = broker.post_admin(&format!("/listeners{query}"));
        assert!(answer.text().contains(said), "{}", answer.text());
        assert_eq!(answer.status, status);
    }
}

#[test]
fn a_listener_keeps_its_port_over_a_restart_and_ends_with_its_machine() {
    let (world, folder) = (two_machines(), tempfile::tempdir().unwrap());
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let flags = ["--data", data, "--world", world.path().to_str().unwrap()];
    let broker = Broker::serve(&flags);
    let second = listener(&broker, "vm-2");
    broker.signal(Signal::KILL);
    broker.wait();
    let broker = Broker::serve(&flags);
    assert_eq!(client_id(second), "00000000-0000-4000-8000-0000000000c2");
    assert_eq!(listener(&broker, "vm-2"), second);
    let removed = broker.client(&["vm", "remove", "vm-2", "--data", data]);
    assert!(removed.status.success(), "{removed:?}");
    poll(|| TcpStream::connect(second).is_err().then_some(()));
    assert_eq!(broker.post_admin("/listeners?vm=vm-2").status, 404);
}
