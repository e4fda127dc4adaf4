//! What to run: phases of traffic, their rates and their mix of requests.

pub mod mix;
pub mod objective;
pub mod phases;
pub mod plan;
pub mod profile;
pub mod replay;
pub(crate) mod spec;
pub mod workload;
