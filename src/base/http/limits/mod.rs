//! Limits that bound memory: the number of connections, their activity, and the bytes of unsent answers.

mod activity;
mod limiter;
mod tally;
mod unsent;

#[cfg(test)]
pub(super) use activity::CoarseClock;
pub(super) use activity::{Activity, SILENT_S, STALLED_S, UNBOUNDED};
pub(crate) use limiter::LEAVING_MAX;
pub(super) use limiter::{Admitted, ConnectionSlot, Full};
pub use limiter::{ConnectionLimiter, ConnectionLimits};
pub(crate) use tally::{Count, Tally};
pub(super) use unsent::{ConnectionBudget, UnsentBudget};
