//! mintbench: a managed-identity token broker and the harness that measures it.

pub mod cli;
pub mod clock;
pub mod ids;
pub mod secret;
pub mod world;
