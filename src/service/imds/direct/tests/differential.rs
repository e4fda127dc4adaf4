//! For any bytes, split anywhere, both paths answer with the same bytes, except for `Date`, close the
//! connection in the same cases, and count the same.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};

use super::*;
use crate::base::http::without_dates;

/// Answers that a client sees, and the counters.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// All bytes, escaped, without the values of `Date`.
    bytes: String,
    /// True if the server closed the connection before the client did.
    is_closed: bool,
    counts: Vec<(u16, u64)>,
    hits: u64,
}

/// Sends `pieces` one after the other, and returns everything that comes back. Returns `None` if a token had to
/// be minted, which happens on another thread.
fn exchange(world: &World, path: Path, pieces: &[&[u8]]) -> Option<Seen> {
    use tokio::io::AsyncWriteExt as _;
    let before = world.broker.stats();
    let (bytes, is_closed, counts) = world.runtime.block_on(async {
        let Client { stream, server, stop: _stop, responses } = world.open(path, 1_000_000);
        let (mut reader, mut writer) = tokio::io::split(stream);
        let read = tokio::spawn(async move {
            let mut bytes = Vec::new();
            let _ = reader.read_to_end(&mut bytes).await;
            bytes
        });
        for piece in pieces {
            // The server may have closed the connection.
            let _ = writer.write_all(piece).await;
            settle().await;
        }
        let is_closed = server.is_finished();
        let _ = writer.shutdown().await;
        timeout(DEADLINE, server).await.unwrap().unwrap();
        let bytes = timeout(DEADLINE, read).await.unwrap().unwrap();
        (without_dates(bytes), is_closed, responses.counts().collect())
    });
    let after = world.broker.stats();
    let minted = after.misses + after.coalesced > before.misses + before.coalesced;
    let hits = after.cache.hits - before.cache.hits;
    (!minted).then_some(Seen { bytes, is_closed, counts, hits })
}

/// Checks that both paths do the same with these pieces. Returns the answers.
fn same(world: &World, pieces: &[&[u8]]) -> Result<String, TestCaseError> {
    // The first run may mint tokens, which the others find.
    let _ = exchange(world, Path::Hyper, pieces);
    let direct = exchange(world, Path::Direct, pieces);
    let hyper = exchange(world, Path::Hyper, pieces);
    let (Some(direct), Some(hyper)) = (direct, hyper) else { return Ok(String::new()) };
    prop_assert_eq!(&direct, &hyper);
    Ok(direct.bytes)
}

/// Cuts `bytes` at these places.
fn cut(bytes: &[u8], places: &[usize]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.dedup();
    places.windows(2).map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect()
}

fn check(world: &World, bytes: &[u8], places: &[usize]) -> Result<String, TestCaseError> {
    let pieces = cut(bytes, places);
    same(world, &pieces.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Returns requests that are nearly right.
fn request() -> impl Strategy<Value = String> {
    let good = || select(targets());
    let bad = [
        "/metadata/identity/oauth2/token",
        "/metadata/identity/oauth2/token?api-version=2018-02-01",
        "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://nobody.example",
        "/metadata/identity/oauth2/token?api-version=2017-01-01&resource=https://vault.azure.net",
        "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=a&resource=b",
        "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net&client_id=00000000-0000-0000-0000-000000000000",
        "/metadata/identity/info?api-version=2018-02-01",
        "/metadata/instance/compute/vmId?api-version=2021-02-01&format=text",
        "/metadata/versions",
        "/nothing",
        "*",
        "//",
    ];
    let target = prop_oneof![
        6 => good(),
        1 => good().prop_map(|target| target.replacen("metadata", "MetaData", 1)),
        1 => good().prop_map(|target| target.replacen("token?", "token/?", 1)),
        1 => good().prop_map(|target| format!("http://127.0.0.1{target}")),
        1 => good().prop_map(|target| format!("{target}#fragment")),
        1 => (good(), good()).prop_map(|(target, other)| format!("{target}#{other}")),
        1 => good().prop_map(|target| format!("{target}&x=\u{e9}\"<>")),
        2 => select(bad.to_vec()).prop_map(str::to_owned),
    ];
    let method = often("GET", &["get", "HEAD", "POST", "PUT", "OPTIONS", "GETX", ""]);
    let version = often("HTTP/1.1", &["HTTP/1.0", "HTTP/1.2", "http/1.1", "", "HTTP/2.0"]);
    let host = often(
        "Host: 127.0.0.1",
        &["Host: localhost:1", "Host: evil.example", "Host: ", "X: a", "host: 169.254.169.254"],
    );
    let metadata = often(
        "Metadata: true",
        &["metadata:true", "Metadata: True", "Metadata: ", "METADATA:  true "],
    );
    let end = often("\r\n", &["\n", "\r\n\r\n", "\n\n", "\r", "\r\r\n"]);
    let others = proptest::collection::vec(select(ODD_HEADERS.to_vec()), 0..3);
    let parts = (method, target, version, host, metadata, others, end);
    parts.prop_map(|(method, target, version, host, metadata, others, end)| {
        let others: String = others.iter().flat_map(|other| [*other, "\r\n"]).collect();
        format!("{method} {target} {version}\r\n{host}\r\n{others}{metadata}{end}\r\n")
    })
}

/// Returns `usual` in most cases.
fn often(
    usual: &'static str,
    others: &'static [&'static str],
) -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(usual), 1 => select(others.to_vec())]
}

