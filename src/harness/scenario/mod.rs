//! Definition of the load: phases of traffic, their rates and their mix of requests.

pub mod changes;
pub mod key;
pub mod mix;
pub mod objective;
pub mod phases;
pub mod profile;
pub mod replay;
pub mod run_plan;
pub(crate) mod spec;
pub mod workload;
