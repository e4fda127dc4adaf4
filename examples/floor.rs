//! Two servers and a client without any work of their own, to separate the cost of a broker from that of
//! its HTTP server, and the cost of a load generator from that of its system calls.
//!
//! `floor hyper` is hyper's HTTP/1.1 server on current-thread runtimes. `floor raw` is an epoll loop
//! that makes one read and one write per request, and parses nothing. Both send one fixed response:
//! the built-in one, or with `--response FILE` the bytes captured from a broker
//! (`curl -is URL > FILE`). The cost of a broker beyond `hyper` is its own work; the cost of `hyper`
//! beyond `raw` is HTTP. `benches/floors/run.sh` measures all of them.
//!
//! With `--distinct N` there are N bodies of equal length, as many as a broker has tokens: what
//! remains of its cost beyond `raw` is then not the memory of the bodies.
//!
//! `floor ask` is the client. `benches/generator/run.sh` measures it.
//!
//! Each server prints its address, then `ready`. SIGTERM ends it by the system's default action.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;

use anyhow::{Context as _, bail};
use clap::{Args, Parser};
use socket2::{Domain, Protocol, Socket, Type};

// A file in `examples/` itself would be an example of its own.
#[path = "floor/answers.rs"]
mod answers;
#[path = "floor/ask.rs"]
mod ask;
#[path = "floor/bare_hyper.rs"]
mod bare_hyper;
#[path = "floor/raw.rs"]
mod raw;

use answers::Answers;

/// Answer every request with the same bytes, or ask for them.
#[derive(Debug, Parser)]
enum Floor {
    /// hyper on one current-thread runtime per worker
    Hyper(Options),
    /// one read and one write per request, in an epoll loop per worker
    Raw(Options),
    /// one read and one write per answer, in an epoll loop
    Ask(ask::Options),
}

#[derive(Debug, Args)]
struct Options {
    /// Address to listen on; port 0 lets the system choose
    #[arg(long, default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// Threads, each with a socket of its own on the port
    #[arg(long, default_value = "1")]
    workers: NonZeroUsize,
    /// The processor that all threads are pinned to
    #[arg(long)]
    cpu: Option<usize>,
    /// A file that holds one raw HTTP/1.1 response, to be sent instead of the built-in one
    #[arg(long, value_name = "FILE")]
    response: Option<PathBuf>,
    /// Bodies of equal length that differ in a number; the target and the caller choose one
    #[arg(long, value_name = "N", default_value = "1")]
    distinct: NonZeroU32,
}

/// Serves the connections of one listener, and returns only with an error.
type Serve = fn(TcpListener, Arc<Answers>) -> anyhow::Result<()>;

fn main() -> anyhow::Result<()> {
    let (serve, options): (Serve, Options) = match Floor::parse() {
        Floor::Hyper(options) => (bare_hyper::serve, options),
        Floor::Raw(options) => (raw::serve, options),
        Floor::Ask(options) => return ask::ask(&options),
    };
    let response = match &options.response {
        Some(path) => read_response(path)?,
        None => built_in(),
    };
    let answers = Arc::new(Answers::new(&response, options.distinct)?);
    if let Some(cpu) = options.cpu {
        pin(cpu)?;
    }
    let listeners = listen(options.addr, options.workers)?;
    announce(&listeners)?;
    serve_all(serve, listeners, &answers)
}

fn read_response(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read the response `{}`", path.display()))
}

/// Returns a response with the headers and the size of those of real IMDS. Its token is not valid.
fn built_in() -> Vec<u8> {
    let token = "x".repeat(1500);
    let body = format!(
        "{{\"access_token\":\"{token}\",\"client_id\":\"00000000-0000-0000-0000-000000000000\",\
         \"expires_in\":\"86399\",\"expires_on\":\"1709884800\",\"ext_expires_in\":\"86399\",\
         \"not_before\":\"1709798100\",\"resource\":\"https://management.azure.com/\",\
         \"token_type\":\"Bearer\"}}"
    );
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n\
         server: IMDS/150.870.65.1854\r\nx-ms-request-id: 00000000-0000-0000-0000-000000000000\r\n\
         x-mintbench-cache: hit\r\ncontent-length: {length}\r\n\
         date: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Pins this thread, and the threads that it starts.
fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    if cpu >= rustix::thread::CpuSet::MAX_CPU {
        bail!("there is no processor {cpu}");
    }
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .with_context(|| format!("cannot run on processor {cpu}"))
}

/// Listens with a socket for each worker. The kernel spreads connections over the sockets
/// (`SO_REUSEPORT`).
fn listen(addr: SocketAddr, workers: NonZeroUsize) -> anyhow::Result<Vec<TcpListener>> {
    let open = |addr| socket(addr).with_context(|| format!("cannot listen on {addr}"));
    let first = open(addr)?;
    // The port, if the system has chosen it.
    let addr = first.local_addr()?;
    let others = (1..workers.get()).map(|_| open(addr));
    std::iter::once(Ok(first)).chain(others).collect()
}

/// Length of the queue of connections to accept.
const BACKLOG: i32 = 4096;

fn socket(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn announce(listeners: &[TcpListener]) -> anyhow::Result<()> {
    let addr = listeners.first().context("there is no worker")?.local_addr()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "floor http://{addr}")?;
    // The sockets already queue connections, so a client may connect before the first accept.
    writeln!(out, "ready")?;
    Ok(out.flush()?)
}

/// Serves each listener on a thread, until the first of them fails.
fn serve_all(
    serve: Serve,
    listeners: Vec<TcpListener>,
    answers: &Arc<Answers>,
) -> anyhow::Result<()> {
    let (tell, ended) = channel();
    for listener in listeners {
        let (tell, answers) = (tell.clone(), Arc::clone(answers));
        std::thread::spawn(move || tell.send(serve(listener, answers)));
    }
    drop(tell);
    ended.recv().context("a worker panicked")?
}
