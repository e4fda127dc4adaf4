use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;

use super::*;
use crate::harness::scenario::key::{Selector, Slot};

const WORLD: Synthetic = Synthetic { vms: 3, user_assigned: 2, seed: 1 };

/// Control plane that acknowledges every change but makes none.
fn liar() -> HttpUrl {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut input = BufReader::new(stream.try_clone().unwrap());
        loop {
            let (mut line, mut length) = (String::new(), 0);
            while line != "\r\n" {
                line.clear();
                if input.read_line(&mut line).unwrap() == 0 {
                    return;
                }
                if let Some(text) = line.strip_prefix("Content-Length: ") {
                    length = text.trim().parse().unwrap();
                }
            }
            input.read_exact(&mut vec![0; length]).unwrap();
            let id = crate::base::ids::PrincipalId::from_bytes([1; 16]);
            let body = format!(r#"{{"identity":{{"principalId":"{id}"}}}}"#);
            let length = body.len();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
        }
    });
    url
}

fn slots() -> impl Iterator<Item = Slot> {
    let selectors = [Selector::Default, Selector::UserAssigned(0), Selector::UserAssigned(1)];
    (0..WORLD.vms).flat_map(move |vm| selectors.map(|selector| Slot { vm, selector }))
}

#[test]
fn an_endpoint_that_goes_on_giving_tokens_after_an_acknowledged_removal_is_found_out() {
    let clock = Monotonic::start();
    let ledger = Arc::new(Ledger::new(clock));
    let (batches, noted) = channel();
    let mut observer = Observer::new(Churner::vms(&WORLD), batches);
    let mut churner = Churner::new(liar(), WORLD, Arc::clone(&ledger), clock, 1);
    // Requests every identity of the world once, from an endpoint that gives or refuses all.
    let mut ask = |token| {
        for slot in slots() {
            let (written, end) = (Nanos::now(clock), Nanos::now(clock));
            observer.note(Observation { slot, written, end, token });
        }
    };
    ask(true);
    assert!(churner.change().is_continue());
    ask(true);
    ask(false);
    // Three VMs lose one identity each; the fourth change gives the first one back.
    (0..3).for_each(|_| assert!(churner.change().is_continue()));
    ask(true);
    drop(observer);
    let judgement = judge(ledger, noted).unwrap().join().unwrap();
    let expected = Judgement {
        removals: 0,
        refused_rightly: 1,
        refused_wrongly: 8,
        tokens_rightly: 9 + 8 + 7,
        tokens_after_removal: 1 + 2,
        undecided: 0,
    };
    assert_eq!(judgement, expected);
    assert_eq!((churner.removals, churner.writes.count(), churner.writes.failed), (3, 4, 0));
}

#[test]
fn a_control_plane_that_does_not_answer_fails_the_changes_and_ends_them() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url: HttpUrl = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let clock = Monotonic::start();
    let mut churner = Churner::new(url, WORLD, Arc::new(Ledger::new(clock)), clock, 1);
    (0..WORLD.vms).for_each(|_| assert!(churner.change().is_continue()));
    // The state of every VM is now unknown.
    assert!(churner.change().is_break());
    assert_eq!((churner.writes.failed, churner.removals), (3, 0));
    let reason = churner.writes.first_failure.unwrap();
    assert!(reason.contains("no answer from http://127.0.0.1"), "{reason}");
}
