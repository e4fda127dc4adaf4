//! Micro-benchmarks of the steps of a token request, each beside the least possible cost.
//!
//! A figure of a micro-benchmark means little on another machine, but its ratio to another figure
//! of the same run does. Every module therefore names the figures that its benches are divided by,
//! and `benches/run.sh` prints the ratios. Ids are stable, because results are compared by them.
//!
//! All files form one program, because with link-time optimisation the link is the slow part.

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
