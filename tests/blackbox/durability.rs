//! A world in a folder: after a crash it holds every acknowledged change, and no change in part.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::broker::{Answer, Broker, Connection, mintbench, poll};

const GROUP: &str =
    "/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourceGroups/demo/providers";
const VM: &str = "Microsoft.Compute/virtualMachines/demo-vm?api-version=2024-07-01";

/// Returns the number of kills. A release is tested with `MINTBENCH_KILLS=200`.
fn kills() -> u32 {
    std::env::var("MINTBENCH_KILLS").map_or(12, |text| text.parse().unwrap())
}

fn serve(folder: &Path) -> Broker {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let flags = ["--data", folder.to_str().unwrap(), "--arm-auth", "off"];
    Broker::serve_with(&flags, |command| {
        command.stderr(Stdio::from(log));
    })
}

fn send(connection: &mut Connection, method: &str, path: &str, body: &Value) {
    let body = body.to_string();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    connection.send((head + &body).as_bytes());
}

fn identity_path(name: &str) -> String {
    format!(
        "{GROUP}/Microsoft.ManagedIdentity/userAssignedIdentities/{name}?api-version=2023-01-31"
    )
}

/// Returns identities by name, with their principals, as the control plane lists them.
fn identities(broker: &Broker) -> BTreeMap<String, String> {
    let mut listed = BTreeMap::new();
    let mut path =
        format!("{GROUP}/Microsoft.ManagedIdentity/userAssignedIdentities?api-version=2023-01-31");
    loop {
        let page = broker.connect("arm").get(&path).json();
        for item in page["value"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            listed.insert(text(&item["name"]), text(&item["properties"]["principalId"]));
        }
        let Some(next) = page["nextLink"].as_str() else { return listed };
        let (_, target) = next.split_once("://").unwrap().1.split_once('/').unwrap();
        path = format!("/{target}");
    }
}

/// The acknowledged changes, and the change in progress when the process died.
#[derive(Debug, Default)]
struct Ledger {
    held: BTreeMap<String, String>,
    doubtful: Option<String>,
    next: u32,
}

impl Ledger {
    /// Makes identities, assigns each to the VM, and deletes every third one, until the process
    /// dies.
    fn write(&mut self, connection: &mut Connection) {
        loop {
            let name = format!("id-{:05}", self.next);
            self.next += 1;
            let Some(made) = self.step(connection, "PUT", &name) else { return };
            assert_eq!(made.status, 201, "{}", made.text());
            let principal = made.json()["properties"]["principalId"].as_str().unwrap().to_owned();
            self.held.insert(name.clone(), principal);
            let id = identity_path(&name);
            let id = id.split_once('?').unwrap().0;
            let assign = json!({ "identity": { "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": { id: {} } } });
            send(connection, "PATCH", &format!("{GROUP}/{VM}"), &assign);
            let Some(assigned) = connection.read() else { return };
            assert_eq!(assigned.status, 200, "{}", assigned.text());
            if self.next.is_multiple_of(3) {
                let Some(deleted) = self.step(connection, "DELETE", &name) else { return };
                assert_eq!(deleted.status, 200, "{}", deleted.text());
                self.held.remove(&name);
            }
        }
    }

    fn step(&mut self, connection: &mut Connection, method: &str, name: &str) -> Option<Answer> {
        self.doubtful = Some(name.to_owned());
        send(connection, method, &identity_path(name), &json!({ "location": "local" }));
        let answer = connection.read()?;
        self.doubtful = None;
        Some(answer)
    }

    /// Checks that the acknowledged changes are there, and the change in progress wholly or not at
    /// all.
    fn check(&mut self, broker: &Broker) {
        let mut listed = identities(broker);
        listed.retain(|name, _| name.starts_with("id-"));
        if let Some(name) = self.doubtful.take() {
            match listed.get(&name) {
                Some(principal) => self.held.insert(name, principal.clone()),
                None => self.held.remove(&name),
            };
        }
        assert_eq!(listed, self.held);
        let vm = broker.connect("arm").get(&format!("{GROUP}/{VM}")).json();
        let assigned = vm["identity"]["userAssignedIdentities"].as_object().unwrap();
        for (id, ids) in assigned {
            let name = id.rsplit('/').next().unwrap();
            let principal = self.held.get(name).map_or(Value::Null, |id| Value::from(id.as_str()));
            if name.starts_with("id-") {
                assert_eq!(ids["principalId"], principal, "{name}");
            }
        }
    }
}

