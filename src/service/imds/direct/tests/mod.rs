//! Both paths of the identity endpoint: through hyper, and without it.
//!
//! The clock of these tests stands at a moment that is not now, and hyper reads the clock of the system. So
//! `Date` tells which path has answered.

mod cases;
mod differential;
mod misses;
mod threats;

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::base::clock::{ManualClock, Seconds, UnixSeconds};
use crate::base::http::{
    ConnectionLimiter, ConnectionLimits, HostNames, Peer, Responses, Scheme, serve_stream,
};
use crate::base::synthetic::Synthetic;
use crate::service::broker::{Broker, BrokerOptions};
use crate::service::directory;
use crate::service::directory::Directory;
use crate::service::directory::tests::change;
use crate::service::imds::Imds;
use crate::service::token::{Entropy, Issuer, MintError, Subject, Token, TokenSource};
use crate::service::world::record::{Change, Record, VirtualMachine};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// `Date` of [`NOW`].
const DATE: &str = "Fri, 15 Jan 2027 08:00:00 GMT";

const LIFETIME: Seconds = Seconds(1000);

const WORLD: Synthetic = Synthetic { vms: 2, user_assigned: 1, seed: 1 };

/// The deadline of every wait.
const DEADLINE: Duration = Duration::from_secs(30);

const PIPE_BYTES: usize = 64 * 1024;

/// A hit that is answered without hyper.
const HIT: (Path, u16, &str) = (Path::Direct, 200, "hit");

const RESOURCES: [&str; 4] = [
    "https://management.azure.com/",
    "https://vault.azure.net",
    "https%3A%2F%2Fstorage.azure.com",
    "https://account.blob.core.windows.net/",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// Without hyper where possible.
    Direct,
    Hyper,
}

/// A token source that a test can block.
#[derive(Debug)]
struct Source {
    issuer: Issuer,
    /// While the test holds the sender, each mint waits for a message.
    gate: Mutex<Option<mpsc::Receiver<()>>>,
    /// True if mints fail.
    fails: AtomicBool,
}

impl TokenSource for Source {
    fn mint(
        &self,
        subject: &Subject<'_>,
        resource: &str,
        now: UnixSeconds,
        entropy: &Entropy,
    ) -> Result<Token, MintError> {
        if let Some(gate) = &*self.gate.lock() {
            let _ = gate.recv();
        }
        if self.fails.load(Ordering::Relaxed) {
            return Err(MintError::Sign);
        }
        self.issuer.mint(subject, resource, now, entropy)
    }
}

struct World {
    runtime: Runtime,
    directory: Arc<Directory>,
    broker: Arc<Broker>,
    source: Arc<Source>,
    clock: Arc<ManualClock>,
}

/// The client's side of a connection in memory.
struct Client {
    stream: DuplexStream,
    server: JoinHandle<()>,
    stop: watch::Sender<bool>,
    responses: Arc<Responses>,
}

/// An answer, as far as these tests look at it.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    path: Path,
    status: u16,
    cache: String,
    resource: String,
    /// All lines of its head but `Date`.
    head: String,
}

/// Returns the targets of all keys of the first VM.
fn targets() -> Vec<String> {
    let id = WORLD.user_assigned(0, 0).client_id;
    let of = |resource: &str, rest: &str| {
        format!("/metadata/identity/oauth2/token?api-version=2018-02-01&resource={resource}{rest}")
    };
    let selected = format!("&client_id={id}");
    let all = RESOURCES.iter().flat_map(|resource| [of(resource, ""), of(resource, &selected)]);
    all.collect()
}