const ODD_HEADERS: [&str; 30] = [
    "Accept: */*",
    "Accept: application/json",
    "User-Agent: azsdk-python-identity/1.25.0 Python/3.12",
    "x-ms-client-request-id: 00000000-1111-4222-8333-444444444444",
    "x-ms-return-client-request-id: true",
    "Accept-Encoding: gzip, deflate",
    "Cookie: a=b",
    "TE: trailers",
    "Connection: keep-alive",
    "Connection: Keep-Alive",
    "Connection: close",
    "Connection: keep-alive, close",
    "Connection: upgrade",
    "Connection:",
    "Content-Length: 0",
    "Content-Length: 4",
    "Content-Length: 4\r\nContent-Length: 5",
    "Content-Length: x",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip",
    "Expect: 100-continue",
    "Upgrade: h2c",
    "X-Forwarded-For: 10.0.0.1",
    "Host: 127.0.0.1",
    "Metadata: true",
    " folded: a",
    "X : a",
    "X: a\nY: b",
    "X: a\0b",
    "no colon",
];

#[test]
fn both_paths_answer_any_bytes_alike() {
    let world = World::warm();
    let mutation = (any::<Index>(), select(vec![0_u8, b'\r', b'\n', b' ', b':', b'a', b'G', 0xff]));
    let strategy = (
        proptest::collection::vec(request(), 1..5),
        proptest::collection::vec((0..3_u8, mutation), 0..2),
        proptest::collection::vec(any::<usize>(), 0..4),
    );
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    runner
        .run(&strategy, |(requests, mutations, places)| {
            let mut bytes = requests.concat().into_bytes();
            for (kind, (at, byte)) in mutations {
                let at = at.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ => {
                        bytes.remove(at);
                    }
                }
            }
            // hyper refuses some heads only once they are complete.
            bytes.extend_from_slice(b"\r\n\r\n");
            check(&world, &bytes, &places).map(drop)
        })
        .unwrap();
}

#[test]
fn both_paths_treat_each_odd_header_alike_wherever_the_head_is_split() {
    let world = World::warm();
    let hit = get(&targets()[0]);
    for header in ODD_HEADERS {
        let head = hit.replace("Metadata", &format!("{header}\r\nMetadata"));
        let bytes = format!("{hit}{head}{hit}\r\n\r\n");
        for place in (0..bytes.len()).step_by(37) {
            check(&world, bytes.as_bytes(), &[place]).unwrap();
        }
        let answers = check(&world, bytes.as_bytes(), &[]).unwrap();
        assert!(answers.starts_with("HTTP/1.1 200 OK"), "{header}: {answers}");
    }
}

#[test]
fn no_path_takes_a_body_for_a_request() {
    let world = World::warm();
    let hit = get(&targets()[0]);
    let inner = hit.replace("/metadata", "/smuggled");
    let length = inner.len();
    let with = |headers: &str| hit.replace("Metadata", &format!("{headers}\r\nMetadata"));
    let chunks = format!("{length:x}\r\n{inner}\r\n0\r\n\r\n");
    for (head, body) in [
        (with(&format!("Content-Length: {length}")), inner.clone()),
        (with(&format!("content-length:{length}")), inner.clone()),
        (with(&format!("Content-Length: {length}\r\nContent-Length: {length}")), inner.clone()),
        (with("Transfer-Encoding: chunked"), chunks.clone()),
        (with("Transfer-Encoding: chunked\r\nContent-Length: 5"), chunks.clone()),
        (with(&format!("Expect: 100-continue\r\nContent-Length: {length}")), inner.clone()),
        (with(&format!("X: a\n\nContent-Length: {length}")), inner.clone()),
        (
            hit.replacen("GET", "POST", 1)
                .replace("Metadata", &format!("Content-Length: {length}\r\nMetadata")),
            inner.clone(),
        ),
    ] {
        for place in [0, head.len() - 2, head.len(), head.len() + 10] {
            let bytes = format!("{hit}{head}{body}{hit}");
            let answers = check(&world, bytes.as_bytes(), &[hit.len() + place]).unwrap();
            // Only a path that no request named gets this answer.
            assert!(!answers.contains("Not Found"), "{head}: {answers}");
        }
    }
}

