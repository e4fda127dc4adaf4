//! Limits of the requests of a virtual machine (`serve --throttle`).
//!
//! The clock goes on while these tests send. So they use limits that one of them reaches at any speed of the machine.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;

use crate::broker::{Answer, Broker, Connection, log_with, poll, token_target};
use crate::cli::file;

const ARM: &str = "resource=https%3A%2F%2Fmanagement.azure.com%2F";
const INSTANCE: &str = "/metadata/instance?api-version=2021-02-01";
const REFUSED: &str =
    r#"{"error":"invalid_request","error_description":"Temporarily throttled, too many requests"}"#;

/// The endpoint of two VMs: callers from 127.1.0.1 and 127.1.0.2.
const WORLD: [&str; 2] = ["--synthetic", "vms=2,user-assigned=1"];

fn connect(broker: &Broker, vm: u8) -> Connection {
    broker.connect_from(Ipv4Addr::new(127, 1, 0, vm).into())
}

/// Asks until an answer has this status, and returns it.
fn ask_until(connection: &mut Connection, target: &str, status: u16) -> Answer {
    poll(|| {
        let answer = connection.get(target);
        assert!(matches!(answer.status, 200 | 429), "{}", answer.text());
        (answer.status == status).then_some(answer)
    })
}

#[test]
fn a_vm_above_its_limit_is_refused_as_by_azure_and_no_other_vm() {
    let broker =
        Broker::serve(&[&WORLD[..], &["--throttle", "identity=2/s,metadata=1/s"]].concat());
    let (mut noisy, mut quiet) = (connect(&broker, 1), connect(&broker, 2));
    for target in [&token_target(ARM), INSTANCE] {
        let refused = ask_until(&mut noisy, target, 429);
        assert_eq!(refused.text(), REFUSED);
        assert_eq!(refused.headers["content-type"], "application/json; charset=utf-8");
        assert!(refused.headers["server"].starts_with("IMDS/"));
        assert_eq!(refused.headers["x-ms-request-id"].len(), 36);
        assert!(!refused.headers.contains_key("retry-after"));
        assert_eq!(quiet.get(target).status, 200);
        // The limit is one of a second: later the same connection is served again.
        ask_until(&mut noisy, target, 200);
    }
    let counted: u64 = broker.metric(r#"mintbench_imds_responses_total{status="429"}"#);
    assert!(counted >= 2, "{counted}");
}

#[test]
fn nothing_is_limited_unless_it_is_asked_for() {
    let broker = Broker::serve(&WORLD);
    let mut connection = connect(&broker, 1);
    for _ in 0..100 {
        assert_eq!(connection.get(&token_target(ARM)).status, 200);
        assert_eq!(connection.get(INSTANCE).status, 200);
    }
}

#[test]
fn requests_at_the_same_time_are_limited_until_their_callers_go_away() {
    // Nobody answers at the token service, so each request waits.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!("http://{}", silent.local_addr().unwrap());
    let flags = ["--throttle", "identity=1000000/s,concurrent=2", "--token-source", &source];
    let broker = Broker::serve(&[&WORLD[..], &flags].concat());
    let request =
        format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata: true\r\n\r\n", token_target(ARM));
    let waiting = || -> u64 {
        let metric = |name| broker.metric::<u64>(name);
        metric("mintbench_cache_misses_total") + metric("mintbench_cache_coalesced_total")
    };
    let send = |vm| {
        let mut connection = connect(&broker, vm);
        connection.send(request.as_bytes());
        connection
    };
    let held = [send(1), send(1)];
    poll(|| (waiting() == 2).then_some(()));
    let refused = send(1).read().unwrap();
    assert_eq!((refused.status, refused.text()), (429, REFUSED.to_owned()));
    let _other = send(2);
    poll(|| (waiting() == 3).then_some(()));
    drop(held);
    // The next requests wait too, which the counter shows. Those before it are refused.
    let mut connections = Vec::new();
    poll(|| {
        connections.push(send(1));
        (waiting() > 3).then_some(())
    });
}

#[test]
fn a_vm_of_the_world_file_has_limits_of_its_own_and_each_refusal_is_in_the_log() {
    let (tenant, subscription) =
        ("00000000-0000-4000-8000-0000000000a1", "00000000-0000-4000-8000-0000000000b1");
    let vm = |name: &str, address: &str, throttle: &str| {
        format!(
            "[[vms]]\nname = '{name}'\nsubscription = '{subscription}'\nresource_group = 'rg'\n\
             address = '{address}'\nthrottle = '{throttle}'\nsystem_assigned = true\n"
        )
    };
    let world = file(&format!(
        "[[tenants]]\nid = '{tenant}'\n[[subscriptions]]\nid = '{subscription}'\ntenant = '{tenant}'\n{}{}",
        vm("slow", "127.1.0.1", "identity=1/s"),
        vm("free", "127.1.0.2", "off"),
    ));
    let flags = ["--world", world.path().to_str().unwrap(), "--throttle", "identity=1/s"];
    let log = tempfile::NamedTempFile::new().unwrap();
    let stderr = log.reopen().unwrap();
    let broker = Broker::serve_with(&flags, |command| {
        command.env("MINTBENCH_LOG", "info").stderr(Stdio::from(stderr));
    });
    ask_until(&mut connect(&broker, 1), &token_target(ARM), 429);
    let mut free = connect(&broker, 2);
    for _ in 0..100 {
        assert_eq!(free.get(&token_target(ARM)).status, 200);
    }
    let text = log_with(log.path(), "status=429");
    assert!(text.contains("its limit of 1 identity requests per second"), "{text}");
}

#[test]
fn limits_that_make_no_sense_are_refused_with_an_example() {
    let output = crate::broker::mintbench().args(["serve", "--throttle", "20"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("`20` is not a throttle; write azure, off, or limits"), "{text}");
}
