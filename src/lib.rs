//! mintbench: a managed-identity token broker and the harness that measures it.

pub mod admin;
pub mod broker;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod http;
pub mod ids;
pub mod imds;
pub mod load;
pub mod report;
pub mod secret;
pub mod server;
pub mod stats;
pub mod sts;
mod sync;
pub mod token;
pub mod world;
