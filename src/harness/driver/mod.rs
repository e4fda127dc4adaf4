//! The timed path: threads, their connections, and the requests on them.

mod busy_period;
mod connection;
mod dial;
mod exchange;
mod generator;
mod held;
pub mod load;
mod looks;
mod pool;
mod setup;
mod shared;
#[cfg(test)]
mod tests;
mod wall_clock;
mod witnesses;
