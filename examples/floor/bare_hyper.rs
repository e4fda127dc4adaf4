//! hyper's HTTP/1.1 server, and nothing else.

use std::convert::Infallible;
use std::future::ready;
use std::net::{IpAddr, TcpListener};
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::answers::Answers;

/// Answers every request of one listener. The runtime has no timers: an HTTP server needs none.
///
/// # Errors
/// Returns an error when the listener fails.
pub(crate) fn serve(listener: TcpListener, answers: Arc<Answers>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, peer) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(answer(stream, peer.ip(), Arc::clone(&answers)));
        }
    })
}

/// Answers the requests of one connection.
async fn answer(stream: TcpStream, peer: IpAddr, answers: Arc<Answers>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let query = request.uri().query().unwrap_or_default();
        let number = answers.number(query.as_bytes(), peer);
        ready(Ok::<_, Infallible>(answers.response(number)))
    });
    // A client that goes away only ends its connection.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
