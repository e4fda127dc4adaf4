//! The broker answers any input with a documented body or closes the connection, and stays alive.

use std::io::Write as _;

use proptest::prelude::*;

use crate::broker::{Answer, Broker, Connection};

/// Checks an answer. hyper refuses invalid HTTP requests with a bare status; every other answer has
/// a JSON body.
fn check(answer: &Answer) {
    match answer.status {
        400 | 414 | 431 if !answer.headers.contains_key("content-type") => {}
        200 | 400 | 403 | 404 | 405 => assert!(answer.json().is_object(), "{answer:?}"),
        _ => panic!("{answer:?}"),
    }
}

fn assert_alive(broker: &Broker) {
    assert_eq!(broker.token("resource=https://vault.azure.net").status, 200);
}

fn answers(connection: &mut Connection) -> Vec<Answer> {
    std::iter::from_fn(|| connection.read()).collect()
}

#[test]
fn no_query_or_header_breaks_the_broker() {
    let broker = Broker::serve(&[]);
    let query = "([a-z_]{0,12}(=[a-zA-Z0-9%+./:_-]{0,20})?&){0,18}";
    let known = prop_oneof![
        Just("api-version=2018-02-01&resource=https://vault.azure.net&".to_owned()),
        Just("api-version=2018-02-01&".to_owned()),
        Just(String::new()),
    ];
    let header = "[A-Za-z-]{1,20}: [ -~]{0,40}";
    let mut runner = proptest::test_runner::TestRunner::default();
    let strategy = (known, query, proptest::collection::vec(header, 0..6));
    runner
        .run(&strategy, |(known, query, headers)| {
            let headers = headers.join("\r\n");
            let mut connection = broker.connect("imds");
            let target = format!("/metadata/identity/oauth2/token?{known}{query}");
            connection.send(format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata: true\r\nConnection: close\r\n{headers}\r\n\r\n").as_bytes());
            let answers = answers(&mut connection);
            assert_eq!(answers.len(), 1);
            answers.iter().for_each(check);
            Ok(())
        })
        .unwrap();
    assert_alive(&broker);
}

#[test]
fn bytes_that_are_no_request_are_refused_and_the_connection_closed() {
    let broker = Broker::serve(&[]);
    let cases: [&[u8]; 12] = [
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: x\r\nContent-Length: 1\r\n\r\na",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n folded: x\r\n\r\n",
        b"GET /metadata/identity/oauth2/token HTTP/1.1\r\nHost: 127.0.0.1\r\nX: \x01\r\n\r\n",
        b"GET / HTTP/1.1\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\n",
        b"GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=x HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\nMetadata: true\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for case in cases {
        let mut connection = broker.connect("imds");
        connection.send(case);
        // Reads until the connection ends.
        let answers = answers(&mut connection);
        assert_eq!(answers.len(), 1, "{case:?}");
        assert!(
            answers.iter().all(|answer| matches!(answer.status, 400 | 404)),
            "{case:?}: {answers:?}"
        );
    }
    assert_alive(&broker);
}

#[test]
fn a_bare_line_feed_ends_no_line_of_a_head_at_any_surface_and_bodies_keep_theirs() {
    let broker = Broker::serve(&["--arm-auth", "off"]);
    let bare = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\nY: b\r\n\r\n";
    let get = b"GET /subscriptions?api-version=2022-12-01 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    for surface in ["imds", "sts", "arm", "admin"] {
        let mut connection = broker.connect(surface);
        connection.send(bare);
        let statuses: Vec<u16> = answers(&mut connection).iter().map(|one| one.status).collect();
        assert_eq!(statuses, [400], "{surface}");
    }
    let subscriptions = broker.connect("arm").get("/subscriptions?api-version=2022-12-01").json();
    let subscription = subscriptions["value"][0]["subscriptionId"].as_str().unwrap();
    let body = "{\n\"location\":\n\n\"westeurope\"}\r\n\r\n\n";
    let put = format!(
        "PUT /subscriptions/{subscription}/resourcegroups/lf?api-version=2022-09-01 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    );
    let sized = format!("{put}Content-Length: {}\r\n\r\n{body}", body.len());
    let mut connection = broker.connect("arm");
    // Sends all requests at once: the next head is checked where the body ends.
    connection.send(&[sized.as_bytes(), get, sized.as_bytes(), bare].concat());
    let statuses: Vec<u16> = answers(&mut connection).iter().map(|one| one.status).collect();
    assert_eq!(statuses, [201, 200, 200, 400]);
    // The end of a chunked body is not known before it is read, so its connection accepts no
    // further request.
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let chunked = format!("{put}Transfer-Encoding: chunked\r\n\r\n{chunks}");
    let mut connection = broker.connect("arm");
    connection.send(&[chunked.as_bytes(), bare].concat());
    let statuses: Vec<u16> = answers(&mut connection).iter().map(|one| one.status).collect();
    assert_eq!(statuses, [200]);
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let broker = Broker::serve(&[]);
    let mut connection = broker.connect("imds");
    connection.send(b"GET /metadata/identity/oauth2/token HTTP/1.1\r\nHost: 127.0.0.1\r\n");
    for _ in 0..40 {
        connection.send(format!("X-Filler: {}\r\n", "x".repeat(1000)).as_bytes());
    }
    // Unread input makes the system reset the connection, and the reset may overtake the answer.
    assert!(answers(&mut connection).iter().all(|answer| answer.status == 431));
    assert_alive(&broker);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn no_bytes_break_the_broker(garbage in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 20)) {
        let broker = Broker::serve(&["--alg", "EdDSA"]);
        for bytes in garbage {
            let mut connection = broker.connect("imds");
            connection.send(&bytes);
            connection.send(b"\r\n\r\n");
            drop(connection);
        }
        assert_alive(&broker);
    }
}

/// Clients send the whole body before they read the answer, as azure-keyvault-secrets does.
#[test]
fn whoever_sends_a_body_that_is_refused_unread_gets_the_answer() {
    let broker = Broker::serve(&[]);
    let body = vec![b'x'; 8 << 20];
    let paths = [
        ("sts", "POST /72f988bf-0000-4000-8000-000000000001/oauth2/token", 413),
        ("arm", "PUT /subscriptions", 401),
        ("imds", "GET /metadata/identity/oauth2/token", 400),
    ];
    for (surface, line, status) in paths {
        let mut stream = std::net::TcpStream::connect(broker.address(surface)).unwrap();
        let length = body.len();
        let head =
            format!("{line} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut connection = Connection::open(stream);
        assert_eq!(connection.read().unwrap().status, status, "{surface}");
        assert!(connection.read().is_none(), "{surface} goes on");
    }
}