#[test]
fn both_paths_treat_long_heads_alike() {
    let world = World::warm();
    let hit = get(&targets()[0]);
    for bytes in [1000, 3000, 4000, 5000, 15_000, 17_000, 40_000] {
        let long = hit.replace("Metadata", &format!("X: {}\r\nMetadata", "x".repeat(bytes)));
        let many = "X: yyyyyy\r\n".repeat(bytes / 100);
        let many = hit.replace("Metadata", &format!("{many}Metadata"));
        for head in [long, many] {
            let all = format!("{hit}{head}{hit}");
            for places in [&[][..], &[hit.len() + 900], &[4096, 8192]] {
                check(&world, all.as_bytes(), places).unwrap();
            }
        }
    }
}

#[test]
fn a_target_with_many_spellings_gets_the_same_answers() {
    let world = World::warm();
    for target in targets() {
        for target in [
            target.replace("resource=https", "resource=HTTPS"),
            target.replace("azure", "%61zure"),
            format!("{target}&"),
            format!("{target}&bypass_cache=true"),
            format!("{target}&resource=b"),
            format!("{target}&{}", "x".repeat(2000)),
            target.replace("2018-02-01", "2025-04-07"),
            target.replace("2018-02-01", "1"),
            target.replace("oauth2", "OAuth2"),
        ] {
            let twice = get(&target).repeat(2);
            check(&world, twice.as_bytes(), &[]).unwrap();
        }
    }
}

/// A body that looks like the beginning of a request.
const BODY: &str = "GET / HTT";

/// Returns whole requests that leave the connection open: for tokens that are in the cache or not, for
/// something else, refused ones, and unusual ones.
fn lasting_request() -> impl Strategy<Value = String> {
    let token = || select(targets()).prop_map(|target| get(&target));
    let with = |headers: &'static str, body: &'static str| {
        token().prop_map(move |token| token.replace("Metadata: true", headers) + body)
    };
    prop_oneof![
        6 => token(),
        1 => select(targets()).prop_map(|target| get(&fresh(&target))),
        1 => Just(get("/metadata/identity/oauth2/token?api-version=2018-02-01&resource=nobody")),
        1 => Just(get("/metadata/instance?api-version=2021-02-01")),
        1 => Just(get("/nothing")),
        1 => with("X: y", ""),
        1 => with("Metadata: true\r\nX-Forwarded-For: a", ""),
        1 => with("Metadata: true\r\nContent-Length: 0", ""),
        1 => with("Metadata: true\r\nContent-Length: 9", BODY),
    ]
}

/// Cuts `text` at these places, but not in a body: hyper closes a connection if a body that nobody reads has not
/// arrived as a whole.
fn cut_outside_bodies(text: &str, places: &[usize]) -> Vec<Vec<u8>> {
    let bodies: Vec<usize> = text.match_indices(BODY).map(|(start, _)| start).collect();
    let is_outside =
        |place: &usize| !bodies.iter().any(|start| (*start..*start + BODY.len()).contains(place));
    let places = places.iter().map(|place| place % (text.len() + 1));
    cut(text.as_bytes(), &places.filter(is_outside).collect::<Vec<_>>())
}

/// Sends `pieces` with `count` requests when no token is in the cache, and returns the answers without the path
/// that gave them.
fn answers_when_cold(
    world: &World,
    path: Path,
    pieces: &[Vec<u8>],
    count: usize,
) -> Vec<(String, String)> {
    use tokio::io::AsyncWriteExt as _;
    world.clock.advance(LIFETIME);
    world.runtime.block_on(async {
        let Client { stream, server, stop: _stop, .. } = world.open(path, 1_000_000);
        let (mut reader, mut writer) = tokio::io::split(stream);
        for piece in pieces {
            writer.write_all(piece).await.unwrap();
            settle().await;
        }
        let answers = read(&mut reader, count).await;
        writer.shutdown().await.unwrap();
        let mut more = Vec::new();
        timeout(DEADLINE, reader.read_to_end(&mut more)).await.unwrap().unwrap();
        assert_eq!(more.escape_ascii().to_string(), "");
        timeout(DEADLINE, server).await.unwrap().unwrap();
        let seen = |answer: Answer| (answer.head, answer.resource);
        answers.into_iter().map(seen).collect()
    })
}

#[test]
fn both_paths_answer_any_sequence_of_hits_misses_and_refusals_alike() {
    let world = World::new();
    let strategy = (
        proptest::collection::vec(lasting_request(), 1..12),
        proptest::collection::vec(any::<usize>(), 0..6),
    );
    let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&strategy, |(requests, places)| {
            let pieces = cut_outside_bodies(&requests.concat(), &places);
            let seen = [Path::Direct, Path::Hyper]
                .map(|path| answers_when_cold(&world, path, &pieces, requests.len()));
            prop_assert_eq!(&seen[0], &seen[1]);
            Ok(())
        })
        .unwrap();
}
