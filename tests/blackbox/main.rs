//! Black-box tests: the real binary on port 0, spoken to in raw HTTP.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what is not as expected fails the test"
)]

mod attacks;
mod broker;
mod cli;
mod control;
mod durability;
mod imds;
mod lifecycle;
mod outputs;
mod refusals;
mod remote;
mod robustness;
mod sources;
mod sts;
mod tokens;
mod vaults;