#[test]
fn every_acknowledged_write_survives_kill_9_and_no_half_of_another_does() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    let mut random: u64 = 42;
    // A busy machine writes less between two kills, and so is killed more often.
    let (mut done, enough, most) = (0, 2 * kills(), 10 * kills());
    while done < kills() || (ledger.next <= enough && done < most) {
        done += 1;
        let broker = serve(folder.path());
        ledger.check(&broker);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let moment = Duration::from_micros((random >> 33) % 300_000);
        let mut connection = broker.connect("arm");
        std::thread::scope(|scope| {
            scope.spawn(|| ledger.write(&mut connection));
            std::thread::sleep(moment);
            broker.signal(Signal::KILL);
        });
        broker.wait();
        let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
        assert!(!log.contains("repair"), "{log}");
    }
    ledger.check(&serve(folder.path()));
    assert!(ledger.next > enough, "too few writes to prove anything: {}", ledger.next);
    println!("{done} kills, {} identities made, {} held", ledger.next, ledger.held.len());
}

#[test]
fn a_restart_changes_neither_identities_nor_keys_and_makes_no_second_operator() {
    let folder = tempfile::tempdir().unwrap();
    let seen = |broker: &Broker| {
        let keys = broker.connect("sts").get("/common/discovery/keys").json();
        let mut kids: Vec<_> = keys["keys"].as_array().unwrap().iter().collect();
        kids.sort_by_key(|key| key["kid"].as_str());
        let kids: Vec<_> = kids.iter().map(|key| key["kid"].clone()).collect();
        let operator = std::fs::read_to_string(folder.path().join("operator.pem")).unwrap();
        (identities(broker), kids, operator)
    };
    let before = {
        let broker = serve(folder.path());
        let before = seen(&broker);
        broker.signal(Signal::TERM);
        assert_eq!(broker.wait().code(), Some(0));
        before
    };
    assert_eq!(before.0.len(), 2);
    assert_eq!(seen(&serve(folder.path())), before);
}

/// Returns the name of the VM that the broker sees in a caller from this address; `None` if it is
/// refused.
fn named(broker: &Broker, caller: Ipv4Addr) -> Option<String> {
    let path = "/metadata/instance/compute/name?api-version=2021-02-01&format=text";
    let answer = broker.connect_from(caller.into()).get(path);
    if answer.status == 200 {
        return Some(answer.text());
    }
    assert_eq!(answer.status, 403);
    None
}

#[test]
fn the_address_of_a_removed_vm_is_nobody_elses_after_a_restart_either() {
    let folder = tempfile::tempdir().unwrap();
    let written = |broker: &Broker, method: &str, vm: &str, body: &Value| {
        let path = format!("{GROUP}/Microsoft.Compute/virtualMachines/{vm}?api-version=2024-07-01");
        let mut connection = broker.connect("arm");
        send(&mut connection, method, &path, body);
        let status = connection.read().unwrap().status;
        assert!((200..300).contains(&status), "{method} {vm}: {status}");
    };
    let at =
        |address: &str| json!({ "location": "local", "tags": { "mintbench-address": address } });
    let callers = [1, 7, 8].map(|last| Ipv4Addr::new(127, 0, 0, last));
    let seen = |broker: &Broker| callers.map(|caller| named(broker, caller));
    let demo = || Some("demo-vm".to_owned());
    let before = {
        let broker = serve(folder.path());
        assert_eq!(seen(&broker), [demo(), None, None]);
        written(&broker, "PATCH", "demo-vm", &at("any"));
        written(&broker, "PUT", "other", &at("127.0.0.7"));
        assert_eq!(seen(&broker), [demo(), Some("other".to_owned()), demo()]);
        written(&broker, "DELETE", "other", &json!({}));
        let before = seen(&broker);
        broker.signal(Signal::KILL);
        broker.wait();
        before
    };
    assert_eq!(before, [demo(), None, demo()]);
    assert_eq!(seen(&serve(folder.path())), before);
}

#[test]
fn a_folder_that_is_in_use_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let _first = serve(folder.path());
    let second = mintbench()
        .args(["serve", "--data", folder.path().to_str().unwrap(), "--imds", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2));
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(error.contains("another mintbench serves from"), "{error}");
}

#[test]
fn the_certificate_of_an_identity_is_there_soon_after_it_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let broker = serve(folder.path());
    let mut connection = broker.connect("arm");
    send(&mut connection, "PUT", &identity_path("fresh"), &json!({ "location": "local" }));
    assert_eq!(connection.read().unwrap().status, 201);
    poll(|| {
        let rolled = broker.post_admin("/credentials/roll").text();
        rolled.starts_with("1 made").then_some(())
    });
}
