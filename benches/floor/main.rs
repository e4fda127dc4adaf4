//! Two servers without any work of their own, to separate the cost of a broker from that of its
//! HTTP server.
//!
//! `floor hyper` is hyper's HTTP/1.1 server on one current-thread runtime. `floor raw` is an epoll
//! loop that makes one read and one write per request. Both send one fixed response: the built-in
//! one, or with `--response FILE` the bytes captured from a broker (`curl -is URL > FILE`). The
//! cost of a broker beyond `hyper` is its own work; the cost of `hyper` beyond `raw` is HTTP.
//!
//! Each prints its address, then `ready`. SIGTERM ends it by the system's default action.

use std::convert::Infallible;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::{Args, Parser};
use http_body_util::Full;
use hyper::Response;

mod raw;

/// Answer every request with the same bytes.
#[derive(Debug, Parser)]
enum Floor {
    /// hyper on one current-thread runtime
    Hyper(Options),
    /// one read and one write per request, in an epoll loop
    Raw(Options),
}

#[derive(Debug, Args)]
struct Options {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, default_value = "127.0.0.1:0")]
    addr: SocketAddr,
    /// The processor that the server's only thread is pinned to
    #[arg(long)]
    cpu: Option<usize>,
    /// A file that holds one raw HTTP/1.1 response, to be sent instead of the built-in one
    #[arg(long, value_name = "FILE")]
    response: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let floor = Floor::parse();
    let (Floor::Hyper(options) | Floor::Raw(options)) = &floor;
    let response = match &options.response {
        Some(path) => read_response(path)?,
        None => built_in(),
    };
    let template = parse(&response)?;
    if let Some(cpu) = options.cpu {
        pin(cpu)?;
    }
    let listener = listen(options.addr)?;
    match floor {
        Floor::Hyper(_) => serve(listener, &template),
        Floor::Raw(_) => raw::serve(&listener, &response),
    }
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

/// Converts the raw bytes into a response of hyper, whose own `date` and `content-length` replace
/// theirs.
fn parse(response: &[u8]) -> anyhow::Result<Response<Full<Bytes>>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = head.parse(response).context("not an HTTP response")?
    else {
        bail!("the response ends within its headers");
    };
    let body = Bytes::copy_from_slice(response.get(end..).unwrap_or_default());
    let mut builder = Response::builder().status(head.code.unwrap_or_default());
    for header in head.headers.iter() {
        match header.name.to_ascii_lowercase().as_str() {
            "date" => {}
            "transfer-encoding" => bail!("the response is chunked; capture one that is not"),
            "content-length" => check_length(header.value, body.len())?,
            name => builder = builder.header(name, header.value),
        }
    }
    Ok(builder.body(Full::new(body))?)
}

/// Checks the stated length. A wrong one would make clients wait for ever or misread the next
/// response.
fn check_length(value: &[u8], body: usize) -> anyhow::Result<()> {
    let stated = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<usize>().ok());
    if stated != Some(body) {
        bail!("the response states another length than its body's {body} bytes");
    }
    Ok(())
}

fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    if cpu >= rustix::thread::CpuSet::MAX_CPU {
        bail!("there is no processor {cpu}");
    }
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .with_context(|| format!("cannot run on processor {cpu}"))
}

fn listen(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(addr).with_context(|| format!("cannot listen on {addr}"))?;
    listener.set_nonblocking(true)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "floor http://{}", listener.local_addr()?)?;
    // The socket already queues connections, so a client may connect before the first accept.
    writeln!(out, "ready")?;
    out.flush()?;
    Ok(listener)
}

/// Serves `template` with hyper only.
fn serve(listener: TcpListener, template: &Response<Full<Bytes>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let response = template.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(|_| {
                    std::future::ready(Ok::<_, Infallible>(response.clone()))
                });
                let stream = hyper_util::rt::TokioIo::new(stream);
                // A client that goes away only ends its connection.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(stream, service)
                    .await;
            });
        }
    })
}
