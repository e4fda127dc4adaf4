//! A miss: `Broker::token` for a key that is not cached, from the call to the token.
//!
//! Comparison: `miss/<alg>` is divided by `mint/<alg>/aws-lc-rs/token`, the mint alone. The rest is
//! the way to a mint lane and back: two thread switches, the flight and the cache.

use std::time::Duration;

use criterion::Criterion;
use mintbench::base::clock::{ManualClock, Monotonic};
use mintbench::base::synthetic::Synthetic;
use mintbench::service::broker::{Broker, TokenRequest, Via};
use mintbench::service::cache::Freshness;
use mintbench::service::directory::Caller;
use mintbench::service::token::Algorithm;
use tokio::runtime::Builder;

use crate::support::NOW;
use crate::support::tokens::{RESOURCE, broker};

const WORLD: Synthetic = Synthetic { vms: 4096, user_assigned: 0, seed: 1 };

/// A cache so small that every token is evicted long before its VM asks again.
const CACHE_ENTRIES: usize = 64;

pub(crate) fn benches(criterion: &mut Criterion) {
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        criterion.bench_function(&format!("miss/{algorithm}"), |bencher| {
            let broker = broker(&WORLD, algorithm, CACHE_ENTRIES);
            let address = |vm| WORLD.address(vm).into();
            let vms: Vec<_> = (0..WORLD.vms).map(|vm| broker.caller(address(vm))).collect();
            let runtime = Builder::new_current_thread().build().unwrap();
            let mut vms = vms.iter().cycle();
            bencher.iter_custom(|iters| runtime.block_on(misses(&broker, &mut vms, iters)));
        });
    }
}

async fn misses<'a>(
    broker: &Broker,
    vms: &mut impl Iterator<Item = &'a Caller>,
    iters: u64,
) -> Duration {
    let clock = ManualClock::new(NOW);
    let request = TokenRequest { selector: None, resource: RESOURCE, freshness: Freshness::Held };
    let stopwatch = Monotonic::start();
    for (vm, _) in vms.zip(0..iters) {
        let answer = broker.token(vm, &request, &clock).await.unwrap();
        assert_eq!(answer.via, Via::Miss);
    }
    Duration::from_nanos(stopwatch.now_ns())
}
