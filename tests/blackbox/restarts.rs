//! Stops and new starts of a server that has load.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rustix::process::Signal;

use crate::broker::{Answer, Broker, Connection, poll};

const RESTARTS: usize = 5;
const CLIENTS: usize = 8;
/// Answers that every client gets between two restarts.
const ANSWERS: u32 = 20;
/// Every so many requests ask for a new token, so that a stop also meets requests that wait.
const NEW_TOKEN_EVERY: u32 = 4;

/// A client with one connection, which it opens again whenever the server has closed it.
struct Client<'a> {
    server: SocketAddr,
    connection: Option<Connection>,
    answered: &'a AtomicU32,
}

impl Client<'_> {
    /// Asks until `is_over`. Every request gets an answer, which is whole and for the same identity.
    fn ask(mut self, is_over: &AtomicBool) {
        let mut identity = None;
        for number in 0_u32.. {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let is_new = number.is_multiple_of(NEW_TOKEN_EVERY);
            let more = if is_new { "&bypass_cache=true" } else { "" };
            let answer = poll(|| self.answer(more));
            assert_eq!(answer.status, 200, "{}", answer.text());
            let token = answer.json();
            assert_eq!(
                *identity.get_or_insert_with(|| token["client_id"].clone()),
                token["client_id"]
            );
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns `None` if there is no server, or if it closed the connection before an answer began.
    fn answer(&mut self, more: &str) -> Option<Answer> {
        let mut connection = self
            .connection
            .take()
            .or_else(|| TcpStream::connect(self.server).ok().map(Connection::open))?;
        connection.send(format!(
            "GET /metadata/identity/oauth2/token?api-version=2023-07-01&resource=https://vault.azure.net{more} HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata: true\r\n\r\n"
        ).as_bytes());
        let answer = connection.read_whole()?;
        self.connection = Some(connection);
        Some(answer)
    }
}

fn serve(folder: &Path, address: &str) -> Broker {
    Broker::serve(&["--data", folder.to_str().unwrap(), "--imds", address])
}

/// An address of its own, where no port is taken while no server has it.
const FREE: &str = "127.77.0.1:0";

#[test]
fn restarts_under_load_lose_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = serve(folder.path(), FREE);
    let server = broker.address("imds");
    let is_over = AtomicBool::new(false);
    let answered = [const { AtomicU32::new(0) }; CLIENTS];
    let last = std::thread::scope(|scope| {
        for answered in &answered {
            let client = Client { server, connection: None, answered };
            scope.spawn(|| client.ask(&is_over));
        }
        for _ in 0..RESTARTS {
            let before = answered.each_ref().map(|answered| answered.load(Ordering::Relaxed));
            poll(|| {
                let has_enough = |(now, before): (&AtomicU32, &u32)| {
                    now.load(Ordering::Relaxed) >= before + ANSWERS
                };
                answered.iter().zip(&before).all(has_enough).then_some(())
            });
            broker.signal(Signal::TERM);
            assert_eq!(broker.wait().code(), Some(0));
            broker = serve(folder.path(), &server.to_string());
        }
        is_over.store(true, Ordering::Relaxed);
        broker
    });
    last.signal(Signal::TERM);
    assert_eq!(last.wait().code(), Some(0));
}