/// Returns the target of the same token, minted anew.
fn fresh(target: &str) -> String {
    target.replace("2018-02-01", "2023-07-01") + "&bypass_cache=true"
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nMetadata: true\r\n\r\n")
}

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let directory = Arc::new(directory::tests::of(WORLD.build().unwrap(), Seconds(0)));
        let options = BrokerOptions {
            cache_entries: NonZeroUsize::new(1000).unwrap(),
            mint_lanes: NonZeroUsize::MIN,
            mint_queue: NonZeroUsize::new(100).unwrap(),
            refresh_fraction: 1.0,
            seed: [7; 32],
        };
        let issuer = Issuer::new(directory.ring(), LIFETIME);
        let source =
            Arc::new(Source { issuer, gate: Mutex::default(), fails: AtomicBool::new(false) });
        let clock = Arc::new(ManualClock::new(NOW));
        let (tokens, time) = (Arc::<Source>::clone(&source), Arc::<ManualClock>::clone(&clock));
        let broker = Broker::start(Arc::clone(&directory), tokens, time, &options).unwrap();
        Self { runtime, directory, broker: Arc::new(broker), source, clock }
    }

    /// Returns a world whose first VM has a cached token for each target.
    fn warm() -> Self {
        let world = Self::new();
        world.runtime.block_on(async {
            let mut client = world.open(Path::Hyper, 64 * 1024);
            for target in targets() {
                let answer = client.ask(&target).await;
                assert_eq!(answer.status, 200, "{target}");
            }
        });
        world
    }

    /// Opens a connection as the first VM. Each side buffers up to `pipe_bytes`.
    fn open(&self, path: Path, pipe_bytes: usize) -> Client {
        self.open_from(WORLD.address(0), path, pipe_bytes)
    }

    /// Opens a connection from this address.
    fn open_from(&self, address: Ipv4Addr, path: Path, pipe_bytes: usize) -> Client {
        let clock = Arc::<ManualClock>::clone(&self.clock);
        let imds = Imds::new(Arc::clone(&self.broker), clock, HostNames::default(), 7);
        let imds = match path {
            Path::Direct => imds,
            Path::Hyper => imds.with_hyper_only(),
        };
        let (stream, other_side) = duplex(pipe_bytes);
        let (stop, shutdown) = watch::channel(false);
        let limits = ConnectionLimits { max: 10, per_caller: 10, unsent_bytes: 1_000_000 };
        let peer = Peer { addr: (address, 50_000).into(), scheme: Scheme::Http };
        let responses = imds.responses();
        let server = tokio::spawn(async move {
            let limiter = ConnectionLimiter::new(limits);
            serve_stream(other_side, peer, Arc::new(imds), &limiter, shutdown).await;
        });
        Client { stream, server, stop, responses }
    }

    /// Makes each mint wait for a message from the returned sender, until the sender is dropped.
    fn hold_mints(&self) -> mpsc::Sender<()> {
        let (go, gate) = mpsc::channel();
        *self.source.gate.lock() = Some(gate);
        go
    }
}

fn limit_first_vm(world: &World, limits: &str) {
    let id = WORLD.vm_id(0).unwrap();
    let record = VirtualMachine::clone(&world.directory.read().vm(&id).unwrap().vm.record);
    let throttle = Some(limits.parse().unwrap());
    let record = Record::VirtualMachine(VirtualMachine { throttle, ..record });
    change(&world.directory, Change::Put(record));
}

impl Client {
    async fn ask(&mut self, target: &str) -> Answer {
        self.send(&get(target)).await;
        self.read(1).await.remove(0)
    }

    async fn send(&mut self, text: &str) {
        use tokio::io::AsyncWriteExt as _;
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    async fn read(&mut self, count: usize) -> Vec<Answer> {
        read(&mut self.stream, count).await
    }

    /// Waits until the server has closed the connection by itself.
    async fn closed(self) {
        timeout(DEADLINE, self.server).await.unwrap().unwrap();
    }
}

/// Reads this many answers.
async fn read(stream: &mut (impl AsyncRead + Unpin), count: usize) -> Vec<Answer> {
    let mut bytes = Vec::new();
    loop {
        let read = answers(&bytes);
        if read.len() >= count {
            assert_eq!(read.len(), count);
            return read;
        }
        let more = timeout(DEADLINE, stream.read_buf(&mut bytes)).await.unwrap().unwrap();
        assert!(more > 0, "closed after {} answers", read.len());
    }
}

fn paths(answers: &[Answer]) -> Vec<(Path, u16, &str)> {
    answers.iter().map(|answer| (answer.path, answer.status, answer.cache.as_str())).collect()
}

/// Returns the answers that are complete.
fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut head = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(len)) = head.parse(bytes) else { return answers };
        let value = |name: &str| {
            let named = head.headers.iter().find(|header| header.name == name);
            named.map(|header| str::from_utf8(header.value).unwrap()).unwrap_or_default()
        };
        let end = len + value("content-length").parse::<usize>().unwrap();
        let Some(body) = bytes.get(len..end) else { return answers };
        let lines = str::from_utf8(&bytes[..len]).unwrap().split_inclusive("\r\n");
        let json = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        answers.push(Answer {
            path: if value("date") == DATE { Path::Direct } else { Path::Hyper },
            status: head.code.unwrap(),
            cache: value("x-mintbench-cache").to_owned(),
            resource: json["resource"].as_str().unwrap_or_default().to_owned(),
            head: lines.filter(|line| !line.starts_with("date: ")).collect(),
        });
        bytes = &bytes[end..];
    }
}

/// Lets the other tasks run until they wait for something.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Waits until `is_so` holds.
async fn until(mut is_so: impl FnMut() -> bool) {
    let waits = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, waits).await.unwrap();
}
