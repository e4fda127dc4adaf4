//! Black-box tests: the real binary on port 0, addressed in raw HTTP.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what is not as expected fails the test"
)]

mod admin;
mod app_service;
mod attacks;
mod both_ways;
mod broker;
mod cli;
mod control;
mod deleted;
mod durability;
mod exec;
mod exposed;
mod faults;
mod federation;
mod health;
mod imds;
mod keys;
mod lifecycle;
mod notified;
mod outputs;
mod printed;
mod refusals;
mod remote;
mod restarts;
mod robustness;
mod secret_files;
mod sources;
mod store;
mod sts;
mod terminal;
mod test_tools;
mod throttle;
mod tokens;
mod vaults;
mod vm_listeners;
mod worlds;
