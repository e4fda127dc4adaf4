//! Statistics of latency: pure functions, no I/O, no clock.

pub(crate) mod binomial;
pub mod dispersion;
pub(crate) mod float;
pub mod intervals;
pub(crate) mod isotonic;
pub(crate) mod knee;
pub(crate) mod kolmogorov;
pub(crate) mod median;
pub(crate) mod mser;
pub(crate) mod paired;
pub(crate) mod ratio;
pub(crate) mod scalability;
pub(crate) mod smallest_effect;
pub mod stationarity;
pub(crate) mod trend;
