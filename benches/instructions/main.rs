//! Instruction counts of the steps of a token request, with limits: a gate that needs no quiet
//! machine.
//!
//!     cargo bench --package instructions
//!
//! fails if a step takes more than its limit. A limit is the count when the limit was set, plus 5
//! to 10 %. A commit that makes a step more expensive on purpose raises the limit. Valgrind counts,
//! started by `gungraun-runner` of the version in `Cargo.lock`; `.ci/run instructions` installs
//! both. Counts depend on the compiler and on the build profile, and hardly on the processor: only
//! the C library copies memory differently on each.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to report")]
#![expect(missing_docs, unused_qualifications, reason = "the macros write items without them")]

mod hits;
#[expect(dead_code, reason = "the other benches use more of it")]
mod support;

use std::hint::black_box;

use gungraun::{
    Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use mintbench::base::clock::Seconds;
use mintbench::harness::nanos::Nanos;
use mintbench::harness::scenario::phases::Arrivals;
use mintbench::harness::schedule::arrivals::Schedule;
use mintbench::service::broker::TokenError;
use mintbench::service::cache::{Cache, NewValue};
use mintbench::service::imds::Query;
use mintbench::service::token::Token;

use hits::{FIVE_HEADERS, Hits, NINE_HEADERS};
use support::NOW;
use support::keys::Keys;
use support::tokens::rs256_token;

/// The number of repetitions of a short step, which makes the overhead around them negligible.
const TIMES: u64 = 1000;

fn limit(instructions: u64) -> LibraryBenchmarkConfig {
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, instructions)]));
    config
}

/// The query that the Azure SDK for Python sends.
const QUERY: &str = "api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F";

fn parsed(query: &str) -> usize {
    let query = Query::parse(query).unwrap();
    query.refuse_repeats().unwrap();
    let value = |name| query.get(name).unwrap().unwrap().len();
    value("api-version") + value("resource")
}

#[library_benchmark(config = limit(3_700_000))]
fn request_parse() -> usize {
    (0..TIMES).map(|_| parsed(black_box(QUERY))).sum()
}

type Held = (Keys, Cache<u64, TokenError>);

/// Returns a thousand keys, and a cache that holds them all, none due for renewal.
fn held() -> Held {
    let keys = Keys::hot();
    // Shards fill unevenly; with twice the capacity nothing is evicted.
    let cache = Cache::new(keys.entries as usize * 2);
    for (key, value) in keys.all().zip(0..) {
        let (refresh_at, expires_at) = (NOW + Seconds(43_200), NOW + Seconds(86_400));
        cache.insert(key, NewValue { value, usable_from: NOW, refresh_at, expires_at }, NOW);
    }
    (keys, cache)
}

#[library_benchmark(config = limit(110_250))]
#[bench::thousand(args = (), setup = held)]
fn cache_hit((keys, cache): Held) -> Held {
    keys.ask(0, TIMES, |key, _| *cache.get(key, NOW).unwrap().entry.value());
    (keys, cache)
}

// The copy of the body is half of the count; some processors copy with half as many instructions as
// others. A second copy, or a growing buffer, exceeds this limit.
#[library_benchmark(config = limit(1_200_000))]
#[bench::thousand(args = (), setup = rs256_token)]
fn body_render(token: Token) -> Token {
    for _ in 0..TIMES {
        drop(black_box(black_box(&token).body(black_box(NOW))));
    }
    token
}

// Whole requests that hit, with the client's side of a connection in memory and without system calls. No
// limit: the count has not been settled yet.
#[library_benchmark]
#[bench::five_headers(args = (FIVE_HEADERS), setup = Hits::new)]
#[bench::nine_headers(args = (NINE_HEADERS), setup = Hits::new)]
fn whole_hit(mut hits: Hits) -> Hits {
    hits.ask(black_box(TIMES));
    hits
}

fn schedule(arrivals: Arrivals) -> Schedule {
    Schedule::new(arrivals, 1e6, Nanos::from_secs(3_600), 1)
}

#[library_benchmark(config = limit(111_400))]
#[bench::thousand(args = (Arrivals::Constant), setup = schedule)]
fn schedule_constant(mut schedule: Schedule) -> Option<Nanos> {
    (0..black_box(TIMES)).map_while(|_| schedule.next()).last()
}

#[library_benchmark(config = limit(143_900))]
#[bench::thousand(args = (Arrivals::Poisson), setup = schedule)]
fn schedule_poisson(mut schedule: Schedule) -> Option<Nanos> {
    (0..black_box(TIMES)).map_while(|_| schedule.next()).last()
}

library_benchmark_group!(
    name = steps,
    benchmarks =
        [request_parse, cache_hit, body_render, whole_hit, schedule_constant, schedule_poisson]
);

main!(library_benchmark_groups = steps);
