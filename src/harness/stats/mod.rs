//! Statistics of latency: pure functions, no I/O, no clock.

pub mod binomial;
pub mod intervals;
pub mod isotonic;
pub mod knee;
pub mod kolmogorov;
pub mod median;
pub mod mser;
pub mod paired;
pub mod ratio;
pub mod scalability;
pub mod smallest_effect;
pub mod stationarity;
pub mod trend;
