//! The timed path: threads, their connections, and the requests on them.

pub(crate) mod connection;
pub(crate) mod dial;
mod exchange;
pub mod fleet;
pub(crate) mod generator;
pub(crate) mod pool;
pub(crate) mod shared;
pub(crate) mod transport;
pub mod turns;
