//! Throttles: how many requests a virtual machine may send to the identity endpoint.

mod limits;
mod meter;

pub use limits::{Limits, Throttle, ThrottleError};
pub use meter::{Category, Meter, Permit, Throttled};
