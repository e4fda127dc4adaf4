//! mintbench: a managed-identity token broker and the harness that measures it.

pub mod cli;
pub mod clock;
pub mod ids;
pub mod load;
pub mod report;
pub mod secret;
pub mod stats;
pub mod world;
