use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Request, Response, StatusCode};
use rustls::pki_types::UnixTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::blocking::BlockingClient;
use super::error::ClientError;
use super::exchange::{Client, ClientLimits, read_whole};
use super::origin::Origin;
use crate::base::clock::{ManualClock, UnixSeconds};
use crate::base::http::{
    ConnectionLimiter, ConnectionLimits, Payload, Peer, Surface, Transport, serve, text_reply,
};
use crate::base::tls::{Authority, ServerTls, client_config};

/// Answers with the properties of the request: scheme, number of the connection, host and body.
#[derive(Debug, Default)]
struct Echo {
    connections: AtomicUsize,
}

impl Surface for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    type Caller = (Peer, usize);

    fn caller(&self, peer: &Peer) -> (Peer, usize) {
        (*peer, self.connections.fetch_add(1, Ordering::Relaxed))
    }

    async fn respond(
        &self,
        (peer, number): &(Peer, usize),
        request: Request<Incoming>,
    ) -> Response<Payload> {
        match request.uri().path() {
            "/silent" => std::future::pending().await,
            "/large" => return text_reply(StatusCode::OK, vec![b'x'; 2_000]),
            _ => {}
        }
        let host = request.headers().get(HOST).unwrap().to_str().unwrap().to_owned();
        let origin = Origin::of(&"http://test".parse().unwrap()).unwrap();
        let body = read_whole(request.into_body(), 1_000, &origin).await.unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        text_reply(StatusCode::OK, format!("{} {number} {host} {body}", peer.scheme))
    }
}

/// A listener and a client that trusts it.
struct Fixture {
    addr: SocketAddr,
    client: Client,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

fn authority() -> Authority {
    Authority::create(now()).unwrap()
}

fn now() -> UnixSeconds {
    UnixSeconds(UnixTime::now().as_secs())
}

fn limits() -> ClientLimits {
    ClientLimits { response_bytes_max: 1_000, ..ClientLimits::default() }
}

async fn fixture(transport: fn(Arc<ServerTls>) -> Transport) -> Fixture {
    let authority = Arc::new(authority());
    let (names, clock) = (vec!["localhost".to_owned()], Arc::new(ManualClock::new(now())));
    let server = Arc::new(ServerTls::new(Arc::clone(&authority), clock, names));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (stop, shutdown) = watch::channel(false);
    let surface = Arc::new(Echo::default());
    let limiter = ConnectionLimiter::new(ConnectionLimits {
        max: 100,
        per_caller: 100,
        unsent_bytes: 1_000_000,
    });
    let transport = transport(server);
    let task = tokio::spawn(async move {
        serve(listener, transport, surface, limiter, shutdown).await.unwrap();
    });
    let tls = client_config(authority.certificate_pem().as_bytes()).unwrap();
    Fixture { addr, client: Client::new(Some(tls), limits()), stop, task }
}

impl Fixture {
    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://localhost:{}{path}", self.addr.port())
    }

    async fn get(&self, scheme: &str, path: &str) -> Result<String, ClientError> {
        text(&self.client, &self.url(scheme, path)).await
    }
}

async fn text(client: &Client, url: &str) -> Result<String, ClientError> {
    let request = Request::post(url).body(Bytes::from_static(b"hello")).unwrap();
    let response = client.send(request).await?;
    Ok(String::from_utf8(response.into_body().to_vec()).unwrap())
}

#[tokio::test]
async fn both_schemes_are_spoken_on_one_port_and_connections_are_reused() {
    let fixture = fixture(Transport::Either).await;
    let host = format!("localhost:{}", fixture.addr.port());
    for _ in 0..3 {
        let answer = fixture.get("https", "/a").await.unwrap();
        assert_eq!(answer, format!("https 0 {host} hello"));
    }
    for _ in 0..3 {
        assert_eq!(fixture.get("http", "").await.unwrap(), format!("http 1 {host} hello"));
    }
}

