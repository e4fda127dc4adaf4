//! Requests to the identity endpoint, on a connection in memory.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex, split};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::base::clock::{ManualClock, Seconds, UnixSeconds};
use crate::base::http::{
    ConnectionLimiter, ConnectionLimits, HostNames, Peer, Scheme, Surface, pairs, serve_stream,
    without_dates,
};
use crate::service::broker::{Broker, BrokerOptions};
use crate::service::directory::{Directory, DirectoryError, DirectoryOptions};
use crate::service::imds::{Imds, Query};
use crate::service::store::MemoryStore;
use crate::service::token::Issuer;
use crate::service::world::file;
use crate::service::world::record::Record;

/// Time of the clock in every target.
pub(super) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// Returns a directory in memory of this world.
pub(super) fn directory(records: Vec<Record>) -> Result<Directory, DirectoryError> {
    let options = DirectoryOptions::for_tests(Seconds(0));
    Directory::open(Box::new(MemoryStore::default()), || Ok(records), NOW, &options)
}

/// Records of the world that a server begins with, and of its signing keys, which are made once.
static DEMO: LazyLock<Vec<Record>> = LazyLock::new(|| {
    let first = directory(file::demo().unwrap_or_default());
    first.map(|first| first.read().records()).unwrap_or_default()
});

/// Returns the records of the world that a server begins with.
pub(super) fn demo() -> Vec<Record> {
    DEMO.clone()
}

thread_local! {
    static RUNTIME: Option<Runtime> = Builder::new_current_thread().enable_time().build().ok();
}

/// Sends `sent` on one connection, closes the sending side, and returns all that comes back.
pub(super) fn exchange<S: Surface>(surface: S, sent: &[u8]) -> Vec<u8> {
    let peer = Peer { addr: ([127, 0, 0, 1], 50_000).into(), scheme: Scheme::Http };
    let limits = ConnectionLimits { max: 10, per_caller: 10, unsent_bytes: 1_000_000 };
    let limiter = ConnectionLimiter::new(limits);
    let (stream, server_side) = duplex(sent.len().max(64 * 1024));
    let (_stop, shutdown) = watch::channel(false);
    let exchanged = async {
        let served = serve_stream(server_side, peer, Arc::new(surface), &limiter, shutdown);
        let (mut reader, mut writer) = split(stream);
        let write = async {
            // The server may have closed the connection.
            let _ = writer.write_all(sent).await;
            let _ = writer.shutdown().await;
        };
        let read = async {
            let mut answers = Vec::new();
            let _ = reader.read_to_end(&mut answers).await;
            answers
        };
        tokio::join!(served, write, read).2
    };
    RUNTIME
        .with(|runtime| runtime.as_ref().map(|runtime| runtime.block_on(exchanged)))
        .unwrap_or_default()
}

/// Returns the statuses of answers that follow each other.
pub(super) fn statuses(mut answers: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(len)) = head.parse(answers) else { return statuses };
        statuses.extend(head.code);
        let length = head.headers.iter().find(|one| one.name == "content-length");
        let length = length.and_then(|one| str::from_utf8(one.value).ok()?.parse::<usize>().ok());
        answers = answers.get(len + length.unwrap_or(0)..).unwrap_or_default();
    }
}

/// Broker of the demo world. Tokens that it has minted stay in its cache.
static BROKER: LazyLock<Option<(Arc<Broker>, Arc<ManualClock>)>> = LazyLock::new(|| {
    let directory = Arc::new(directory(demo()).ok()?);
    let options = BrokerOptions {
        cache_entries: NonZeroUsize::new(1000)?,
        mint_lanes: NonZeroUsize::MIN,
        mint_queue: NonZeroUsize::new(100)?,
        refresh_fraction: 1.0,
        seed: [7; 32],
    };
    let issuer = Arc::new(Issuer::new(directory.ring(), Seconds(1000)));
    let clock = Arc::new(ManualClock::new(NOW));
    let own = Arc::<ManualClock>::clone(&clock);
    Some((Arc::new(Broker::start(directory, issuer, own, &options).ok()?), clock))
});

/// Ways to an answer: in front of hyper where possible, or through hyper.
#[derive(Clone, Copy, Debug)]
enum Way {
    Direct,
    Hyper,
}

/// Returns the answers of the identity endpoint, and whether a token was minted for them.
fn asked(sent: &[u8], way: Way) -> (Vec<u8>, bool) {
    let Some((broker, clock)) = &*BROKER else { panic!("the demo world has no broker") };
    let minted = || {
        let stats = broker.stats();
        stats.misses + stats.coalesced
    };
    let before = minted();
    let clock = Arc::<ManualClock>::clone(clock);
    let imds = Imds::new(Arc::clone(broker), clock, HostNames::default(), 7);
    let imds = match way {
        Way::Direct => imds,
        Way::Hyper => imds.with_hyper_only(),
    };
    (exchange(imds, sent), minted() != before)
}

/// Requests as raw bytes. The reader in front of hyper answers with the same bytes as hyper, except for `Date`.
pub(super) fn request(input: &[u8]) {
    let (first, _) = asked(input, Way::Hyper);
    let has_header = input.to_ascii_lowercase().windows(8).any(|part| part == b"metadata");
    let has_token = |answers: &[u8]| answers.windows(12).any(|part| part == b"access_token");
    assert!(has_header || !has_token(&first), "a token without the header `Metadata`");
    assert!(!statuses(&first).contains(&500), "{}", first.escape_ascii());
    let (direct, minted) = asked(input, Way::Direct);
    let (hyper, minted_again) = asked(input, Way::Hyper);
    if minted || minted_again {
        return;
    }
    let [direct, hyper] = [direct, hyper].map(without_dates);
    assert_eq!(direct, hyper, "the two ways differ");
}

/// Queries. An accepted query names each parameter once, and each value is decoded once.
pub(super) fn query(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let Ok(query) = Query::parse(text) else { return };
    let pairs: Vec<_> = pairs(text).collect();
    let names: HashSet<&str> = pairs.iter().map(|(name, _)| name.as_sent()).collect();
    assert_eq!(query.refuse_repeats().is_ok(), names.len() == pairs.len());
    for name in ["api-version", "resource", "client_id", "object_id", "msi_res_id", "bypass_cache"]
    {
        let sent = pairs.iter().find(|(own, _)| own.as_sent() == name);
        let got = query.get(name);
        assert_eq!(matches!(got, Ok(None)), sent.is_none());
        if let (Some((_, sent)), Ok(Some(got))) = (sent, got) {
            assert_eq!(sent.decode_lossy(), got);
        }
    }
}
