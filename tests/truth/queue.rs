//! The rows of the truth server, against the clock of its client.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::server::{Options, Record, Row, Service, Stalling, Stop, serve};

const REQUESTS: usize = 8;
const SERVICE_NS: u64 = 2_000_000;

/// A queue on its own thread, and connections to it.
struct Queue {
    record: Record,
    stop: Stop,
    thread: JoinHandle<anyhow::Result<()>>,
    connections: Vec<TcpStream>,
}

impl Queue {
    /// Starts a queue for which the kernel already makes stamps.
    fn start(service: Service, stalling: Option<Stalling>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (record, stop) = (Record::new(), Stop::new().unwrap());
        let law = format!("constant:{SERVICE_NS}ns").parse().unwrap();
        let options = Options {
            law,
            service,
            stalling,
            stamped: true,
            seed: 1,
            body_bytes: 2,
            early_ns: Some(80_000),
        };
        let (its_record, its_stop) = (record.clone(), stop.clone());
        let thread = std::thread::spawn(move || serve(listener, options, its_record, its_stop));
        let mut connections: Vec<_> =
            (0..REQUESTS).map(|_| TcpStream::connect(address).unwrap()).collect();
        await_stamps(&mut connections[0], &record);
        Self { record, stop, thread, connections }
    }

    /// Ends the queue and returns its rows.
    fn end(self) -> Vec<Row> {
        self.stop.request();
        self.thread.join().unwrap().unwrap();
        self.record.rows()
    }
}

/// Returns the rows of requests that were sent at the same time, each over its own connection, and
/// the wall time before the first and after the last answer.
fn rows_of(service: Service) -> (Vec<Row>, u64, u64) {
    let mut queue = Queue::start(service, None);
    let begun_ns = wall_ns();
    queue.connections.iter_mut().for_each(ask);
    queue.connections.iter_mut().for_each(read);
    let ended_ns = wall_ns();
    (queue.end(), begun_ns, ended_ns)
}

fn ask(connection: &mut TcpStream) {
    connection.write_all(b"GET / HTTP/1.1\r\nhost: truth\r\n\r\n").unwrap();
}

fn read(connection: &mut TcpStream) {
    connection.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(connection.read(&mut [0; 256]).unwrap() > 0);
}

/// Asks until the kernel stamps requests and answers, which it begins with a delay, and clears the record.
fn await_stamps(connection: &mut TcpStream, record: &Record) {
    for asked in 1..1_000 {
        ask(connection);
        read(connection);
        // A row is kept just after its answer is sent.
        while record.rows().len() < asked {
            std::thread::yield_now();
        }
        if record.rows()[asked - 1].stamped {
            return record.forget();
        }
    }
    panic!("the kernel gives no stamps");
}

fn wall_ns() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Returns the least number of services between the first request and the last answer.
fn rounds(service: Service) -> u64 {
    let (rows, begun_ns, ended_ns) = rows_of(service);
    assert_eq!(rows.len(), REQUESTS);
    for row in &rows {
        assert!(row.stamped, "{row:?}");
        assert!(begun_ns <= row.received_ns && row.sent_ns <= ended_ns, "{row:?}");
        assert!(row.sent_ns - row.received_ns >= row.service_ns, "{row:?}");
        assert_eq!(row.service_ns, SERVICE_NS);
    }
    let in_order = rows.windows(2).all(|pair| pair[0].received_ns <= pair[1].received_ns);
    assert!(in_order, "{rows:?}");
    let (first, last) = (&rows[0], &rows[REQUESTS - 1]);
    (last.sent_ns - first.received_ns) / SERVICE_NS
}

#[test]
fn one_server_answers_one_request_after_the_other() {
    assert!(rounds(Service::Asleep(NonZeroUsize::MIN)) >= REQUESTS as u64);
}

#[test]
fn two_servers_answer_two_requests_at_a_time() {
    let two = NonZeroUsize::new(2).unwrap();
    assert!(rounds(Service::Asleep(two)) >= REQUESTS as u64 / 2);
}

#[test]
fn a_busy_server_works_for_each_request_in_turn() {
    assert!(rounds(Service::Busy) >= REQUESTS as u64);
}

/// Asserts that stalls mark what they meet, and delay it.
fn stalls(service: Service, stalling: &str) {
    let stalling: Stalling = stalling.parse().unwrap();
    let mut queue = Queue::start(service, Some(stalling));
    let until_ns = wall_ns() + 5 * PERIOD_NS;
    while wall_ns() < until_ns {
        // One request is always outstanding.
        ask(&mut queue.connections[0]);
        read(&mut queue.connections[0]);
    }
    let rows = queue.end();
    let (stalled, others): (Vec<Row>, Vec<Row>) = rows.iter().copied().partition(|row| row.stalled);
    // Of five stalls, a client that gets its processor late may miss some.
    assert!(stalled.len() >= 2 && !others.is_empty(), "{rows:?}");
    let longest_ns = stalled.iter().map(|row| row.sent_ns - row.received_ns).max();
    assert!(longest_ns.is_some_and(|longest_ns| longest_ns > STALL_NS), "{stalled:?}");
}

const STALL_NS: u64 = 20_000_000;
const PERIOD_NS: u64 = 100_000_000;

#[test]
fn a_stall_delays_and_marks_the_requests_that_it_meets() {
    stalls(Service::Asleep(NonZeroUsize::MIN), "20ms:100ms");
}

#[test]
fn a_busy_stall_does_the_same() {
    stalls(Service::Busy, "20ms:100ms:busy");
}
