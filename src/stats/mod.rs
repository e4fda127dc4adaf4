//! Statistics of latency: pure functions, no I/O, no clock.

pub mod holm;
pub mod intervals;
pub mod paired;
pub mod ratio;
