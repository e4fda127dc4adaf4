//! Statistics of latency: pure functions, no I/O, no clock.

pub mod intervals;
