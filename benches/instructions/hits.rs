//! Requests that hit, on a connection in memory.

use std::io::Write as _;
use std::sync::Arc;

use mintbench::base::clock::ManualClock;
use mintbench::base::http::{
    ConnectionLimiter, ConnectionLimits, HostNames, Peer, Scheme, serve_stream,
};
use mintbench::base::synthetic::Synthetic;
use mintbench::service::imds::Imds;
use mintbench::service::token::Algorithm;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use super::support::NOW;
use super::support::tokens::broker;

const WORLD: Synthetic = Synthetic { vms: 1000, user_assigned: 2, seed: 1 };

/// The buffer size of each direction: larger than a request or an answer, so that neither side waits.
const PIPE_BYTES: usize = 64 * 1024;

/// A short head.
pub(crate) const FIVE_HEADERS: &str = "host: 169.254.169.254\r\nmetadata: true\r\naccept: application/json\r\nuser-agent: azsdk-python-identity/1.25.0\r\nconnection: keep-alive\r\n";

/// A head as azure-identity sends it, with an id that changes from request to request.
pub(crate) const NINE_HEADERS: &str = "host: 169.254.169.254\r\nmetadata: true\r\naccept: application/json\r\nuser-agent: azsdk-python-identity/1.25.0 Python/3.12.3\r\nconnection: keep-alive\r\naccept-encoding: gzip, deflate\r\nx-ms-return-client-request-id: true\r\nx-ms-client-request-id: 00000000-1111-4222-8333-444444444444\r\ncookie: a=b\r\n";

/// The header whose value changes, up to the value.
const ID: &[u8] = b"x-ms-client-request-id: ";

/// A connection to the identity endpoint, and a request whose token is cached.
pub(crate) struct Hits {
    runtime: Runtime,
    client: DuplexStream,
    request: Vec<u8>,
    /// Position of the id that changes.
    id_at: Option<usize>,
    answer: Vec<u8>,
    _stop: watch::Sender<bool>,
}

impl Hits {
    pub(crate) fn new(headers: &str) -> Self {
        let broker = Arc::new(broker(&WORLD, Algorithm::Rs256, 10_000));
        let imds = Imds::new(broker, Arc::new(ManualClock::new(NOW)), HostNames::default(), 7);
        let (client, server) = duplex(PIPE_BYTES);
        let (stop, shutdown) = watch::channel(false);
        let peer = Peer { addr: (WORLD.address(0), 50_000).into(), scheme: Scheme::Http };
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.spawn(async move {
            let limits = ConnectionLimits { max: 10, per_caller: 10, unsent_bytes: 1_000_000 };
            let limiter = ConnectionLimiter::new(limits);
            serve_stream(server, peer, Arc::new(imds), &limiter, shutdown).await;
        });
        let query = "api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F";
        let path = "/metadata/identity/oauth2/token";
        let request = format!("GET {path}?{query} HTTP/1.1\r\n{headers}\r\n").into_bytes();
        let id_at = request.windows(ID.len()).position(|window| window == ID);
        let id_at = id_at.map(|at| at + ID.len());
        let mut hits = Self { runtime, client, request, id_at, answer: Vec::new(), _stop: stop };
        hits.warm();
        hits
    }

    /// Asks for the token twice, and finds the length of the answer to a hit.
    fn warm(&mut self) {
        let Self { runtime, client, request, answer, .. } = self;
        runtime.block_on(async {
            for _ in 0..2 {
                client.write_all(request).await.unwrap();
                answer.clear();
                // The body of a token ends its JSON, and no other part of an answer ends so.
                while !answer.ends_with(b"\"Bearer\"}") {
                    client.read_buf(answer).await.unwrap();
                }
            }
        });
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }

    /// Sends so many requests, one after the other, and reads their answers.
    pub(crate) fn ask(&mut self, times: u64) {
        let Self { runtime, client, request, id_at, answer, .. } = self;
        runtime.block_on(async {
            for number in 0..times {
                if let Some(mut id) = id_at.and_then(|at| request.get_mut(at..)) {
                    write!(id, "{number:08x}").unwrap();
                }
                client.write_all(request).await.unwrap();
                client.read_exact(answer).await.unwrap();
            }
        });
    }
}
