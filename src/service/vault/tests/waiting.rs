//! Writes that wait for a slow disk.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::service::store::{Format, MemoryStore, Revision, Store, StoreError};

/// Channels that report a waiting commit and release it.
type Turnstile = (Sender<()>, Receiver<()>);

/// A store whose commits, once slowed, wait until they are released.
#[derive(Debug, Default)]
struct Slow {
    store: MemoryStore,
    waits: Arc<Mutex<Option<Turnstile>>>,
}

impl Store for Slow {
    fn commit(&self, expected: Revision, changes: &[Change]) -> Result<Revision, StoreError> {
        if let Some((waiting, released)) = &*self.waits.lock() {
            waiting.send(()).unwrap();
            released.recv().unwrap();
        }
        self.store.commit(expected, changes)
    }

    fn replay(&self, each: &mut dyn FnMut(Record)) -> Result<Revision, StoreError> {
        self.store.replay(each)
    }

    fn format(&self) -> Format {
        Format::CURRENT
    }
}

async fn send(address: std::net::SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Waits until a commit is waiting.
async fn until_it_waits(waiting: Receiver<()>) -> Receiver<()> {
    let waited = tokio::task::spawn_blocking(move || {
        waiting.recv_timeout(Duration::from_secs(20)).expect("no write comes to the store");
        waiting
    });
    waited.await.unwrap()
}

/// Reads the status line of the answer.
async fn status(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n") {
        let byte = tokio::time::timeout(Duration::from_secs(20), stream.read_u8());
        answer.push(byte.await.expect("no answer in time").unwrap());
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_read_is_answered_while_a_write_waits_for_the_disk_and_a_write_whose_client_left_is_done()
{
    let slow = Slow::default();
    let waits = Arc::clone(&slow.waits);
    let world = World::on(Box::new(slow), file::demo().unwrap());
    let (token, directory) = (world.token(OFFICER), Arc::clone(&world.directory));
    let Listening { address, stop, served } = listen(world.vault).await;
    let (entered, waiting) = channel();
    let (release, released) = channel();
    *waits.lock() = Some((entered, released));
    let request = |line: &str, body: &str| {
        let length = body.len();
        format!(
            "{line} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    };
    let set =
        |name: &str| request(&format!("PUT /secrets/{name}?api-version=7.6"), r#"{"value":"x"}"#);
    let mut first = send(address, &set("first")).await;
    let waiting = until_it_waits(waiting).await;
    let mut read = send(address, &request("GET /secrets?api-version=7.6", "")).await;
    assert!(status(&mut read).await.starts_with("HTTP/1.1 200 "));
    release.send(()).unwrap();
    assert!(status(&mut first).await.starts_with("HTTP/1.1 200 "));
    let second = send(address, &set("second")).await;
    until_it_waits(waiting).await;
    drop(second);
    release.send(()).unwrap();
    stop.send(true).unwrap();
    drop((first, read));
    served.await.unwrap();
    let vault = VAULT.parse().unwrap();
    let is_there = || directory.read().secret(&vault, "second").is_some();
    let deadline = crate::base::clock::Monotonic::start();
    while !is_there() {
        assert!(deadline.now_ns() < 20_000_000_000, "the write of a client that left is lost");
        tokio::task::yield_now().await;
    }
}
