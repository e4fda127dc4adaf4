//! Starting, counting, and stopping without losing an answer.

use std::net::Ipv4Addr;
use std::process::Stdio;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use crate::broker::{Answer, Broker, Connection, mintbench, poll, token_target};

const COLD_KEYS: u32 = 400;

#[test]
fn operators_see_liveness_readiness_and_counts() {
    let broker = Broker::serve(&[]);
    for path in ["/healthz", "/readyz"] {
        let answer = broker.connect("admin").get(path);
        assert_eq!((answer.status, answer.text()), (200, "ok\n".to_owned()));
    }
    broker.token("resource=https://vault.azure.net");
    broker.token("resource=https://vault.azure.net");
    broker.token("");
    assert_eq!(broker.metric::<u64>("mintbench_cache_hits_total"), 1);
    assert_eq!(broker.metric::<u64>("mintbench_mints_total"), 1);
    assert_eq!(broker.metric::<u64>("mintbench_imds_responses_total{status=\"400\"}"), 1);
    assert!(broker.metric::<u64>("process_resident_memory_bytes") > 1_000_000);
    assert!(broker.metric::<f64>("process_cpu_seconds_total") > 0.0);
}

/// Returns the status and the text of the answer to a rotation.
fn rotate(broker: &Broker, query: &str) -> (u16, String) {
    let answer = broker.post_admin(&format!("/signing-keys/rotate{query}"));
    (answer.status, answer.text().trim().to_owned())
}

#[test]
fn a_key_that_verifiers_cannot_know_signs_only_in_place_of_a_compromised_one() {
    let broker = Broker::serve(&[]);
    let published = || {
        let keys = broker.connect("sts").get("/common/discovery/keys").json();
        let kids = keys["keys"].as_array().unwrap().iter();
        kids.map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let query = "resource=https://vault.azure.net";
    let (before, token) = (published(), broker.token(query).json());
    let (status, text) = rotate(&broker, "");
    assert!(
        status == 409 && text.contains("rotate again in") && text.contains("?force=true"),
        "{text}"
    );
    assert_eq!(
        (published(), broker.token(query).json()["access_token"].clone()),
        (before.clone(), token["access_token"].clone())
    );
    assert_eq!(rotate(&broker, "?force=1").0, 400);

    let (status, kid) = rotate(&broker, "?force=true");
    let after = published();
    assert_eq!((status, &after[0], after.len()), (200, &kid, 2));
    assert!(kid == before[1] && !after.contains(&before[0]));
    assert_ne!(broker.token(query).json()["access_token"], token["access_token"]);
    assert_eq!(broker.metric::<u64>("mintbench_mints_total"), 2);
}

#[test]
fn each_stop_signal_ends_the_process_with_0_and_leaves_no_file() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut broker = Broker::serve(&[]);
        let temporary = std::mem::replace(&mut broker.temporary, tempfile::tempdir().unwrap());
        let _idle = broker.connect("imds");
        let mut begun = broker.connect("imds");
        begun.send(b"GET /meta");
        broker.signal(signal);
        assert_eq!(broker.wait().code(), Some(0));
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "{signal:?}");
    }
}

/// Returns a broker that has received a request for each of many cold keys and has not yet answered
/// all. Returns `None` if it was too fast to be caught busy.
fn busy_broker() -> Option<(Broker, Vec<Connection>)> {
    let shape = format!("vms=1,user-assigned={COLD_KEYS}");
    let broker = Broker::serve(&["--synthetic", &shape, "--mint-lanes", "1"]);
    let connections = ask_for_every_key(&broker);
    let in_flight = poll(|| {
        let entries: u32 = broker.metric("mintbench_cache_entries");
        let flights: u32 = broker.metric("mintbench_cache_flights");
        (entries + flights >= COLD_KEYS).then_some(flights)
    });
    (in_flight > 0).then_some((broker, connections))
}

fn ask_for_every_key(broker: &Broker) -> Vec<Connection> {
    let world = mintbench::base::synthetic::Synthetic { vms: 1, user_assigned: COLD_KEYS, seed: 1 };
    let vm = Ipv4Addr::new(127, 1, 0, 1);
    let mut connections: Vec<Connection> =
        (0..COLD_KEYS).map(|_| broker.connect_from(vm.into())).collect();
    for (connection, index) in connections.iter_mut().zip(0..) {
        let client_id = world.user_assigned(0, index).client_id;
        let target =
            token_target(&format!("resource=https://vault.azure.net&client_id={client_id}"));
        connection.send(
            format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata: true\r\n\r\n")
                .as_bytes(),
        );
    }
    connections
}

#[test]
fn a_stop_signal_leaves_no_request_in_flight_without_its_answer() {
    let (broker, mut connections) = poll(busy_broker);
    broker.signal(Signal::TERM);
    for connection in &mut connections {
        assert_eq!(connection.read().unwrap().status, 200);
    }
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn a_full_mint_queue_answers_503_with_retry_after_at_once() {
    let shape = format!("vms=1,user-assigned={COLD_KEYS}");
    let broker = Broker::serve(&["--synthetic", &shape, "--mint-lanes", "1", "--mint-queue", "1"]);
    let answers: Vec<Answer> = ask_for_every_key(&broker)
        .iter_mut()
        .map(|connection| connection.read().unwrap())
        .collect();
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert_eq!(refused.len(), broker.metric::<usize>("mintbench_refused_total"));
    assert!(!refused.is_empty() && refused.len() < answers.len());
    for answer in refused {
        assert_eq!(answer.headers["retry-after"], "1");
        assert_eq!(answer.json()["error"], "service_unavailable");
    }
}

#[test]
fn an_expired_token_is_replaced_and_expires_in_is_never_0() {
    let broker = Broker::serve(&["--token-lifetime", "1s", "--refresh-at", "1"]);
    let first = broker.token("resource=https://vault.azure.net").json();
    poll(|| {
        let answer = broker.token("resource=https://vault.azure.net").json();
        assert_eq!(answer["expires_in"], "1");
        (answer["access_token"] != first["access_token"]).then_some(())
    });
}

#[test]
fn a_signal_ends_a_start_that_waits_for_a_world_file_and_leaves_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (world, data) = (folder.path().join("world.toml"), folder.path().join("data"));
    // A pipe to which nobody writes.
    mknodat(CWD, &world, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    for signal in [Signal::TERM, Signal::INT] {
        let mut command = mintbench();
        command.arg("serve").arg("--world").arg(&world).arg("--data").arg(&data);
        let process = command.stderr(Stdio::piped()).spawn().unwrap();
        // The store is made before the world file is read, and after signal handlers are installed.
        poll(|| data.join("world.redb").exists().then_some(()));
        kill_process(Pid::from_child(&process), signal).unwrap();
        let output = process.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("stopped by a signal before the world file"), "{said}");
        assert!(!data.exists(), "the folder is left behind");
    }
}
