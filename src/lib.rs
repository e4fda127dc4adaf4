//! mintbench: a managed-identity token broker and the harness that measures it.

pub mod broker;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod ids;
pub mod secret;
mod sync;
pub mod token;
pub mod world;
