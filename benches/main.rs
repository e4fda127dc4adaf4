//! Micro-benchmarks: what the steps of a token request cost, each beside the least that it could cost.
//!
//! A figure of a micro-benchmark means little on another machine; its ratio to a figure of the same
//! run means something. So every module names what its benches are divided by, and `benches/run.sh`
//! prints those ratios. Ids are stable: results are compared by them.
//!
//! One program, not one for each file: with link-time optimisation the link is the slow part.

#![expect(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to report")]

mod cache;
mod maps;
mod mint;
mod miss;
mod request;
mod support;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    cache::benches(&mut criterion);
    maps::benches(&mut criterion);
    mint::benches(&mut criterion);
    miss::benches(&mut criterion);
    request::benches(&mut criterion);
    criterion.final_summary();
}
