//! The machine that measures: its cores, its settings, and its disturbances.

pub mod cores;
pub mod host;
pub mod placement;
pub mod scheduling;
pub mod stop;
