//! An HTTP connection in memory, without sockets: client and server on one thread.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mintbench::base::clock::Monotonic;
use mintbench::base::http::{Peer, Scheme, Surface};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::{Builder, Runtime};

/// A keep-alive connection to a surface.
#[derive(Debug)]
pub(crate) struct MemoryConnection {
    runtime: Runtime,
    client: DuplexStream,
}

/// The buffer size of each direction: larger than a request or a response, so that neither side
/// waits.
const PIPE_BYTES: usize = 64 * 1024;

impl MemoryConnection {
    /// Serves `surface` to `peer` with the settings of `mintbench::base::http`.
    pub(crate) fn open<S: Surface>(surface: S, peer: SocketAddr) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let (client, server) = tokio::io::duplex(PIPE_BYTES);
        let shared =
            Arc::new((surface.caller(&Peer { addr: peer, scheme: Scheme::Http }), surface));
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(shared.1.respond(&shared.0, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_mins(2))
            .max_buf_size(16 * 1024)
            .serve_connection(TokioIo::new(server), service);
        runtime.spawn(connection);
        Self { runtime, client }
    }

    /// Sends `request` and returns its response.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.runtime.block_on(async {
            self.client.write_all(request).await.unwrap();
            let mut response = Vec::new();
            while !is_whole(&response) {
                self.client.read_buf(&mut response).await.unwrap();
            }
            response
        })
    }

    /// Returns the time for `iters` requests in turn, each with a response of `response_len` bytes.
    pub(crate) fn time(&mut self, request: &[u8], response_len: usize, iters: u64) -> Duration {
        let mut response = vec![0; response_len];
        self.runtime.block_on(async {
            let stopwatch = Monotonic::start();
            for _ in 0..iters {
                self.client.write_all(request).await.unwrap();
                self.client.read_exact(&mut response).await.unwrap();
            }
            Duration::from_nanos(stopwatch.now_ns())
        })
    }
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct Head {
    /// Length in bytes, up to the body.
    pub(crate) len: usize,
    /// Names in lower case, and values.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// Returns the head of `response`, or `None` if it is incomplete.
    pub(crate) fn of(response: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut parsed = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(len) = parsed.parse(response).unwrap() else { return None };
        let owned =
            |header: &httparse::Header<'_>| (header.name.to_lowercase(), header.value.to_vec());
        Some(Self { len, headers: parsed.headers.iter().map(owned).collect() })
    }

    fn content_length(&self) -> usize {
        let (_, value) = self.headers.iter().find(|(name, _)| name == "content-length").unwrap();
        std::str::from_utf8(value).unwrap().parse().unwrap()
    }
}

fn is_whole(response: &[u8]) -> bool {
    Head::of(response).is_some_and(|head| response.len() == head.len + head.content_length())
}