#[tokio::test]
async fn plain_http_is_told_to_speak_https() {
    let fixture = fixture(Transport::Tls).await;
    let request = Request::get(fixture.url("http", "/")).body(Bytes::new()).unwrap();
    let response = fixture.client.send(request).await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.into_body(), "this endpoint speaks https\n");
    assert!(fixture.get("https", "/").await.unwrap().starts_with("https 0 "));
}

#[tokio::test]
async fn an_unfinished_handshake_holds_nobody_up() {
    let fixture = fixture(Transport::Either).await;
    let mut stuck = tokio::net::TcpStream::connect(fixture.addr).await.unwrap();
    stuck.write_all(&[0x16, 3, 1]).await.unwrap();
    let _silent = tokio::net::TcpStream::connect(fixture.addr).await.unwrap();
    assert!(fixture.get("https", "/").await.unwrap().starts_with("https 0 "));
    assert!(fixture.get("http", "/").await.unwrap().starts_with("http 1 "));
}

#[tokio::test]
async fn a_listener_that_is_told_to_end_waits_for_no_handshake() {
    let fixture = fixture(Transport::Tls).await;
    let mut stuck = tokio::net::TcpStream::connect(fixture.addr).await.unwrap();
    stuck.write_all(&[0x16, 3, 1]).await.unwrap();
    let _silent = tokio::net::TcpStream::connect(fixture.addr).await.unwrap();
    assert!(fixture.get("https", "/").await.is_ok());
    fixture.stop.send_replace(true);
    timeout(Duration::from_secs(4), fixture.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn strangers_and_wrong_names_are_refused() {
    let fixture = fixture(Transport::Either).await;
    let strict = client_config(authority().certificate_pem().as_bytes()).unwrap();
    let strict = Client::new(Some(strict), limits());
    let refused = text(&strict, &fixture.url("https", "/")).await.unwrap_err();
    assert!(matches!(refused, ClientError::Tls { .. }), "{refused:?}");
    let url = format!("https://{}/", fixture.addr);
    let refused = text(&fixture.client, &url).await.unwrap_err();
    assert!(matches!(refused, ClientError::Tls { .. }), "{refused:?}");
    assert_eq!(refused.to_string(), format!("cannot set up TLS with https://{}", fixture.addr));
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_given_up() {
    let mut fixture = fixture(Transport::Either).await;
    fixture.client.limits.total = Duration::from_millis(50);
    let late = fixture.get("http", "/silent").await.unwrap_err();
    assert!(matches!(late, ClientError::Timeout { to: "answer", .. }), "{late:?}");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    fixture.client.limits =
        ClientLimits { connect: Duration::from_millis(50), ..ClientLimits::default() };
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let late = text(&fixture.client, &url).await.unwrap_err();
    assert!(matches!(late, ClientError::Timeout { to: "connect", .. }), "{late:?}");
    assert!(late.to_string().ends_with("took longer than 50ms to connect"), "{late}");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_refused() {
    let fixture = fixture(Transport::Either).await;
    let refused = fixture.get("https", "/large").await.unwrap_err();
    assert!(matches!(refused, ClientError::TooLarge { max: 1_000, .. }), "{refused:?}");
    assert!(fixture.get("https", "/").await.is_ok());
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_failure_to_connect() {
    let fixture = fixture(Transport::Either).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let refused = text(&fixture.client, &url).await.unwrap_err();
    assert!(matches!(refused, ClientError::Connect { .. }), "{refused:?}");
    let refused = text(&fixture.client, "ftp://localhost/").await.unwrap_err();
    assert!(matches!(refused, ClientError::Target(_)), "{refused:?}");
}

/// Serves one connection for each of `scripts`. For every entry it reads a request and writes the entry. Then
/// it closes the connection. The returned task yields the number of requests read.
async fn scripted(scripts: Vec<Vec<&'static str>>) -> (String, tokio::task::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let played = tokio::spawn(async move {
        let mut requests = 0;
        for script in scripts {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in script {
                let mut request = Vec::new();
                while !request.ends_with(b"hello") {
                    stream.read_buf(&mut request).await.unwrap();
                }
                requests += 1;
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
        requests
    });
    (url, played)
}

fn plain_client() -> Client {
    Client::new(Some(client_config(authority().certificate_pem().as_bytes()).unwrap()), limits())
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_kept_connection_that_is_lost_before_the_answer_is_replaced() {
    let (url, played) = scripted(vec![vec![OK, ""], vec![OK]]).await;
    let client = plain_client();
    assert_eq!(text(&client, &url).await.unwrap(), "ok");
    assert_eq!(text(&client, &url).await.unwrap(), "ok");
    assert_eq!(played.await.unwrap(), 3);
}

#[tokio::test]
async fn a_request_is_not_repeated_once_its_answer_has_begun() {
    let (url, played) = scripted(vec![vec![OK, "HTTP/1.1 2"], vec![OK]]).await;
    let client = plain_client();
    assert_eq!(text(&client, &url).await.unwrap(), "ok");
    let failed = text(&client, &url).await.unwrap_err();
    assert!(matches!(failed, ClientError::Protocol { .. }), "{failed:?}");
    played.abort();
}

#[tokio::test]
async fn a_request_is_not_repeated_on_a_fresh_connection() {
    let (url, played) = scripted(vec![vec![""], vec![OK]]).await;
    let failed = text(&plain_client(), &url).await.unwrap_err();
    assert!(matches!(failed, ClientError::Protocol { .. }), "{failed:?}");
    played.abort();
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_off_at_the_limit() {
    let endless = "HTTP/1.1 200 OK\r\n\r\n0123456789";
    let (url, played) = scripted(vec![vec![endless], vec![endless]]).await;
    let mut client = plain_client();
    assert_eq!(text(&client, &url).await.unwrap(), "0123456789");
    client.limits.response_bytes_max = 9;
    let refused = text(&client, &url).await.unwrap_err();
    assert!(matches!(refused, ClientError::TooLarge { max: 9, .. }), "{refused:?}");
    assert_eq!(played.await.unwrap(), 2);
}

#[tokio::test]
async fn the_first_given_address_that_accepts_is_used_whatever_the_host() {
    let fixture = fixture(Transport::Either).await;
    // A bound port on which nobody listens refuses connections.
    let idle = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    idle.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let closed = idle.local_addr().unwrap().as_socket().unwrap();
    let at =
        |addresses: &[SocketAddr]| Client::new(None, limits()).with_addresses(addresses.to_vec());
    let answer = text(&at(&[closed, fixture.addr]), "http://two.example/").await.unwrap();
    assert_eq!(answer, "http 0 two.example hello");
    let refused = text(&at(&[closed, closed]), "http://two.example/").await.unwrap_err();
    assert!(matches!(refused, ClientError::Connect { .. }), "{refused:?}");
    at(&[fixture.addr]).connect(&"http://two.example/".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn plain_http_to_a_server_that_speaks_tls_alone_is_told_apart() {
    let (url, played) = scripted(vec![vec!["\u{15}\u{3}\u{3}\0\u{2}\u{2}\u{16}"]]).await;
    let refused = text(&plain_client(), &url).await.unwrap_err();
    assert!(matches!(refused, ClientError::SpeaksTls { .. }), "{refused:?}");
    played.abort();
}

#[test]
fn a_thread_without_a_runtime_waits_for_its_answer() {
    let (give, take) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (url, played) = scripted(vec![vec![OK, OK]]).await;
            give.send(url).unwrap();
            played.await.unwrap()
        })
    });
    let client = BlockingClient::start(plain_client()).unwrap();
    let url = take.recv().unwrap();
    for _ in 0..2 {
        let request = Request::post(&url).body(Bytes::from_static(b"hello")).unwrap();
        assert_eq!(client.send(request).unwrap().into_body(), "ok");
    }
    assert_eq!(server.join().unwrap(), 2);
}
