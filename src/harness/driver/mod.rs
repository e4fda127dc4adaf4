//! The timed path: threads, their connections, and the requests on them.

mod connection;
mod dial;
pub mod fleet;
mod generator;
mod pool;
mod shared;
mod transport;
pub mod turns;
