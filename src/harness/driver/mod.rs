//! The timed path: threads, their connections, and the requests on them.

mod connection;
mod dial;
mod exchange;
mod generator;
pub mod load;
mod pool;
mod shared;
