//! Limits that bound memory: the number of connections, their activity, and the bytes of unsent answers.

mod activity;
mod limiter;
mod tally;
mod turn;
mod unsent;

pub(super) use activity::{Activity, UNBOUNDED};
#[cfg(test)]
pub(super) use activity::{CoarseClock, SILENT_S, STALLED_S};
pub(crate) use limiter::LEAVING_MAX;
pub(super) use limiter::{Admitted, ConnectionSlot, Full};
pub use limiter::{ConnectionLimiter, ConnectionLimits};
pub(crate) use tally::{Count, Tally};
pub(super) use turn::{AfterAnswer, Turn};
pub(super) use unsent::{ConnectionBudget, UnsentBudget};
