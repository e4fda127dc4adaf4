//! The steps of a request that hits, and the whole request without sockets.
//!
//! Comparison: `request/query/parse` is divided by `request/query/form-urlencoded`, the parser of
//! the `url` crate. `request/body/render` is divided by `request/body/copy`, the same bytes copied.
//! `request/in-process/imds-hit` is divided by `request/in-process/fixed-response`, the same HTTP
//! server loop that answers the same bytes from a constant. The difference of the last two is the
//! work of the broker itself.

use std::borrow::Cow;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use criterion::Criterion;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};
use mintbench::base::clock::ManualClock;
use mintbench::base::http::{HostNames, Payload, Peer, Surface};
use mintbench::base::synthetic::Synthetic;
use mintbench::service::imds::{Imds, Query};
use mintbench::service::token::Algorithm;

use crate::support::NOW;
use crate::support::memory_connection::{Head, MemoryConnection};
use crate::support::tokens::{broker, rs256_token};

/// The query that the Azure SDK for Python sends.
const QUERY: &str = "api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F";

const WORLD: Synthetic = Synthetic { vms: 1000, user_assigned: 2, seed: 1 };

pub(crate) fn benches(criterion: &mut Criterion) {
    query(criterion);
    body(criterion);
    in_process(criterion);
}

fn query(criterion: &mut Criterion) {
    criterion.bench_function("request/query/parse", |bencher| {
        bencher.iter(|| {
            let query = Query::parse(black_box(QUERY)).unwrap();
            query.refuse_repeats().unwrap();
            (query.get("api-version").unwrap(), query.get("resource").unwrap())
        });
    });
    criterion.bench_function("request/query/form-urlencoded", |bencher| {
        bencher.iter(|| {
            let pairs = form_urlencoded::parse(black_box(QUERY).as_bytes());
            pairs.collect::<Vec<(Cow<'_, str>, Cow<'_, str>)>>()
        });
    });
}

fn body(criterion: &mut Criterion) {
    criterion.bench_function("request/body/render", |bencher| {
        let token = rs256_token();
        bencher.iter(|| black_box(&token).body(black_box(NOW)));
    });
    criterion.bench_function("request/body/copy", |bencher| {
        let bytes = rs256_token().body(NOW);
        bencher.iter(|| black_box(&*bytes).to_vec());
    });
}

fn in_process(criterion: &mut Criterion) {
    criterion.bench_function("request/in-process/imds-hit", |bencher| {
        let (request, mut imds, hit) = imds();
        bencher.iter_custom(|iters| imds.time(&request, hit.len(), iters));
    });
    criterion.bench_function("request/in-process/fixed-response", |bencher| {
        let (request, _, hit) = imds();
        let mut fixed = MemoryConnection::open(Fixed::like(&hit), caller());
        assert_eq!(fixed.ask(&request).len(), hit.len());
        bencher.iter_custom(|iters| fixed.time(&request, hit.len(), iters));
    });
}

/// Returns a request, a connection that answers it with a cached token, and that answer.
fn imds() -> (Vec<u8>, MemoryConnection, Vec<u8>) {
    let broker = Arc::new(broker(&WORLD, Algorithm::Rs256, 10_000));
    let imds = Imds::new(broker, Arc::new(ManualClock::new(NOW)), HostNames::default(), 7);
    let mut connection = MemoryConnection::open(imds, caller());
    let request = format!(
        "GET /metadata/identity/oauth2/token?{QUERY} HTTP/1.1\r\nhost: 169.254.169.254\r\nmetadata: true\r\naccept: application/json\r\nuser-agent: azsdk-python-identity/1.25.0\r\n\r\n"
    );
    let request = request.into_bytes();
    let _miss = connection.ask(&request);
    let hit = connection.ask(&request);
    assert!(hit.starts_with(b"HTTP/1.1 200"));
    (request, connection, hit)
}

fn caller() -> SocketAddr {
    (WORLD.address(0), 50_000).into()
}

/// A surface that answers every request with one response.
struct Fixed {
    headers: HeaderMap,
    body: Bytes,
}

impl Fixed {
    fn like(sample: &[u8]) -> Self {
        let head = Head::of(sample).unwrap();
        let body = Bytes::copy_from_slice(sample.get(head.len..).unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in head.headers {
            let name: HeaderName = name.parse().unwrap();
            // The server adds these two itself.
            if name != DATE && name != CONTENT_LENGTH {
                headers.insert(name, HeaderValue::from_bytes(&value).unwrap());
            }
        }
        Self { headers, body }
    }
}

impl Surface for Fixed {
    fn name(&self) -> &'static str {
        "fixed"
    }

    type Caller = ();

    fn caller(&self, _: &Peer) {}

    async fn respond(&self, (): &(), _: Request<Incoming>) -> Response<Payload> {
        let mut response = Response::new(Payload::from(self.body.clone()));
        response.headers_mut().clone_from(&self.headers);
        response
    }
}
