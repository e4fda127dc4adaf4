//! Statistics of latency: pure functions, no I/O, no clock.

pub mod intervals;
pub mod kolmogorov;
pub mod mser;
pub mod smallest_effect;
pub mod stationarity;
pub mod trend;
